#!/usr/bin/env python3
"""Predicts time, memory and traffic of a d2c job from measured unit costs.

    scale_model.py predict [--model NAME|config.json] [--adapters N ...] [--ranks P ...]
    scale_model.py simulate [--ranks P] [--skew S] [--speed-spread S]
    scale_model.py check --binary d2c --manifest M --against MANIFEST -K K ...

`predict` adds up one iteration of the search in which every cluster changed: the worst case.
`simulate` plays the balancing of the evaluation unit by unit. `check` measures unit costs with one
small run and compares predictions with other runs. The formulas stand in docs/scaling.md.
"""
import argparse
import dataclasses
import heapq
import json
import math
import pathlib
import random
import sys

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Model:
    """Sizes of a decoder, as in its config.json."""
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool

    @staticmethod
    def read(name):
        """One of MODELS, or a path to a Hugging Face config.json."""
        if name in MODELS:
            return MODELS[name]
        config = json.loads(pathlib.Path(name).read_text())
        heads = config["num_attention_heads"]
        return Model(config["hidden_size"], config["num_hidden_layers"], heads,
                     config.get("num_key_value_heads") or heads,
                     config.get("head_dim") or config["hidden_size"] // heads,
                     config["intermediate_size"], config["vocab_size"],
                     config.get("tie_word_embeddings", False))

    def modules(self):
        """(d_out, d_in) of the linear modules of one layer."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return [(q, self.hidden), (kv, self.hidden), (kv, self.hidden), (self.hidden, q),
                (self.intermediate, self.hidden), (self.intermediate, self.hidden),
                (self.hidden, self.intermediate)]

    def layer_parameters(self):
        return sum(d_out * d_in for d_out, d_in in self.modules())

    def weight_bytes(self, value_bytes):
        tables = 1 if self.tied else 2
        return (self.layers * self.layer_parameters()
                + tables * self.vocabulary * self.hidden) * value_bytes

    def adapter_values(self, rank):
        return self.layers * rank * sum(d_out + d_in for d_out, d_in in self.modules())


# Sizes from the config.json that Meta publishes with the model.
MODELS = {"llama-3.2-1b": Model(2048, 16, 32, 8, 64, 8192, 128256, True)}


@dataclasses.dataclass(frozen=True)
class Job:
    """What there is to do; tokens are those of one task's few-shot examples."""
    model: Model
    adapters: int
    k: int
    rank: int = 32
    tasks: int = 0            # 0 = as many as adapters
    examples: int = 10
    tokens: int = 1000        # ids
    distinct: int = 630       # prefix tokens that are computed
    scored: int = 300         # predictions that count
    stored_bytes: int = 2     # of an adapter's value in memory
    weight_value_bytes: int = 4

    def n_tasks(self):
        return self.tasks or self.adapters


@dataclasses.dataclass(frozen=True)
class Machine:
    """Unit costs. The rates are those of one core, measured; see docs/scaling.md."""
    evaluate_gflops: float = 220.0
    merge_gflops: float = 20.0
    copy_gb_s: float = 5.0         # of one core, into another layout
    ranks_per_node: int = 64
    # InfiniBand HDR100: 100 Gbit/s for each node. 90 % of it, and 2 us for a small message through
    # MPI, are assumed.
    network: str = "InfiniBand HDR100"
    latency_us: float = 2.0
    node_gb_s: float = 11.25
    # A parallel file system, assumed: for one node, and for all nodes together.
    file_node_gb_s: float = 2.0
    file_total_gb_s: float = 50.0
    exchange_mib: int = 256
    merged_mib: int = 512


def unit_flops(job):
    """Operations of one (task, adapter) evaluation that are carried out; model::work in C++."""
    model = job.model
    per_token = 2.0 * (model.layer_parameters() + model.adapter_values(job.rank) / model.layers)
    seen = job.tokens / job.examples / 2.0
    per_pair = 4.0 * model.heads * model.head_dim
    layer = per_token * job.distinct + per_pair * seen * job.distinct
    kv = 4.0 * model.hidden * model.kv_heads * model.head_dim
    last = (per_token + per_pair * seen) * job.scored + kv * max(0, job.distinct - job.scored)
    logits = 2.0 * model.vocabulary * model.hidden * job.scored
    return (model.layers - 1) * layer + last + logits


def merge_flops(d_out, d_in, members, rank):
    """Operations of one (cluster, module) unit of `average`; merge::cost_of_core in C++."""
    total, side = members * rank, min(d_out, d_in)
    if total > side:
        return 2.0 * d_out * d_in * (total + side) + 10.0 * side ** 3
    return (d_out + d_in) * total * (total + 2.0 * rank) + 10.0 * total ** 3


def largest_share(costs, n_ranks):
    """Load of the busiest rank when units go, longest first, to the least loaded rank."""
    loads = [0.0] * min(n_ranks, len(costs))
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(loads, loads[0] + cost)
    return max(loads)


