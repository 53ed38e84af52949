"""Every command that README.md and docs/user show is one that d2c takes; those of README.md are run."""
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

from harness import BINARY, SLOWNESS, Case, SOURCE, d2c, demo_manifest, environment, h5py, write_manifest

DOCUMENTS = [SOURCE / "README.md", *sorted((SOURCE / "docs" / "user").glob("*.md")), SOURCE / "data" / "README.md"]
try:
    import jinja2
    import matplotlib
except ImportError:
    jinja2 = matplotlib = None


def commands(document):
    """The command lines of a document, without comments, the starter and where the output goes.

    Synopses, which have [options], are no commands.
    """
    text = re.sub(r"\\\n\s*", " ", document.read_text())
    for line in text.splitlines():
        if not re.match(r" {4,}\S", line):
            continue
        for part in re.split(r"\s\|\s|\s&&\s", line.split(" #")[0]):
            words = re.split(r"\s>\s", part)[0].strip()
            found = re.match(r"(?:(?:mpirun|srun) [^'\"]*? )?((?:d2c|scripts/\S+) .*)", words)
            if found and "[" not in found.group(1) and "..." not in found.group(1):
                yield shlex.split(found.group(1))


class Documents(Case):
    def test_every_command_is_taken(self):
        taken = 0
        for document in DOCUMENTS:
            for words in commands(document):
                with self.subTest(document=document.name, command=shlex.join(words)):
                    self.take(words)
                    taken += 1
        self.assertGreater(taken, 35)

    def take(self, words):
        """Options and their values are looked at; no file is."""
        program, *arguments = words
        if program != "d2c":
            self.assertTrue((SOURCE / program).exists(), program)
            if program.endswith(".py"):
                options = set(re.findall(r"--[a-z][a-z0-9-]*", (SOURCE / program).read_text()))
                self.assertLessEqual({word for word in arguments if word.startswith("--")}, options)
            return
        (self.folder / "job.ini").touch()
        arguments = [str(self.folder / word) if word == "job.ini" else word for word in arguments]
        completed = d2c(*arguments, "--help")
        self.assertEqual(completed.returncode, 0, completed.stderr)
        if "--config" in self.succeed(arguments[0], "--help-all").stdout and not {"--config", "--from"} & set(arguments):
            more = () if "--dump-config" in arguments else ("--dump-config",)
            self.succeed(*arguments, *more)


@unittest.skipIf(h5py is None or jinja2 is None, "python3-h5py, python3-jinja2 or python3-matplotlib is not installed")
class Readme(Case):
    def test_the_commands_of_the_readme_run_one_after_another(self):
        """As a user would, in a folder with a manifest.json; the searches are cut short."""
        write_manifest(self.folder / "manifest.json", demo_manifest(7))
        shown = [words for words in commands(SOURCE / "README.md") if words[0] == "d2c"]
        self.assertGreaterEqual(len(shown), 5)
        for words in shown:
            short = ("--max-evaluations", "1", "--refine-steps", "2") if words[1] == "run" else ()
            done = subprocess.run([BINARY, *words[1:], *short], cwd=self.folder, env=environment(), capture_output=True,
                                  text=True, timeout=120 * SLOWNESS)
            self.assertEqual(done.returncode, 0, (words, done.stderr))
        self.assertTrue((self.folder / "results" / "report.html").exists())
        self.assertTrue((self.folder / "served").is_dir())


@unittest.skipIf(h5py is None, "python3-h5py is not installed")
class Examples(Case):
    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="d2c-e2e-examples-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        manifest = write_manifest(cls.home / "manifest.json", demo_manifest(6))
        done = d2c("run", manifest, "-K", 2, "--max-evaluations", 1, "--quiet", "--output", cls.home / "out", ranks=2)
        assert done.returncode == 0, done.stderr

    def example(self, name, *arguments, needs):
        for module in needs:
            if subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode != 0:
                self.skipTest(f"the package {module} is not installed")
        done = subprocess.run([sys.executable, SOURCE / "scripts" / "examples" / name, self.home / "out" / "results.h5",
                               *arguments], capture_output=True, text=True, timeout=120 * SLOWNESS)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_pandas(self):
        self.assertIn("regret", self.example("with_pandas.py", needs=["pandas"]))

    def test_xarray(self):
        self.assertIn("tasks by cluster", self.example("with_xarray.py", needs=["xarray"]))

    def test_five_plots(self):
        self.example("five_plots.py", self.folder, needs=["matplotlib"])
        self.assertEqual({path.name for path in self.folder.iterdir()},
                         {"gain.svg", "matrix.svg", "search.svg", "heldout.svg", "time.svg"})

    def test_table_of_the_published_experiment(self):
        """With the demo's data; `--score` stands for that of its tasks."""
        done = subprocess.run([sys.executable, SOURCE / "scripts" / "reproduce" / "table.py", self.home / "manifest.json",
                               "-K", "2", "--output", self.folder / "table", "--d2c", BINARY, "--max-new-tokens", "6",
                               "--score", "exact_match"], capture_output=True, text=True, timeout=400 * SLOWNESS, env=environment())
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [line.split(" | ") for line in done.stdout.splitlines()]
        self.assertEqual([row[0].strip("| ") for row in rows[2:]],
                         ["base model", "own adapters", "k-means", "D2C", "auto", "auto + distillation"])
        self.assertEqual(rows[3][-1], "1.000 |")


if __name__ == "__main__":
    unittest.main()
