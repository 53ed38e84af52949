"""Racing: what it drops, what it reports, and that nothing but the losses decides."""
import json
import signal
import subprocess
import unittest

from harness import (BINARY, Case, DEMO, demo_manifest, environment, h5py, numpy, write_manifest)


class Racing(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.need_h5py()

    def run_demo(self, name, *extra, ranks=0, manifest=DEMO / "manifest.json", k=5, restarts=2):
        output = self.folder / name
        self.succeed("run", manifest, "-K", k, "--restarts", restarts, "--output", output, "--quiet", *extra,
                     ranks=ranks)
        return output

    def numbers(self, output, skipped=()):
        """Every array of a result that is no time; tokens are those of this process."""
        numbers = {}

        def add(name, item):
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "if":
                if not name.startswith(("timing", "merged")) and "seconds" not in name and name not in skipped:
                    numbers[name] = item[...]

        with h5py.File(output / "results.h5") as file:
            file.visititems(add)
        return numbers

    def assert_same(self, first, second, skipped=()):
        one = self.numbers(first, skipped)
        other = self.numbers(second, skipped)
        self.assertEqual(one.keys(), other.keys())
        for name, values in one.items():
            self.assertEqual(values.tobytes(), other[name].tobytes(), name)
        for path in sorted((first / "merged").rglob("*.safetensors")):
            self.assertEqual(path.read_bytes(), (second / path.relative_to(first)).read_bytes(), path)

    def test_results_do_not_depend_on_ranks_threads_or_placement(self):
        racing = ["--search", "d2c", "--racing", 0.05, "--racing-check", 0.2, "--verify-examples", 1]
        alone = self.run_demo("alone", *racing)
        self.assertGreater(self.numbers(alone)["racing/dropped"], 0)
        for ranks in (1, 2, 3, 4, 8):
            self.assert_same(alone, self.run_demo(f"ranks{ranks}", *racing, ranks=ranks))
        self.assert_same(alone, self.run_demo("threads", *racing, "--threads", 3))
        self.assert_same(alone, self.run_demo("fixed", *racing, "--balance", "static", "--ranks-per-node", 1,
                                              "--threads", 2, ranks=3))

    def test_decisions_do_not_depend_on_room_for_prefixes(self):
        racing = ["--search", "d2c", "--racing", 0.05]
        kept = self.run_demo("kept", *racing)
        again = self.run_demo("again", *racing, "--race-mib", 0)
        work = {"racing/tokens", "evaluation/tokens"}
        self.assert_same(kept, again, work)
        self.assertLess(self.numbers(kept)["racing/tokens"], self.numbers(again)["racing/tokens"])

    def test_auto_does_not_depend_on_ranks(self):
        racing = ["--racing", 0.05, "--perturbations", 1]
        manifest = write_manifest(self.folder / "some.json", demo_manifest(16))
        alone = self.run_demo("alone", *racing, manifest=manifest, k=3)
        self.assertGreater(self.numbers(alone)["racing/dropped"], 0)
        self.assert_same(alone, self.run_demo("ranks3", *racing, manifest=manifest, k=3, ranks=3))

    def test_result_is_exact_where_it_says_a_number(self):
        """The losses that are not NaN are those of a job that does not race, bit for bit."""
        exact = self.run_demo("exact", "--search", "kmeans")
        raced = self.run_demo("raced", "--search", "kmeans", "--racing", 0.05, "--racing-check", 1)
        with h5py.File(exact / "results.h5") as file, h5py.File(raced / "results.h5") as other:
            loss, some = file["result/loss"][...], other["result/loss"][...]
            assignment = other["result/assignment"][...]
            numpy.testing.assert_array_equal(file["result/assignment"], assignment)
            known = numpy.isfinite(some)
            self.assertEqual(known.sum() + other["racing/dropped"][()], some.size)
            numpy.testing.assert_array_equal(loss[known], some[known])
            self.assertTrue(numpy.isfinite(some[numpy.arange(len(assignment)), assignment]).all())
            self.assertEqual(file["result/objective"][()], other["result/objective"][()])
            estimate = other["racing/estimate"][...]
            numpy.testing.assert_array_equal(estimate[known], loss[known])
            self.assertTrue(numpy.isfinite(estimate).all())
            # Everything was checked: the figures are those of the exact matrix.
            regret = numpy.nanmin(some, axis=1) - loss.min(axis=1)
            self.assertEqual(other["racing/checked"][()], len(assignment))
            self.assertEqual(other["racing/wrong_races"][()], (regret > 0).sum())
            self.assertAlmostEqual(other["racing/mean_regret"][()], regret.mean(), 12)
            self.assertLess(other["racing/tokens"][()], other["racing/tokens_whole"][()])
            self.assertEqual(other["racing/tokens"][()] + other["racing/check_tokens"][()],
                             other["racing/tokens_whole"][()])
            self.assertEqual(file["evaluation/tokens"][()], other["evaluation/tokens"][()])
            self.assertEqual(file["evaluation/tokens_unshared"][()],
                             other["evaluation/tokens_unshared"][()])
        report = self.succeed("inspect", raced / "results.h5").stdout
        self.assertIn("racing (inexact", report)
        self.assertIn("40 races checked", report)

    def test_checks_change_nothing_but_what_they_report(self):
        plain = self.run_demo("plain", "--search", "d2c", "--racing", 0.3)
        checked = self.run_demo("checked", "--search", "d2c", "--racing", 0.3, "--racing-check", 0.5)
        figures = {f"racing/{name}" for name in ("check", "checked", "checked_drops", "check_tokens", "wrong_drops",
                                                 "wrong_races", "mean_regret", "worst_regret")}
        self.assert_same(plain, checked, figures | {"evaluation/tokens", "evaluation/evaluated",
                                                    "evaluation/merges", "evaluation/tokens_unshared"})

    def test_goes_on_from_a_checkpoint(self):
        racing = ["--search", "d2c", "--racing", 0.05, "--racing-check", 0.2]
        whole = self.run_demo("whole", *racing, restarts=6, ranks=2)
        output = self.folder / "stopped"
        command = [str(part) for part in
                   ["run", DEMO / "manifest.json", "-K", 5, *racing, "--restarts", 6, "--output", output]]
        job = subprocess.Popen(["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", BINARY, *command],
                               env=environment(), stderr=subprocess.PIPE, text=True)
        for line in job.stderr:
            if "start   2" in line:
                break
        job.send_signal(signal.SIGUSR1)
        rest = job.communicate(timeout=60)[1]
        self.assertEqual(job.returncode, 4, rest)
        completed = self.succeed(*command, ranks=3)
        self.assertIn("going on from", completed.stderr)
        work = {"evaluation/tokens", "evaluation/evaluated", "evaluation/merges", "evaluation/tokens_unshared",
                "racing/tokens", "racing/tokens_whole", "racing/check_tokens"}
        self.assert_same(whole, output, work)

    def test_new_tasks_join_a_raced_result(self):
        manifest = demo_manifest(12)
        new = dict(manifest, tasks=manifest["tasks"][10:])
        old = dict(manifest, tasks=manifest["tasks"][:10])
        result = self.run_demo("old", "--racing", 0.1, k=3, manifest=write_manifest(self.folder / "old.json", old))
        output = self.folder / "new"
        self.succeed("add", result, "--tasks", write_manifest(self.folder / "new.json", new), "--output", output)
        with h5py.File(output / "results.h5") as file:
            self.assertNotIn("racing", file)
            self.assertTrue(numpy.isfinite(file["result/loss"]).all())

    def test_refuses_what_is_no_probability(self):
        for value in ("1", "1.5", "-0.1", "nan", "abc"):
            self.fail_with(2, ["racing"], "run", DEMO / "manifest.json", "-K", 5, "--output", self.folder / "x",
                           f"--racing={value}", ranks=2)
        self.fail_with(2, ["--racing-check", "--racing"], "run", DEMO / "manifest.json", "-K", 5, "--output",
                       self.folder / "x", "--racing-check", 0.1)
        self.fail_with(2, ["--racing-check"], "run", DEMO / "manifest.json", "-K", 5, "--output",
                       self.folder / "x", "--racing", 0.1, "--racing-check", 2)
        self.fail_with(2, ["--racing", "--cross-fit"], "run", DEMO / "manifest.json", "-K", 5, "--output",
                       self.folder / "x", "--racing", 0.1, "--cross-fit", 3)
        self.assertFalse((self.folder / "x").exists())

    def test_plan_counts_what_races_keep(self):
        plan = [json.loads(self.succeed("plan", DEMO / "manifest.json", "-K", 5, "--json", *extra).stdout)
                for extra in ((), ("--racing", 0.05))]
        self.assertEqual(plan[0]["bytes_per_rank"]["races"], 0)
        self.assertGreater(plan[1]["bytes_per_rank"]["races"], 0)


if __name__ == "__main__":
    unittest.main()
