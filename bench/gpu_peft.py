#!/usr/bin/env python3
"""The losses of bench_gpu by transformers and peft: what a loop over tasks reaches on this GPU.

    bench/gpu_peft.py [NAME ...]      135M, 1B, 1.5B; default: all

Task by task: the ten examples of a task are a batch, and the model computes all logits. Eight tasks
a batch: the examples of eight tasks under one adapter, and logits of the scored tokens only. Random
weights in BF16, adapters of rank 32 on q, k, v and o.
"""
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig

SHAPES = {  # layers, hidden, intermediate, heads, kv heads, vocabulary
    "135M": (30, 576, 1536, 9, 3, 49152),
    "1B": (16, 2048, 8192, 32, 8, 128256),
    "1.5B": (28, 1536, 8960, 12, 2, 151936),
}
EXAMPLES, LENGTH, SHARED, SCORED, TASKS = 10, 100, 40, 30, 8
SECONDS = 4.0


def build(shape):
    layers, hidden, intermediate, heads, kv_heads, vocabulary = shape
    config = LlamaConfig(num_hidden_layers=layers, hidden_size=hidden, intermediate_size=intermediate,
                         num_attention_heads=heads, num_key_value_heads=kv_heads,
                         vocab_size=vocabulary, tie_word_embeddings=True)
    torch.manual_seed(1)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, torch_dtype=torch.bfloat16,
                                                 attn_implementation="sdpa")
    lora = LoraConfig(r=32, lora_alpha=32, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
                      init_lora_weights=False)
    return get_peft_model(model, lora).to("cuda", torch.bfloat16).eval()


def tasks(vocabulary):
    ids = torch.randint(0, vocabulary, (TASKS, EXAMPLES, LENGTH), device="cuda")
    ids[:, :, :SHARED] = ids[:, :1, :SHARED]
    return ids


def task_by_task(model, ids):
    for task in ids:
        logits = model(input_ids=task).logits[:, LENGTH - SCORED - 1:-1].float()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), task[:, -SCORED:].flatten(),
                                          reduction="none").view(EXAMPLES, SCORED).mean().item()


def eight_at_a_time(model, ids):
    inner = model.get_base_model()
    flat = ids.flatten(0, 1)
    hidden = inner.model(input_ids=flat).last_hidden_state[:, LENGTH - SCORED - 1:-1]
    losses = []
    for some, labels in zip(hidden.split(EXAMPLES), flat[:, -SCORED:].split(EXAMPLES)):
        logits = inner.lm_head(some).float()
        losses.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()))
    torch.stack(losses).cpu()


def units_per_second(work, model, ids):
    work(model, ids)
    torch.cuda.synchronize()
    times, begin = [], time.time()
    while len(times) < 3 or time.time() - begin < SECONDS:
        start = time.time()
        work(model, ids)
        torch.cuda.synchronize()
        times.append(time.time() - start)
    return TASKS / sorted(times)[len(times) // 2]


def main():
    for name in sys.argv[1:] or SHAPES:
        model = build(SHAPES[name])
        ids = tasks(SHAPES[name][-1])
        with torch.inference_mode():
            rates = [units_per_second(work, model, ids) for work in (task_by_task, eight_at_a_time)]
        print(f"{name:<5} {rates[0]:8.1f} units/s task by task, {rates[1]:8.1f} eight tasks a batch",
              flush=True)
        del model
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
