"""Laws of scripts/make_job.py."""
import json
import pathlib
import subprocess
import sys
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
import make_job  # noqa: E402

GIB = 1 << 30
PLAN = {"manifest": "/data/my tasks/manifest.json", "k": 64, "evaluations_per_iteration": 128_000,
        "evaluation_seconds": 6.0, "adapter_bytes": 45 * GIB,
        "bytes_per_node": {"weights": 3 * GIB, "merged": GIB // 2, "examples": 10_000_000},
        "bytes_per_rank": {"exchange": GIB // 4, "activations": 50_000_000}, "options": {"K": "64"}}


class Choice(unittest.TestCase):
    def choose(self, plan=PLAN, cores=64, gib=256.0, max_nodes=64, hours=4.0, rounds=40.0):
        return make_job.choose(plan, cores, gib, max_nodes, hours, rounds)

    def test_takes_the_fewest_nodes_that_end_in_time(self):
        chosen = self.choose()
        self.assertLessEqual(chosen.hours, 4.0)
        fewer = make_job.Estimate(PLAN, chosen.nodes - 1, 64, 40.0)
        self.assertGreater(fewer.hours, 4.0)

    def test_a_small_job_gets_no_more_ranks_than_it_can_use(self):
        chosen = self.choose({**PLAN, "evaluations_per_iteration": 200, "adapter_bytes": 10_000_000})
        self.assertEqual((chosen.nodes, chosen.ranks_per_node), (1, 25))

    def test_memory_is_respected_by_fewer_ranks_or_more_nodes(self):
        for gib in (16.0, 32.0, 64.0):
            self.assertLessEqual(self.choose(gib=gib).node_bytes, gib * GIB)

    def test_a_job_that_fits_nowhere_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "does not fit on 2 nodes of 4 GiB"):
            self.choose(gib=4.0, max_nodes=2)

    def test_a_job_that_is_too_long_takes_the_most_nodes(self):
        self.assertEqual(self.choose(max_nodes=4).nodes, 4)


class Script(unittest.TestCase):
    def render(self, *options, plan=PLAN):
        done = subprocess.run([sys.executable, SCRIPTS / "make_job.py", "-", "--cores-per-node", "64",
                               "--gib-per-node", "256", *options],
                              input=plan if isinstance(plan, str) else json.dumps(plan), text=True,
                              capture_output=True)
        return done

    def test_is_valid_bash_and_names_the_job(self):
        text = self.render("--partition", "short", "--account", "me").stdout
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        self.assertIn("MANIFEST=${MANIFEST:-'/data/my tasks/manifest.json'}", text)
        self.assertIn("#SBATCH --partition=short\n#SBATCH --account=me\n", text)
        values = subprocess.run(["bash", "-c", text.split("OUTPUT=")[0] + 'echo "$MANIFEST,$K"'],
                                text=True, capture_output=True, check=True).stdout
        self.assertEqual(values, "/data/my tasks/manifest.json,64\n")

    def test_gives_each_gpu_a_rank(self):
        plan = {**PLAN, "device": "cuda", "evaluation_seconds": 0.01}
        text = self.render("--gpus-per-node", "4", plan=plan).stdout
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        for line in ("--gpus-per-node=4", "--ntasks-per-node=4", "--cpus-per-task=16"):
            self.assertRegex(text, rf"(?m)^#SBATCH {line}\b")
        self.assertIn("D2C_OPTIONS:---device=cuda}", text)
        self.assertIn("its times are those of a CPU", self.render("--gpus-per-node", "4").stderr)

    def options_of(self, text):
        return subprocess.run(["bash", "-c", text.split("# One thread")[0] + 'echo "$D2C_OPTIONS"'],
                              text=True, capture_output=True, check=True,
                              env={"SLURM_JOB_ID": "1", "PATH": "/usr/bin:/bin"}).stdout.strip()

    def test_hands_on_options(self):
        self.assertEqual(self.options_of(self.render().stdout), "")
        self.assertEqual(self.options_of(self.render("--options=--search d2c --restarts 3").stdout),
                         "--search d2c --restarts 3")

    def test_hands_on_the_options_of_the_plan(self):
        plan = {**PLAN, "options": {"K": "64", "search": "d2c", "compute": "bf16"}}
        self.assertEqual(self.options_of(self.render(plan=plan).stdout),
                         "--search=d2c --compute=bf16")
        for given in ("--compute f32", "--compute=f32"):
            self.assertEqual(self.options_of(self.render("--options=" + given, plan=plan).stdout),
                             "--search=d2c " + given)
        plan["options"]["constraints"] = "/my rules.json"
        self.assertIn("--constraints '/my rules.json'", self.render(plan=plan).stderr)

    def k_of(self, plan):
        text = self.render(plan=plan).stdout
        return subprocess.run(["bash", "-c", text.split("OUTPUT=")[0] + 'echo "$K"'], text=True,
                              capture_output=True, check=True).stdout.strip()

    def test_hands_on_k_as_it_is_written(self):
        self.assertEqual(self.k_of({**PLAN, "k": 8, "options": {"K": "2..8"}}), "2..8")

    def test_takes_k_from_the_plan_where_a_budget_decided_it(self):
        plan = {**PLAN, "k": 7, "options": {"budget-mb": "30"}}
        self.assertEqual(self.k_of(plan), "7")
        self.assertEqual(self.options_of(self.render(plan=plan).stdout), "")

    def test_what_is_no_plan_is_refused(self):
        for text in ("", "[]", "{}", "not json"):
            done = self.render(plan=text)
            self.assertEqual(done.returncode, 1)
            self.assertIn("make_job: - is not a plan", done.stderr)


if __name__ == "__main__":
    unittest.main()
