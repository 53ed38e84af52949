"""Options: one table for the command line, INI files and results, from which a job is repeated."""
import json
import pathlib
import unittest

from harness import Case, DEMO, demo_manifest, h5py, write_manifest


class Options(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.need_h5py()
        self.manifest = write_manifest(self.folder / "part.json", demo_manifest(4))

    def run_job(self, name, *options):
        output = self.folder / name
        self.succeed("run", *options, "--output", output, "--quiet")
        with h5py.File(output / "results.h5") as file:
            return output, json.loads(file.attrs["config"]), file["result/loss"][...]

    def test_a_result_is_repeated_and_the_command_line_wins(self):
        given = ("--search", "kmeans", "--method", "ties_svd", "--density", 0.4, "--seed", 3, "--scale", 1.5,
                 "--max-cluster-size", 3, "--merged", "hdf5", "--allow-empty")
        one, config, losses = self.run_job("one", self.manifest, "-K", 2, *given)
        for source in (one, one / "results.h5"):
            again, repeated, others = self.run_job("again", "--from", source, "--overwrite")
            self.assertEqual(losses.tobytes(), others.tobytes())
            self.assertEqual(repeated.pop("output"), str(again))
            self.assertTrue(repeated.pop("overwrite"))
            self.assertEqual(repeated, {name: value for name, value in config.items()
                                        if name not in ("output", "overwrite")})
        _, other, _ = self.run_job("other", "--from", one, "-K", 3, "--method", "average", "--density", 0,
                                   "--allow-empty=false")
        self.assertEqual([other[name] for name in ("K", "method", "density", "seed", "allow-empty")],
                         [3, "average", 0, 3, False])
        self.fail_with(2, ["--output is missing"], "run", "--from", one)
        self.fail_with(3, ["absent.h5"], "run", "--from", self.folder / "absent.h5", "--output", one)

    def test_a_gpu_that_is_not_there_is_refused_on_all_ranks(self):
        if pathlib.Path("/dev/nvidia0").exists():
            self.skipTest("this machine has a GPU")
        job = (self.manifest, "-K", 2, "--device", "cuda", "--output", self.folder / "out")
        for ranks in (0, 2):
            self.fail_with(2, ["--device cuda: ", "use --device cpu"], "run", *job, ranks=ranks)
        self.fail_with(2, ["--device cuda: "], "plan", *job[:5])
        _, config, _ = self.run_job("auto", self.manifest, "-K", 2, "--search", "kmeans", "--device", "auto")
        self.assertEqual(config["device"], "cpu")

    def test_a_budget_is_repeated_or_replaced(self):
        one, config, _ = self.run_job("one", self.manifest, "--budget-mb", 1, "--search", "kmeans")
        self.assertEqual(config["budget-mb"], 1)
        _, again, _ = self.run_job("again", "--from", one)
        self.assertEqual([again[name] for name in ("K", "budget-mb")],
                         [config[name] for name in ("K", "budget-mb")])
        _, other, _ = self.run_job("other", "--from", one, "-K", 2)
        self.assertEqual([other[name] for name in ("K", "budget-mb")], [2, 0])

    def test_options_of_a_refinement_go_with_it(self):
        base = ("--search", "kmeans", "--refine-steps", 3, "--refine-lr", 0.01)
        one, _, _ = self.run_job("one", self.manifest, "-K", 2, "--refine", "distill", *base)
        _, plain, _ = self.run_job("plain", "--from", one, "--refine", "none")
        self.assertEqual([plain[name] for name in ("refine", "refine-steps", "refine-lr")], ["none", 0, 0])
        _, again, _ = self.run_job("again", "--from", one, "--refine", "distill")
        self.assertEqual(again["refine-steps"], 3)
        self.fail_with(2, ["--refine-steps does not go with --refine none"], "run", "--from", one, "--refine", "none",
                       "--refine-steps", 5, "--output", self.folder / "out")

    def test_what_dump_config_prints_is_read_by_config(self):
        for command, given in (
                ("run", ("-K", "2..4", "--sweep-pick", 3, "--overwrite", "--output", self.folder / "out")),
                ("plan", ("--budget-mb", 0.5, "--effort", "quick")),
                ("compare", ("-K", 3, "--searches", "d2c,kmeans", "--seeds", 1))):
            text = self.succeed(command, self.manifest, *given, "--dump-config").stdout
            ini = self.folder / "job.ini"
            ini.write_text(text)
            self.assertEqual(self.succeed(command, "--config", ini, "--dump-config").stdout, text)
            self.assertIn(f"manifest = {self.manifest}\n", text)
        self.assertFalse((self.folder / "out").exists())
        self.assertIn("seeds = 1\n", text)
        # One file serves `run` and `plan`.
        ini.write_text(self.succeed("run", self.manifest, "-K", 2, "--dump-config").stdout)
        self.assertIn("K = 2", self.succeed("plan", "--config", ini).stdout)

    def test_plan_hands_on_what_differs_from_the_defaults(self):
        plan = json.loads(self.succeed("plan", self.manifest, "-K", "2..4", "--objective", "gain",
                                       "--threads", 2, "--json").stdout)
        self.assertEqual(plan["options"], {"K": "2..4", "objective": "gain"})

    def test_errors_name_options_as_the_user_knows_them(self):
        self.fail_with(2, ["MANIFEST is missing", "d2c run MANIFEST -K 5"], "run", "-K", 2, "--output", "x")
        self.fail_with(2, ["MANIFEST is missing"], "plan", "-K", 2)
        self.fail_with(2, ["FILE is missing"], "inspect")
        self.fail_with(2, ["RESULT is missing"], "add", "--tasks", "x", "--output", "y")
        self.fail_with(2, ["--tasks is missing"], "add", "x", "--output", "y")
        self.fail_with(2, ["--model is missing"], "evaluate", "--examples", "x")
        self.fail_with(2, ["--restarts does not take 'many' (it is a whole number of at least 1)"], "run",
                       self.manifest, "-K", 2, "--output", "x", "--restarts", "many")
        ini = self.folder / "job.ini"
        ini.write_text("K = 2\nobjective = best\n")
        self.fail_with(2, ["--objective does not take 'best'", "loss, gain, worst"], "plan", self.manifest,
                       "--config", ini)

    def test_names_that_boost_would_replace_for_ever(self):
        for option in ("--%canonical_option%", "--manifes=%canonical_option%", "--%original_token%=3", "-%prefix%"):
            self.fail_with(2, ["has %"], "run", option)
        ini = self.folder / "names.ini"
        for line in ("%canonical_option% = 3", "option '%canonical_option%' = 1", "no value %invalid_line%"):
            ini.write_text(f"K = 2\n{line}\n")
            self.fail_with(2, ["has %"], "run", "--config", ini)

    def test_methods_that_prune_need_a_density(self):
        output = self.folder / "out"
        for method in ("ties", "dare_linear", "knots_ties"):
            self.fail_with(2, [f"'{method}' needs --density"], "run", self.manifest, "-K", 2, "--output",
                           output, "--method", method)
        self.fail_with(2, ["'ties' needs --density"], "compare", self.manifest, "-K", 2, "--output", output,
                       "--methods", "average,ties")
        self.fail_with(2, ["'average' does not read --density"], "run", self.manifest, "-K", 2, "--output",
                       output, "--density", 0.5)
        self.assertFalse(output.exists())

    def test_a_result_with_options_that_are_none_is_not_repeated(self):
        one, config, _ = self.run_job("one", self.manifest, "-K", 2, "--search", "kmeans")
        for change, words in (({"saerch": "d2c"}, ["'saerch'"]), ({"objective": "best"}, ["objective", "'best'"]),
                              ({"restarts": "3"}, ["restarts", "whole number"])):
            with h5py.File(one / "results.h5", "r+") as file:
                file.attrs["config"] = json.dumps({**config, **change})
            for command in (("run", "--from", one), ("add", one, "--tasks", self.manifest)):
                self.fail_with(3, ["results.h5", *words], *command, "--output", self.folder / "new")


if __name__ == "__main__":
    unittest.main(verbosity=2)
