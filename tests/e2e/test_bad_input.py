"""Bad input ends on all ranks with one clear line and the right exit code."""
import json
import pathlib
import shutil
import struct
import unittest

from harness import (Case, DEMO, d2c, demo_manifest, read_safetensors, write_manifest,
                     write_safetensors)


class BadInput(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.manifest = demo_manifest(4)

    def run_fails(self, code, words, *extra, k=2, ranks=3):
        path = write_manifest(self.folder / "manifest.json", self.manifest)
        output = self.folder / "out"
        self.fail_with(code, words, "run", path, "-K", k, "--output", output, *extra, ranks=ranks)
        self.assertFalse((output / "results.h5").exists())

    def copy_adapter(self, task=2):
        """A private copy of a task's adapter that a test may spoil."""
        copy = self.folder / "adapter"
        shutil.copytree(self.manifest["tasks"][task]["adapter"], copy)
        for file in copy.iterdir():
            file.chmod(0o644)
        self.manifest["tasks"][task]["adapter"] = str(copy)
        return copy

    def copy_model(self):
        copy = self.folder / "model"
        shutil.copytree(self.manifest["model"], copy)
        for file in copy.iterdir():
            file.chmod(0o644)
        self.manifest["model"] = str(copy)
        return copy

    def examples(self, text, task=1):
        path = self.folder / "examples.jsonl"
        path.write_text(text)
        self.manifest["tasks"][task]["examples"] = str(path)

    # Command line
    def test_unknown_option(self):
        self.run_fails(2, ["--bogus"], "--bogus")

    def test_the_message_comes_even_where_the_rank_that_speaks_is_slow(self):
        starter = self.folder / "slow-root.sh"
        starter.write_text('#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 0 ] && sleep 2\nexec "$@"\n')
        starter.chmod(0o755)
        self.fail_with(2, ["--bogus"], "run", "--bogus", ranks=3, starter=starter)

    def test_a_merge_that_needs_more_memory_than_it_may_take(self):
        self.run_fails(3, ["adapters are", "cat", "--members-mib"], "--method", "cat", "--members-mib", 0.001)
        self.run_fails(2, ["--members-mib"], "--members-mib", 0)
        for option in ("--merged-mib", "--exchange-mib", "--adapter-cache-mib"):
            self.run_fails(2, [option, "whole number of at least"], option, -1)

    def test_abbreviated_option(self):
        self.run_fails(2, ["--restart"], "--restart", "3")

    def test_k_zero(self):
        self.run_fails(2, ["-K", "at least 1"], k=0)

    def test_k_larger_than_the_number_of_tasks(self):
        self.run_fails(2, ["-K is 5", "4 tasks"], k=5)

    def test_unknown_method(self):
        self.run_fails(2, ["nonsense", "average"], "--method", "nonsense")

    def test_unknown_search(self):
        self.run_fails(2, ["nonsense", "kmeans_trimmed"], "--search", "nonsense")

    def test_numbers_of_clusters_that_are_none(self):
        for text in ("x", "5..", "..3", "5..3", "3,", "", "2.5", "99999999999"):
            self.run_fails(2, ["-K", f"'{text}'"], k=text, ranks=0)
        self.run_fails(2, ["-K", "at least 1"], k="0..3", ranks=0)
        self.run_fails(2, ["-K is 5", "4 tasks"], k="1..5")
        self.run_fails(2, ["--sweep-pick"], "--sweep-pick", 4, k="1..3", ranks=0)
        self.run_fails(2, ["--search auto", "d2c compare"], "--search", "d2c", k="1..3", ranks=0)
        self.run_fails(2, ["-K and --budget-mb"], "--budget-mb", 4, ranks=0)

    def test_constraints_that_cannot_be_used(self):
        names = [task["name"] for task in self.manifest["tasks"]]
        a, b, c, d = names
        rules = self.folder / "rules.json"
        for content, code, words in (
                ([], 3, ["is not an object"]),
                ({"apart ": []}, 3, ["apart ", "not a field"]),
                ({"apart": {}}, 3, ["apart", "is not a list"]),
                ({"apart": [[a]]}, 3, ["apart[0]", "at least two"]),
                ({"together": [[a, b], [c, "nobody"]]}, 3, ["together[1][1]", "nobody"]),
                ({"together": [[a, 7]]}, 3, ["together[0][1]", "7"]),
                ({"together": [[a, a]]}, 3, ["together[0][1]", "again"]),
                ({"together": [[a, b], [b, c]], "apart": [[d, b], [a, c]]}, 3, ["apart[1]", a, c]),
                ({"apart": [[a, b, c]]}, 2, ["no partition"])):
            rules.write_text(json.dumps(content))
            # Refused before any adapter is opened.
            self.manifest["tasks"][2]["adapter"] = str(self.folder / "absent")
            self.run_fails(code, words, "--constraints", rules, ranks=0)
        self.run_fails(2, ["2 clusters", "constraints"], "--constraints", rules, "--sweep-pick", 2,
                       k="2..4")
        rules.write_text("{")
        self.run_fails(3, ["rules.json", "not valid JSON"], "--constraints", rules)
        self.run_fails(3, ["absent.json"], "--constraints", self.folder / "absent.json", ranks=0)
        self.run_fails(2, ["2 clusters of at most 1"], "--max-cluster-size", 1, ranks=0)
        self.run_fails(2, ["at least 3 and at most 2"], "--max-cluster-size", 2,
                       "--min-cluster-size", 3, ranks=0)
        self.run_fails(2, ["--min-cluster-size"], "--min-cluster-size", 0, ranks=0)

    def test_refinement_that_makes_no_sense(self):
        self.run_fails(2, ["--scale", "'big'"], "--scale", "big")
        self.run_fails(2, ["--scale", "above 0"], "--scale", 0)
        self.run_fails(2, ["--scale", "above 0"], "--scale", "nan")
        self.run_fails(2, ["--effort does not take 'most' (that is none of its values); give one of: quick, default, thorough"],
                       "--effort", "most")
        self.run_fails(2, ["--refine does not take 'more'", "none, distill"], "--refine", "more")
        self.run_fails(2, ["--refine-steps", "at least 0"], "--refine", "distill", "--refine-steps", -1)
        self.run_fails(2, ["--refine-batch", "at least 0"], "--refine", "distill", "--refine-batch", -1)
        self.run_fails(2, ["--refine-variants", "at least 0"], "--refine", "distill", "--refine-variants", -1)
        self.run_fails(2, ["--refine-lr", "at least 0"], "--refine", "distill", "--refine-lr", -1)
        for option in ("steps", "batch", "variants", "lr"):
            self.run_fails(2, [f"--refine-{option} does not go with --refine none"], f"--refine-{option}", 3)

    def test_comparisons_that_cannot_be_made(self):
        path = write_manifest(self.folder / "manifest.json", self.manifest)
        output = self.folder / "out"

        def fails(code, words, *extra, ranks=0):
            self.fail_with(code, words, "compare", path, "-K", "2,3", "--output", output, *extra,
                           ranks=ranks)
            self.assertFalse((output / "compare.h5").exists())
        fails(2, ["no search 'nonsense'"], "--searches", "auto,nonsense")
        fails(2, ["nonsense"], "--methods", "nonsense")
        fails(2, ["--searches", "auto twice"], "--searches", "auto,auto")
        fails(2, ["--searches is empty"], "--searches", "")
        fails(2, ["'auto'"], "--methods", "auto")
        fails(2, ["linear", "equal ranks"], "--methods", "average,linear", ranks=2)
        fails(2, ["--seeds"], "--seeds", 0)
        fails(2, ["--search is not taken here (", "--searches"], "--search", "d2c")
        fails(2, ["--method is not taken here (", "--methods"], "--method", "lego")
        fails(2, ["--sweep-pick is not taken here ("], "--sweep-pick", 2)
        fails(2, ["--budget-mb is not taken here (", "give -K"], "--budget-mb", 4)
        fails(2, ["no search 'nosuch'", "kmeans_trimmed"], "--refined", "auto,nosuch")
        fails(2, ["--refined", "d2c", "--searches"], "--searches", "auto", "--refined", "d2c")
        fails(2, ["--refined", "auto twice"], "--refined", "auto,auto")
        fails(2, ["--refined is empty"], "--refined", "")
        fails(2, ["--refine-steps", "--refine none"], "--refine-steps", 9)
        fails(2, ["--max-hours is not taken here (", "--max-evaluations"], "--max-hours", 1)
        fails(2, ["--searches", "own", "baseline"], "--searches", "d2c,own")
        rules = self.folder / "rules.json"
        names = [task["name"] for task in self.manifest["tasks"]]
        rules.write_text(json.dumps({"apart": [names[:3]]}))
        fails(2, ["2 clusters", "constraints"], "--constraints", rules)
        output.mkdir(exist_ok=True)
        (output / "compare.csv").write_text("mine")
        fails(3, ["compare.csv", "exists already"], ranks=2)
        self.assertEqual((output / "compare.csv").read_text(), "mine")

    def test_more_examples_kept_from_the_search_than_there_are(self):
        self.examples('{"prompt": "a", "response": "b"}\n{"prompt": "c", "response": "d"}\n')
        self.run_fails(3, ["examples.jsonl", "2 examples", "--verify-examples is 2"],
                       "--verify-examples", 2)
        self.run_fails(2, ["--verify-examples", "at least 0"], "--verify-examples=-1")

    def test_failed_job_leaves_nothing_behind(self):
        self.manifest["tasks"][2]["adapter"] = str(self.folder / "absent")
        self.run_fails(3, ["absent"])
        self.assertEqual(list((self.folder / "out").iterdir()), [])

    def test_unknown_command(self):
        self.fail_with(2, ["frobnicate", "--help"], "frobnicate")
        self.fail_with(2, ["'rnu' is not a command; did you mean run?"], "rnu")
        self.fail_with(2, ["'--serach'", "did you mean --search?", "d2c run --help-all"], "run", "--serach", "auto")
        self.fail_with(2, ["'--xyzzy'; see `d2c run --help-all`"], "run", "--xyzzy")
        self.fail_with(2, ["no command is given"])

    def test_missing_output(self):
        path = write_manifest(self.folder / "manifest.json", self.manifest)
        self.fail_with(2, ["output"], "run", path, "-K", 2)

    # Manifest
    def test_missing_manifest(self):
        self.fail_with(3, ["absent.json", "cannot be opened"], "run", self.folder / "absent.json",
                       "-K", 1, "--output", self.folder / "out", ranks=2)

    def test_manifest_with_unknown_field(self):
        self.manifest["tasks"][0]["adaptor"] = "x"
        self.run_fails(3, ["tasks[0].adaptor", "not a field"])

    def test_manifest_with_repeated_name(self):
        self.manifest["tasks"][3]["name"] = self.manifest["tasks"][0]["name"]
        self.run_fails(3, ["tasks[3].name", "tasks[0]"])

    def test_manifest_without_tasks(self):
        self.manifest["tasks"] = []
        self.run_fails(3, ["tasks", "empty"])

    def test_manifest_that_is_not_json(self):
        path = self.folder / "broken.json"
        path.write_text('{"model": ')
        self.fail_with(3, ["broken.json", "not valid JSON"], "run", path, "-K", 1, "--output",
                       self.folder / "out")

    # Examples
    def test_missing_examples(self):
        self.manifest["tasks"][1]["examples"] = str(self.folder / "absent.jsonl")
        self.run_fails(3, ["absent.jsonl", "cannot be opened"])

    def test_empty_task(self):
        self.examples("\n\n")
        self.run_fails(3, ["examples.jsonl", "no example"])

    def test_line_that_is_not_json(self):
        self.examples('{"prompt": "a", "response": "b"}\n{"prompt": \n')
        self.run_fails(3, ["examples.jsonl:2", "not valid JSON"])

    def test_line_without_response(self):
        self.examples('{"prompt": "a"}\n')
        self.run_fails(3, ["examples.jsonl:1", "response", "missing"])

    def test_empty_response(self):
        self.examples('{"prompt": "a", "response": ""}\n')
        self.run_fails(3, ["examples.jsonl:1", "response", "empty"])

    def test_id_outside_the_vocabulary(self):
        self.examples('{"input_ids": [1, 99999999, 2], "prompt_len": 1}\n')
        self.run_fails(3, ["examples.jsonl:1", "input_ids", "99999999"])

    def test_prompt_len_without_response(self):
        self.examples('{"input_ids": [1, 2, 3], "prompt_len": 3}\n')
        self.run_fails(3, ["examples.jsonl:1", "no response token"])

    def test_too_long_example(self):
        ids = [1] * 100000
        self.examples(json.dumps({"input_ids": ids, "prompt_len": 5}) + "\n")
        self.run_fails(3, ["examples.jsonl:1", "100000 tokens", "positions"])

    def test_invalid_utf8(self):
        path = self.folder / "examples.jsonl"
        path.write_bytes(b'{"prompt": "a", "response": "b"}\n{"prompt": "\xff", "response": "b"}\n')
        self.manifest["tasks"][1]["examples"] = str(path)
        self.run_fails(3, ["examples.jsonl:2", "UTF-8", "byte 13"])

    # Adapters
    def test_missing_adapter(self):
        self.manifest["tasks"][2]["adapter"] = str(self.folder / "absent")
        self.run_fails(3, ["absent"])

    def test_truncated_adapter(self):
        file = self.copy_adapter() / "adapter_model.safetensors"
        file.write_bytes(file.read_bytes()[:-10])
        self.run_fails(3, ["adapter_model.safetensors"])

    def test_adapter_with_wrong_shape(self):
        file = self.copy_adapter() / "adapter_model.safetensors"
        header, data = read_safetensors(file)
        name = next(n for n in header if "lora_A" in n)
        rows, cols = header[name]["shape"]
        header[name]["shape"] = [cols, rows]
        write_safetensors(file, header, data)
        self.run_fails(3, ["adapter_model.safetensors", name])

    def test_adapter_with_nan(self):
        file = self.copy_adapter() / "adapter_model.safetensors"
        header, data = read_safetensors(file)
        name = next(n for n in header if "lora_A" in n)
        begin, end = header[name]["data_offsets"]
        data[begin:end] = b"\xff" * (end - begin)
        write_safetensors(file, header, data)
        self.run_fails(3, ["adapter_model.safetensors", name, "finite"])

    def test_adapter_for_another_model(self):
        file = self.copy_adapter() / "adapter_model.safetensors"
        header, data = read_safetensors(file)
        renamed = {n.replace("layers.0.", "layers.77."): v for n, v in header.items()}
        write_safetensors(file, renamed, data)
        self.run_fails(3, ["layers.77."])

    def test_dora_adapter(self):
        file = self.copy_adapter() / "adapter_config.json"
        config = json.loads(file.read_text())
        config["use_dora"] = True
        file.write_text(json.dumps(config))
        self.run_fails(3, ["adapter_config.json", "use_dora"])

    # Model
    def test_missing_model(self):
        self.manifest["model"] = str(self.folder / "absent")
        self.run_fails(3, ["absent"])

    def test_truncated_model(self):
        file = self.copy_model() / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-100])
        self.run_fails(3, ["model.safetensors"])

    def test_unsupported_activation(self):
        file = self.copy_model() / "config.json"
        config = json.loads(file.read_text())
        config["hidden_act"] = "bogus"
        file.write_text(json.dumps(config))
        self.run_fails(3, ["config.json", "hidden_act", "bogus"])

    def test_unsupported_family(self):
        file = self.copy_model() / "config.json"
        config = json.loads(file.read_text())
        config["model_type"] = "mamba"
        file.write_text(json.dumps(config))
        self.run_fails(3, ["config.json", "mamba"])

    def test_sizes_that_no_memory_holds(self):
        file = self.copy_model() / "config.json"
        good = json.loads(file.read_text())
        for field, words in (("vocab_size", ["model.embed_tokens.weight", "[2147483647, "]),
                             ("intermediate_size", ["mlp.gate_proj.weight", "[2147483647, "]),
                             ("num_hidden_layers", ["config.json", "num_hidden_layers"])):
            file.write_text(json.dumps({**good, field: 2147483647}))
            self.run_fails(3, words)

    def test_output_that_cannot_be_made(self):
        blocker = self.folder / "file"
        blocker.write_text("")
        path = write_manifest(self.folder / "manifest.json", self.manifest)
        self.fail_with(3, [str(blocker)], "run", path, "-K", 2, "--output", blocker / "out", ranks=2)

    # Results
    def test_inspect_of_a_foreign_file(self):
        foreign = self.folder / "foreign.h5"
        foreign.write_text("not hdf5")
        self.fail_with(3, ["foreign.h5"], "inspect", foreign)

    # Launch
    def test_ranks_that_do_not_find_each_other(self):
        path = write_manifest(self.folder / "manifest.json", self.manifest)
        self.fail_with(2, ["SLURM_NTASKS", "srun --mpi=pmix"], "run", path, "-K", 2, "--output",
                       self.folder / "out", env={"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})
        self.fail_with(2, ["PMI_SIZE", "mpirun"], "run", path, "-K", 2, "--output",
                       self.folder / "out", env={"PMI_SIZE": "4", "PMI_RANK": "0"})

    def test_one_process_in_the_shell_of_an_allocation(self):
        path = write_manifest(self.folder / "manifest.json", self.manifest)
        completed = d2c("plan", path, "-K", 2, env={"SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"})
        self.assertEqual(completed.returncode, 0, completed.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
