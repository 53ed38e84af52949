#!/usr/bin/env python3
"""Trains the adapter of each task that prepare.py made: LoRA of rank 32, alpha 128, on q, k, v and o.

    train.py JOB_FOLDER [--only NAME ...]

Adapters that are there already are left as they are, so that the same command goes on after a stop.
Needs torch, transformers and peft, and in practice a GPU. The published work does not state every
setting; those that it leaves open are options here.
"""
import argparse
import json
import pathlib
import random
import sys


def batches(lines, size, rng):
    order = list(lines)
    rng.shuffle(order)
    return [order[i:i + size] for i in range(0, len(order), size)]


def padded(lines, torch, device):
    """ids, mask and labels [batch, longest]; labels of prompts and padding do not count."""
    longest = max(len(line["input_ids"]) for line in lines)
    ids = torch.zeros(len(lines), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, line in enumerate(lines):
        n, begin = len(line["input_ids"]), line["prompt_len"]
        ids[row, :n] = torch.tensor(line["input_ids"])
        mask[row, :n] = 1
        labels[row, begin:n] = ids[row, begin:n]
    return ids.to(device), mask.to(device), labels.to(device)


def train(task, folder, model_folder, options):
    import peft
    import torch
    import transformers
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder).to(device)
    model = peft.get_peft_model(model, peft.LoraConfig(
        task_type="CAUSAL_LM", r=32, lora_alpha=128, lora_dropout=options.dropout,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]))
    lines = [json.loads(line) for line in (folder / "train" / f"{task['name']}.jsonl").read_text().splitlines()]
    steps = options.epochs * -(-len(lines) // options.batch)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=options.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, 1.0 - step / steps))
    rng = random.Random(options.seed)
    model.train()
    for epoch in range(options.epochs):
        for batch in batches(lines, options.batch, rng):
            ids, mask, labels = padded(batch, torch, device)
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
            loss.backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
        print(f"{task['name']}: epoch {epoch + 1}, loss {loss.item():.4f}", flush=True)
    model.save_pretrained(folder / task["adapter"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="tasks")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    manifest = json.loads((options.folder / "manifest.json").read_text())
    for task in manifest["tasks"]:
        done = options.folder / task["adapter"] / "adapter_model.safetensors"
        if done.exists() or (options.only and task["name"] not in options.only):
            continue
        try:
            train(task, options.folder, manifest["model"], options)
        except ImportError as error:
            sys.exit(f"train: {sys.executable} lacks the package {error.name}; install it, or use another Python")


if __name__ == "__main__":
    main()
