#!/usr/bin/env python3
"""Predicts time, memory and traffic of a d2c job from measured unit costs.

    scale_model.py predict [--model NAME|config.json] [--adapters N ...] [--ranks P ...]
    scale_model.py simulate [--ranks P] [--skew S] [--speed-spread S]
    scale_model.py check --d2c PROGRAM --calibrate MANIFEST:K --predict MANIFEST:K[:RANKS] ...

`predict` adds up one iteration of the search in which every cluster changed: the worst case.
`simulate` plays the balancing of the evaluation phase, evaluation by evaluation. `check` measures
unit costs with one run on one rank and compares predictions with other runs. See
docs/notebook/scale-model.md.
"""
import argparse
import dataclasses
import heapq
import json
import math
import pathlib
import random
import re
import subprocess
import sys
import tempfile

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
    """Unit costs. The rates are those of one core, measured; see docs/design/parallel.md."""
    evaluate_gflops: float = 220.0
    merge_gflops: float = 30.0
    similarity_gflops: float = 120.0
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


ONCE = ("load", "similarity")  # phases of a job that are not part of an iteration


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


def pair_flops(job):
    """Operations of the inner product of two adapters' updates; similarity::gram in C++."""
    return 2.0 * job.rank * job.model.adapter_values(job.rank)