def predict(job, machine, n_ranks):
    """Seconds of each phase of one iteration, bytes per rank and node, bytes on the network."""
    nodes = math.ceil(n_ranks / machine.ranks_per_node)
    on_node = min(n_ranks, machine.ranks_per_node)
    latency = machine.latency_us * 1e-6
    between_nodes = 1.0 - 1.0 / nodes
    hops = math.ceil(math.log2(n_ranks)) if n_ranks > 1 else 0
    tasks = job.n_tasks()

    adapter_values = job.model.adapter_values(job.rank)
    stored = job.adapters * adapter_values * job.stored_bytes
    merged = job.k * adapter_values * 4
    weights = job.model.weight_bytes(job.weight_value_bytes)
    matrix = tasks * job.k * 8

    units = [merge_flops(d_out, d_in, job.adapters / job.k, job.rank)
             for d_out, d_in in job.model.modules()] * (job.k * job.model.layers)
    unit = unit_flops(job) / machine.evaluate_gflops * 1e-9
    switch = adapter_values * 4 / machine.copy_gb_s * 1e-9
    # Members travel as float32; each rank packs what it sends and unpacks what it receives.
    members = job.adapters * adapter_values * 4
    rounds = max(1, math.ceil(members / n_ranks / (machine.exchange_mib * MIB)))

    seconds = {
        "load": max(weights / machine.file_node_gb_s,
                    (nodes * weights + stored) / machine.file_total_gb_s,
                    stored / nodes / machine.file_node_gb_s) * 1e-9,
        "exchange": (members / nodes * between_nodes / machine.node_gb_s
                     + 2.0 * members / n_ranks * (1.0 - 1.0 / n_ranks) / machine.copy_gb_s) * 1e-9
                    + rounds * min(n_ranks, job.adapters) * latency,
        "merge": largest_share(units, n_ranks) / machine.merge_gflops * 1e-9,
        "share": (merged * between_nodes / machine.node_gb_s
                  + merged / on_node / machine.copy_gb_s) * 1e-9 + hops * latency,
        "evaluate": max(tasks * job.k / n_ranks, 1.0) * unit
                    + min(job.k, math.ceil(tasks * job.k / n_ranks)) * switch,
        "reduce": 0.0 if n_ranks == 1 else
                  2.0 * matrix / machine.node_gb_s * 1e-9 + 2.0 * hops * latency,
    }
    iteration = sum(seconds[phase] for phase in seconds if phase != "load")
    ideal = (tasks * job.k * unit + sum(units) / machine.merge_gflops * 1e-9) / n_ranks
    return {
        "ranks": n_ranks, "nodes": nodes, "seconds": seconds, "iteration": iteration,
        "efficiency": ideal / iteration,
        "rank_bytes": stored / n_ranks + machine.exchange_mib * MIB + adapter_values * 4,
        "node_bytes": weights + min(merged, max(machine.merged_mib * MIB, adapter_values * 4))
                      + tasks * job.tokens * 4,
        "network_bytes": (members + merged * nodes) * between_nodes + matrix * 2 * (nodes - 1),
    }


