"""What `d2c export` makes of a result: folders, routes and GGUF files that mean the same adapters."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

from harness import Case, d2c, demo_manifest, numpy, read_safetensors, write_manifest, write_safetensors


class Gguf:
    """A GGUF file, read by its specification: metadata, and tensors as arrays with the rows first."""

    TYPES = {0: ("<f4", 4), 1: ("<f2", 2), 30: ("<u2", 2)}

    def __init__(self, path):
        self.raw, self.at = path.read_bytes(), 0
        assert self.raw[:4] == b"GGUF"
        self.at = 4
        self.version, n_tensors, n_pairs = self.take("<IQQ")
        self.metadata = {}
        for _ in range(n_pairs):
            key, (kind,) = self.text(), self.take("<I")
            self.metadata[key] = self.text() if kind == 8 else self.take({4: "<I", 6: "<f"}[kind])[0]
        infos = []
        for _ in range(n_tensors):
            name, (n_sizes,) = self.text(), self.take("<I")
            infos.append((name, self.take(f"<{n_sizes}Q"), *self.take("<IQ")))
        start = self.at + -self.at % 32
        self.end, self.tensors = start, {}
        for name, sizes, kind, offset in infos:
            assert offset % 32 == 0
            form, size = self.TYPES[kind]
            count = int(numpy.prod(sizes))
            values = numpy.frombuffer(self.raw, form, count, start + offset)
            if kind == 30:
                values = (values.astype("<u4") << 16).view("<f4")
            self.tensors[name] = values.reshape(sizes[::-1])
            self.end = max(self.end, start + offset + size * count + -size * count % 32)

    def take(self, form):
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values

    def text(self):
        (size,) = self.take("<Q")
        self.at += size
        return self.raw[self.at - size:self.at].decode()


def deltas(folder):
    """Module -> B A of a PEFT folder; d2c writes alpha = r."""
    header, data = read_safetensors(folder / "adapter_model.safetensors")
    factors = {}
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        begin, end = tensor["data_offsets"]
        form = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[tensor["dtype"]]
        values = numpy.frombuffer(bytes(data[begin:end]), form).reshape(tensor["shape"])
        if tensor["dtype"] == "BF16":
            values = (values.astype("<u4") << 16).view("<f4")
        module, _, letter = name.removeprefix("base_model.model.").partition(".lora_")
        factors[module, letter[0]] = values.astype("f8")
    return {module: factors[module, "B"] @ factors[module, "A"] for module, letter in factors if letter == "A"}


def names_of(layer):
    """llama.cpp's name -> ours, of a layer."""
    return {f"blk.{layer}.{theirs}.weight": f"model.layers.{layer}.{ours}" for theirs, ours in {
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj"}.items()}


@unittest.skipIf(numpy is None, "python3-numpy is not installed")
class Export(Case):
    @classmethod
    def setUpClass(cls):
        cls.results = pathlib.Path(tempfile.mkdtemp(prefix="d2c-e2e-export-"))
        cls.addClassCleanup(shutil.rmtree, cls.results, ignore_errors=True)
        manifest = write_manifest(cls.results / "manifest.json", demo_manifest(8))
        done = d2c("run", manifest, "-K", 2, "--search", "kmeans", "-o", cls.results)
        assert done.returncode == 0, done.stderr
        cls.routing = json.loads((cls.results / "routing.json").read_text())

    def export(self, server, *options, results=None):
        done = self.succeed("export", results or self.results, "--for", server, "-o", self.folder / "out", *options)
        return self.folder / "out", json.loads((self.folder / "out" / "routes.json").read_text()), done.stdout

    def test_folders_for_peft_are_those_of_the_result(self):
        out, routes, _ = self.export("peft")
        self.assertEqual(sorted(path.name for path in out.iterdir()),
                         ["README.md", "cluster_00", "cluster_01", "routes.json"])
        for name in ("cluster_00", "cluster_01"):
            for file in ("adapter_config.json", "adapter_model.safetensors", "README.md"):
                self.assertEqual((out / name / file).read_bytes(),
                                 (self.results / "merged" / name / file).read_bytes())
        self.assertEqual(routes["tasks"], {task: f"cluster_{entry['cluster']:02}"
                                           for task, entry in self.routing["tasks"].items()})
        self.assertEqual(routes["adapters"]["cluster_01"]["path"], "cluster_01")
        for check, given in zip(routes["checks"], self.routing["checks"]):
            self.assertEqual(check["adapter"], f"cluster_{given['cluster']:02}")
            for key in ("task", "loss", "base_loss", "examples"):
                self.assertEqual(check[key], given[key])
        readme = (out / "README.md").read_text()
        self.assertIn("2 adapters for 8 tasks", readme)
        program = readme[readme.index("```python") + 9:readme.rindex("```")]
        compile(program, "README.md", "exec")

    def test_tasks_have_other_names_where_asked(self):
        first, second = list(self.routing["tasks"])[:2]
        file = self.folder / "names.json"
        file.write_text(json.dumps({first: "ä b"}))
        _, routes, _ = self.export("peft", "--aliases", file, "--alias", f"{second}=two", "--alias", f"{first}=one")
        self.assertEqual(list(routes["tasks"])[0:1] and {"one", "two"} <= set(routes["tasks"]), True)
        self.assertNotIn(first, routes["tasks"])
        self.assertEqual(len(routes["tasks"]), 8)

    def test_wrong_aliases_are_refused(self):
        first, second = list(self.routing["tasks"])[:2]
        call = ("export", self.results, "--for", "peft", "-o", self.folder / "out")
        self.fail_with(2, ["alias for 'x'", "no task"], *call, "--alias", "x=y")
        self.fail_with(2, ["TASK=NAME"], *call, "--alias", "x")
        self.fail_with(2, ["would both be called"], *call, "--alias", f"{first}={second}")
        (self.folder / "names.json").write_text("[1]")
        self.fail_with(3, ["names.json", "not a JSON object of names"], *call, "--aliases", self.folder / "names.json")
        self.assertFalse((self.folder / "out").exists())

    def test_vllm_is_called_with_all_adapters_and_a_rank_that_it_takes(self):
        out, _, said = self.export("vllm")
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "vllm").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (bin_folder / "vllm").chmod(0o755)
        path = {"PATH": f"{bin_folder}:{os.environ['PATH']}"}
        words = subprocess.run([out / "serve.sh", "--port", "1"], env=path, capture_output=True, text=True,
                               check=True).stdout.split("\n")
        self.assertEqual(words, ["serve", self.routing["model"], "--enable-lora", "--max-loras", "2", "--max-lora-rank",
                                 "8", "--lora-modules", f"cluster_00={out}/cluster_00", f"cluster_01={out}/cluster_01",
                                 "--port", "1", ""])
        printed = subprocess.run(["sh", "-c", said], env=path, capture_output=True, text=True, check=True).stdout
        self.assertEqual(printed.split("\n"), words[:-3] + [""])

    def test_gguf_files_hold_the_updates_in_the_order_of_llama_cpp(self):
        """heads x 2 x half turns into heads x half x 2 for q and k; other rows stay."""
        out, routes, _ = self.export("llama.cpp")
        for cluster in self.routing["clusters"]:
            name = f"cluster_{cluster['cluster']:02}"
            file = Gguf(out / f"{name}.gguf")
            self.assertEqual(file.version, 3)
            self.assertEqual(file.metadata, {
                "general.type": "adapter", "general.architecture": "llama", "general.name": name,
                "adapter.type": "lora", "adapter.lora.alpha": cluster["rank"]})
            self.assertEqual(file.end, len(file.raw))
            expected = deltas(self.results / cluster["folder"])
            ours = {**names_of(0), **names_of(1)}
            self.assertEqual({tensor.rpartition(".lora_")[0] for tensor in file.tensors},
                             {theirs for theirs, our in ours.items() if our in expected})
            for theirs, our in ours.items():
                if our not in expected:
                    continue
                a, b = (file.tensors[f"{theirs}.lora_{letter}"] for letter in "ab")
                self.assertEqual((a.shape[0], b.shape[1], a.dtype), (cluster["rank"],) * 2 + (numpy.float32,))
                delta = b.astype("f8") @ a.astype("f8")
                heads = {"attn_q": 4, "attn_k": 2}.get(theirs.split(".")[2])
                if heads:
                    size = delta.shape[0] // heads
                    rows = [head * size + half * size // 2 + i
                            for head in range(heads) for i in range(size // 2) for half in range(2)]
                    numpy.testing.assert_array_equal(delta, expected[our][rows])
                else:
                    numpy.testing.assert_array_equal(delta, expected[our])
        self.assertEqual(routes["adapters"]["cluster_01"], {"path": "cluster_01.gguf", "id": 1,
                                                            "rank": self.routing["clusters"][1]["rank"]})

    def test_gguf_files_in_the_format_of_the_adapters_hold_the_same_values(self):
        out, _, _ = self.export("llama.cpp", "--dtype", "source")
        wide = Gguf(self.export_again("llama.cpp") / "cluster_00.gguf")
        narrow = Gguf(out / "cluster_00.gguf")
        self.assertLess(len(narrow.raw), 0.6 * len(wide.raw))
        for name, values in wide.tensors.items():
            numpy.testing.assert_array_equal(values, narrow.tensors[name].astype("<f4"))

    def export_again(self, server):
        self.succeed("export", self.results, "--for", server, "-o", self.folder / "again")
        return self.folder / "again"

    def test_families_that_turn_halves_keep_their_rows(self):
        """Qwen2 and StableLM; the same result under another model's configuration."""
        model = self.folder / "model"
        model.mkdir()
        for kind in ("qwen2", "qwen3", "stablelm"):
            (model / "config.json").write_text(json.dumps({"model_type": kind, "num_attention_heads": 4}))
            out = self.folder / kind
            self.succeed("export", self.results, "--for", "llama.cpp", "-o", out, "--model", model)
            file = Gguf(out / "cluster_00.gguf")
            self.assertEqual(file.metadata["general.architecture"], kind)
            expected = deltas(self.results / self.routing["clusters"][0]["folder"])["model.layers.0.self_attn.q_proj"]
            a, b = (file.tensors[f"blk.0.attn_q.weight.lora_{letter}"].astype("f8") for letter in "ab")
            numpy.testing.assert_array_equal(b @ a, expected)

    def result_of(self, adapter, config):
        """A hand-made result of one cluster."""
        folder = self.folder / "result"
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "config.json").write_text(json.dumps(config))
        shutil.copytree(adapter, folder / "merged" / "cluster_00")
        (folder / "routing.json").write_text(json.dumps({
            "format": "d2c-routing", "format_version": 1, "base_model": "", "model": str(folder / "model"),
            "loss_on": "response", "tasks": {"t": {"cluster": 0}}, "checks": [],
            "clusters": [{"cluster": 0, "folder": "merged/cluster_00", "rank": 4, "sha256": {}}]}))
        return folder

    def test_embedding_and_head_have_llama_cpps_form_or_are_refused(self):
        adapter = self.folder / "adapter"
        adapter.mkdir()
        sizes = {"model.embed_tokens.lora_embedding_A": (4, 9), "model.embed_tokens.lora_embedding_B": (6, 4),
                 "lm_head.lora_A.weight": (4, 6), "lm_head.lora_B.weight": (9, 4)}
        header, data = {}, b""
        for name, shape in sizes.items():
            values = numpy.arange(shape[0] * shape[1], dtype="<f4") + len(data)
            header["base_model.model." + name] = {"dtype": "F32", "shape": shape,
                                                  "data_offsets": [len(data), len(data) + values.nbytes]}
            data += values.tobytes()
        write_safetensors(adapter / "adapter_model.safetensors", header, data)
        config = {"model_type": "llama", "num_attention_heads": 2}
        folder = self.result_of(adapter, config)
        self.succeed("export", folder, "--for", "llama.cpp", "-o", self.folder / "gguf")
        tensors = Gguf(self.folder / "gguf" / "cluster_00.gguf").tensors
        self.assertEqual({name: values.shape for name, values in tensors.items()},
                         {"token_embd.weight.lora_a": (9, 4), "token_embd.weight.lora_b": (6, 4),
                          "output.weight.lora_a": (4, 6), "output.weight.lora_b": (9, 4)})
        numpy.testing.assert_array_equal(tensors["token_embd.weight.lora_a"].T.ravel(), numpy.arange(36))
        (folder / "model" / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
        self.fail_with(3, ["share one matrix", "PEFT or vLLM"], "export", folder, "--for", "llama.cpp", "-o",
                       self.folder / "tied")
        self.assertFalse((self.folder / "tied").exists())

    def test_what_does_not_fit_is_refused_and_nothing_is_left(self):
        results = self.folder / "results"
        shutil.copytree(self.results, results)
        call = ("export", results / "results.h5", "--for", "vllm", "-o", self.folder / "out")
        weights = results / "merged" / "cluster_01" / "adapter_model.safetensors"
        content = weights.read_bytes()
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        self.fail_with(3, ["cluster_01/adapter_model.safetensors", "SHA-256"], *call)
        weights.write_bytes(content)
        routing = json.loads((results / "routing.json").read_text())
        routing["clusters"][0]["rank"] = 513
        (results / "routing.json").write_text(json.dumps(routing))
        self.fail_with(3, ["rank 513", "512"], *call)
        routing["clusters"][0]["folder"] = None
        (results / "routing.json").write_text(json.dumps(routing))
        self.fail_with(3, ["--merged peft"], *call)
        (results / "routing.json").write_text("{}")
        self.fail_with(3, ["routing.json", "damaged"], *call)
        (results / "routing.json").unlink()
        self.fail_with(3, ["routing.json", "is missing"], *call)
        self.fail_with(2, ["--for does not take 'x'"], "export", results, "--for", "x", "-o", self.folder / "out")
        self.fail_with(2, ["--for is missing"], "export", results, "-o", self.folder / "out")
        self.fail_with(3, ["exists already"], "export", self.results, "--for", "peft", "-o", results)
        self.fail_with(3, ["config.json", "--model"], "export", self.results, "--for", "llama.cpp", "--model",
                       self.folder, "-o", self.folder / "out")
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["results"])

    def test_routes_of_a_stranger_lead_nowhere_else(self):
        results = self.folder / "results"
        shutil.copytree(self.results, results)
        secret = self.folder / "secret"
        secret.mkdir()
        (secret / "file").write_text("secret")
        call = ("export", results, "--for", "vllm", "-o", self.folder / "out")

        def route(change):
            routing = json.loads((self.results / "routing.json").read_text())
            change(routing)
            (results / "routing.json").write_text(json.dumps(routing))

        def cluster(key, value):
            return lambda routing: routing["clusters"][0].update({key: value})

        for change in (cluster("cluster", "../../x"), cluster("cluster", -1), cluster("folder", str(secret)),
                       cluster("folder", "../secret"), cluster("sha256", {"../../secret/file": ""}),
                       cluster("rank", "8"), lambda routing: routing["checks"][0].update({"cluster": "0"}),
                       cluster("sha256", ["adapter_config.json"]),
                       lambda routing: routing["checks"][0].pop("base_loss"),
                       lambda routing: next(iter(routing["tasks"].values())).update({"cluster": 999}),
                       lambda routing: routing["tasks"].update({"a\u202eb": {"cluster": 0}})):
            route(change)
            self.fail_with(3, ["routing.json", "damaged"], *call)
        route(lambda routing: routing.update({"base_model": "`\n# title\u001b[31m"}))
        (results / "merged" / "cluster_00" / "more").symlink_to(secret / "file")
        self.fail_with(3, ["cluster_00/more", "no file of its own"], *call)
        (results / "merged" / "cluster_00" / "more").unlink()
        self.succeed(*call)
        self.assertIn("Base model: `'\\n# title\\x1b[31m`.", (self.folder / "out" / "README.md").read_text())
        (results / "routing.json").write_text("[" * 100_000)
        self.fail_with(3, ["routing.json", "is not JSON"], "export", results, "--for", "peft", "-o", self.folder / "new")


if __name__ == "__main__":
    unittest.main(verbosity=2)
