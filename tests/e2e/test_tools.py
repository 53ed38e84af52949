"""plan, evaluate, merge, inspect, tokenize and bench as a user would call them."""
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

from harness import (BINARY, SLOWNESS, Case, DEMO, GOLDEN, HAS_BF16, SHARED, SOURCE, d2c, demo_manifest, messages, numpy,
                     read_safetensors, write_manifest, write_safetensors)


GOLDEN_MODELS = ("llama-mha", "llama3-gqa-tied", "mistral-sliding", "qwen2", "stablelm2", "qwen3",
                 "llama-v5-config")

# Options of PEFT's add_weighted_adapter and their names here.
MERGE_OPTIONS = {"combination_type": "--method", "svd_rank": "--merged-rank", "density": "--density",
                 "majority_sign_method": "--majority-sign-method"}


def d2c_options(peft_options):
    return [word for name, value in peft_options.items() for word in (MERGE_OPTIONS[name], value)]


class Evaluate(Case):
    def evaluate(self, *arguments):
        result = self.folder / "losses.json"
        self.succeed("evaluate", *arguments, "--json", result)
        return json.loads(result.read_text())

    def test_demo_losses_equal_the_reference(self):
        self.need(DEMO / "reference_losses.json")
        reference = json.loads((DEMO / "reference_losses.json").read_text())
        for task in demo_manifest()["tasks"][::7]:
            for split, key in (("examples", "few"), ("test", "test")):
                base = self.evaluate("--model", DEMO / "model", "--examples", task[split])
                own = self.evaluate("--model", DEMO / "model", "--adapter", task["adapter"],
                                    "--examples", task[split])
                self.assertAlmostEqual(base["mean"], reference[task["name"]][f"base_{key}"], delta=1e-3)
                self.assertAlmostEqual(own["mean"], reference[task["name"]][f"own_{key}"], delta=1e-3)

    def test_per_token_losses_average_to_the_mean(self):
        self.need(DEMO / "manifest.json")
        task = demo_manifest(1)["tasks"][0]
        losses = self.evaluate("--model", DEMO / "model", "--examples", task["examples"], "--per-token")
        for example in losses["examples"]:
            self.assertAlmostEqual(sum(example["nll"]) / len(example["nll"]), example["mean"], places=12)
        means = [example["mean"] for example in losses["examples"]]
        self.assertAlmostEqual(sum(means) / len(means), losses["mean"], places=12)

    def test_weights_of_a_bf16_model_give_the_same_bits_from_bf16_and_f32_memory(self):
        self.need(DEMO / "manifest.json")
        task = demo_manifest(1)["tasks"][0]
        arguments = ("evaluate", "--model", DEMO / "model", "--adapter", task["adapter"],
                     "--examples", task["examples"], "--per-token", "--json", "-")
        done = [self.succeed(*arguments, "--weights", w) for w in ("f32", "auto", "bf16")]
        self.assertEqual(len({d.stdout for d in done}), 1)
        for d in done:
            self.assertNotIn("rounded", d.stderr)
        self.fail_with(2, ["--weights", "int8", "auto", "bf16"], *arguments, "--weights", "int8")

    def test_bf16_arithmetic_is_near_float32_or_refused_by_the_processor(self):
        self.need(DEMO / "manifest.json")
        task = demo_manifest(1)["tasks"][0]
        arguments = ("evaluate", "--model", DEMO / "model", "--adapter", task["adapter"],
                     "--examples", task["examples"], "--per-token", "--json", "-")
        self.fail_with(2, ["--compute", "int8", "f32", "bf16"], *arguments, "--compute", "int8")
        self.fail_with(2, ["--compute bf16"], *arguments, "--compute", "bf16", "--weights", "f32")
        if not HAS_BF16:
            for ranks in (0, 2):
                self.fail_with(2, ["AVX512_BF16", "--compute f32"], "plan", DEMO / "manifest.json",
                               "-K", 5, "--compute", "bf16", ranks=ranks)
            self.fail_with(2, ["AVX512_BF16", "--compute f32"], *arguments, "--compute", "bf16")
            return
        wide, narrow = [json.loads(self.succeed(*arguments, "--compute", c).stdout)
                        for c in ("f32", "bf16")]
        difference = self.largest_difference(wide, [e["nll"] for e in narrow["examples"]])
        self.assertGreater(difference, 1e-6)
        self.assertLess(difference, 0.1)

    def test_bf16_arithmetic_rounds_weights_only_when_told_to(self):
        self.need_bf16()
        folder = GOLDEN / "llama-mha"
        examples = self.golden_examples(json.loads((folder / "golden.json").read_text()))
        arguments = ("evaluate", "--model", folder / "model", "--examples", examples, "--json", "-",
                     "--compute", "bf16")
        self.fail_with(2, ["are not BF16", "--weights bf16", "--compute f32"], *arguments)
        self.assertIn("rounded to BF16", self.succeed(*arguments, "--weights", "bf16").stderr)

    def test_rounding_an_f32_model_to_bf16_is_announced(self):
        folder = GOLDEN / "llama-mha"
        examples = self.golden_examples(json.loads((folder / "golden.json").read_text()))
        means = {}
        for weights in ("f32", "auto", "bf16"):
            done = self.succeed("evaluate", "--model", folder / "model", "--examples", examples,
                                "--json", "-", "--weights", weights)
            means[weights] = json.loads(done.stdout)["mean"]
            self.assertEqual("rounded to BF16" in done.stderr, weights == "bf16", done.stderr)
        self.assertEqual(means["auto"], means["f32"])
        self.assertNotEqual(means["bf16"], means["f32"])
        self.assertAlmostEqual(means["bf16"] / means["f32"], 1.0, delta=0.02)

    def golden_examples(self, golden):
        path = self.folder / "examples.jsonl"
        path.write_text("".join(
            json.dumps({"input_ids": e["ids"], "prompt_len": e["prompt_len"]}) + "\n"
            for e in golden["examples"]))
        return path

    def largest_difference(self, losses, expected):
        """Between per-token losses of d2c and of the reference."""
        self.assertEqual([len(e["nll"]) for e in losses["examples"]], [len(e) for e in expected])
        return max(abs(a - b) for got, reference in zip(losses["examples"], expected)
                   for a, b in zip(got["nll"], reference))

    def test_golden_models_and_adapters_through_the_command_line(self):
        """Per-token losses within 2e-4 of those of transformers and peft."""
        for folder in (GOLDEN / name for name in GOLDEN_MODELS):
            golden = json.loads((folder / "golden.json").read_text())
            examples = self.golden_examples(golden)
            common = ("--model", folder / "model", "--examples", examples, "--per-token")
            self.assertLess(self.largest_difference(self.evaluate(*common), golden["base"]), 2e-4)
            self.assertGreaterEqual(len(golden["adapters"]), 5)
            for adapter, expected in golden["adapters"].items():
                losses = self.evaluate(*common, "--adapter", folder / "adapters" / adapter)
                self.assertLess(self.largest_difference(losses, expected), 2e-4,
                                f"{folder.name} {adapter}")

    def test_golden_merges_through_the_command_line(self):
        """Per-token losses of merged adapters, within 2e-4 of peft's."""
        for folder in (GOLDEN / name for name in GOLDEN_MODELS):
            golden = json.loads((folder / "golden.json").read_text())
            examples = self.golden_examples(golden)
            self.assertGreaterEqual(len(golden["merges"]), 5)
            largest = 0.0
            for name, merge in golden["merges"].items():
                merged = self.folder / f"{folder.name}-{name}"
                self.succeed("merge", *(folder / "adapters" / a for a in merge["adapters"]),
                             *d2c_options(merge["options"]),
                             "--weights", ",".join(map(str, merge["weights"])), "--output", merged)
                losses = self.evaluate("--model", folder / "model", "--adapter", merged, "--examples",
                                       examples, "--per-token")
                difference = self.largest_difference(losses, merge["nll"])
                self.assertLess(difference, 2e-4, f"{folder.name} {name}")
                largest = max(largest, difference)
            print(f"{folder.name}: largest error of merged per-token losses {largest:.2e}")


