"""Whatever stands in the place of an output is refused or replaced, never followed, and nothing hangs."""
import json
import os
import pathlib
import shutil
import tempfile
import unittest

from harness import RAW, Case, call_in, d2c, demo_manifest, h5py, messages, write_manifest

PLAIN = ["--search", "kmeans", "--refine", "none", "--quiet"]

# What is done, and the files that it makes in `work`, where it is started.
RUN = ["run", "m.json", "-K", "1", *PLAIN, "--overwrite", "-o", "out"]
REFINE = ["run", "m.json", "-K", "1", "--search", "kmeans", "--refine", "distill", "--refine-steps", "2", "--quiet",
          "--checkpoint-minutes", "1e-9", "-o", "out"]
COMPARE = ["compare", "m.json", "-K", "1", "--searches", "kmeans", "--seeds", "1", "--refine", "none", "--quiet",
           "--overwrite", "-o", "out"]
ADD = ["add", "result", "--tasks", "more.json", "--quiet", "--overwrite", "-o", "out"]
GENERATE = ["generate", "result", "--adapters", "base", "--examples-per-task", "1", "--max-new-tokens", "1",
            "--overwrite", "--quiet", "-o", "out/p.jsonl"]
PACK = ["pack", "m.json", "--quiet", "--overwrite", "-o", "out/l.h5", "--write-manifest", "out/l.json"]
EVALUATE = ["evaluate", "--model", "MODEL", "--examples", "EXAMPLES", "--json", "out/losses.json"]
MERGE = ["merge", "ADAPTER", "ADAPTER", "-o", "out/merged"]
REPORT = ["report", "result", "-o", "out/report.html", "--figures", "out/figures"]
EXPORT = ["export", "result", "--for", "llama.cpp", "-o", "out/export"]
SCORE = ["score", "p.jsonl", "--into", "out/results.h5", "--json", "out/scores.json"]

TABLE = [
    (RUN, ["out", "out/results.h5", "out/merged", "out/merged.old", "out/assignment.csv", "out/routing.json",
           "out/checkpoint.h5", "out/checkpoint.h5.previous", "out/d2c.lock", "out/d2c-publishing.json"]),
    (REFINE, ["out/checkpoint.h5", "out/checkpoint.h5.previous", "out/checkpoint.h5.training.0"]),
    (COMPARE, ["out/compare.h5", "out/compare.csv", "out/compare.checkpoint.h5", "out/d2c.lock"]),
    (ADD, ["out/manifest.json", "out/results.h5"]),
    (GENERATE, ["out/p.jsonl", "out/p.jsonl.unfinished"]),
    (PACK, ["out/l.h5", "out/l.h5.partial", "out/l.h5.partial.journal", "out/l.json"]),
    (EVALUATE, ["out/losses.json"]),
    (MERGE, ["out/merged"]),
    (REPORT, ["out/report.html", "out/figures", "out/figures/comparison.svg"]),
    (EXPORT, ["out/export"]),
    (SCORE, ["out/results.h5", "out/scores.json"]),
]


def put_pipe(place, _):
    os.mkfifo(place)


def put_link(place, outside):
    place.symlink_to(outside / "file")


def put_link_to_nothing(place, outside):
    place.symlink_to(outside / "nothing")


def put_loop(place, _):
    place.symlink_to(place.name)


def put_folder(place, _):
    place.mkdir()
    (place / "mine").write_text("mine")


def put_link_to_device(place, _):
    place.symlink_to("/dev/full")


KINDS = [put_pipe, put_link, put_link_to_nothing, put_loop, put_folder, put_link_to_device]


