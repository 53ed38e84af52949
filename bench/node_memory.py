#!/usr/bin/env python3
"""Memory that all ranks of a whole job take together on one node, as the number of ranks grows.

    node_memory.py --d2c PROGRAM [--hidden 1024] [--layers 8] [--tasks 8] [--ranks 1 2 4 8]

Makes a random Llama in BF16 with random adapters, runs `d2c run`, and adds up the proportional set
sizes of the ranks, in which a page that n processes share counts 1/n in each. Fails if a further rank
takes half of the weights or more.
"""
import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import numpy

MIB = 1 << 20
VOCABULARY = 512


def bf16(generator, shape):
    """Random values between 1/64 and 1/32 of either sign, as bits of BF16."""
    bits = generator.integers(0, 1 << 16, size=shape, dtype=numpy.uint16)
    return (bits & 0x807F) | 0x3C80


def write_safetensors(path, tensors):
    header, end = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [end, end + values.nbytes]}
        end += values.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(values.tobytes())
    return end


def make_job(folder, hidden, layers, n_tasks):
    """@return  bytes of the model's tensors"""
    generator = numpy.random.default_rng(0)
    heads, intermediate, rank = hidden // 64, hidden * 11 // 4, 8
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
        "intermediate_size": intermediate, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": heads, "vocab_size": VOCABULARY, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "max_position_embeddings": 256, "hidden_act": "silu", "tie_word_embeddings": True,
        "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16"}))
    ones = numpy.full(hidden, 0x3F80, numpy.uint16)
    tensors = {"model.embed_tokens.weight": bf16(generator, (VOCABULARY, hidden)), "model.norm.weight": ones}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        tensors[prefix + "input_layernorm.weight"] = tensors[prefix + "post_attention_layernorm.weight"] = ones
        for name in "qkvo":
            tensors[prefix + f"self_attn.{name}_proj.weight"] = bf16(generator, (hidden, hidden))
        for name in ("gate", "up"):
            tensors[prefix + f"mlp.{name}_proj.weight"] = bf16(generator, (intermediate, hidden))
        tensors[prefix + "mlp.down_proj.weight"] = bf16(generator, (hidden, intermediate))
    size = write_safetensors(folder / "model" / "model.safetensors", tensors)

    tasks = []
    for task in range(n_tasks):
        adapter = folder / f"adapter{task}"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text(json.dumps({
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": rank,
            "target_modules": ["q_proj", "v_proj"], "base_model_name_or_path": "random"}))
        factors = {}
        for layer in range(layers):
            for name in "qv":
                key = f"base_model.model.model.layers.{layer}.self_attn.{name}_proj.lora_"
                factors[key + "A.weight"] = bf16(generator, (rank, hidden))
                factors[key + "B.weight"] = bf16(generator, (hidden, rank))
        write_safetensors(adapter / "adapter_model.safetensors", factors)
        ids = [int(i) for i in generator.integers(3, VOCABULARY, size=24)]
        (folder / f"examples{task}.jsonl").write_text(json.dumps({"input_ids": ids, "prompt_len": 16}) + "\n")
        tasks.append({"name": f"task{task}", "adapter": adapter.name, "examples": f"examples{task}.jsonl"})
    (folder / "manifest.json").write_text(json.dumps({"model": "model", "tasks": tasks}))
    return size


def ranks_of(program):
    """Processes that run the program, as far as they can still be looked at."""
    for place in pathlib.Path("/proc").iterdir():
        try:
            if place.name.isdigit() and os.readlink(place / "exe") == program:
                yield place
        except OSError:
            pass


def proportional_bytes(process):
    try:
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def measure(program, folder, n_ranks):
    """Largest sum of proportional set sizes that was seen during a job, in bytes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if os.getuid() == 0:
        environment["OMPI_ALLOW_RUN_AS_ROOT"] = environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    job = subprocess.Popen(["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(n_ranks), program, "run",
                            str(folder / "manifest.json"), "-K", "2", "--search", "kmeans", "--quiet",
                            "--output", str(folder / f"out{n_ranks}")], env=environment)
    most = 0
    while job.poll() is None:
        most = max(most, sum(proportional_bytes(process) for process in ranks_of(program)))
        time.sleep(0.1)
    if job.returncode != 0:
        sys.exit(f"node_memory.py: the job on {n_ranks} ranks failed")
    return most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--d2c", required=True)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8])
    given = parser.parse_args()
    # A copy of its own name, so that no other job is counted.
    with tempfile.TemporaryDirectory(prefix="d2c-node-memory-") as name:
        folder = pathlib.Path(name)
        program = folder / "d2c"
        program.write_bytes(pathlib.Path(given.d2c).read_bytes())
        program.chmod(0o755)
        weights = make_job(folder, given.hidden, given.layers, given.tasks)
        print(f"weights {weights / MIB:.1f} MiB\n| ranks | sum over ranks, MiB | per further rank, MiB |\n|---|---|---|")
        sums = [(n, measure(str(program.resolve()), folder, n)) for n in given.ranks]
        (first, least), worst = sums[0], 0.0
        for n, total in sums:
            growth = (total - least) / (n - first) if n > first else 0.0
            worst = max(worst, growth)
            print(f"| {n} | {total / MIB:.0f} | {f'{growth / MIB:.0f}' if n > first else ''} |")
    if worst >= weights / 2:
        sys.exit("node_memory.py: ranks do not share the weights")


if __name__ == "__main__":
    main()