def print_predictions(args):
    machine = read_machine(args.machine)
    model = Model.read(args.model)
    print(f"{args.model}, rank {args.rank}, {machine.network}, {machine.ranks_per_node} ranks per "
          f"node, {machine.evaluate_gflops:g} GFLOP/s per core; seconds of one iteration")
    head = ["adapters", "K", "ranks", "load", "exchange", "merge", "share", "evaluate", "reduce",
            "iteration", "efficiency", "GiB/rank", "GiB/node", "GB on the network"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for n_adapters in args.adapters:
        job = Job(model, n_adapters, k=args.k or max(2, n_adapters // 8), rank=args.rank)
        for ranks in args.ranks:
            p = predict(job, machine, ranks)
            s = p["seconds"]
            cells = [n_adapters, job.k, ranks, *(f"{s[phase]:.3g}" for phase in s),
                     f"{p['iteration']:.3g}", f"{100 * p['efficiency']:.0f} %",
                     f"{p['rank_bytes'] / 2**30:.2f}", f"{p['node_bytes'] / 2**30:.2f}",
                     f"{p['network_bytes'] * 1e-9:.3g}"]
            print("| " + " | ".join(map(str, cells)) + " |")


def read_machine(path):
    """Machine with the fields of a JSON file in place of the defaults."""
    if path is None:
        return Machine()
    fields = json.loads(pathlib.Path(path).read_text())
    known = {field.name for field in dataclasses.fields(Machine)}
    for name in fields:
        if name not in known:
            sys.exit(f"scale_model: {path}: unknown field '{name}' (known: {', '.join(sorted(known))})")
    return dataclasses.replace(Machine(), **fields)


STRANGERS = 32  # ranks of other nodes that a rank asks for work, as in comm/work_queues.cpp


def cut(costs, n_pieces):
    """Begins of consecutive pieces of about equal cost, and the end; comm::cut in C++."""
    total, before, begins = sum(costs), 0.0, [0]
    for i, cost in enumerate(costs):
        while len(begins) < n_pieces and (before + cost / 2) / total * n_pieces >= len(begins):
            begins.append(i)
        before += cost
    return begins + [len(costs)] * (n_pieces + 1 - len(begins))


def simulate(n_ranks, ranks_per_node, n_tasks, k, skew, speed_spread, seed, dynamic=True,
             steal_seconds=2e-5):
    """Plays one evaluation phase; a unit of mean length takes one second on a rank of speed 1.

    Tasks have lengths drawn from a lognormal distribution, ranks have speeds drawn from
    [1 - speed_spread, 1 + speed_spread], which the plan does not know. The units, one merged adapter
    after another, are cut into pieces of equal length. With `dynamic`, a rank that runs dry takes
    the second half of what another one has left: comm::WorkQueues in C++.
    @return (idle share of all ranks' time, seconds of the phase, units that changed their rank)
    """
    rng = random.Random(seed)
    lengths = [rng.lognormvariate(-skew * skew / 2.0, skew) for _ in range(n_tasks)]
    speeds = [rng.uniform(1.0 - speed_spread, 1.0 + speed_spread) for _ in range(n_ranks)]
    begins = cut(lengths * k, n_ranks)
    ranges = [[begins[rank], begins[rank + 1]] for rank in range(n_ranks)]
    strangers = {}

    def left(rank):
        return ranges[rank][1] - ranges[rank][0]

    def victim(rank):
        node = rank // ranks_per_node * ranks_per_node
        neighbours = range(node, min(node + ranks_per_node, n_ranks))
        fullest = max(neighbours, key=left)
        if left(fullest) > 0:
            return fullest
        if rank not in strangers:
            others = [r for r in range(n_ranks) if r not in neighbours]
            strangers[rank] = rng.sample(others, min(STRANGERS, len(others)))
        return next((r for r in strangers[rank] if left(r) > 0), None)

    busy, end, moved = 0.0, 0.0, 0
    ready = [(0.0, rank) for rank in range(n_ranks)]
    while ready:
        now, rank = heapq.heappop(ready)
        if left(rank) == 0:
            source = victim(rank) if dynamic else None
            if source is None:
                continue
            first = ranges[source][1] - (left(source) + 1) // 2
            ranges[rank] = [first, ranges[source][1]]
            ranges[source][1] = first
            moved += left(rank)
            now += steal_seconds
        seconds = lengths[ranges[rank][0] % n_tasks] / speeds[rank]
        ranges[rank][0] += 1
        busy += seconds
        end = max(end, now + seconds)
        heapq.heappush(ready, (now + seconds, rank))
    return 1.0 - busy / (n_ranks * end), end, moved


def print_simulation(args):
    print("| ranks | tasks | K | skew | speeds | balancing | idle | units moved |")
    print("|---|---|---|---|---|---|---|---|")
    for dynamic in (False, True):
        for skew in args.skew:
            idle, _, moved = simulate(args.ranks, args.ranks_per_node, args.tasks, args.k, skew,
                                      args.speed_spread, args.seed, dynamic)
            print(f"| {args.ranks} | {args.tasks} | {args.k} | {skew:g} | "
                  f"+-{100 * args.speed_spread:.0f} % | {'dynamic' if dynamic else 'static'} | "
                  f"{100 * idle:.1f} % | {moved} of {args.tasks * args.k} |")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("predict", help="a table of predictions")
    p.add_argument("--model", default="llama-3.2-1b", help="a name or a config.json")
    p.add_argument("--adapters", type=int, nargs="+", default=[40, 1000, 10000])
    p.add_argument("--ranks", type=int, nargs="+", default=[1, 4, 16, 64, 256, 1024])
    p.add_argument("--rank", type=int, default=32, help="of the adapters")
    p.add_argument("-K", dest="k", type=int, default=0, help="0 = an eighth of the adapters")
    p.add_argument("--machine", help="JSON file with unit costs in place of the defaults")
    p.set_defaults(function=print_predictions)
    p = commands.add_parser("simulate", help="balancing of the evaluation")
    p.add_argument("--ranks", type=int, default=1024)
    p.add_argument("--ranks-per-node", type=int, default=64)
    p.add_argument("--tasks", type=int, default=2000)
    p.add_argument("-K", dest="k", type=int, default=64)
    p.add_argument("--skew", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    p.add_argument("--speed-spread", type=float, default=0.1)
    p.add_argument("--seed", type=int, default=0)
    p.set_defaults(function=print_simulation)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    arguments.function(arguments)
