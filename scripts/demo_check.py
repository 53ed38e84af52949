"""Reads the demo data back, checks it, and measures how well groups of tasks share an adapter."""

import json
import random
from dataclasses import dataclass

import torch

import demo_llama as llama
from demo_tokenizer import Tokenizer

MERGED_RANK = 8
CLUSTERS = 5
SEARCH_STARTS = 8


@dataclass
class Task:
    """A task's adapter {module: (A, B with the scaling inside)} and its packed examples."""

    name: str
    adapter: dict
    few: tuple
    test: tuple

    @property
    def problem(self):
        return self.name.split("_")[0]

    @property
    def language(self):
        return self.name.split("_")[1]


@dataclass
class Demo:
    config: dict
    weights: dict
    tokenizer: Tokenizer
    tasks: list


def load_base(folder, dtype=torch.float32):
    config = json.loads((folder / "config.json").read_text())
    return (
        config,
        llama.load_safetensors(folder / "model.safetensors", dtype),
        Tokenizer.load(folder / "tokenizer.json"),
    )


def load_adapter(folder, dtype):
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = llama.load_safetensors(folder / "adapter_model.safetensors", dtype)
    prefix, suffix = "base_model.model.", ".lora_A.weight"
    modules = [name[len(prefix) : -len(suffix)] for name in tensors if name.endswith(suffix)]
    scaling = config["lora_alpha"] / config["r"]
    return {
        m: (tensors[f"{prefix}{m}.lora_A.weight"], scaling * tensors[f"{prefix}{m}.lora_B.weight"])
        for m in modules
    }


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def load_demo(out, dtype=torch.float32):
    manifest = json.loads((out / "manifest.json").read_text())

    def examples(path):
        return llama.pack(
            [(line["input_ids"], line["prompt_len"]) for line in read_lines(out / path)]
        )

    tasks = [
        Task(
            t["name"],
            load_adapter(out / t["adapter"], dtype),
            examples(t["examples"]),
            examples(t["test"]),
        )
        for t in manifest["tasks"]
    ]
    return Demo(*load_base(out / manifest["model"], dtype), tasks)


@torch.no_grad()
def task_loss(demo, batch, adapter):
    return float(llama.example_losses(demo.config, demo.weights, batch, adapter).mean())


def merge(tasks):
    """Best rank-r approximation of the mean of the members' updates B A, per module."""
    merged = {}
    for module in tasks[0].adapter:
        mean = sum(t.adapter[module][1] @ t.adapter[module][0] for t in tasks) / len(tasks)
        u, s, v = torch.linalg.svd(mean, full_matrices=False)
        merged[module] = (v[:MERGED_RANK], u[:, :MERGED_RANK] * s[:MERGED_RANK])
    return merged


class Groups:
    """Held-out gains of partitions: 0 is the base model, 1 every task's own adapter."""

    def __init__(self, demo):
        self.demo = demo
        self.base = {t.name: task_loss(demo, t.test, None) for t in demo.tasks}
        self.own = {t.name: task_loss(demo, t.test, t.adapter) for t in demo.tasks}

    def gain_and_loss(self, partition):
        """Means over all tasks of the partition."""
        gains, losses = [], []
        for cluster in partition:
            merged = merge(cluster)
            for t in cluster:
                loss = task_loss(self.demo, t.test, merged)
                losses.append(loss)
                gains.append((self.base[t.name] - loss) / (self.base[t.name] - self.own[t.name]))
        return sum(gains) / len(gains), sum(losses) / len(losses)

    def search(self, seed):
        """(few-shot loss, partition) of the best iterate from a random start.

        Alternates between merging clusters and moving every task to the cluster of its lowest
        few-shot loss; stops at an assignment seen before. Empty clusters stay empty.
        """
        tasks, rng = self.demo.tasks, random.Random(seed)
        assignment = [rng.randrange(CLUSTERS) for _ in tasks]
        best, seen = (float("inf"), None), []
        while assignment not in seen:
            seen.append(assignment)
            used = sorted(set(assignment))
            partition = {k: [t for t, c in zip(tasks, assignment) if c == k] for k in used}
            merged = {k: merge(cluster) for k, cluster in partition.items()}
            loss = [{k: task_loss(self.demo, t.few, merged[k]) for k in used} for t in tasks]
            objective = sum(row[c] for row, c in zip(loss, assignment)) / len(tasks)
            best = min(best, (objective, list(partition.values())), key=lambda found: found[0])
            assignment = [min(row, key=row.get) for row in loss]
        return best


def by(tasks, key):
    groups = {}
    for t in tasks:
        groups.setdefault(key(t), []).append(t)
    return groups


def check(out):
    """Prints the tables; returns 1 when a promise is broken, else 0."""
    demo = load_demo(out)
    groups = Groups(demo)
    broken = file_faults(out, demo)
    for t in demo.tasks:
        if groups.own[t.name] > groups.base[t.name] / 3:
            broken.append(
                f"{t.name}: own loss {groups.own[t.name]:.3f}, base loss {groups.base[t.name]:.3f}"
            )

    print("| problem | base | own | merged over languages | gain |\n|---|---|---|---|---|")
    for problem, tasks in by(demo.tasks, lambda t: t.problem).items():
        gain, loss = groups.gain_and_loss([tasks])
        base, own = (sum(x[t.name] for t in tasks) / len(tasks) for x in (groups.base, groups.own))
        print(f"| {problem} | {base:.3f} | {own:.3f} | {loss:.3f} | {gain:.3f} |", flush=True)

    print("\n| partition | clusters | held-out loss | gain |\n|---|---|---|---|")

    def row(name, partition):
        gain, loss = groups.gain_and_loss(partition)
        print(f"| {name} | {len(partition)} | {loss:.3f} | {gain:.3f} |", flush=True)
        return gain

    problem_gain = row("by problem", list(by(demo.tasks, lambda t: t.problem).values()))
    others = [row("by language", list(by(demo.tasks, lambda t: t.language).values()))]
    for seed in range(3):
        shuffled = demo.tasks[:]
        random.Random(seed).shuffle(shuffled)
        others.append(row(f"random {seed + 1}", [shuffled[k::CLUSTERS] for k in range(CLUSTERS)]))
    others.append(row("all in one", [demo.tasks]))
    if problem_gain < max(others) + 0.1:
        broken.append(
            f"the partition by problem gains {problem_gain:.3f}, another one {max(others):.3f}"
        )

    starts = [groups.search(seed) for seed in range(SEARCH_STARTS)]
    found = [
        row(f"search, start {i + 1} (few-shot loss {loss:.3f})", partition)
        for i, (loss, partition) in enumerate(starts)
    ]
    best = min(range(SEARCH_STARTS), key=lambda i: starts[i][0])
    print(f"\nbest start by few-shot loss: {best + 1}, gain {found[best]:.3f}")
    for cluster in starts[best][1]:
        print("  " + " ".join(t.name for t in cluster))
    for fault in broken:
        print(f"broken: {fault}")
    return 1 if broken else 0


def file_faults(out, demo):
    """Token ids that the tokenizer does not give, and prompts that occur twice."""
    faults = []
    for t in demo.tasks:
        few, test = (
            read_lines(out / folder / f"{t.name}.jsonl") for folder in ("examples", "test")
        )
        for line in few + test:
            if (line["input_ids"], line["prompt_len"]) != demo.tokenizer.example(
                line["prompt"], line["response"]
            ):
                faults.append(f"{t.name}: token ids of {line['prompt']!r}")
        if len({line["prompt"] for line in few + test}) != len(few + test):
            faults.append(f"{t.name}: a prompt occurs twice")
    return faults
