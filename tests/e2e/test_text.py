"""Text on its way to tokens, and adapters that do nothing."""
import json
import pathlib
import shutil
import subprocess
import sys
import unittest

from harness import (DEMO, Case, demo_manifest, h5py, read_safetensors, write_manifest,
                     write_safetensors)

HAS_JINJA2 = subprocess.run(["/usr/bin/python3", "-c", "import jinja2"], capture_output=True).returncode == 0
TEMPLATE = ("{{ bos_token }}{% for m in messages %}{{ m.content }}"
            "{% if m.role == 'assistant' %}{{ eos_token }}{% else %}{{ tools | tojson if tools }} {% endif %}"
            "{% endfor %}")


def chat(row, tools=None):
    """A line of prompt and response as a conversation."""
    messages = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["response"]}]
    return {"messages": messages, "tools": tools}


class Text(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.model = self.folder / "model"
        shutil.copytree(DEMO / "model", self.model)
        config = json.loads((self.model / "tokenizer_config.json").read_text())
        config["chat_template"] = TEMPLATE
        (self.model / "tokenizer_config.json").write_text(json.dumps(config))
        self.rows = [json.loads(line) for line in
                     pathlib.Path(demo_manifest(1)["tasks"][0]["examples"]).read_text().splitlines()]

    def need_jinja2(self):
        if not HAS_JINJA2:
            self.skipTest("python3-jinja2 is not installed")

    def losses(self, rows):
        path = self.folder / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        completed = self.succeed("evaluate", "--model", self.model, "--examples", path, "--per-token", "--json", "-")
        return [example["nll"] for example in json.loads(completed.stdout)["examples"]], completed.stderr

    def ids(self, text):
        completed = self.succeed("tokenize", "--tokenizer", self.model, stdin=json.dumps({"text": text}) + "\n")
        return json.loads(completed.stdout)["ids"]

    def test_conversations_are_rendered_with_their_tools(self):
        self.need_jinja2()
        tools = [{"name": "f", "arguments": {"to": 1.0, "from": [None, 1e16]}}]
        text = '[{"name": "f", "arguments": {"to": 1.0, "from": [null, 1e+16]}}]'
        expected = []
        for row in self.rows:
            prompt = self.ids("<s>" + row["prompt"] + text + " ")
            expected.append({"input_ids": prompt + self.ids(row["response"] + "</s>"), "prompt_len": len(prompt)})
        self.assertEqual(self.losses([chat(row, tools) for row in self.rows]), self.losses(expected))

    def test_ends_of_the_text_itself_are_counted_and_not_doubled(self):
        plain = [{key: row[key] for key in ("prompt", "response")} for row in self.rows]
        ended = [{"prompt": "<s>" + row["prompt"], "response": row["response"] + "</s>"} for row in plain]
        losses, warnings = self.losses(ended)
        self.assertEqual(losses, self.losses(plain)[0])
        self.assertEqual(warnings.count(f"{len(plain)} of {len(plain)} lines"), 2, warnings)

    def test_ranks_render_the_same(self):
        self.need_jinja2()
        self.need_h5py()
        manifest = demo_manifest(4)
        manifest["model"] = str(self.model)
        for task in manifest["tasks"]:
            task.pop("test")
            rows = [json.loads(line) for line in pathlib.Path(task["examples"]).read_text().splitlines()]
            task["examples"] = str(self.folder / f"{task['name']}.jsonl")
            pathlib.Path(task["examples"]).write_text("".join(json.dumps(chat(row)) + "\n" for row in rows))
        path = write_manifest(self.folder / "manifest.json", manifest)
        bits = []
        for ranks in (0, 3):
            self.succeed("run", path, "-K", 2, "--restarts", 1, "--output", self.folder / f"out{ranks}", "--quiet",
                         ranks=ranks)
            with h5py.File(self.folder / f"out{ranks}" / "results.h5") as file:
                bits.append(file["result/loss"][...].tobytes())
        self.assertEqual(bits[0], bits[1])
        self.fail_with(3, ["python3-jinja2", "/nonexistent/python3"], "run", path, "-K", 2, "--output",
                       self.folder / "none", ranks=2, env={"D2C_PYTHON": "/nonexistent/python3"})

    def test_an_adapter_of_zeros_is_named(self):
        adapter = self.folder / "adapter"
        shutil.copytree(demo_manifest(1)["tasks"][0]["adapter"], adapter)
        header, data = read_safetensors(adapter / "adapter_model.safetensors")
        for name, info in header.items():
            if "lora_B" in name:
                begin, end = info["data_offsets"]
                data[begin:end] = bytes(end - begin)
        (adapter / "adapter_model.safetensors").chmod(0o644)
        write_safetensors(adapter / "adapter_model.safetensors", header, data)
        examples = demo_manifest(1)["tasks"][0]["examples"]
        completed = self.succeed("evaluate", "--model", self.model, "--adapter", adapter, "--examples", examples)
        self.assertIn(f"warning: {adapter}: the adapter changes nothing", completed.stderr)
        manifest = demo_manifest(3)
        manifest["tasks"][1]["adapter"] = str(adapter)
        completed = self.succeed("run", write_manifest(self.folder / "manifest.json", manifest), "-K", 2,
                                 "--restarts", 1, "--output", self.folder / "out", ranks=2)
        self.assertIn("the adapter changes nothing", completed.stderr)

    def test_a_result_that_another_program_writes_is_not_damaged(self):
        self.need_h5py()
        self.succeed("run", write_manifest(self.folder / "manifest.json", demo_manifest(3)), "-K", 2,
                     "--restarts", 1, "--output", self.folder / "out", "--quiet")
        results = self.folder / "out" / "results.h5"

        def held(mode, check):
            holder = subprocess.Popen(
                [sys.executable, "-c", "import h5py, sys; f = h5py.File(*sys.argv[1:]); print(flush=True); "
                 "sys.stdin.read()", str(results), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            holder.stdout.readline()
            try:
                check()
            finally:
                holder.communicate()

        held("r", lambda: self.succeed("inspect", results))
        held("r+", lambda: self.fail_with(3, ["results.h5", "open for writing"], "inspect", results))


if __name__ == "__main__":
    unittest.main(verbosity=2)
