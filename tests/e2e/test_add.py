"""d2c add: new tasks in the clusters of a result."""
import hashlib
import json
import os
import pathlib
import shutil
import unittest

from harness import Case, DEMO, demo_manifest, h5py, numpy, write_manifest


class Add(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.need_h5py()
        manifest = demo_manifest()
        kinds = {"echo": [], "ends": []}
        for task in manifest["tasks"]:
            kinds.get(task["name"].split("_")[0], []).append(task)
        self.old_tasks = kinds["echo"][:4] + kinds["ends"][:4]
        self.new_tasks = [kinds["ends"][4], kinds["echo"][4]]
        self.model = manifest["model"]
        self.old = self.manifest("old.json", self.old_tasks)
        self.new = self.manifest("new.json", self.new_tasks)

    def manifest(self, name, tasks):
        return write_manifest(self.folder / name, {"model": self.model, "tasks": tasks})

    def run_old(self, *extra):
        output = self.folder / "result"
        self.succeed("run", self.old, "-K", 2, "--output", output, "--quiet", *extra)
        return output

    def digests(self, folder):
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(folder.rglob("*")) if path.is_file()}

    def test_new_tasks_join_the_clusters_of_their_kind(self):
        result = self.run_old("--verify-examples", 2)
        before = self.digests(result)
        outputs = []
        for name, ranks in (("alone", 0), ("ranks3", 3)):
            outputs.append(self.folder / name)
            self.succeed("add", result, "--tasks", self.new, "--output", outputs[-1], "--quiet",
                         ranks=ranks)
        self.assertEqual(before, self.digests(result))
        alone, other = (self.digests(output / "merged") for output in outputs)
        self.assertEqual(alone, other)
        with h5py.File(result / "results.h5") as old, h5py.File(outputs[0] / "results.h5") as new:
            self.assertEqual(new["result/size"].shape, (2,))
            assignment = new["result/assignment"][...]
            numpy.testing.assert_array_equal(assignment[:8], old["result/assignment"])
            self.assertEqual(assignment[8], assignment[4])
            self.assertEqual(assignment[9], assignment[0])
            numpy.testing.assert_array_equal(new["baseline/own"][:8], old["baseline/own"])
            self.assertIn("verify", new)
            self.assertEqual(json.loads(new.attrs["config"])["placed"], 8)
            loss, names = new["heldout/loss"][...], list(new["task/name"].asstr())
        for cluster, task in ((0, 9), (1, 8)):
            file = self.folder / "evaluation.json"
            self.succeed("evaluate", "--model", self.model, "--adapter",
                         outputs[0] / "merged" / f"cluster_{cluster:02}", "--examples",
                         DEMO / "test" / f"{names[task]}.jsonl", "--json", file)
            self.assertEqual(json.loads(file.read_text())["mean"], loss[task, cluster])
        # A result of `add` can be added to again.
        more = self.manifest("more.json", [dict(self.new_tasks[0], name="again")])
        third = self.folder / "third"
        self.succeed("add", outputs[0], "--tasks", more, "--output", third, "--quiet")
        with h5py.File(third / "results.h5") as file:
            self.assertEqual(file["result/assignment"][10], assignment[8])

    def test_clusters_that_stay_are_not_measured_again(self):
        result = self.run_old()
        only = self.manifest("only.json", self.new_tasks[:1])
        completed = self.succeed("add", result, "--tasks", only, "--output", self.folder / "new",
                                 "--compare-full")
        joined = self.succeed("run", self.folder / "new" / "manifest.json", "-K", 2, "--output",
                              self.folder / "full", "--quiet")
        self.assertEqual(joined.returncode, 0)
        with h5py.File(self.folder / "full" / "results.h5") as full, \
                h5py.File(self.folder / "new" / "results.h5") as new, \
                h5py.File(result / "results.h5") as old:
            n = numpy.arange(9)
            own = full["result/loss"][...][n, full["result/assignment"]]
            numpy.testing.assert_array_equal(new["baseline/full"], own)
            own = full["heldout/loss"][...][n, full["result/assignment"]]
            numpy.testing.assert_array_equal(new["heldout/baseline/full"], own)
            stays = int(new["result/assignment"][0])
            numpy.testing.assert_array_equal(new["result/loss"][:8, stays],
                                             old["result/loss"][:, int(old["result/assignment"][0])])
        measured = int(completed.stderr.split("placed: objective")[1].split(", ")[1].split()[0])
        # Own losses of nine tasks, the new one in either cluster, and the changed cluster: fewer than
        # all tasks under all clusters of a search.
        self.assertLessEqual(measured, 9 + 2 + 2 * 9)

    def test_manifests_may_name_the_library_of_the_result_in_other_ways(self):
        tasks = [dict(task, adapter=pathlib.Path(task["adapter"]).name) for task in self.old_tasks + self.new_tasks]
        self.succeed("pack", *(task["adapter"] for task in self.old_tasks + self.new_tasks), "-o",
                     self.folder / "adapters.h5", "--quiet")
        (self.folder / "sub").mkdir()
        self.old = write_manifest(self.folder / "old.json", {"model": self.model, "library": "adapters.h5",
                                                             "tasks": tasks[:8]})
        new = write_manifest(self.folder / "sub" / "new.json", {"model": self.model, "library": "../adapters.h5",
                                                                "tasks": tasks[8:]})
        self.succeed("add", self.run_old("--search", "kmeans"), "--tasks", new, "--output", self.folder / "out", "--quiet")

    def test_refined_results_are_refined_again(self):
        result = self.run_old("--refine", "distill", "--refine-steps", 3)
        output = self.folder / "new"
        self.succeed("add", result, "--tasks", self.new, "--output", output, "--quiet")
        with h5py.File(output / "results.h5") as file:
            self.assertEqual(list(file["refine/step"].asstr()), ["start", "distill"])

    def test_a_replacement_that_fails_leaves_the_old_result_and_its_manifest(self):
        result = self.run_old()
        output = self.folder / "new"
        command = ["add", result, "--tasks", self.manifest("one.json", self.new_tasks[:1]), "--output", output, "--quiet"]
        self.succeed(*command)
        before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
        self.assertIn(output / "manifest.json", before)
        spoilt = self.manifest("spoilt.json", [dict(self.new_tasks[0], examples=str(self.folder / "absent"))])
        self.fail_with(3, ["absent"], "add", result, "--tasks", spoilt, "--output", output, "--overwrite", ranks=2)
        self.assertEqual({path: path.read_bytes() for path in output.rglob("*") if path.is_file()}, before)
        self.succeed("add", result, "--tasks", self.new, "--output", output, "--overwrite", "--quiet")
        self.assertEqual(len(json.loads((output / "manifest.json").read_text())["tasks"]),
                         len(self.old_tasks) + len(self.new_tasks))
        self.assertEqual({path.name for path in output.iterdir()}, {"results.h5", "merged", "manifest.json", "routing.json", "assignment.csv"})

    def test_constraints_are_found_from_another_folder(self):
        rules = self.folder / "rules.json"
        names = [task["name"] for task in self.old_tasks]
        rules.write_text(json.dumps({"apart": [[names[0], names[4]]]}))
        result = self.run_old("--constraints", os.path.relpath(rules))
        with h5py.File(result / "results.h5") as file:
            self.assertEqual(json.loads(file.attrs["config"])["constraints"], str(rules))
        self.succeed("add", result, "--tasks", self.new, "--output", self.folder / "new", "--quiet")

    def test_losses_that_are_no_longer_those_of_the_result_are_refused(self):
        tasks = [dict(task) for task in self.old_tasks]
        examples, adapter = self.folder / "examples.jsonl", self.folder / "adapter"
        shutil.copy(tasks[1]["examples"], examples)
        shutil.copytree(tasks[5]["adapter"], adapter)
        tasks[1]["examples"], tasks[5]["adapter"] = str(examples), str(adapter)
        self.old = self.manifest("old.json", tasks)
        for extra in ((), ("--refine", "distill", "--refine-steps", 3)):
            shutil.rmtree(self.folder / "result", ignore_errors=True)
            result = self.run_old(*extra)

            def fails(*words):
                self.fail_with(3, words, "add", result, "--tasks", self.new, "--output",
                               self.folder / "out", ranks=2)
                self.assertFalse((self.folder / "out" / "manifest.json").exists())
            shutil.copy(tasks[2]["examples"], examples)
            fails("examples.jsonl", tasks[1]["name"], "without an adapter", "recorded")
            shutil.copy(self.old_tasks[1]["examples"], examples)
            weights = adapter / "adapter_model.safetensors"
            whole = weights.read_bytes()
            shutil.copy(DEMO / "adapters" / "echo_bogduh" / weights.name, weights)  # also of rank 6
            fails("adapter", tasks[5]["name"], "its own adapter", "recorded")
            weights.write_bytes(whole)
        self.succeed("add", result, "--tasks", self.new, "--output", self.folder / "out", "--quiet")

    def test_bad_input(self):
        result = self.run_old()

        def fails(code, words, *extra, tasks=self.new, output=self.folder / "out", of=result, ranks=0):
            self.fail_with(code, words, "add", of, "--tasks", tasks, "--output", output, *extra, ranks=ranks)
            self.assertFalse((self.folder / "out" / "manifest.json").exists())
        fails(3, ["absent"], of=self.folder / "absent", ranks=2)
        fails(3, ["absent.json"], tasks=self.folder / "absent.json")
        fails(3, [self.old_tasks[0]["name"], "already"], tasks=self.manifest("same.json", self.old_tasks[:1]))
        fails(2, ["--output", "old result"], output=result)
        fails(3, ["absent", "adapter"], tasks=self.manifest(
            "spoilt.json", [dict(self.new_tasks[0], adapter=str(self.folder / "absent"))]), ranks=2)
        fails(3, ["model", "result was made with"], tasks=write_manifest(
            self.folder / "other.json", {"model": str(self.folder), "tasks": self.new_tasks}))
        fails(3, ["not the tasks of the result"], "--manifest", self.new)
        moved = self.folder / "moved.json"
        self.old.rename(moved)
        fails(3, ["old.json", "--manifest"])
        self.succeed("add", result, "--tasks", self.new, "--manifest", moved, "--output",
                     self.folder / "out", "--quiet")
        (self.folder / "out" / "results.h5").unlink()
        self.fail_with(3, ["manifest.json", "exists already"], "add", result, "--tasks", self.new,
                       "--manifest", moved, "--output", self.folder / "out")


if __name__ == "__main__":
    unittest.main(verbosity=2)
