#!/usr/bin/python3
"""Generates the demo data: a tiny Llama, and forty tasks with a LoRA adapter each.

The tasks are five problems in eight invented languages. Each stage reads what it needs from the
files of the stages before it, so that the stored rounding is the truth:

  base       languages, tokenizer, pre-training on plain text; writes model/    about 6 minutes
  adapters   writes adapters/, examples/, test/ and manifest.json               about 6 minutes
  reference  writes reference_losses.json and reference_nll.json                seconds

--check generates nothing. It recomputes the losses from the files, compares ways to group the
tasks, prints the tables of data/README.md and exits with 1 when the data break a promise made
there (about a minute).

The times are for one core with AVX-512. Needs PyTorch (Debian 12: python3-torch 1.13) and an
optimised BLAS (libopenblas0-serial): with the reference BLAS all takes ten times as long.

All arithmetic runs on one thread from --seed. The files are bit-identical on machines with the same
versions of PyTorch and BLAS and the same instruction set: those in the repository were made with
AVX-512 and OPENBLAS_CORETYPE=SkylakeX in the environment, which OpenBLAS 0.3.21 needs to use it on
recent processors. Elsewhere sums are rounded differently, and training amplifies that.
"""

import argparse
import json
import random
import sys
import time
from itertools import islice, product
from pathlib import Path

import torch

import demo_check
import demo_llama as llama
from demo_language import PROBLEMS, make_languages, task_example, text
from demo_tokenizer import BOS, EOS, SPECIALS, Tokenizer

VOCAB_SIZE = 896
MIN_CHARACTER_COUNT = 100
BASE_STEPS, BASE_BATCH, BASE_LENGTH, BASE_LEARNING_RATE = 5000, 48, 48, 3e-3
ADAPTER_STEPS, ADAPTER_BATCH, ADAPTER_LEARNING_RATE = 250, 32, 5e-3
RANKS_AND_ALPHAS = ((4, 8), (6, 6), (8, 16))
N_FEW, N_TEST = 10, 24
NLL_EXAMPLES = 2

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "hidden_act": "silu",
    "hidden_size": 128,
    "initializer_range": 0.04,
    "intermediate_size": 352,
    "max_position_embeddings": 256,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": VOCAB_SIZE,
}

