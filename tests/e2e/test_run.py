"""The job on the bundled data: what it writes, and that the number of ranks does not matter."""
import csv
import hashlib
import json
import math
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time
import unittest

from harness import (BINARY, SLOWNESS, Case, DEMO, HAS_BF16, demo_manifest, environment, h5py, messages, numpy,
                     plain_run, read_safetensors, write_manifest)

WHOLE = {"results.h5", "merged", "routing.json", "assignment.csv"}  # what a job leaves in its folder


class Run(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.need_h5py()
        # Two tasks of every kind.
        part = demo_manifest()
        part["tasks"] = [task for i, task in enumerate(part["tasks"]) if i % 8 < 2]
        self.part = write_manifest(self.folder / "two-of-a-kind.json", part)

    def run_demo(self, name, *extra, ranks=0, manifest=DEMO / "manifest.json", k=5, restarts=2):
        output = self.folder / name
        self.succeed("run", manifest, "-K", k, "--restarts", restarts, "--output", output, "--quiet",
                     "--final-losses", "all", *extra, ranks=ranks)
        return output

    def numbers(self, output):
        with h5py.File(output / "results.h5") as file:
            names = ["result/assignment", "result/loss", "iteration/assignment", "iteration/loss",
                     "iteration/objective", "heldout/loss", "baseline/base", "baseline/own",
                     "baseline/one", "baseline/random"]
            return {name: file[name][...] for name in names}

    def assert_same_bits(self, first, second):
        for name, values in self.numbers(first).items():
            other = self.numbers(second)[name]
            self.assertEqual(values.tobytes(), other.tobytes(), name)
        for path in sorted((first / "merged").rglob("*.safetensors")):
            self.assertEqual(path.read_bytes(),
                             (second / path.relative_to(first)).read_bytes(), path)
        for name in ("routing.json", "assignment.csv"):
            self.assertEqual((first / name).read_bytes(), (second / name).read_bytes(), name)

    def test_results_do_not_depend_on_the_number_of_ranks(self):
        alone = self.run_demo("alone")
        for ranks in (1, 2, 3, 8):
            self.assert_same_bits(alone, self.run_demo(f"ranks{ranks}", ranks=ranks))

    def test_routing_says_what_serves_a_task_and_how_to_check_it(self):
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(7))
        output = self.run_demo("out", "--verify-examples", 2, manifest=manifest, k=3, ranks=2)
        routing = json.loads((output / "routing.json").read_text())
        self.assertEqual(routing["model"], demo_manifest()["model"])
        with h5py.File(output / "results.h5") as file:
            names = list(file["task/name"].asstr())
            clusters, gain = file["result/assignment"][:].tolist(), file["result/gain"][:].tolist()
            heldout = file["heldout/gain"][:].tolist()
        self.assertEqual(routing["tasks"], {n: {"cluster": c, "gain": g, "heldout_gain": h}
                                            for n, c, g, h in zip(names, clusters, gain, heldout)})
        with open(output / "assignment.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([(r["task"], int(r["cluster"]), float(r["gain"]), float(r["heldout_gain"])) for r in rows],
                         list(zip(names, clusters, gain, heldout)))
        folder = {}
        for adapter in routing["clusters"]:
            folder[adapter["cluster"]] = output / adapter["folder"]
            self.assertEqual(set(adapter["sha256"]), {"adapter_config.json", "adapter_model.safetensors"})
            for name, expected in adapter["sha256"].items():
                content = (output / adapter["folder"] / name).read_bytes()
                self.assertEqual(hashlib.sha256(content).hexdigest(), expected)
            config = json.loads((output / adapter["folder"] / "adapter_config.json").read_text())
            self.assertEqual(adapter["rank"], config["r"])
        self.assertEqual({output / row["folder"] for row in rows}, set(folder.values()))
        self.assertEqual(sorted(check["cluster"] for check in routing["checks"]), sorted(set(clusters)))
        for check in routing["checks"]:
            self.assertEqual(clusters[names.index(check["task"])], check["cluster"])
            self.assertEqual(len(check["examples"]), 8)
            examples = self.folder / "check.jsonl"
            examples.write_text("".join(json.dumps(example) + "\n" for example in check["examples"]))
            for key, adapter in (("loss", ["--adapter", folder[check["cluster"]]]), ("base_loss", [])):
                done = self.succeed("evaluate", "--model", routing["model"], *adapter, "--examples", examples,
                                    "--json", "-")
                self.assertAlmostEqual(json.loads(done.stdout)["mean"], check[key], delta=1e-6)

    def test_results_do_not_depend_on_memory_caps(self):
        free = self.run_demo("free", manifest=self.part, ranks=2)
        tight = self.run_demo("tight", "--exchange-mib", 1, "--merged-mib", 1, manifest=self.part, ranks=2)
        self.assert_same_bits(free, tight)

    def test_merges_by_inputs_do_not_depend_on_ranks_threads_or_memory_caps(self):
        manifest = demo_manifest(6)
        manifest["tasks"][1]["adapter"] = manifest["tasks"][0]["adapter"]
        path = write_manifest(self.folder / "shared.json", manifest)
        ways = ((1, ("--threads", 3)), (2, ("--exchange-mib", 1)),
                (3, ("--ranks-per-node", 1, "--adapters-in", "disk")), (8, ()))
        for method, some in (("regmean", ways), ("regmean_datafree", ways[2:3])):
            how = ("--method", method, "--verify-examples", 2)
            alone = self.run_demo(f"{method}1", *how, manifest=path, k=2)
            for ranks, more in some:
                self.assert_same_bits(alone, self.run_demo(f"{method}-{ranks}", *how, *more, ranks=ranks,
                                                           manifest=path, k=2))

    def test_merges_by_inputs_look_at_no_kept_example(self):
        manifest = demo_manifest(4)
        path = write_manifest(self.folder / "as_is.json", manifest)
        how = ("--method", "regmean", "--verify-examples", 2, "--search", "kmeans")
        first = self.run_demo("first", *how, manifest=path, k=2)
        for task in manifest["tasks"]:
            lines = pathlib.Path(task["examples"]).read_text().splitlines()
            # The kept ones are spread evenly over the file.
            kept = [i for i in range(len(lines)) if (i + 1) * 2 // len(lines) > i * 2 // len(lines)]
            for i in kept:
                lines[i] = lines[kept[0] - 1]
            other = self.folder / f"{task['name']}.jsonl"
            other.write_text("\n".join(lines) + "\n")
            task["examples"] = str(other)
        second = self.run_demo("second", *how, k=2,
                               manifest=write_manifest(self.folder / "other.json", manifest))
        merged = sorted((first / "merged").rglob("*.safetensors"))
        self.assertEqual(len(merged), 2)
        for path in merged:
            self.assertEqual(path.read_bytes(), (second / path.relative_to(first)).read_bytes())

    def test_kmeans_trimmed_does_not_depend_on_ranks_or_batches_of_adapters(self):
        alone = self.run_demo("trimmed1", "--search", "kmeans_trimmed", manifest=self.part)
        spread = self.run_demo("trimmed3", "--search", "kmeans_trimmed", "--exchange-mib", 1, manifest=self.part,
                               ranks=3)
        self.assert_same_bits(alone, spread)

    def test_results_do_not_depend_on_who_shares_the_weights(self):
        together = self.run_demo("together", manifest=self.part, ranks=4)
        for name, ranks_per_node in (("pairs", 2), ("each", 1)):
            self.assert_same_bits(together, self.run_demo(name, "--ranks-per-node", ranks_per_node,
                                                          manifest=self.part, ranks=4))

    def test_results_do_not_depend_on_how_bf16_weights_are_stored(self):
        wide = self.run_demo("wide", "--weights", "f32", manifest=self.part)
        self.assert_same_bits(wide, self.run_demo("narrow", "--weights", "bf16", manifest=self.part, ranks=3))

    def test_results_do_not_depend_on_threads(self):
        alone = self.run_demo("one", manifest=self.part)
        for name, ranks, more in (("threads", 0, ("--threads", 3)), ("both", 3, ("--threads", 2)),
                                  ("nodes", 3, ("--threads", 2, "--ranks-per-node", 1, "--balance", "static"))):
            self.assert_same_bits(alone, self.run_demo(name, *more, manifest=self.part, ranks=ranks))

    def test_results_in_bf16_arithmetic_do_not_depend_on_the_number_of_ranks(self):
        self.need_bf16()
        alone = self.run_demo("alone", "--compute", "bf16", manifest=self.part)
        self.assert_same_bits(alone, self.run_demo("three", "--compute", "bf16", "--threads", 2, manifest=self.part,
                                                   ranks=3))
        wide = self.run_demo("wide", manifest=self.part)
        with h5py.File(alone / "results.h5") as narrow, h5py.File(wide / "results.h5") as other:
            self.assertEqual(json.loads(narrow.attrs["config"])["compute"], "bf16")
            self.assertEqual(json.loads(other.attrs["config"])["compute"], "f32")
            self.assertNotEqual(narrow.attrs["config_hash"], other.attrs["config_hash"])
            difference = abs(narrow["baseline/own"][...] - other["baseline/own"][...])
            self.assertGreater(difference.max(), 0.0)
            self.assertLess(difference.max(), 0.01)

    def test_more_ranks_than_tasks(self):
        manifest = write_manifest(self.folder / "small.json", demo_manifest(2))
        alone = self.run_demo("alone", manifest=manifest, k=2)
        self.assert_same_bits(alone, self.run_demo("ranks5", manifest=manifest, k=2, ranks=5))

    def test_every_k_from_one_to_the_number_of_tasks(self):
        manifest = write_manifest(self.folder / "small.json", demo_manifest(3))
        for k in (1, 2, 3):
            output = self.run_demo(f"k{k}", manifest=manifest, k=k)
            with h5py.File(output / "results.h5") as file:
                self.assertEqual(file["result/size"].shape, (k,))
                self.assertEqual(sum(file["result/size"]), 3)

    def test_search_beats_random_and_one_for_all_on_held_out_examples(self):
        output = self.folder / "out"
        self.succeed("run", DEMO / "manifest.json", "-K", 5, "--output", output, "--quiet")
        with h5py.File(output / "results.h5") as file:
            gain = numpy.nanmean(file["heldout/gain"][...])
            base, own = file["heldout/baseline/base"][...], file["heldout/baseline/own"][...]
            for name in ("random", "one"):
                other = numpy.mean((base - file[f"heldout/baseline/{name}"][...]) / (base - own))
                self.assertGreater(gain, other + 0.05, name)

    def test_arrays_have_named_dimensions(self):
        with h5py.File(self.run_demo("out") / "results.h5") as file:
            self.assertTrue(file.attrs["complete"])
            self.assertEqual(file.attrs["schema_version"], 1)
            loss = file["result/loss"]
            self.assertEqual([dim.label for dim in loss.dims], ["task", "cluster"])
            names = [name.decode() for name in loss.dims[0][0][...]]
            self.assertEqual(names, [task["name"] for task in demo_manifest()["tasks"]])
            self.assertEqual([dim.label for dim in file["iteration/loss"].dims],
                             ["iteration", "task", "cluster"])
            self.assertIn("units", loss.attrs)

    def test_result_is_consistent(self):
        with h5py.File(self.run_demo("out") / "results.h5") as file:
            assignment = file["result/assignment"][...]
            loss = file["result/loss"][...]
            own_cluster = loss[numpy.arange(len(assignment)), assignment]
            self.assertAlmostEqual(file["result"].attrs.get("objective", file["result/objective"][()]
                                   if "objective" in file["result"] else None), own_cluster.mean(),
                                   places=12)
            self.assertLessEqual(own_cluster.mean(), min(file["iteration/objective"][...]) + 1e-12)
            numpy.testing.assert_array_equal(numpy.bincount(assignment, minlength=5),
                                             file["result/size"][...])

    def test_merged_adapter_read_back_gives_the_losses_of_the_results(self):
        for dtype in ("source", "f32"):
            output = self.run_demo(dtype, "--merged-dtype", dtype)
            with h5py.File(output / "results.h5") as file:
                loss = file["result/loss"][...]
                names = [name.decode() for name in file["task/name"][...]]
            for cluster, task in ((0, 0), (1, 17), (4, 39)):
                result = self.folder / "evaluation.json"
                self.succeed("evaluate", "--model", DEMO / "model", "--adapter",
                             output / "merged" / f"cluster_{cluster:02}", "--examples",
                             DEMO / "examples" / f"{names[task]}.jsonl", "--json", result)
                self.assertEqual(json.loads(result.read_text())["mean"], loss[task, cluster])

    def test_tasks_without_held_out_examples_are_left_out_of_held_out_figures(self):
        manifest = demo_manifest(4)
        for task in manifest["tasks"][1::2]:
            del task["test"]
        output = self.run_demo("part", manifest=write_manifest(self.folder / "part.json", manifest), k=2)
        with h5py.File(output / "results.h5") as file:
            missing = numpy.isnan(file["heldout/loss"][:, 0])
            self.assertEqual(list(missing), [False, True, False, True])
            self.assertFalse(numpy.isnan(file["result/loss"][...]).any())
            gain = file["heldout/gain"][...]
            self.assertEqual(list(numpy.isnan(gain)), list(missing))

    def test_medoid_is_the_member_that_serves_its_cluster_best(self):
        tasks = demo_manifest(3)["tasks"]
        manifest = write_manifest(self.folder / "small.json", demo_manifest(3))
        output = self.run_demo("medoid", "--method", "medoid", "--merged-dtype", "f32", ranks=2,
                               manifest=manifest, k=1)
        losses = numpy.empty((3, 3))
        for a, member in enumerate(tasks):
            for t, task in enumerate(tasks):
                result = self.folder / "losses.json"
                self.succeed("evaluate", "--model", DEMO / "model", "--adapter", member["adapter"],
                             "--examples", task["examples"], "--json", result)
                losses[a, t] = json.loads(result.read_text())["mean"]
        best = losses[losses.mean(axis=1).argmin()]
        with h5py.File(output / "results.h5") as file:
            numpy.testing.assert_allclose(file["result/loss"][:, 0], best, rtol=1e-5)
        card = (output / "merged" / "cluster_00" / "README.md").read_text()
        rows = [line.split(" | ") for line in card.splitlines() if line.startswith("| reverse")]
        weights = [float(row[2]) for row in rows]
        self.assertEqual(weights, [float(a == losses.mean(axis=1).argmin()) for a in range(3)])

    def test_kept_examples_influence_nothing_but_their_own_figures(self):
        """The search on nine examples per task equals a job that was given only these nine."""
        manifest = demo_manifest(6)
        kept = self.run_demo("kept", "--verify-examples", 1, ranks=2, k=2,
                             manifest=write_manifest(self.folder / "kept.json", manifest))
        for name, last in (("first", False), ("last", True)):
            for task in manifest["tasks"]:
                lines = (DEMO / "examples" / f"{task['name']}.jsonl").read_text().splitlines()
                path = self.folder / f"{task['name']}-{name}.jsonl"
                path.write_text("\n".join(lines[-1:] if last else lines[:-1]) + "\n")
                task["test" if last else "examples"] = str(path)
        nine = self.run_demo("nine", manifest=write_manifest(self.folder / "nine.json", manifest), k=2)
        with h5py.File(kept / "results.h5") as file, h5py.File(nine / "results.h5") as other:
            numpy.testing.assert_array_equal(file["result/assignment"], other["result/assignment"])
            numpy.testing.assert_allclose(file["result/loss"], other["result/loss"], rtol=1e-5)
            numpy.testing.assert_allclose(file["verify/loss"], other["heldout/loss"], rtol=1e-5)
            numpy.testing.assert_allclose(file["verify/gain"], other["heldout/gain"], rtol=1e-4)
            self.assertAlmostEqual(file["verify/objective"][()], other["heldout/objective"][()], 5)
            self.assertEqual(list(file["verify/n_examples"]), [1] * 6)
        shown = self.succeed("inspect", kept / "results.h5").stdout
        self.assertIn("verify gain", shown)

    def test_several_numbers_of_clusters_give_a_curve_and_the_result_of_the_knee(self):
        tasks = demo_manifest()["tasks"]
        manifest = demo_manifest()
        manifest["tasks"] = [task for task in tasks if task["name"].split("_")[0] in
                             ("echo", "plural", "rotate")][::2]
        path = write_manifest(self.folder / "part.json", manifest)
        alone = self.run_demo("alone", "--verify-examples", 2, manifest=path, k="1..5")
        ranks = self.run_demo("ranks3", "--verify-examples", 2, manifest=path, k="1..5", ranks=3)
        self.assert_same_bits(alone, ranks)
        with h5py.File(alone / "results.h5") as file, h5py.File(ranks / "results.h5") as other:
            sweep = file["sweep"]
            for name in sweep:
                self.assertEqual(sweep[name][...].tobytes() if name != "task" else b"",
                                 other["sweep"][name][...].tobytes() if name != "task" else b"", name)
            self.assertEqual(list(sweep["k"]), [1, 2, 3, 4, 5])
            self.assertTrue((numpy.diff(sweep["objective"]) <= 0).all())
            self.assertEqual(sweep["knee"][()], 3)
            self.assertEqual(file["result/size"].shape, (3,))
            numpy.testing.assert_array_equal(sweep["assignment"][2], file["result/assignment"])
            self.assertEqual(sweep["objective"][2], file["result/objective"][()])
            self.assertAlmostEqual(sweep["heldout_objective"][2], file["heldout/objective"][()], 12)
            self.assertAlmostEqual(sweep["verify_objective"][2], file["verify/objective"][()], 12)
            self.assertAlmostEqual(sweep["heldout_gain"][2], numpy.mean(file["heldout/gain"]), 12)
            self.assertAlmostEqual(sweep["gain"][2], numpy.mean(file["result/gain"]), 12)
        self.assertEqual(len(list((alone / "merged").iterdir())), 3)
        self.assertIn("knee, chosen", self.succeed("inspect", alone / "results.h5").stdout)
        early = self.succeed("run", path, "-K", "1..5", "--sweep-pick", 4, "--max-hours", 1e-9,
                             "--output", self.folder / "early")
        self.assertIn("ended before K = 4, the result has 1", early.stderr)
        picked = self.run_demo("picked", "--sweep-pick", 2, manifest=path, k="2,4")
        with h5py.File(picked / "results.h5") as file:
            self.assertEqual(list(file["sweep/k"]), [2, 4])
            self.assertEqual(file["result/size"].shape, (2,))

    def test_budget_has_room_for_the_adapters_that_are_written(self):
        path = write_manifest(self.folder / "small.json", demo_manifest(4))
        one = self.run_demo("one", manifest=path, k=1)
        file = one / "merged" / "cluster_00" / "adapter_model.safetensors"
        header, data = read_safetensors(file)
        size = len(data) / 1e6
        for room, k in ((1.0, 1), (2.99, 2), (100, 4)):
            output = self.folder / f"room{k}"
            completed = self.succeed("run", path, "--budget-mb", room * size + 1e-7, "--output", output)
            self.assertIn(f"K = {k}: a merged adapter takes {size:.3f}", completed.stderr)
            self.assertEqual(len(list((output / "merged").iterdir())), k)
            plan = self.succeed("plan", path, "--budget-mb", room * size + 1e-7)
            self.assertIn(f"K = {k}", plan.stdout)
        low = self.folder / "low"
        self.succeed("run", path, "--budget-mb", size, "--merged-rank", 2, "--search", "kmeans",
                     "--output", low, "--quiet")
        sizes = [len(read_safetensors(file)[1]) for file in low.glob("merged/*/*.safetensors")]
        self.assertEqual(len(sizes), min(4, int(size * 1e6 / sizes[0])))
        self.assertGreater(len(sizes), 1)
        for extra, words in (([], ["--budget-mb", f"{size:.3f} MB"]), (["--method", "cat"], ["cat"])):
            self.fail_with(2, words, "run", path, "--budget-mb", 0.9 * size, *extra, "--output",
                           self.folder / "none", ranks=2)

    def test_constraints_are_obeyed(self):
        path = write_manifest(self.folder / "part.json", demo_manifest(10))
        free = self.run_demo("free", manifest=path, k=2)
        names = [task["name"] for task in demo_manifest(10)["tasks"]]
        with h5py.File(free / "results.h5") as file:
            found = file["result/assignment"][...]
        first, second = (int(t) for t in numpy.flatnonzero(found == found[0])[:2])
        other = int(numpy.flatnonzero(found != found[0])[0])
        rules = self.folder / "rules.json"
        rules.write_text(json.dumps({"together": [[names[first], names[other]]],
                                     "apart": [[names[first], names[second]]]}))
        for search in ("auto", "d2c", "kmeans", "random"):
            output = self.run_demo(search, "--constraints", rules, "--max-cluster-size", 6,
                                   "--min-cluster-size", 4, "--search", search, manifest=path, k=2,
                                   ranks=2)
            with h5py.File(output / "results.h5") as file:
                assignment = file["result/assignment"][...]
            self.assertEqual(assignment[first], assignment[other], search)
            self.assertNotEqual(assignment[first], assignment[second], search)
            self.assertLessEqual(max(numpy.bincount(assignment)), 6, search)
            self.assertGreaterEqual(min(numpy.bincount(assignment)), 4, search)

    def test_distilled_adapters_serve_their_tasks_better_and_are_what_was_measured(self):
        path = write_manifest(self.folder / "part.json", demo_manifest(12))
        options = ("--search", "kmeans", "--refine", "distill", "--refine-steps", 24, "--refine-batch", 4,
                   "--refine-variants", 1, "--verify-examples", 2)
        alone = self.run_demo("alone", *options, manifest=path, k=3)
        for ranks in (2, 3, 8):
            other = self.run_demo(f"ranks{ranks}", *options, "--threads", 1 + ranks % 2, manifest=path, k=3, ranks=ranks)
            self.assert_same_bits(alone, other)
            with h5py.File(alone / "results.h5") as a, h5py.File(other / "results.h5") as b:
                self.assertEqual(a["distill/loss"][...].tobytes(), b["distill/loss"][...].tobytes())
        with h5py.File(alone / "results.h5") as file:
            refine, curve = file["refine"], file["distill/loss"][...]
            self.assertEqual(list(refine["step"].asstr()), ["start", "distill"])
            method = list(file["recipe/method"].asstr())
            self.assertEqual(refine["changed"][1], method.count("average, distilled"))
            self.assertGreater(refine["changed"][1], 0)
            self.assertLess(refine["objective"][1], refine["objective"][0])
            self.assertLessEqual(refine["verify_objective"][1], refine["verify_objective"][0])
            self.assertEqual(curve.shape, (3, 24))
            # Four portions take turns.
            self.assertTrue((curve[:, -4:].mean(1) < curve[:, :4].mean(1)).all(), curve)
            self.assertAlmostEqual(refine["objective"][1], file["result/objective"][()], 12)
            self.assertAlmostEqual(refine["heldout_gain"][1], numpy.mean(file["heldout/gain"]), 12)
            loss, cluster = file["heldout/loss"][...], method.index("average, distilled")
            learner = list(file["result/assignment"]).index(cluster)
        folder = alone / "merged" / f"cluster_{cluster:02}"
        result = self.folder / "evaluation.json"
        self.succeed("evaluate", "--model", DEMO / "model", "--adapter", folder, "--examples",
                     demo_manifest(12)["tasks"][learner]["test"], "--json", result)
        self.assertEqual(json.loads(result.read_text())["mean"], loss[learner, cluster])
        self.assertIn("trained for 24 steps", (folder / "README.md").read_text())

    def test_scale_multiplies_the_merged_update(self):
        path = write_manifest(self.folder / "small.json", demo_manifest(3))
        outputs = [self.run_demo(name, "--scale", scale, "--merged-dtype", "f32", manifest=path, k=1)
                   for name, scale in (("one", 1), ("twice", 2))]
        (header, one), (_, twice) = (
            read_safetensors(output / "merged" / "cluster_00" / "adapter_model.safetensors")
            for output in outputs)
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            factor = 2.0 if "lora_B" in name else 1.0
            numpy.testing.assert_array_equal(factor * numpy.frombuffer(one[begin:end], "f4"),
                                             numpy.frombuffer(twice[begin:end], "f4"), name)

    def test_medoids_are_known_after_going_on_from_a_checkpoint(self):
        """All losses of the result come from the checkpoint: the medoids are chosen again."""
        manifest = demo_manifest(12)
        for task in manifest["tasks"]:
            del task["test"]
        path = write_manifest(self.folder / "no-test.json", manifest)
        options = ["-K", "3", "--search", "d2c", "--restarts", "8", "--method", "medoid", *plain_run(["run"])]
        output = self.folder / "medoid"
        self.stop_at("start   7", [BINARY, "run", str(path), "--verbose", *options, "--output", str(output)])
        self.succeed("run", path, *options, "--output", output)
        whole = self.folder / "whole"
        self.succeed("run", path, *options, "--output", whole)
        for adapter in sorted((whole / "merged").rglob("*.safetensors")):
            self.assertEqual(adapter.read_bytes(),
                             (output / adapter.relative_to(whole)).read_bytes())

    def test_options_come_from_an_ini_file_and_the_command_line_wins(self):
        manifest = write_manifest(self.folder / "part.json", demo_manifest(4))
        ini = self.folder / "job.ini"
        ini.write_text("K = 2\nsearch = kmeans\nrefine = none\nmerged-mib = 64\nquiet = true\n")
        for given, k in (([], 2), (["-K", 3], 3)):
            output = self.folder / f"out{k}"
            self.succeed("run", manifest, "--config", ini, "--output", output, *given)
            with h5py.File(output / "results.h5") as file:
                self.assertEqual(file["result/loss"].shape, (4, k))
        ini.write_text("K = 2\nsaerch = kmeans\n")
        self.fail_with(2, ["saerch"], "run", manifest, "--config", ini, "--output", output)

    def test_goes_on_from_a_checkpoint_after_a_signal(self):
        """A job stopped by SIGUSR1 exits with 4; the same command ends with the same bits."""
        whole = self.run_demo("whole", "--search", "d2c", restarts=6, ranks=2)
        output = self.folder / "stopped"
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", BINARY, "run",
                   str(DEMO / "manifest.json"), "-K", "5", "--verbose", "--search", "d2c", "--restarts", "6",
                   "--final-losses", "all", *plain_run(["run"]), "--output", str(output)]
        rest = self.stop_at("start   2", command)
        self.assertIn("run the same command again", rest)
        self.assertTrue((output / "checkpoint.h5").exists())
        self.assertFalse((output / "results.h5").exists())
        with h5py.File(output / "checkpoint.h5") as file:
            under = file["row/under"].asstr()[...]
            self.assertEqual(set(under), {"base", "own", "average"})
            # Losses without a merge are not counted as evaluations.
            known = file["row/n_tasks"][...][under == "average"].sum()

        self.fail_with(3, ["is of another job", "was 5 and is 4"], "run", DEMO / "manifest.json",
                       "-K", 4, "--search", "d2c", "--output", output)
        if HAS_BF16:
            self.fail_with(3, ["is of another job", "compute was f32 and is bf16"],
                           *command[command.index(BINARY) + 1:], "--compute", "bf16")
        completed = self.succeed(*command[command.index(BINARY) + 1:], ranks=3)
        self.assertIn("going on from", completed.stderr)
        self.assert_same_bits(whole, output)
        self.assertFalse((output / "checkpoint.h5").exists())
        # Nothing that the checkpoint holds is measured again.
        with h5py.File(whole / "results.h5") as all_of_it, h5py.File(output / "results.h5") as rest:
            self.assertEqual(rest["evaluation/evaluated"][()] + known, all_of_it["evaluation/evaluated"][()])

    def test_refuses_to_overwrite_and_replaces_when_asked(self):
        output = self.run_demo("out", manifest=self.part)
        before = (output / "results.h5").read_bytes()
        self.fail_with(3, ["exists already", "--overwrite"], "run", self.part, "-K", 5,
                       "--output", output, ranks=2)
        self.assertEqual(before, (output / "results.h5").read_bytes())
        mine = output / "merged.old" / "mine"
        mine.parent.mkdir()
        mine.write_text("mine")
        self.run_demo("out", "--overwrite", manifest=self.part, k=3)
        self.assertEqual(len(list((output / "merged").iterdir())), 3)
        self.assertEqual(mine.read_text(), "mine")
        self.assertFalse((output / "merged.old.1").exists())

    def contents(self, folder):
        """Results and merged adapters, by name; those of the old result may stand aside."""
        merged = next((folder / name for name in ("merged", "merged.old") if (folder / name).exists()), None)
        files = sorted(merged.rglob("*")) if merged else []
        return ({str(file.relative_to(merged)): file.read_bytes() for file in files if file.is_file()},
                (folder / "results.h5").read_bytes())

    def n_clusters(self, folder):
        with h5py.File(folder / "results.h5") as file:
            return len(file["result/size"])

    @unittest.skipIf(shutil.which("strace") is None, "strace is not installed")
    def test_a_kill_at_any_step_of_a_replacement_leaves_a_whole_result(self):
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(5))
        command = ["run", manifest, *plain_run(["run"]), "--search", "d2c", "--restarts", 1, "--overwrite", "--quiet", "--output"]
        old, new = self.folder / "old", self.folder / "new"
        self.succeed(*command, old, "-K", 3)
        self.succeed(*command, new, "-K", 2)
        log = self.folder / "calls"

        def traced(folder, *inject):
            """A job with two clusters in place of one with three."""
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(old, folder)
            return subprocess.run(["strace", "-o", str(log), "-e", "trace=/^(rename|unlink|rmdir).*", *inject, BINARY,
                                   *map(str, command), str(folder), "-K", "2"], capture_output=True, timeout=120 * SLOWNESS,
                                  env=environment())

        folder = self.folder / "out"
        self.assertEqual(traced(folder).returncode, 0)
        calls = [line for line in log.read_text().splitlines() if re.match(r"(rename|unlink|rmdir)", line)]
        names = [call[:call.index("(")] for call in calls]
        # Before it is put into its place, its folder is tried by a file that is removed again.
        first = next(i for i, line in enumerate(calls) if line.startswith("rename") and "publishing.json" in line)
        last = max(i for i, line in enumerate(calls) if "publishing.json" in line)
        self.assertGreater(last - first, 4)
        seen = set()
        for step in [*range(first, first + 6), last]:
            # strace counts the calls of each name.
            nth = names[:step + 1].count(names[step])
            killed = traced(folder, "-e", f"inject={names[step]}:signal=KILL:when={nth}")
            self.assertNotEqual(killed.returncode, 0)
            # Whatever is there under the final name is whole, and whole after the next job looks.
            files, _ = self.contents(folder)
            self.assertIn(len([name for name in files if name.endswith(".safetensors")]), (2, 3))
            k = self.n_clusters(folder)
            self.fail_with(3, ["exists already"], "run", manifest, "-K", 4, "--output", folder)
            after = self.n_clusters(folder)
            seen.add((k, after))
            self.assertEqual(len(list((folder / "merged").iterdir())), after)
            for part in range(2 if after == 3 else 1):  # the results of two jobs differ in their times
                self.assertEqual(self.contents(folder)[part], self.contents(old if after == 3 else new)[part])
            left = {path.name for path in folder.iterdir()}
            self.assertLessEqual({name for name in left if not name.endswith(".partial")}, WHOLE)
            if after == 2:
                self.assertEqual(left, WHOLE)
            self.succeed(*command, folder, "-K", 3)
        self.assertEqual(seen, {(3, 3), (3, 2), (2, 2)})

    def test_a_full_disk_leaves_the_old_result(self):
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(5))
        command = ["run", manifest, *plain_run(["run"]), "--search", "d2c", "--restarts", 1, "--merged", "both", "--quiet", "--output"]
        output = self.folder / "out"
        self.succeed(*command, output, "-K", 2)
        before = self.contents(output)
        adapter = max(file.stat().st_size for file in output.rglob("*.safetensors"))
        results = (output / "results.h5").stat().st_size
        self.assertLess(adapter, results)
        for limit in (adapter // 2, (adapter + results) // 2):
            full = subprocess.run(
                [BINARY, *map(str, command), str(output), "-K", "3", "--overwrite"], capture_output=True, text=True,
                timeout=120 * SLOWNESS, env={**environment(), "PMIX_MCA_gds": "hash"},  # no large files of the launcher
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
            self.assertEqual(full.returncode, 3, full.stderr)
            self.assertEqual(len(messages(full)), 1, full.stderr)
            self.assertIn("File too large", full.stderr)
            self.assertEqual(self.contents(output), before)
            self.assertEqual({path.name for path in output.iterdir()}, WHOLE)

    def test_a_note_that_no_job_has_written_removes_nothing(self):
        output = self.folder / "job" / "out"
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(4))
        self.succeed("run", manifest, "-K", 2, "--search", "d2c", "--restarts", 1, "--quiet", "--output", output)
        examples = output / "examples"
        for mine in (examples, output.parent, output / "merged.mine", output / "merged.h-1-2-3-0a.partial"):
            mine.mkdir(exist_ok=True)
            (mine / "mine").write_text("mine")
        (output / "results.h5.h-1-2-3-1.partial").write_text("partial")
        good = {"results": "results.h5.h-1-2-3-1.partial", "merged": "merged.h-1-2-3-0a.partial",
                "old_merged": "merged.old", "texts": ["manifest.json.h-1-2-3-2c.partial"]}
        notes = [json.dumps({**good, key: name}) for key, name in (
            ("results", "results.h5.a/b-1-2-3-4.partial"), ("merged", "examples"),
            ("old_merged", "merged.old.1/../examples"), ("texts", ["routing.json"]))]
        notes += [json.dumps({"results": good["results"]}), "[]", "{"]

        def everything():
            return {path: path.read_bytes() if path.is_file() else None for path in self.folder.rglob("*")}

        commands = (["run", manifest, "-K", 2, "--overwrite", "--output", output],
                    ["add", output, "--tasks", manifest, "--output", self.folder / "new"])
        for i, note in enumerate(notes):
            (output / "d2c-publishing.json").write_text(note)
            before = everything()
            with self.subTest(note=note):
                self.fail_with(3, ["d2c-publishing.json"], *commands[i % 2])
                self.assertEqual(everything(), before)
        for command in commands:
            (output / "d2c-publishing.json").write_text(json.dumps({**good, "old_merged": ".."}))
            before = everything()
            self.fail_with(3, ["d2c-publishing.json", "old_merged"], *command, ranks=2)
            self.assertEqual(everything(), before)

    def stopped_while_writing(self, *command):
        """A job that stands still, stopped, when it has written its first merged adapter and is at the second."""
        log = self.folder / "stopped"
        log.unlink(missing_ok=True)
        job = subprocess.Popen(["strace", "-f", "-o", str(log), "-e", "trace=/^rename.*",
                                "-e", "inject=/^rename.*:signal=STOP:when=6", BINARY, *map(str, command)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        self.addCleanup(job.kill)
        deadline = time.monotonic() + 60
        while not (log.exists() and "stopped by SIGSTOP" in log.read_text()):
            self.assertIsNone(job.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        return job, int(re.search(r"(\d+) +--- stopped by SIGSTOP", log.read_text())[1])

    @unittest.skipIf(shutil.which("strace") is None, "strace is not installed")
    def test_a_second_job_in_the_folder_is_refused_and_disturbs_nothing(self):
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(5))
        command = ["run", manifest, *plain_run(["run"]), "--search", "d2c", "--restarts", 1, "--overwrite", "--quiet", "-K", 3, "--output"]
        alone, output = self.folder / "alone", self.folder / "out"
        self.succeed(*command, alone)
        self.succeed("run", manifest, "--search", "d2c", "--restarts", 1, "--refine", "none", "--quiet", "-K", 2, "--output", output)
        job, process = self.stopped_while_writing(*command, output)
        partial = list(output.glob("merged.*.partial"))
        self.assertEqual([len(list(folder.glob("cluster_00"))) for folder in partial], [1])
        for ranks in (0, 2):
            self.fail_with(3, [f"is in use by process {process} on ", " since "], *command, output, ranks=ranks)
        self.fail_with(3, ["is in use by process"], "compare", manifest, "-K", 2, "--searches", "kmeans", "-o", output)
        self.assertEqual(self.n_clusters(output), 2)
        self.assertEqual(list(output.glob("merged.*.partial")), partial)
        os.kill(process, signal.SIGCONT)
        _, errors = job.communicate(timeout=60 * SLOWNESS)
        self.assertEqual(job.returncode, 0, errors)
        self.assertEqual(self.contents(output)[0], self.contents(alone)[0])
        self.assertEqual(self.n_clusters(output), 3)
        self.assertEqual({path.name for path in output.iterdir()}, WHOLE)

    @unittest.skipIf(shutil.which("strace") is None, "strace is not installed")
    def test_what_a_killed_job_leaves_is_removed_by_the_next_one(self):
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(5))
        command = ["run", manifest, "--search", "d2c", "--restarts", 1, "--refine", "none", "--overwrite", "--quiet", "-K", 3, "--output"]
        output = self.folder / "out"
        job, process = self.stopped_while_writing(*command, output)
        os.kill(process, signal.SIGKILL)
        job.communicate(timeout=60 * SLOWNESS)
        self.assertTrue(list(output.glob("*.partial")))
        self.assertTrue((output / "d2c.lock").exists())
        mine = output / "results.h5.elsewhere-4194304-1-00000000-1.partial"
        mine.write_text("of another host")
        self.succeed(*command, output)
        self.assertEqual({path.name for path in output.iterdir()}, WHOLE | {mine.name})

    @unittest.skipIf(shutil.which("strace") is None, "strace is not installed")
    def test_merged_adapters_that_are_gone_do_not_replace_a_result(self):
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(5))
        command = ["run", manifest, *plain_run(["run"]), "--search", "d2c", "--restarts", 1, "--overwrite", "--quiet", "--output"]
        output = self.folder / "out"
        self.succeed(*command, output, "-K", 2)
        before = self.contents(output)
        job, process = self.stopped_while_writing(*command, output, "-K", 3)
        for partial in output.glob("merged.*.partial"):
            shutil.rmtree(partial / "cluster_00")
        os.kill(process, signal.SIGCONT)
        _, errors = job.communicate(timeout=60 * SLOWNESS)
        self.assertEqual(job.returncode, 3, errors)
        lines = [line for line in errors.splitlines() if line.startswith("d2c: ")]
        self.assertEqual(len(lines), 1, errors)
        self.assertRegex(lines[0], "cluster_00/adapter_config.json.*is gone")
        self.assertEqual(self.contents(output), before)
        self.assertEqual({path.name for path in output.iterdir()} - {"checkpoint.h5"}, WHOLE)

    def test_merged_folders_of_a_replaced_result_do_not_stay_beside_a_result_without(self):
        output = self.run_demo("out", manifest=self.part)
        self.run_demo("out", "--overwrite", "--merged", "hdf5", manifest=self.part)
        self.assertEqual({path.name for path in output.iterdir()}, WHOLE - {"merged"})
        self.assertIn('"folder":null', (output / "routing.json").read_text())

    def test_the_baseline_one_is_left_out_where_its_merge_would_not_fit(self):
        manifest = demo_manifest(4)
        header, _ = read_safetensors(pathlib.Path(manifest["tasks"][0]["adapter"]) / "adapter_model.safetensors")
        entries = {}
        for key, tensor in header.items():
            if ".lora_" in key:
                module = key.split(".lora_")[0]
                entries[module] = entries.get(module, 0) + math.prod(tensor["shape"])
        of_one = 4 * max(entries.values())
        output = self.folder / "out"
        done = self.succeed("run", write_manifest(self.folder / "manifest.json", manifest), "-K", 3, "--search", "d2c",
                            "--restarts", 1, "--method", "cat", "--members-mib", 3.5 * of_one / 2**20,
                            "--output", output, ranks=2)
        self.assertIn("the baseline 'one' is left out", done.stderr)
        self.assertRegex(done.stdout, r"\n *one +-")
        with h5py.File(output / "results.h5") as file:
            self.assertTrue(numpy.isnan(file["baseline/one"][...]).all())
            self.assertTrue(numpy.isnan(file["heldout/baseline/one"][...]).all())
            self.assertTrue(numpy.isfinite(file["baseline/random"][...]).all())
            self.assertTrue(numpy.isfinite(file["result/objective"][...]))

    def test_report_names_clusters_and_gains(self):
        completed = self.succeed("run", DEMO / "manifest.json", "-K", 5, "--restarts", 1, "--output",
                                 self.folder / "out", ranks=2)
        shown = self.succeed("inspect", self.folder / "out" / "results.h5").stdout
        self.assertIn(shown.strip().splitlines()[0], completed.stdout)
        for task in demo_manifest()["tasks"]:
            self.assertIn(task["name"], shown)

    def test_shared_adapters_weigh_as_many_tasks_as_name_them(self):
        manifest = demo_manifest(3)
        manifest["tasks"][1]["adapter"] = manifest["tasks"][0]["adapter"]
        path = write_manifest(self.folder / "shared.json", manifest)
        self.succeed("run", path, "-K", 1, "--restarts", 1, "--merged-dtype", "f32", "--output",
                     self.folder / "run", "--quiet")
        first, third = manifest["tasks"][0]["adapter"], manifest["tasks"][2]["adapter"]
        self.succeed("merge", first, third, "--weights", f"{2/3!r},{1/3!r}", "--merged-dtype", "f32",
                     "--output", self.folder / "merge")
        self.assertEqual(
            (self.folder / "run/merged/cluster_00/adapter_model.safetensors").read_bytes(),
            (self.folder / "merge/adapter_model.safetensors").read_bytes())


if __name__ == "__main__":
    unittest.main(verbosity=2)
