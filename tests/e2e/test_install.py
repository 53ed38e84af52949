"""What `cmake --install` puts in place works from any prefix, without the source tree."""
import json
import os
import pathlib
import shutil
import subprocess
import unittest

from harness import Case, environment

BUILD = pathlib.Path(os.environ.get("D2C_BUILD", "absent"))


@unittest.skipUnless((BUILD / "cmake_install.cmake").exists(), "D2C_BUILD names no build tree")
class Install(Case):
    def setUp(self):
        super().setUp()
        first = self.folder / "first"
        subprocess.run(["cmake", "--install", BUILD, "--prefix", first], check=True, capture_output=True)
        self.prefix = self.folder / "a prefix"
        first.rename(self.prefix)

    def call(self, *words, **options):
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=environment(), cwd=self.folder,
                              **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_job_report_and_export_run_from_a_prefix_that_was_moved(self):
        d2c, share = self.prefix / "bin" / "d2c", self.prefix / "share" / "d2c"
        self.assertRegex(self.call(d2c, "--version"), r"^d2c \d+\.\d+\.\d+ ")
        manifest = json.loads((share / "data" / "demo" / "manifest.json").read_text())
        del manifest["tasks"][6:]
        (share / "data" / "demo" / "six.json").write_text(json.dumps(manifest))
        self.call(d2c, "run", share / "data" / "demo" / "six.json", "-K", 2, "--search", "kmeans", "--refine", "none", "-o", "out")
        if all(map(self.has_module, ("h5py", "jinja2", "matplotlib"))):
            self.call(d2c, "report", "out")
            self.assertIn("<svg", (self.folder / "out" / "report.html").read_text())
        self.call(d2c, "export", "out", "--for", "peft", "-o", "served")
        plan = self.call(d2c, "plan", share / "data" / "demo" / "six.json", "-K", 2, "--json")
        (self.folder / "plan.json").write_text(plan)
        job = self.call("/usr/bin/python3", share / "scripts" / "make_job.py", "plan.json", "--cores-per-node", 4,
                        "--gib-per-node", 16)
        self.assertTrue(job.startswith("#!"))

    @staticmethod
    def has_module(name):
        return subprocess.run(["/usr/bin/python3", "-c", f"import {name}"], capture_output=True).returncode == 0

    def test_documents_manual_and_completion_are_there(self):
        share = self.prefix / "share"
        for path in ("d2c/README.md", "d2c/docs/user/installing.md", "d2c/jobs/one-node.sbatch", "doc/d2c/copyright",
                     "d2c/scripts/score.py"):
            self.assertTrue((share / path).is_file(), path)
        self.assertTrue((share / "man/man1/d2c.1").read_text().startswith(".TH D2C 1"))
        self.call("bash", "-n", share / "bash-completion/completions/d2c")
        self.assertFalse([path for path in share.rglob("*") if path.name == "__pycache__"])
        if shutil.which("readelf"):
            dynamic = self.call("readelf", "-d", self.prefix / "bin" / "d2c")
            self.assertNotIn(str(BUILD), dynamic)


if __name__ == "__main__":
    unittest.main(verbosity=2)