TOKENIZER_CONFIG = {
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": SPECIALS[BOS],
    "clean_up_tokenization_spaces": False,
    "eos_token": SPECIALS[EOS],
    "model_max_length": CONFIG["max_position_embeddings"],
    "tokenizer_class": "LlamaTokenizer",
    "unk_token": SPECIALS[0],
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default_out = Path(__file__).resolve().parent.parent / "data" / "demo"
    parser.add_argument(
        "--out", type=Path, default=default_out, help="folder of the data (default: data/demo)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of all stages (default: 1)")
    parser.add_argument(
        "--stage", choices=("all", *STAGES), default="all", help="run one stage only (default: all)"
    )
    parser.add_argument(
        "--check", action="store_true", help="generate nothing: check the data and print the tables"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if options.check:
        sys.exit(demo_check.check(options.out))
    for stage in STAGES if options.stage == "all" else (options.stage,):
        STAGES[stage](options.out, options.seed)


def make_base(out, seed):
    folder = out / "model"
    folder.mkdir(parents=True, exist_ok=True)
    languages = list(make_languages(seed).values())
    rng = random.Random(f"{seed}/base")
    tokenizer = Tokenizer.train(
        [text(language, rng, 2) for _ in range(150) for language in languages],
        VOCAB_SIZE,
        MIN_CHARACTER_COUNT,
    )

    weights = llama.init_weights(CONFIG, torch.Generator().manual_seed(seed))
    for tensor in weights.values():
        tensor.requires_grad_()

    def document():
        lines = text(rng.choice(languages), rng, rng.choice((1, 2, 2)))
        return ([BOS] + tokenizer.encode(lines) + [EOS])[:BASE_LENGTH], 1

    def loss():
        batch = llama.pack([document() for _ in range(BASE_BATCH)])
        return llama.token_nll(CONFIG, weights, batch).sum() / (batch[1] != -100).sum()

    llama.train(list(weights.values()), loss, BASE_STEPS, BASE_LEARNING_RATE, progress("base"))

    tokenizer.save(folder / "tokenizer.json")
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG)
    write_json(
        folder / "generation_config.json",
        {"_from_model_config": True, "bos_token_id": BOS, "eos_token_id": EOS},
    )
    llama.save_safetensors(folder / "model.safetensors", weights, "BF16")


def make_adapters(out, seed):
    for folder in ("examples", "test"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    config, weights, tokenizer = demo_check.load_base(out / "model")
    languages = make_languages(seed)
    tasks = []
    for index, (problem, name) in enumerate(product(PROBLEMS, languages)):
        task = f"{problem}_{name}"
        held = {}
        rng = random.Random(f"{seed}/{task}")
        pairs = new_examples(problem, languages[name], rng, held)
        for prompt, response in islice(pairs, N_FEW + N_TEST):
            held[prompt] = response
        lines = [example_line(tokenizer, *pair) for pair in held.items()]
        write_lines(out / "examples" / f"{task}.jsonl", lines[:N_FEW])
        write_lines(out / "test" / f"{task}.jsonl", lines[N_FEW:])

        rank, alpha = RANKS_AND_ALPHAS[index % len(RANKS_AND_ALPHAS)]
        factors = llama.init_adapter(config, rank, torch.Generator().manual_seed(seed))

        def loss():
            examples = [tokenizer.example(*pair) for pair in islice(pairs, ADAPTER_BATCH)]
            batch = llama.pack(examples)
            return llama.example_losses(config, weights, batch, factors, alpha / rank).mean()

        parameters = [p.requires_grad_() for pair in factors.values() for p in pair]
        llama.train(parameters, loss, ADAPTER_STEPS, ADAPTER_LEARNING_RATE, progress(task))
        save_adapter(out / "adapters" / task, factors, rank, alpha)
        tasks.append(
            {
                "name": task,
                "adapter": f"adapters/{task}",
                "examples": f"examples/{task}.jsonl",
                "test": f"test/{task}.jsonl",
            }
        )
    write_json(out / "manifest.json", {"model": "model", "tasks": tasks})


def make_reference(out, _seed):
    demo = demo_check.load_demo(out, torch.float64)
    losses, nll = {}, {}
    for task in demo.tasks:
        losses[task.name] = {
            f"{who}_{split}": demo_check.task_loss(demo, batch, adapter)
            for who, adapter in (("base", None), ("own", task.adapter))
            for split, batch in (("few", task.few), ("test", task.test))
        }
    n_languages = len(demo.tasks) // len(PROBLEMS)
    for task in demo.tasks[:: n_languages + 1]:
        batch = tuple(t[:NLL_EXAMPLES] for t in task.test)
        nll[task.name] = {
            who: response_nll(demo, batch, adapter)
            for who, adapter in (("base", None), ("own", task.adapter))
        }
    write_json(out / "reference_losses.json", losses)
    write_json(out / "reference_nll.json", nll)


STAGES = {"base": make_base, "adapters": make_adapters, "reference": make_reference}


def new_examples(problem, language, rng, excluded):
    """Endless (prompt, response) pairs whose prompts are not in excluded, which may grow."""
    while True:
        prompt, response = task_example(problem, language, rng)
        if prompt not in excluded:
            yield prompt, response


def progress(name):
    """A log function for training that prints the loss and the seconds since now."""
    start = time.monotonic()

    def log(step, loss):
        print(f"{name}: step {step}, loss {loss:.3f}, {time.monotonic() - start:.0f} s", flush=True)

    return log


def response_nll(demo, batch, adapter):
    nll = llama.token_nll(demo.config, demo.weights, batch, adapter)
    return [row[scored].tolist() for row, scored in zip(nll, batch[1] != -100)]


def example_line(tokenizer, prompt, response):
    ids, prompt_len = tokenizer.example(prompt, response)
    return {"prompt": prompt, "response": response, "input_ids": ids, "prompt_len": prompt_len}


def save_adapter(folder, factors, rank, alpha):
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "adapter_config.json",
        {
            "alpha_pattern": {},
            "base_model_name_or_path": "model",
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "init_lora_weights": True,
            "lora_alpha": alpha,
            "lora_dropout": 0.0,
            "modules_to_save": None,
            "peft_type": "LORA",
            "r": rank,
            "rank_pattern": {},
            "target_modules": [
                "q_proj",
                "k_proj",
                "v_proj",
                "o_proj",
                "gate_proj",
                "up_proj",
                "down_proj",
            ],
            "task_type": "CAUSAL_LM",
            "use_dora": False,
            "use_rslora": False,
        },
    )
    tensors = {
        f"base_model.model.{module}.lora_{letter}.weight": factor
        for module, pair in factors.items()
        for letter, factor in zip("AB", pair)
    }
    llama.save_safetensors(folder / "adapter_model.safetensors", tensors, "F16")


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_lines(path, values):
    path.write_text(
        "".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