def predict(job, machine, n_ranks):
    """Seconds of each phase of one iteration, and of what is done once; bytes per rank and node, bytes on the network."""
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
        # All factors visit every node; the owners of adapters compare them with half of the others.
        "similarity": (members * between_nodes / machine.node_gb_s
                       + members / n_ranks / machine.copy_gb_s) * 1e-9
                      + math.ceil(job.adapters / n_ranks) * (job.adapters + 1) / 2.0
                      * pair_flops(job) / machine.similarity_gflops * 1e-9,
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
    iteration = sum(seconds[phase] for phase in seconds if phase not in ONCE)
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
    head = ["adapters", "K", "ranks", "load", "similarity", "exchange", "merge", "share", "evaluate", "reduce",
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


ASKED_NODES = 4  # that a rank asks for work before it gives up, as in comm/work_queues.cpp


def cut(costs, n_pieces):
    """Begins of consecutive pieces of about equal cost, and the end; comm::cut in C++."""
    total, before, begins = sum(costs), 0.0, [0]
    for i, cost in enumerate(costs):
        while len(begins) < n_pieces and (before + cost / 2) / total * n_pieces >= len(begins):
            begins.append(i)
        before += cost
    return begins + [len(costs)] * (n_pieces + 1 - len(begins))


class Balancing:
    """Plays one evaluation phase; a unit of mean length takes one second on a rank of speed 1.

    Tasks have lengths drawn from a lognormal distribution, ranks have speeds drawn from
    [1 - speed_spread, 1 + speed_spread], which the plan does not know. The units, one task after
    another, are cut into pieces of equal length. With `dynamic`, a rank that runs dry takes the
    second half of what the fullest rank of its node has left, or asks a rank on each of some other
    nodes, which answers between two units: comm::WorkQueues in C++.
    """

    def __init__(self, n_ranks, ranks_per_node, n_tasks, k, skew, speed_spread, seed, dynamic=True,
                 message_seconds=1e-4):
        self.rng = random.Random(seed)
        lengths = [self.rng.lognormvariate(-skew * skew / 2.0, skew) for _ in range(n_tasks)]
        self.units = [length for length in lengths for _ in range(k)]
        self.speeds = [self.rng.uniform(1.0 - speed_spread, 1.0 + speed_spread)
                       for _ in range(n_ranks)]
        begins = cut(self.units, n_ranks)
        self.ranges = [[begins[rank], begins[rank + 1]] for rank in range(n_ranks)]
        self.n_ranks, self.ranks_per_node = n_ranks, ranks_per_node
        self.dynamic, self.message_seconds = dynamic, message_seconds
        self.busy_until = [0.0] * n_ranks
        self.busy, self.moved = 0.0, 0
        self.asked = [self.choose_asked(rank) for rank in range(n_ranks)]
        self.next_asked = [0] * n_ranks

    def node_of(self, rank):
        return rank // self.ranks_per_node

    def neighbours(self, rank):
        first = self.node_of(rank) * self.ranks_per_node
        return range(first, min(first + self.ranks_per_node, self.n_ranks))

    def choose_asked(self, rank):
        nodes = [n for n in range(math.ceil(self.n_ranks / self.ranks_per_node))
                 if n != self.node_of(rank)]
        chosen = self.rng.sample(nodes, min(ASKED_NODES, len(nodes)))
        return [self.rng.choice(self.neighbours(n * self.ranks_per_node)) for n in chosen]

    def left(self, rank):
        return self.ranges[rank][1] - self.ranges[rank][0]

    def take_half(self, rank):
        """The second half of what the fullest rank of this rank's node has left."""
        fullest = max(self.neighbours(rank), key=self.left)
        begin, end = self.ranges[fullest]
        first = end - (end - begin + 1) // 2
        self.ranges[fullest][1] = first
        return [first, end]

    def play(self):
        """@return (idle share of all ranks' time, seconds, units that changed their rank)"""
        events = [(0.0, rank, None) for rank in range(self.n_ranks)]  # (time, rank, who answers)
        while events:
            now, rank, answering = heapq.heappop(events)
            if self.left(rank) == 0 and self.dynamic:
                self.ranges[rank] = self.take_half(rank if answering is None else answering)
                self.moved += self.left(rank)
                if answering is not None and self.left(rank) > 0:
                    self.next_asked[rank] = 0
            if self.left(rank) > 0:
                seconds = self.units[self.ranges[rank][0]] / self.speeds[rank]
                self.ranges[rank][0] += 1
                self.busy += seconds
                self.busy_until[rank] = now + seconds
                heapq.heappush(events, (now + seconds, rank, None))
            elif self.dynamic and self.next_asked[rank] < len(self.asked[rank]):
                other = self.asked[rank][self.next_asked[rank]]
                self.next_asked[rank] += 1
                answered = max(now, self.busy_until[other]) + self.message_seconds
                heapq.heappush(events, (answered, rank, other))
        end = max(self.busy_until)
        return 1.0 - self.busy / (self.n_ranks * end), end, self.moved


def print_simulation(args):
    print("| ranks | tasks | K | skew | speeds | balancing | idle | units moved |")
    print("|---|---|---|---|---|---|---|---|")
    for dynamic in (False, True):
        for skew in args.skew:
            idle, _, moved = Balancing(args.ranks, args.ranks_per_node, args.tasks, args.k, skew,
                                       args.speed_spread, args.seed, dynamic).play()
            print(f"| {args.ranks} | {args.tasks} | {args.k} | {skew:g} | "
                  f"+-{100 * args.speed_spread:.0f} % | {'dynamic' if dynamic else 'static'} | "
                  f"{100 * idle:.1f} % | {moved} of {args.tasks * args.k} |")


@dataclasses.dataclass(frozen=True)
class Run:
    """One iteration of the search from a random start, and the four baselines."""
    manifest: str
    k: int
    ranks: int = 1

    @staticmethod
    def read(text):
        manifest, k, *ranks = text.split(":")
        return Run(manifest, int(k), int(ranks[0]) if ranks else 1)


def call(args, command, ranks=1):
    launcher = [] if ranks == 1 else [*args.mpirun.split(), "-n", str(ranks)]
    done = subprocess.run([*launcher, args.d2c, *command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"scale_model: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def measure(args, run):
    """Seconds of the phases "evaluate" and "merge", means over ranks; least of args.repeat runs."""
    least = {}
    for _ in range(args.repeat):
        with tempfile.TemporaryDirectory() as folder:
            call(args, ["run", run.manifest, "-K", str(run.k), "--search", "d2c", "--restarts", "1",
                        "--max-iterations", "1", "--output", f"{folder}/out", "--quiet",
                        *args.options.split()], run.ranks)
            report = call(args, ["inspect", f"{folder}/out/results.h5"])
        for phase in ("evaluate", "merge"):
            mean = float(re.search(rf"(?m)^ +{phase} +\S+ +(\S+)", report).group(1))
            least[phase] = min(mean, least.get(phase, math.inf))
    return least


def work(args, run):
    """(tokens to evaluate, operations to merge) of a run, from its plan alone."""
    plan = json.loads(call(args, ["plan", run.manifest, "-K", str(run.k), "--json"]))
    tokens = 0
    for split in ("few_shot", "held_out"):
        tokens += plan[f"{split}_computed"] * (run.k + 4)
    # The start and the random baseline merge K clusters, `one` merges everything.
    model, n, rank = Model.read(str(pathlib.Path(plan["model"]) / "config.json")), plan["adapters"], plan["adapter_rank"]
    flops = sum(2 * run.k * merge_flops(d_out, d_in, n / run.k, rank) + merge_flops(d_out, d_in, n, rank)
                for d_out, d_in in model.modules()) * model.layers
    return tokens, flops


def print_check(args):
    calibration = Run.read(args.calibrate)
    tokens, flops = work(args, calibration)
    seconds = measure(args, calibration)
    token_seconds, flop_seconds = seconds["evaluate"] / tokens, seconds["merge"] / flops
    print(f"calibrated with {calibration.manifest}, K = {calibration.k}, one rank: "
          f"{1e6 * token_seconds:.3g} us per token, {1e-9 / flop_seconds:.3g} GFLOP/s of merging")
    print("| manifest | K | ranks | phase | predicted s | measured s | measured / predicted |")
    print("|---|---|---|---|---|---|---|")
    for run in map(Run.read, args.predict):
        tokens, flops = work(args, run)
        predicted = {"evaluate": tokens * token_seconds / run.ranks,
                     "merge": flops * flop_seconds / run.ranks}
        measured = measure(args, run)
        for phase, value in predicted.items():
            print(f"| {run.manifest} | {run.k} | {run.ranks} | {phase} | {value:.2f} | "
                  f"{measured[phase]:.2f} | {measured[phase] / value:.2f} |")


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
    p.add_argument("--skew", type=float, nargs="+", default=[0.0, 0.5, 0.8, 1.0])
    p.add_argument("--speed-spread", type=float, default=0.1)
    p.add_argument("--seed", type=int, default=0)
    p.set_defaults(function=print_simulation)
    p = commands.add_parser("check", help="predictions against runs on this machine")
    p.add_argument("--d2c", default="d2c", help="the program")
    p.add_argument("--mpirun", default="mpirun --oversubscribe", help="how ranks are started")
    p.add_argument("--calibrate", required=True, metavar="MANIFEST:K")
    p.add_argument("--predict", nargs="+", required=True, metavar="MANIFEST:K[:RANKS]")
    p.add_argument("--repeat", type=int, default=3, help="runs of each, of which the least counts")
    p.add_argument("--options", default="", help="more options of `d2c run`")
    p.set_defaults(function=print_check)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    arguments.function(arguments)