def pack(tensors):
    """Header and data of a safetensors file. @param tensors  name to (dtype, shape, bytes)"""
    header, data = {}, bytearray()
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return header, data


def unpack(path):
    header, data = read_safetensors(path)
    return {name: (entry["dtype"], entry["shape"], bytes(data[slice(*entry["data_offsets"])]))
            for name, entry in header.items() if name != "__metadata__"}


class ModelForms(Case):
    """One model in the forms in which model folders come gives one result, bit for bit."""

    def setUp(self):
        super().setUp()
        self.source = GOLDEN / "llama3-gqa-tied"
        golden = json.loads((self.source / "golden.json").read_text())
        self.examples = self.folder / "examples.jsonl"
        self.examples.write_text("".join(
            json.dumps({"input_ids": e["ids"], "prompt_len": e["prompt_len"]}) + "\n"
            for e in golden["examples"]))
        self.config = json.loads((self.source / "model" / "config.json").read_text())
        self.tensors = unpack(self.source / "model" / "model.safetensors")

    def losses(self, name, config, shards):
        """Of a model folder with these files: file name to tensors."""
        model = self.folder / name
        model.mkdir()
        (model / "config.json").write_text(json.dumps(config))
        for file, tensors in shards.items():
            write_safetensors(model / file, *pack(tensors))
        if len(shards) > 1:
            weight_map = {tensor: file for file, tensors in shards.items() for tensor in tensors}
            (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        return self.succeed("evaluate", "--model", model, "--examples", self.examples, "--per-token",
                            "--json", "-").stdout

    def in_shards(self, tensors):
        names = sorted(tensors)
        return {f"model-0000{i + 1}-of-00003.safetensors": {n: tensors[n] for n in names[i::3]}
                for i in range(3)}

    def test_shards_with_an_index(self):
        whole = self.losses("whole", self.config, {"model.safetensors": self.tensors})
        self.assertEqual(self.losses("shards", self.config, self.in_shards(self.tensors)), whole)

    def test_mixed_number_formats(self):
        """Every second tensor as BF16, against the same rounded values as F32."""
        mixed, rounded = dict(self.tensors), dict(self.tensors)
        for name in sorted(self.tensors)[::2]:
            dtype, shape, content = self.tensors[name]
            self.assertEqual(dtype, "F32")
            upper = b"".join(content[i + 2:i + 4] for i in range(0, len(content), 4))
            mixed[name] = ("BF16", shape, upper)
            rounded[name] = ("F32", shape, b"".join(
                b"\0\0" + upper[i:i + 2] for i in range(0, len(upper), 2)))
        expected = self.losses("rounded", self.config, {"model.safetensors": rounded})
        self.assertEqual(self.losses("mixed", self.config, self.in_shards(mixed)), expected)
        original = self.losses("original", self.config, {"model.safetensors": self.tensors})
        self.assertNotEqual(expected, original)

    def test_both_spellings_of_rope_scaling(self):
        new = dict(self.config)
        new["rope_parameters"] = {**new.pop("rope_scaling"), "rope_theta": new.pop("rope_theta")}
        files = {"model.safetensors": self.tensors}
        self.assertEqual(self.losses("new", new, files), self.losses("old", self.config, files))
        plain = {key: value for key, value in self.config.items() if key != "rope_scaling"}
        self.assertNotEqual(self.losses("plain", plain, files),
                            self.losses("again", self.config, files))


class StoredEmbedding(Case):
    """PEFT can store the model's embedding beside the factors."""

    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.manifest = demo_manifest(2)
        self.task = self.manifest["tasks"][0]
        self.adapter = self.folder / "adapter"

    def store(self, change=0):
        name = "model.embed_tokens.weight"
        dtype, shape, content = unpack(DEMO / "model" / "model.safetensors")[name]
        content = bytearray(content)
        content[-2] ^= change
        shutil.rmtree(self.adapter, ignore_errors=True)
        shutil.copytree(self.task["adapter"], self.adapter)
        weights = self.adapter / "adapter_model.safetensors"
        tensors = {**unpack(weights), f"base_model.model.{name}": (dtype, shape, bytes(content))}
        write_safetensors(weights, *pack(tensors))

    def evaluate(self, adapter):
        return ("evaluate", "--model", DEMO / "model", "--adapter", adapter, "--examples",
                self.task["examples"])

    def test_a_copy_changes_nothing(self):
        self.store()
        self.assertEqual(self.succeed(*self.evaluate(self.adapter)).stdout,
                         self.succeed(*self.evaluate(self.task["adapter"])).stdout)
        self.manifest["tasks"][0]["adapter"] = str(self.adapter)
        manifest = write_manifest(self.folder / "manifest.json", self.manifest)
        self.succeed("plan", manifest, "-K", 1, ranks=2)
        self.succeed("merge", self.adapter, "--model", DEMO / "model", "--output",
                     self.folder / "merged")

    def test_an_embedding_that_was_trained_is_refused(self):
        self.store(change=1)
        words = ["base_model.model.model.embed_tokens.weight", "differs from the base model"]
        self.fail_with(3, words, *self.evaluate(self.adapter))
        self.fail_with(3, words, "merge", self.adapter, "--model", DEMO / "model", "--output",
                       self.folder / "merged")

    def test_a_merge_without_the_model_asks_for_it(self):
        self.store()
        self.fail_with(3, ["whole weights", "give the base model"], "merge", self.adapter, "--output",
                       self.folder / "merged")


class CompareWithTransformers(Case):
    """The script that users run; transformers itself is not needed here."""

    SCRIPT = SOURCE / "scripts" / "compare_with_transformers.py"

    def losses_file(self, name, losses):
        path = self.folder / name
        path.write_text(json.dumps({"examples": [{"nll": nll} for nll in losses]}))
        return path

    def compare(self, *arguments):
        return subprocess.run([sys.executable, self.SCRIPT, *map(str, arguments)],
                              capture_output=True, text=True, timeout=60 * SLOWNESS)

    def compare_files(self, ours, reference, *arguments):
        return self.compare("--d2c-json", self.losses_file("d2c.json", ours), "--reference-json",
                            self.losses_file("reference.json", reference), *arguments)

    def test_tells_the_largest_difference_and_where(self):
        ours, reference = [[1.0, 2.0], [3.0]], [[1.0001, 2.0], [3.25]]
        completed = self.compare_files(ours, reference)
        self.assertEqual(completed.returncode, 1, completed.stderr)
        self.assertIn("largest difference 2.500e-01 nats at example 2, scored token 1",
                      completed.stdout)
        self.assertIn("BEYOND", completed.stdout)
        self.assertEqual(self.compare_files(ours, reference, "--tolerance", 0.3).returncode, 0)

    def test_a_loss_that_is_not_finite_never_passes(self):
        for ours in ([[float("nan")]], [[float("inf")]]):
            completed = self.compare_files(ours, ours, "--tolerance", 1e9)
            self.assertEqual(completed.returncode, 1, completed.stdout)

    def test_other_numbers_of_examples_or_tokens_are_named(self):
        for ours, reference, words in (([[1.0]], [[1.0], [1.0]], "losses of 1 examples"),
                                       ([[1.0], [1.0]], [[1.0], [1.0, 2.0]], "example 2: d2c scores 1")):
            completed = self.compare_files(ours, reference)
            self.assertEqual(completed.returncode, 2)
            self.assertIn(words, completed.stderr)
        bad = self.folder / "bad.json"
        bad.write_text('{"examples": [{"mean": 1}]}')
        completed = self.compare("--d2c-json", bad, "--reference-json", bad)
        self.assertEqual(completed.returncode, 2)
        self.assertIn("--per-token", completed.stderr)

    def test_runs_d2c_on_a_model_and_an_adapter(self):
        folder = GOLDEN / "qwen2"
        golden = json.loads((folder / "golden.json").read_text())
        examples = self.folder / "examples.jsonl"
        examples.write_text("".join(
            json.dumps({"input_ids": e["ids"], "prompt_len": e["prompt_len"]}) + "\n"
            for e in golden["examples"]))
        common = ("--model", folder / "model", "--examples", examples, "--d2c", BINARY,
                  "--tolerance", 2e-4, "--adapter", folder / "adapters" / "all-r4-a")
        for reference, status in ((golden["adapters"]["all-r4-a"], 0), (golden["base"], 1)):
            completed = self.compare(*common, "--reference-json",
                                     self.losses_file("reference.json", reference))
            self.assertEqual(completed.returncode, status, completed.stdout + completed.stderr)

    def test_names_a_missing_package_before_anything_runs(self):
        if importlib.util.find_spec("transformers") and importlib.util.find_spec("torch"):
            self.skipTest("transformers is installed")
        completed = self.compare("--model", "nowhere", "--examples", "nothing.jsonl")
        self.assertEqual(completed.returncode, 2)
        self.assertRegex(completed.stderr, r"package '\w+' is missing: pip install")

    def test_examples_become_the_ids_that_d2c_defines(self):
        class Tokenizer:
            """Bytes, with BOS 300; a chat is the contents one after the other."""

            def __call__(self, text, add_special_tokens):
                return {"input_ids": [300] * add_special_tokens + list(text.encode())}

            def apply_chat_template(self, messages, tokenize, add_generation_prompt=False):
                return "".join(f"{m['role'][0]}{m['content']}" for m in messages) + (
                    "a" if add_generation_prompt else "")

        spec = importlib.util.spec_from_file_location("compare_with_transformers", self.SCRIPT)
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        text = {"prompt": "ab", "response": "c"}
        self.assertEqual(script.token_ids(text, Tokenizer(), 301), ([300, 97, 98, 99, 301], 3))
        ids = {**text, "input_ids": [1, 2], "prompt_len": 1}
        self.assertEqual(script.token_ids(ids, Tokenizer(), 301), ([1, 2], 1))
        chat = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
        self.assertEqual(script.token_ids(chat, Tokenizer(), 301), (list(b"uxay"), 3))


class Fv40(Case):
    def test_losses_of_all_tasks_equal_the_reference(self):
        folder = SHARED / "real" / "fv40"
        self.need(folder)
        self.need_h5py()
        from harness import h5py
        completed = self.succeed("run", folder / "manifest.json", "-K", 1, "--search", "kmeans",
                                 "--output", self.folder / "out", ranks=2)
        # The ids in the examples are the reference's; a line whose text gives others is a warning.
        self.assertNotIn("warning", completed.stderr)
        reference = json.loads((folder / "reference_losses.json").read_text())
        with h5py.File(self.folder / "out" / "results.h5") as file:
            names = [name.decode() for name in file["task/name"][...]]
            for group, key in (("baseline", "few"), ("heldout/baseline", "test")):
                for baseline in ("base", "own"):
                    values = file[f"{group}/{baseline}"][...]
                    for name, value in zip(names, values):
                        self.assertAlmostEqual(value, reference[name][f"{baseline}_{key}"], delta=1e-3,
                                               msg=f"{name} {baseline} {key}")


class Plan(Case):
    def test_tells_sizes_without_running(self):
        self.need(DEMO / "manifest.json")
        text = self.succeed("plan", DEMO / "manifest.json", "-K", 5, ranks=2).stdout
        self.assertIn("40 tasks", text)
        self.assertIn("memory per rank", text)

    def test_as_json_is_what_make_job_makes_a_job_of(self):
        self.need(DEMO / "manifest.json")
        plans = [json.loads(self.succeed("plan", DEMO / "manifest.json", "-K", 5, "--json",
                                         ranks=ranks).stdout) for ranks in (1, 3)]
        for plan in plans:
            self.assertGreater(plan.pop("evaluation_seconds"), 0)
            self.assertGreater(plan.pop("refine_evaluation_seconds"), 0)
            plan.pop("imbalance"), plan.pop("ranks")
            self.assertGreater(plan.pop("merge_seconds"), 0)
            least, most = plan.pop("job_seconds")
            self.assertLess(0, least)
            self.assertLess(least, most)
            plan["bytes_per_rank"].pop("activations")
            plan["bytes_per_rank"].pop("refinement")  # shared between the ranks, in part
            plan.pop("refinement_bytes")
        self.assertEqual(*plans)
        plans[0].update(evaluation_seconds=0.001)
        plans[0]["bytes_per_rank"]["activations"] = 1 << 20
        job = subprocess.run([sys.executable, SOURCE / "scripts" / "make_job.py", "-",
                              "--cores-per-node", "2", "--gib-per-node", "1"],
                             input=json.dumps(plans[0]), text=True, capture_output=True, check=True)
        self.assertIn(str(DEMO / "manifest.json"), job.stdout)
        self.assertIn("#SBATCH --nodes=1\n", job.stdout)
        subprocess.run(["bash", "-n"], input=job.stdout, text=True, check=True)

    def test_time_of_the_job_counts_all_of_it(self):
        self.need(DEMO / "manifest.json")
        command = ("plan", DEMO / "manifest.json", "-K", 5, "--effort", "thorough", "--json")
        plain, refined, every, few = (json.loads(self.succeed(*command, *more).stdout) for more in
                                      (("--refine", "none"), (), ("--refine", "none", "--final-losses", "all"),
                                       ("--refine", "none", "--search", "kmeans", "--max-evaluations", 10)))
        self.assertEqual(plain["search_evaluations"], [2400, 5600])
        self.assertGreater(refined["refine_evaluations"], 40)
        self.assertEqual(set(plain["refinement_bytes"].values()), {0})
        self.assertEqual(sum(refined["refinement_bytes"].values()),
                         refined["bytes_per_rank"]["refinement"])
        self.assertTrue(all(bytes > 0 for bytes in refined["refinement_bytes"].values()))
        kept = json.loads(self.succeed(*command, "--verify-examples", 2).stdout)
        self.assertLess(kept["refine_evaluations"], refined["refine_evaluations"])
        self.assertLess(kept["refinement_bytes"]["lessons"], refined["refinement_bytes"]["lessons"])
        self.assertGreater(refined["job_seconds"][0], plain["job_seconds"][0])
        self.assertGreater(every["other_evaluations"], 1.5 * plain["other_evaluations"])
        self.assertEqual(few["search_evaluations"], [10, 10])
        self.assertLess(few["job_seconds"][1], plain["job_seconds"][0])
        text = self.succeed("plan", DEMO / "manifest.json", "-K", 5, "--effort", "thorough").stdout
        self.assertIn("search auto with 2400 to 5600 evaluations", text)

    def test_all_problems_are_told_at_once(self):
        self.need(DEMO / "manifest.json")
        manifest = demo_manifest(30)
        for task in manifest["tasks"][3:28]:
            task["adapter"] = str(self.folder / f"absent-{task['name']}")
        manifest["tasks"][1]["examples"] = str(self.folder / "broken.jsonl")
        (self.folder / "broken.jsonl").write_text('{"prompt": "a", "response": "b"}\n{"prompt": 1}\n')
        path = self.folder / "manifest.json"
        path.write_text(json.dumps(manifest, indent=1))
        lines = path.read_text().splitlines()
        for ranks in (1, 3):
            completed = d2c("plan", path, "-K", 2, ranks=ranks)
            self.assertEqual(completed.returncode, 3, completed.stderr)
            told = messages(completed)
            self.assertEqual(len(told), 21)
            for problem, task in zip(told, [1, *range(3, 22)]):
                name = manifest["tasks"][task]["name"]
                line = next(n for n, line in enumerate(lines, 1) if f'"name": "{name}"' in line)
                self.assertIn(f"{path}:{line}: task '{name}': ", problem)
            self.assertIn("broken.jsonl:2: ", told[0])
            self.assertEqual(told[-1], "d2c: and 6 more")
        self.fail_with(3, ["broken.jsonl:2: "], "plan", path, "-K", 2, "--on-bad-adapter", "skip")
        manifest["tasks"][3:28] = []
        write_manifest(path, manifest)
        self.fail_with(3, ["broken.jsonl:2: "], "plan", path, "-K", 2, ranks=2)

    def test_refuses_what_run_refuses(self):
        self.need(DEMO / "manifest.json")
        self.fail_with(2, ["-K is 41"], "plan", DEMO / "manifest.json", "-K", 41)


class Merge(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.adapters = [task["adapter"] for task in demo_manifest(2)["tasks"]]

    def test_lists_methods(self):
        text = self.succeed("merge", "--list-methods").stdout
        for method in ("average", "cat", "linear"):
            self.assertIn(method, text)

    def test_tells_which_adapters_lack_modules(self):
        """Adapters that name no base model merge with those that do."""
        adapters = GOLDEN / "llama-mha" / "adapters"
        merged = self.folder / "out"
        text = self.succeed("merge", adapters / "qv-r4", adapters / "all-r4-a", "--output", merged).stdout
        self.assertIn("qv-r4 has 6 of the 21 modules and counts as zero in the others", text)
        self.assertNotIn("all-r4-a has", text)
        self.assertIn("| 6 of 21 |", (merged / "README.md").read_text())
        config = json.loads((merged / "adapter_config.json").read_text())
        self.assertEqual(config["base_model_name_or_path"], "tiny")
        self.assertIn("up_proj", config["target_modules"])
        self.assertFalse([name for name in config["target_modules"] if "." in name])

    def test_modules_of_different_rank_are_padded_to_one(self):
        """Loaders that ignore rank_pattern and alpha_pattern read the adapter right; the losses stay."""
        golden = GOLDEN / "llama-mha"
        adapters = [golden / "adapters" / name for name in ("qv-r4", "all-r8-rslora")]
        text = self.succeed("merge", "--method", "cat", *adapters, "-o", self.folder / "cat").stdout
        self.assertIn("21 modules", text)
        config = json.loads((self.folder / "cat" / "adapter_config.json").read_text())
        self.assertEqual([config[name] for name in ("r", "lora_alpha", "rank_pattern", "alpha_pattern")],
                         [12, 12, {}, {}])
        header, data = read_safetensors(self.folder / "cat" / "adapter_model.safetensors")
        self.assertEqual({min(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"}, {12})
        self.assertIn("Rank and alpha: 12, in all modules (those of lower rank are padded with zeros)",
                      (self.folder / "cat" / "README.md").read_text())
        if numpy is None:
            self.skipTest("python3-numpy is not installed")
        # The same without the zeros, with patterns as PEFT reads them.
        full = ("q_proj", "v_proj")
        patterns = dict.fromkeys(full, 12)
        config.update(r=8, lora_alpha=8, rank_pattern=patterns, alpha_pattern=patterns)
        cut, content = {}, bytearray()
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            begin, end = tensor["data_offsets"]
            values = numpy.frombuffer(data[begin:end], "<f4").reshape(tensor["shape"])
            if not any(module in name for module in full):
                values = values[:8] if "lora_A" in name else values[:, :8]
            start = len(content)
            content += values.tobytes()
            cut[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [start, len(content)]}
        (self.folder / "cut").mkdir()
        (self.folder / "cut" / "adapter_config.json").write_text(json.dumps(config))
        write_safetensors(self.folder / "cut" / "adapter_model.safetensors", cut, content)
        examples = self.folder / "examples.jsonl"
        examples.write_text("".join(json.dumps({"input_ids": e["ids"], "prompt_len": e["prompt_len"]}) + "\n"
                                    for e in json.loads((golden / "golden.json").read_text())["examples"]))
        losses = [json.loads(self.succeed("evaluate", "--model", golden / "model", "--adapter", self.folder / name,
                                          "--examples", examples, "--json", "-").stdout)["mean"]
                  for name in ("cat", "cut")]
        self.assertAlmostEqual(losses[0], losses[1], delta=1e-6)

    def test_every_method_merges_adapters_of_its_kind(self):
        """Ranks 4, 6 and 8: methods on A and B apart refuse them and name those that do not."""
        mixed = [task["adapter"] for task in demo_manifest(3)["tasks"]]
        needs_equal_ranks = {"linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"}
        listed = self.succeed("merge", "--list-methods").stdout.splitlines()
        reads_of = {line.split()[0]: reads for line, reads in zip(listed[::2], listed[1::2])}
        methods = {method: "--density" in reads for method, reads in reads_of.items()
                   if "examples of a job" not in reads}
        self.assertGreaterEqual(len(methods), 18)
        for method, prunes in methods.items():
            call = ("merge", "--method", method, "--output", self.folder / method)
            if prunes:
                self.fail_with(2, [f"'{method}' needs --density"], *call, mixed[0])
                call += ("--density", 0.5)
            self.succeed(*call, mixed[0], mixed[0])
            shutil.rmtree(self.folder / method)
            if method in needs_equal_ranks:
                self.fail_with(3, ["has rank", "average, cat"], *call, *mixed)
            else:
                self.succeed(*call, *mixed)

    def test_refuses_methods_that_look_at_examples(self):
        self.fail_with(2, ["'regmean' needs the examples", "this command has none", "regmean_datafree"],
                       "merge", *self.adapters, "--method", "regmean", "--output", self.folder / "out")
        self.assertFalse((self.folder / "out").exists())

    def test_refuses_an_existing_output(self):
        self.fail_with(3, ["exists already"], "merge", *self.adapters, "--output", self.folder)

    def test_refuses_wrong_number_of_weights(self):
        self.fail_with(2, ["--weights", "3 values for 2"], "merge", *self.adapters, "--weights", "1,2,3",
                       "--output", self.folder / "out")

    def test_refuses_a_weight_that_is_no_number(self):
        self.fail_with(2, ["--weights", "'x'"], "merge", *self.adapters, "--weights", "1,x", "--output",
                       self.folder / "out")


class Tokenize(Case):
    def test_agrees_with_the_ids_of_the_examples(self):
        self.need(DEMO / "manifest.json")
        for task in demo_manifest()["tasks"][::9]:
            text = pathlib.Path(task["examples"]).read_text()
            lines = [json.loads(line) for line in text.splitlines()]
            prompts = "".join(json.dumps({"text": l["prompt"]}) + "\n" for l in lines)
            output = self.succeed("tokenize", "--tokenizer", DEMO / "model", "--special",
                                  stdin=prompts).stdout
            for line, expected in zip(output.splitlines(), lines):
                self.assertEqual(json.loads(line)["ids"],
                                 expected["input_ids"][:expected["prompt_len"]])

    def test_refuses_a_line_without_text(self):
        self.need(DEMO / "manifest.json")
        self.fail_with(3, ["standard input:2", "text"], "tokenize", "--tokenizer", DEMO / "model",
                       stdin='{"text": "a"}\n{"txt": "b"}\n')


class Bench(Case):
    def test_measures_products_and_an_evaluation_of_a_model(self):
        shown = self.succeed("bench", "--model", DEMO / "model", "--seconds", 0.1).stdout
        for words in ("gate, up", "% of the peak", "distinct tokens/s", "cross-entropy"):
            self.assertIn(words, shown)

    def test_measures_bf16_arithmetic_beside_both_peaks(self):
        self.need_bf16()
        shown = self.succeed("bench", "--model", DEMO / "model", "--seconds", 0.1, "--compute",
                             "bf16").stdout
        for words in ("BF16 arithmetic", "% of the FMA peak", "% of the BF16 peak of"):
            self.assertIn(words, shown)

    def test_warns_of_more_threads_than_processors(self):
        one = {min(os.sched_getaffinity(0))}
        done = subprocess.run([BINARY, "evaluate", "--threads", "2", "--model", DEMO / "absent",
                               "--examples", DEMO / "absent.jsonl"], capture_output=True, text=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, one))
        self.assertIn("--threads 2 on 1 usable processor", done.stderr)

    def test_refuses_no_threads(self):
        self.assertEqual(d2c("bench", "--threads", 0).returncode, 2)


class Help(Case):
    def test_every_command_explains_itself(self):
        overview = self.succeed("--help").stdout
        for command in ("run", "plan", "evaluate", "merge", "inspect", "tokenize"):
            self.assertIn(command, overview)
            self.assertIn("Usage: d2c " + command, self.succeed(command, "--help").stdout)

    def test_compare_lists_only_options_that_it_takes(self):
        listed = set(re.findall(r"^  (?:-\w \[ )?--([\w-]+)", self.succeed("compare", "--help").stdout, re.MULTILINE))
        self.assertLessEqual({"searches", "methods", "restarts", "density", "scale", "threads", "output"}, listed)
        self.assertFalse({"merged", "search", "method", "sweep-pick", "budget-mb", "max-hours"} & listed)

    def test_run_shows_ten_options_first_and_all_by_group_when_asked(self):
        short = self.succeed("run", "--help").stdout
        self.assertEqual(short, self.succeed("help", "run").stdout)
        self.assertEqual(len(re.findall(r"^  -", short, re.M)), 10)
        self.assertEqual(short.count("(default: ") + short.count("(needed"), 10)
        full = self.succeed("run", "--help-all").stdout
        for option in re.findall(r"^  (?:-\w, )?(--?[\w-]+)", short, re.M):
            self.assertRegex(full, rf"(?m)^  (-\w \[ )?{option}\b")
        for group in ("Clusters", "Merging", "Machine", "Output", "Other"):
            self.assertRegex(full, rf"(?m)^{group}.*:$")
        self.assertLessEqual(max(map(len, (short + full).splitlines())), 80)
        self.assertEqual(self.succeed("help").stdout, self.succeed("--help").stdout)

    def test_completion_knows_commands_options_and_words(self):
        script = self.folder / "d2c"
        script.write_text(self.succeed("help", "--completion", "bash").stdout)
        for typed, expected in ((["ru"], "run"), (["run", "--sear"], "--search"), (["run", "--search", "kmeans_"],
                                "kmeans_trimmed"), (["merge", "--method", "knot"], "knots_ties"), (["run", "fil"], "")):
            words = " ".join(["d2c", *typed])
            done = subprocess.run(["bash", "-euc", f". {script}; COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _d2c; "
                                   'echo "${COMPREPLY[*]}"'], capture_output=True, text=True, check=True)
            self.assertEqual(done.stdout.strip(), expected, done.stderr)

    def test_manual_page_has_all_commands_and_options(self):
        page = self.succeed("help", "--man").stdout
        self.assertTrue(page.startswith(".TH D2C 1 "))
        for command in re.findall(r"^  (\w+)  ", self.succeed("--help").stdout, re.M):
            self.assertIn(f".SH d2c {command}\n", page)
            for option in re.findall(r"^  (?:-\w \[ )?(--[\w-]+)", self.succeed(command, "--help-all").stdout, re.M):
                self.assertIn(option.replace("-", "\\-"), page)


if __name__ == "__main__":
    unittest.main(verbosity=2)
