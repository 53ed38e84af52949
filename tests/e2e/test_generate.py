"""Generated texts: against an independent reference, whatever the ranks, and scored."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from harness import (BINARY, SLOWNESS, Case, DEMO, SHARED, SOURCE, d2c, demo_manifest, h5py, messages,
                     write_manifest)


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Reference(Case):
    def test_texts_are_token_for_token_those_of_the_reference(self):
        folder = SHARED / "real" / "fv40"
        self.need(folder / "greedy.json")
        reference = json.loads((folder / "greedy.json").read_text())
        output = self.folder / "out.jsonl"
        self.succeed("generate", folder / "manifest.json", "--examples-per-task", 3, "--max-new-tokens",
                     reference["max_new_tokens"], "--ids", "--output", output, ranks=2)
        texts = {}
        for line in lines_of(output):
            texts.setdefault((line["task"], line["adapter"]), []).append(line)
        self.assertEqual(len(texts), 2 * len(reference["tasks"]))
        for task, examples in reference["tasks"].items():
            for adapter in ("base", "own"):
                for line, example in zip(texts[task, adapter], examples, strict=True):
                    self.assertEqual(line["prompt_ids"], example["prompt_ids"])
                    self.assertEqual(line["prediction_ids"], example[adapter], (task, adapter))


@unittest.skipIf(h5py is None, "python3-h5py is not installed")
class Generate(Case):
    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="d2c-e2e-generate-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.manifest = write_manifest(cls.home / "manifest.json", demo_manifest(5))
        cls.result = cls.home / "result"
        done = d2c("run", cls.manifest, "-K", 2, "--search", "kmeans", "--quiet", "--output", cls.result)
        assert done.returncode == 0, done.stderr

    def generate(self, name, *arguments, source=None, **how):
        output = self.folder / name
        self.succeed("generate", source or self.result, "--examples-per-task", 4, "--max-new-tokens", 12,
                     "--output", output, *arguments, **how)
        return output

    def test_texts_do_not_depend_on_ranks_threads_or_batches(self):
        alone = self.generate("alone").read_bytes()
        for ranks, more in ((1, ()), (2, ("--threads", 3)), (3, ("--batch-tokens", 1)), (8, ("--batch-tokens", 90))):
            self.assertEqual(self.generate(f"ranks{ranks}", *more, ranks=ranks).read_bytes(), alone)

    def test_every_task_is_answered_by_base_own_and_its_cluster(self):
        lines = lines_of(self.generate("all"))
        with h5py.File(self.result / "results.h5") as file:
            cluster = {name: f"cluster_{c:02}" for name, c in zip(file["task/name"].asstr(),
                                                                  file["result/assignment"])}
        expected = [(task["name"], adapter) for task in demo_manifest(5)["tasks"]
                    for adapter in ("base", "own", cluster[task["name"]]) for _ in range(4)]
        self.assertEqual([(line["task"], line["adapter"]) for line in lines], expected)
        held_out = [json.loads(line) for task in demo_manifest(5)["tasks"]
                    for line in pathlib.Path(task["test"]).read_text().splitlines()[:4]]
        asked = [(line["prompt"], line["reference"]) for line in lines if line["adapter"] == "base"]
        self.assertEqual(asked, [(line["prompt"], line["response"]) for line in held_out])

    def test_one_file_is_answered_as_within_a_job(self):
        task = demo_manifest(2)["tasks"][1]
        output = self.folder / "one.jsonl"
        self.succeed("generate", "--model", DEMO / "model", "--adapter", task["adapter"], "--examples", task["test"],
                     "--examples-per-task", 4, "--max-new-tokens", 12, "--output", output)
        expected = [line for line in lines_of(self.generate("all")) if line["task"] == task["name"]
                    and line["adapter"] in ("base", "own")]
        for line in expected:
            line["task"] = pathlib.Path(task["test"]).stem
        self.assertEqual(lines_of(output), expected)

    def test_score_reads_the_predictions(self):
        output = self.generate("predictions.jsonl", "--split", "examples")
        results = self.folder / "results.h5"
        shutil.copy(self.result / "results.h5", results)
        done = subprocess.run([sys.executable, SOURCE / "scripts" / "score.py", output, "--into", results, "--summary"],
                              capture_output=True, text=True, timeout=120 * SLOWNESS)
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(results) as file:
            self.assertEqual(list(file["score/adapter"].asstr()), ["base", "own", "clusters"])
            match = file["score/mean"][:, list(file["score/metric"].asstr()).index("exact_match")]
        self.assertGreater(match[1], match[0])
        self.succeed("inspect", results)

    def test_output_stands_beside_the_results_and_is_not_overwritten_unasked(self):
        result = self.folder / "result"
        shutil.copytree(self.result, result)
        command = ("generate", result, "--examples-per-task", 1, "--max-new-tokens", 3, "--adapters")
        self.succeed(*command, "own")
        self.assertEqual({line["adapter"] for line in lines_of(result / "predictions.jsonl")}, {"own"})
        self.fail_with(3, ["predictions.jsonl", "exists already", "--overwrite"], *command, "own", ranks=2)
        self.succeed(*command, "base", "--overwrite")
        self.assertEqual({line["adapter"] for line in lines_of(result / "predictions.jsonl")}, {"base"})

    def test_bad_input_gives_one_line(self):
        to = ("--output", self.folder / "out.jsonl")
        self.fail_with(2, ["--output is missing"], "generate", self.manifest, ranks=3)
        self.fail_with(2, ["no RESULT is given"], "generate", *to)
        self.fail_with(2, ["RESULT and --model are given"], "generate", self.result, "--model", DEMO / "model", *to)
        self.fail_with(2, ["--examples is missing"], "generate", "--model", DEMO / "model", *to)
        self.fail_with(2, ["--adapter goes with --model"], "generate", self.result, "--adapter", "x", *to)
        self.fail_with(2, ["does not take 'clusters' here", "only a result"], "generate", self.manifest, "--adapters",
                       "clusters", *to, ranks=2)
        self.fail_with(2, ["does not take 'all'", "base,own,clusters"], "generate", self.result, "--adapters", "all")
        self.fail_with(3, ["absent.json", "cannot be opened"], "generate", self.folder / "absent.json", *to, ranks=3)
        (self.folder / "alone").mkdir()
        shutil.copy(self.result / "results.h5", self.folder / "alone")
        self.fail_with(3, ["cluster_0", "is not there", "--merged peft"], "generate", self.folder / "alone", *to, ranks=2)
        broken = demo_manifest(4)
        broken["tasks"][2]["adapter"] = str(self.folder / "absent")
        path = write_manifest(self.folder / "broken.json", broken)
        self.fail_with(3, ["absent"], "generate", path, "--examples-per-task", 1, *to, ranks=3)
        # A bad adapter is known on all ranks before any of them writes.
        spoilt = shutil.copytree(broken["tasks"][3]["adapter"], self.folder / "spoilt")
        weights = spoilt / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"\xff" * 4)
        for bad, word in (("absent", ""), ("spoilt", "finite")):
            broken["tasks"][2]["adapter"] = str(self.folder / bad)
            path = write_manifest(self.folder / "broken.json", broken)
            for ranks in (0, 2):
                done = d2c("generate", path, "--examples-per-task", 1, *to, ranks=ranks)
                self.assertEqual(done.returncode, 3, done.stderr)
                (line,) = messages(done)
                self.assertRegex(line, f"^d2c: /.*{bad}.*{word}")
                self.assertNotIn("writing texts", done.stderr)
        del broken["tasks"][1]["test"]
        broken["tasks"][3]["test"] = str(self.folder / "none.jsonl")
        path = write_manifest(self.folder / "no_test.json", broken)
        self.fail_with(3, ["has no test examples"], "generate", path, "--split", "test", *to, ranks=2)
        self.fail_with(3, ["none.jsonl", "cannot be opened"], "generate", path, *to, ranks=8)
        model = shutil.copytree(DEMO / "model", self.folder / "model")
        (model / "generation_config.json").write_text("[5]")
        self.fail_with(3, ["generation_config.json", "is not a JSON object"], "generate", "--model", model, "--examples",
                       DEMO / "examples" / "echo_bogduh.jsonl", *to)

    def test_without_a_tokenizer_ids_are_written(self):
        model = self.folder / "model"
        shutil.copytree(DEMO / "model", model)
        (model / "tokenizer.json").unlink()
        task = demo_manifest(1)["tasks"][0]
        whole = lines_of(self.generate("ids.jsonl", "--ids", "--adapters", "base"))[0]
        examples = self.folder / "ids.jsonl"
        examples.write_text(json.dumps({"input_ids": whole["prompt_ids"] + [5, 7], "prompt_len":
                                        len(whole["prompt_ids"])}) + "\n")
        command = ("generate", "--model", model, "--examples", examples, "--max-new-tokens", 12, "--output",
                   self.folder / "out.jsonl")
        self.fail_with(3, ["tokenizer.json", "--ids"], *command)
        self.succeed(*command, "--ids")
        (line,) = lines_of(self.folder / "out.jsonl")
        self.assertEqual(line["prediction_ids"], whole["prediction_ids"])
        self.assertEqual(line["reference"], "5 7")

    def test_goes_on_after_a_signal(self):
        manifest = DEMO / "manifest.json"
        how = ["--max-new-tokens", "40", "--adapters", "own"]
        whole, output = self.folder / "whole.jsonl", self.folder / "stopped.jsonl"
        self.succeed("generate", manifest, *how, "--output", whole)
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", BINARY, "generate", str(manifest), *how,
                   "--verbose", "--output", str(output)]
        rest = self.stop_at("reading the input", command)
        self.assertIn("run the same command again", rest)
        left = pathlib.Path(f"{output}.unfinished")
        self.assertTrue(left.exists())
        self.assertFalse(output.exists())
        self.fail_with(3, ["is of another job", "--max-new-tokens was 40 and is 41"], "generate", manifest,
                       "--max-new-tokens", 41, "--adapters", "own", "--output", output)
        self.succeed("generate", manifest, *how, "--output", output)
        self.assertEqual(output.read_bytes(), whole.read_bytes())
        self.assertFalse(left.exists())


if __name__ == "__main__":
    unittest.main()