class OutputPlaces(Case):
    @classmethod
    def setUpClass(cls):
        cls.base = pathlib.Path(tempfile.mkdtemp(prefix="d2c-e2e-places-"))
        cls.addClassCleanup(shutil.rmtree, cls.base, ignore_errors=True)
        tasks = demo_manifest(3)
        cls.words = {"MODEL": tasks["model"], "ADAPTER": tasks["tasks"][0]["adapter"],
                     "EXAMPLES": tasks["tasks"][0]["examples"]}
        write_manifest(cls.base / "more.json", {**tasks, "tasks": tasks["tasks"][2:]})
        write_manifest(cls.base / "m.json", {**tasks, "tasks": tasks["tasks"][:2]})
        done = d2c("run", cls.base / "m.json", "-K", 1, *PLAIN, "-o", cls.base / "result")
        assert done.returncode == 0, done.stderr
        (cls.base / "p.jsonl").write_text("".join(json.dumps(
            {"task": task["name"], "adapter": "own", "prompt": "", "prediction": "a", "reference": "a"}) + "\n"
            for task in tasks["tasks"][:2]))

    def start(self, words, folder):
        return call_in(folder, [self.words.get(word, word) for word in words])

    def fresh(self):
        shutil.rmtree(self.folder)
        (self.folder / "outside").mkdir(parents=True)
        (self.folder / "outside" / "file").write_text("not yours")
        shutil.copytree(self.base, self.folder / "work")
        return self.folder / "work", self.folder / "outside"

    def check(self, words, name, kind):
        folder, outside = self.fresh()
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if words[0] == "score" and name != "out/results.h5":
            shutil.copy(folder / "result" / "results.h5", folder / "out" / "results.h5")
        kind(place, outside)
        done = self.start(words, folder)
        self.assertEqual([(path.name, path.read_text()) for path in outside.iterdir()], [("file", "not yours")])
        self.assertIsNone(RAW.search(done.stderr), done.stderr)
        if done.returncode == 0:
            if place.is_symlink() or place.is_fifo():  # of no use to this call, and left alone
                self.assertIn(place.name.rpartition(".")[2], ("old", "previous", "0"))
            return
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(place.name, done.stderr)
        self.assertEqual(len([line for line in done.stderr.splitlines() if line.startswith(("d2c: ", "score: "))]), 1,
                         done.stderr)
        if kind is put_folder:
            self.assertEqual((place / "mine").read_text(), "mine")

    def test_every_command_works_where_nothing_is_in_its_way(self):
        for words, _ in TABLE:
            if words[0] in ("report", "score") and h5py is None:
                continue
            with self.subTest(command=words[0]):
                folder, _ = self.fresh()
                (folder / "out").mkdir()
                if words[0] == "score":
                    shutil.copy(folder / "result" / "results.h5", folder / "out" / "results.h5")
                done = self.start(words, folder)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertTrue(any((folder / "out").iterdir()))

    def test_every_output_of_every_command(self):
        for words, names in TABLE:
            if words[0] in ("report", "score") and h5py is None:
                continue
            for at, name in enumerate(names):
                # In turn: a third of them where a command takes long.
                for kind in KINDS[at % 3::3] if words[0] in ("run", "compare", "add", "report") else KINDS[at % 2::2]:
                    if words[-1] == "out" and name == "out" and kind is put_folder:
                        continue  # that is what it is for
                    with self.subTest(command=words[0], place=name, kind=kind.__name__):
                        self.check(words, name, kind)

    def test_names_that_are_too_long(self):
        folder, _ = self.fresh()
        (folder / "out").mkdir()
        for words in (RUN, COMPARE, ADD, GENERATE, PACK, EVALUATE, MERGE, REPORT, EXPORT):
            for length in (240, 300):
                at = words.index("--json" if words is EVALUATE else "-o") + 1
                long = [*words[:at], "out/" + "n" * length, *words[at + 1:]]
                with self.subTest(command=words[0], length=length):
                    done = self.start(long, folder)
                    self.assertIn(done.returncode, (0, 3), done.stderr)
                    self.assertEqual(len(messages(done)), done.returncode == 3, done.stderr)
                    self.assertIsNone(RAW.search(done.stderr), done.stderr)


if __name__ == "__main__":
    unittest.main()
