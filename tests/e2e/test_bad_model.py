"""Configurations of models that are absurd or contradict themselves or the weights: one line in every command."""
import json
import pathlib
import shutil
import tempfile
import unittest

from harness import RAW, Case, d2c, demo_manifest, messages, write_manifest

PLAIN = ["--search", "kmeans", "--refine", "none", "--quiet"]

# field of config.json -> value, and a word of the message
CONFIGS = [
    ({"hidden_size": 2147483647}, ""),
    ({"hidden_size": 0}, "hidden_size"),
    ({"num_hidden_layers": 3}, "model.layers.2"),
    ({"num_attention_heads": 3}, ""),
    ({"num_attention_heads": 4294967297}, "num_attention_heads"),
    ({"num_key_value_heads": 3}, ""),
    ({"num_key_value_heads": [2]}, "num_key_value_heads"),
    ({"intermediate_size": 9223372036854775807}, "intermediate_size"),
    ({"vocab_size": 895}, ""),
    ({"rms_norm_eps": "small"}, "rms_norm_eps"),
    ({"rope_theta": float("inf")}, ""),
    ({"model_type": ["llama"]}, "model_type"),
    ({"rope_scaling": {"rope_type": "llama3"}}, "rope"),
]


class BadModel(Case):
    @classmethod
    def setUpClass(cls):
        cls.base = pathlib.Path(tempfile.mkdtemp(prefix="d2c-e2e-model-"))
        cls.addClassCleanup(shutil.rmtree, cls.base, ignore_errors=True)
        manifest = demo_manifest(3)
        shutil.copytree(manifest["model"], cls.base / "model")
        cls.config = cls.base / "model" / "config.json"
        cls.config.chmod(0o644)
        cls.good = json.loads(cls.config.read_text())
        manifest["model"] = str(cls.base / "model")
        cls.examples = manifest["tasks"][0]["examples"]
        cls.more = write_manifest(cls.base / "more.json", {**manifest, "tasks": manifest["tasks"][2:]})
        cls.manifest = write_manifest(cls.base / "m.json", {**manifest, "tasks": manifest["tasks"][:2]})
        cls.result = cls.base / "result"
        done = d2c("run", cls.manifest, "-K", 1, *PLAIN, "-o", cls.result)
        assert done.returncode == 0, done.stderr

    def commands(self):
        """(ranks, words) of each command that reads the model."""
        return [
            (2, ["run", self.manifest, "-K", 1, *PLAIN, "-o", self.folder / "run"]),
            (2, ["compare", self.manifest, "-K", 1, "--searches", "kmeans", "--refine", "none", "--quiet", "-o",
                 self.folder / "compare"]),
            (2, ["add", self.result, "--tasks", self.more, "--quiet", "-o", self.folder / "add"]),
            (2, ["generate", self.result, "--quiet", "-o", self.folder / "predictions.jsonl"]),
            (0, ["plan", self.manifest, "-K", 1]),
            (0, ["evaluate", "--model", self.base / "model", "--examples", self.examples]),
        ]

    def check(self, ranks, words, word):
        done = d2c(*words, ranks=ranks, timeout=60)
        self.assertEqual(done.returncode, 3, done.stderr)
        lines = messages(done)
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn(word, lines[0])
        self.assertIsNone(RAW.search(done.stderr), done.stderr)

    def write(self, changes):
        self.config.write_text(json.dumps({**self.good, **changes}))
        self.addCleanup(self.config.write_text, json.dumps(self.good))

    def test_every_configuration_by_two_commands(self):
        commands = self.commands()
        for at, (changes, word) in enumerate(CONFIGS):
            self.write(changes)
            for ranks, words in (commands[at % len(commands)], commands[-1]):
                with self.subTest(config=changes, command=words[0]):
                    self.check(ranks, words, word)

    def test_every_command(self):
        self.write({"num_key_value_heads": 3})
        for ranks, words in self.commands():
            with self.subTest(command=words[0]):
                self.check(ranks, words, "")

    def test_export_for_a_server_that_needs_the_heads(self):
        call = ["export", self.result, "--for", "llama.cpp", "-o", self.folder / "out"]
        for value in (None, 0, -1, 3, 1e30, "4", [4], {}):
            self.write({"num_attention_heads": value})
            with self.subTest(heads=value):
                self.check(0, call, "heads")
                self.assertFalse((self.folder / "out").exists())
        self.config.write_text("[" * 100_000)
        self.check(0, call, "config.json")


if __name__ == "__main__":
    unittest.main()
