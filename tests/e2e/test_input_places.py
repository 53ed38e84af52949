"""What is no regular file in the place of an input is refused at once, by its name, by every command."""
import json
import os
import pathlib
import shutil
import tempfile
import unittest

from harness import RAW, Case, call_in, demo_manifest, h5py, write_manifest

PLAIN = ["--search", "kmeans", "--refine", "none", "--quiet"]
RUN = ["run", "m.json", "-K", "1", *PLAIN, "-o", "out"]
ADAPTERS = ["adapters/0/adapter_config.json", "adapters/0/adapter_model.safetensors"]

# What is done, and the files that it reads.
TABLE = [
    (RUN, ["m.json", "model/config.json", "model/model.safetensors", "model/tokenizer.json",
           "model/tokenizer_config.json", *ADAPTERS, "examples/0.jsonl"]),
    (["run", "l.json", "-K", "1", *PLAIN, "-o", "out"], ["l.json", "library.h5"]),
    ([*RUN, "--constraints", "constraints.json"], ["constraints.json"]),
    (["run", "--config", "options.ini", "-o", "out"], ["options.ini"]),
    (["run", "--from", "result", "-o", "out"], ["result/results.h5"]),
    (["compare", "m.json", "-K", "1", "--searches", "kmeans", "--refine", "none", "-o", "out"],
     ["m.json", "model/model.safetensors", ADAPTERS[1]]),
    (["plan", "m.json", "-K", "1"], ["m.json", "model/config.json", *ADAPTERS]),
    (["add", "result", "--tasks", "more.json", "--quiet", "-o", "out"],
     ["more.json", "result/results.h5"]),
    (["generate", "result", "--quiet", "-o", "out.jsonl"],
     ["result/results.h5", "model/generation_config.json", "result/merged/cluster_00/adapter_config.json"]),
    (["pack", "m.json", "--quiet", "-o", "out.h5"], ["m.json", *ADAPTERS]),
    (["evaluate", "--model", "model", "--examples", "examples/0.jsonl", "--adapter", "adapters/0"],
     ["examples/0.jsonl", "model/config.json", *ADAPTERS]),
    (["merge", "adapters/0", "adapters/1", "-o", "out"], ADAPTERS),
    (["export", "result", "--for", "llama.cpp", "-o", "out"], ["result/routing.json"]),
    (["inspect", "result/results.h5"], ["result/results.h5"]),
    (["report", "result", "-o", "out.html"], ["result/results.h5"]),
    (["score", "p.jsonl", "--into", "result"], ["p.jsonl", "result/results.h5"]),
    (["tokenize", "--tokenizer", "model/tokenizer.json"], ["model/tokenizer.json"]),
]


def put_pipe(place):
    os.mkfifo(place)


def put_folder(place):
    place.mkdir()


def put_loop(place):
    place.symlink_to(place.name)


def put_device(place):
    place.symlink_to("/dev/zero")


def put_link_to_nothing(place):
    place.symlink_to("nothing")


KINDS = [put_pipe, put_folder, put_loop, put_device, put_link_to_nothing]


class InputPlaces(Case):
    @classmethod
    def setUpClass(cls):
        cls.base = base = pathlib.Path(tempfile.mkdtemp(prefix="d2c-e2e-inputs-"))
        cls.addClassCleanup(shutil.rmtree, base, ignore_errors=True)
        demo = demo_manifest(3)
        shutil.copytree(demo["model"], base / "model")
        tasks = []
        for t, task in enumerate(demo["tasks"]):
            shutil.copytree(task["adapter"], base / "adapters" / str(t))
            (base / "examples").mkdir(exist_ok=True)
            shutil.copy(task["examples"], base / "examples" / f"{t}.jsonl")
            tasks.append({"name": task["name"], "adapter": f"adapters/{t}", "examples": f"examples/{t}.jsonl"})
        write_manifest(base / "m.json", {"model": "model", "tasks": tasks[:2]})
        write_manifest(base / "more.json", {"model": "model", "tasks": tasks[2:]})
        (base / "constraints.json").write_text(json.dumps({"together": [[task["name"] for task in tasks[:2]]]}))
        (base / "options.ini").write_text("manifest = m.json\nclusters = 1\nsearch = kmeans\nrefine = none\n")
        (base / "p.jsonl").write_text("".join(json.dumps(
            {"task": task["name"], "adapter": "own", "prompt": "", "prediction": "a", "reference": "a"}) + "\n"
            for task in tasks[:2]))
        for words in (["pack", "m.json", "--quiet", "-o", "library.h5", "--write-manifest", "l.json"],
                      ["run", "m.json", "-K", "1", *PLAIN, "-o", "result"]):
            done = call_in(base, words)
            assert done.returncode == 0, done.stderr

    def check(self, words, name, kind):
        place, aside = self.base / name, self.base / "aside"
        place.rename(aside)
        kind(place)
        try:
            done = call_in(self.base, words, stdin="text\n")
        finally:
            place.rmdir() if kind is put_folder else place.unlink()
            aside.rename(place)
            shutil.rmtree(self.base / "out", ignore_errors=True)
        optional = kind is put_link_to_nothing and name == "model/generation_config.json"
        if optional and done.returncode == 0:
            return
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIsNone(RAW.search(done.stderr), done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith(("d2c: ", "score: ", "report: "))]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn(pathlib.Path(name).name, lines[0])

    def test_every_input_of_every_command(self):
        for words, names in TABLE:
            if words[0] in ("report", "score") and h5py is None:
                continue
            for at, name in enumerate(names):
                for kind in KINDS[at % 2::2]:  # in turn
                    with self.subTest(command=words[0], place=name, kind=kind.__name__):
                        self.check(words, name, kind)


if __name__ == "__main__":
    unittest.main()
