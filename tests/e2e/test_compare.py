"""d2c compare: its tables, against single jobs and across numbers of ranks."""
import csv
import re
import unittest

from harness import (BINARY, Case, DEMO, SOURCE, demo_manifest, h5py, numpy,
                     plain_run, write_manifest)


class Compare(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.need_h5py()
        self.manifest = write_manifest(self.folder / "part.json", demo_manifest(10))

    def compare(self, name, *extra, ranks=0, searches="auto,d2c,kmeans,random", seeds=2):
        output = self.folder / name
        completed = self.succeed(
            "compare", self.manifest, "-K", "2,3", "--seeds", seeds, "--searches", searches,
            "--methods", "average,lego", "--restarts", 2, "--verify-examples", 2, "--output", output,
            *extra, ranks=ranks)
        return output, completed

    def numbers(self, output):
        """All datasets but times."""
        with h5py.File(output / "compare.h5") as file:
            found = {}
            file.visititems(lambda name, item: found.update({name: item[...].tolist()})
                            if isinstance(item, h5py.Dataset) and name != "seconds" else None)
        return found

    def test_does_not_depend_on_the_number_of_ranks(self):
        def numbers(ranks):
            return self.numbers(self.compare(f"r{ranks}", "--quiet", ranks=ranks, searches="d2c,kmeans", seeds=1)[0])
        alone = numbers(0)
        for ranks in (2, 8):
            self.assertEqual(alone, numbers(ranks))

    def test_rows_equal_the_jobs_that_they_stand_for(self):
        output, completed = self.compare("out", ranks=2)
        with h5py.File(output / "compare.h5") as file:
            search, method = file["row/search"].asstr()[...], file["row/method"].asstr()[...]
            k, seed = file["row/k"][...], file["seed"][...]
            self.assertEqual(len(search), 2 + 2 * (1 + 2 * 4))
            self.assertEqual(list(search[:3]), ["base", "own", "one"])
            for row, s in ((3, 0), (4, 1), (8, 1), (len(search) - 4, 0)):
                job = self.folder / f"job{row}"
                self.succeed("run", self.manifest, "-K", k[row], "--seed", seed[s], "--search",
                             search[row], "--method", method[row], "--restarts", 2,
                             "--verify-examples", 2, "--output", job, "--quiet")
                with h5py.File(job / "results.h5") as alone:
                    n = numpy.arange(10)
                    own = alone["result/loss"][...][n, alone["result/assignment"]]
                    numpy.testing.assert_array_equal(file["loss"][row, s], own)
                    self.assertEqual(file["objective"][row, s], alone["result/objective"][()])
                    self.assertEqual(file["verify_objective"][row, s], alone["verify/objective"][()])
                    self.assertEqual(file["heldout_objective"][row, s], alone["heldout/objective"][()])
                    self.assertAlmostEqual(file["heldout_gain"][row, s], numpy.mean(alone["heldout/gain"]), 12)
            # A search needs what it needs, whatever others have measured; that is measured once.
            self.assertTrue((file["measured"][...] <= file["evaluations"][...]).all())
            self.assertLess(file["measured"][...].sum(), file["evaluations"][...].sum())
            rows = list(csv.DictReader((output / "compare.csv").open(newline="")))
            self.assertEqual(len(rows), 2 * len(search))
            for i, line in enumerate(rows):
                row, s = divmod(i, 2)
                self.assertEqual((line["search"], line["method"]), (search[row], method[row]))
                self.assertEqual(float(line["objective"]), file["objective"][row, s])
                self.assertEqual(float(line["heldout_gain"]), file["heldout_gain"][row, s])
                self.assertEqual(int(line["evaluations"]), file["evaluations"][row, s])
            # Columns: mean and standard deviation over the seeds.
            mean = file["objective"][7].mean()
            deviation = file["objective"][7].std(ddof=1)
            self.assertIn(f"{mean:.4f} ± {deviation:.4f}", completed.stdout)
            # No figure is cut, however wide the table.
            self.assertNotIn("...", completed.stdout)
            self.assertRegex(completed.stdout, r"test gain +evaluations +measured +s\n")

    def test_refined_rows_equal_refined_jobs(self):
        outputs = []
        steps = ("--refine-steps", 8)
        for name, ranks in (("alone", 0), ("ranks3", 3)):
            outputs.append(self.folder / name)
            completed = self.succeed(
                "compare", self.manifest, "-K", 3, "--seeds", 2, "--searches", "auto,kmeans", "--refined",
                "kmeans,auto", *steps, "--verify-examples", 2, "--output", outputs[-1], ranks=ranks)
        self.assertEqual(self.numbers(outputs[0]), self.numbers(outputs[1]))
        self.assertIn("kmeans refined", completed.stdout)
        with h5py.File(outputs[0] / "compare.h5") as file:
            search = list(file["row/search"].asstr())
            self.assertEqual(search, ["base", "own", "one", "auto", "auto refined", "kmeans", "kmeans refined"])
            self.assertTrue((file["objective"][4] <= file["objective"][3]).all())
            self.assertTrue((file["verify_objective"][6] <= file["verify_objective"][5]).all())
            self.assertTrue((file["evaluations"][6] > file["evaluations"][5]).all())
            self.assertTrue((file["measured"][...] <= file["evaluations"][...]).all())
            for row, s in ((4, 0), (6, 1)):
                job = self.folder / f"job{row}"
                self.succeed("run", self.manifest, "-K", 3, "--seed", s, "--search", search[row - 1],
                             "--refine", "distill", *steps, "--verify-examples", 2,
                             "--output", job, "--quiet")
                with h5py.File(job / "results.h5") as alone:
                    self.assertEqual(file["objective"][row, s], alone["result/objective"][()])
                    self.assertEqual(file["verify_objective"][row, s], alone["verify/objective"][()])
                    self.assertEqual(file["heldout_objective"][row, s], alone["heldout/objective"][()])
                    self.assertEqual(file["evaluations"][row, s] - file["evaluations"][row - 1, s],
                                     alone["refine/evaluations"][...].sum())

    def test_refine_without_refined_is_told(self):
        call = ("compare", self.manifest, "-K", 2, "--searches", "kmeans", "--seeds", 1, "--quiet")
        warned = self.succeed(*call, "--refine", "distill", "--output", self.folder / "distill", ranks=2)
        self.assertEqual(warned.stderr.count("warning: --refine distill"), 1)
        plain = self.succeed(*call, "--output", self.folder / "plain")
        self.assertNotIn("--refine ", plain.stderr)
        self.assertEqual(self.numbers(self.folder / "plain"), self.numbers(self.folder / "distill"))
        self.fail_with(2, ["--refined does not go with --refine none"], *call, "--refine", "none", "--refined", "kmeans",
                       "--output", self.folder / "none")

    def test_document_lists_exactly_what_is_written(self):
        output, _ = self.compare("out", "--quiet", searches="kmeans")
        documented = dict(re.findall(r"^\| `/(\S+)` \| [^|]* \| ([^|]*?) \|",
                                     (SOURCE / "docs" / "user" / "compare.md").read_text(), re.MULTILINE))
        with h5py.File(output / "compare.h5") as file:
            self.assertTrue(file.attrs["complete"])
            written = {}
            file.visititems(lambda name, item: written.update(
                {name: item.attrs["NAME"].decode() if h5py.h5ds.is_scale(item.id)
                 else ", ".join(dim.label for dim in item.dims)})
                if isinstance(item, h5py.Dataset) else None)
        self.assertEqual(documented, written)

    def test_goes_on_after_a_signal(self):
        whole = self.numbers(self.compare("whole", "--quiet", searches="auto,random", seeds=1)[0])
        output = self.folder / "stopped"
        command = [BINARY, "compare", str(self.manifest), "-K", "2,3", "--seeds", "1", "--searches", "auto,random",
                   "--methods", "average,lego", "--restarts", "2", "--verify-examples", "2", *plain_run(["compare"]), "--output", str(output)]
        self.stop_at("lego auto K = 2 seed 0", command)
        completed = self.succeed(*command[1:], ranks=2)
        self.assertIn("going on from", completed.stderr)
        resumed = self.numbers(output)
        self.assertEqual(whole, resumed)
        self.assertEqual(sorted(path.name for path in output.iterdir()), ["compare.csv", "compare.h5"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
