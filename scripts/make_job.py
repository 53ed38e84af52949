#!/usr/bin/env python3
"""Writes a SLURM job for `d2c run` from the job's own plan.

    d2c plan MANIFEST -K 5 --json > plan.json
    scripts/make_job.py plan.json --cores-per-node 64 --gib-per-node 256 > job.sbatch

The job has the options that the plan was made with. Nodes, ranks, memory and time follow from the
plan: the fewest nodes that hold the job and end it
within --hours. The script is jobs/many-nodes.sbatch, or jobs/gpu.sbatch with --gpus-per-node, with these
figures filled in; it saves its state before the time limit and requeues itself, so an estimate that
is too short costs nothing but a restart.
"""
import argparse
import json
import math
import pathlib
import re
import shlex
import sys

JOBS = pathlib.Path(__file__).resolve().parent.parent / "jobs"
GIB = 1 << 30
# Ranks share work by taking single evaluations over from each other: with so many for each rank an
# iteration ends evenly.
EVALUATIONS_PER_RANK = 8


def fail(what, why, fix):
    sys.exit(f"make_job: {what} ({why}) {fix}")


class Estimate:
    """What the job needs on some nodes with some ranks each."""

    def __init__(self, plan, nodes, ranks_per_node, rounds):
        ranks = nodes * ranks_per_node
        per_rank = sum(plan["bytes_per_rank"].values()) + plan["adapter_bytes"] / ranks
        self.nodes, self.ranks_per_node = nodes, ranks_per_node
        self.node_bytes = sum(plan["bytes_per_node"].values()) + ranks_per_node * per_rank
        evaluations = plan["evaluations_per_iteration"]
        refinement = math.ceil(plan.get("refine_evaluations", 0) / ranks)
        seconds = plan["evaluation_seconds"]
        self.hours = (rounds * math.ceil(evaluations / ranks) * seconds
                      + refinement * plan.get("refine_evaluation_seconds", seconds)) / 3600


def choose(plan, cores, gib, max_nodes, hours, rounds):
    """The fewest nodes that hold the job and end it in time; or else the most that help."""
    best = None
    for nodes in range(1, max_nodes + 1):
        useful = max(1, math.ceil(plan["evaluations_per_iteration"] / EVALUATIONS_PER_RANK / nodes))
        ranks = min(cores, useful)
        while ranks > 1 and Estimate(plan, nodes, ranks, rounds).node_bytes > gib * GIB:
            ranks -= 1
        estimate = Estimate(plan, nodes, ranks, rounds)
        if estimate.node_bytes > gib * GIB:
            continue
        if best is None or estimate.hours < 0.95 * best.hours:
            best = estimate
        if estimate.hours <= hours:
            break
    if best is None:
        least = Estimate(plan, max_nodes, 1, rounds).node_bytes
        fail(f"the job does not fit on {max_nodes} nodes of {gib:g} GiB",
             f"one rank on each of them needs {least / GIB:.1f} GiB",
             "give more nodes, or nodes with more memory")
    return best


def handed_on(options, given):
    """The options of the plan as words of a command line, but for those that are given anew."""
    words = []
    for name, value in options.items():
        if any(word.split("=")[0] == f"--{name}" for word in given.split()):
            continue
        if re.search(r"\s", value):
            fail(f"--{name} '{value}' cannot be handed on", "the job splits its options at spaces",
                 "rename the file")
        words.append(f"--{name}={value}")
    return words


def render(plan, estimate, args):
    limit = min(args.hours, max(0.1, 1.5 * estimate.hours + 0.1))
    minutes = math.ceil(60 * limit)
    values = {
        "--job-name": args.job_name,
        "--nodes": estimate.nodes,
        "--ntasks-per-node": estimate.ranks_per_node,
        "--time": f"{minutes // 60:02}:{minutes % 60:02}:00",
    }
    if args.gpus_per_node:
        values["--gpus-per-node"] = args.gpus_per_node
        values["--cpus-per-task"] = max(1, args.cores_per_node // args.gpus_per_node)
    text = (JOBS / ("gpu.sbatch" if args.gpus_per_node else "many-nodes.sbatch")).read_text()
    for option, value in values.items():
        text, n = re.subn(rf"(?m)^(#SBATCH {option}=)\S+", rf"\g<1>{value}", text)
        assert n == 1, option
    more = [f"#SBATCH --mem={math.ceil(1.1 * estimate.node_bytes / (1 << 20)) + 256}M"]
    if args.partition:
        more.append(f"#SBATCH --partition={args.partition}")
    if args.account:
        more.append(f"#SBATCH --account={args.account}")
    text = text.replace("#SBATCH --nodes=", "\n".join(more) + "\n#SBATCH --nodes=", 1)
    options = {"K": str(plan["k"]), **plan["options"]}
    k = options.pop("K")
    options.pop("budget-mb", None)  # it decided K
    if args.gpus_per_node:
        options["device"] = "cuda"  # it belongs to one call, so that the plan does not hand it on
    words = handed_on(options, args.options) + args.options.split()
    for name, value in (("D2C", args.d2c), ("MANIFEST", plan["manifest"]), ("K", k),
                        ("D2C_OPTIONS", " ".join(words))):
        text, n = re.subn(rf"(?m)^{name}=\$\{{{name}:-[^}}]*\}}",
                          lambda _: f"{name}=${{{name}:-{shlex.quote(str(value))}}}", text)
        assert n == 1, name
    return text


def read_plan(path):
    try:
        text = sys.stdin.read() if path == "-" else pathlib.Path(path).read_text()
        plan = json.loads(text)
        for field in ("evaluation_seconds", "options"):
            if not isinstance(plan, dict) or field not in plan:
                raise ValueError(f"it has no field '{field}'")
        return plan
    except (OSError, ValueError) as error:
        fail(f"{path} is not a plan", str(error), "write it with `d2c plan MANIFEST -K ... --json`")


def positive(kind):
    def convert(text):
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError("must be positive")
        return value
    return convert


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", help="file with the output of `d2c plan --json`, - = standard input")
    parser.add_argument("--cores-per-node", type=positive(int), required=True)
    parser.add_argument("--gib-per-node", type=positive(float), required=True)
    parser.add_argument("--gpus-per-node", type=positive(int),
                        help="one rank on each GPU; for the plan of `d2c plan --device cuda`")
    parser.add_argument("--max-nodes", type=positive(int), default=16, help="default 16")
    parser.add_argument("--hours", type=positive(float), default=4.0,
                        help="limit of one allocation, default 4")
    parser.add_argument("--rounds", type=positive(float), default=40.0,
                        help="evaluations of a whole search as a multiple of tasks x K, default 40: what "
                             "the searches with their default options took on sets of 40 tasks")
    parser.add_argument("--d2c", default="d2c", help="the program on the nodes, default d2c")
    parser.add_argument("--options", default="", metavar="TEXT",
                        help="more options of `d2c run`, as --options='--search d2c'; those of "
                             "`d2c plan` are handed on")
    parser.add_argument("--job-name", default="d2c")
    parser.add_argument("--partition")
    parser.add_argument("--account")
    args = parser.parse_args()
    plan = read_plan(args.plan)
    if args.gpus_per_node and plan.get("device") != "cuda":
        fail("--gpus-per-node does not go with this plan", "its times are those of a CPU",
             "make it on a GPU, with `d2c plan --device cuda`")
    ranks = args.gpus_per_node or args.cores_per_node
    estimate = choose(plan, ranks, args.gib_per_node, args.max_nodes, args.hours,
                      args.rounds)
    print(render(plan, estimate, args), end="")
    print(f"{estimate.nodes} nodes x {estimate.ranks_per_node} ranks, "
          f"{estimate.node_bytes / GIB:.2f} GiB per node, about {estimate.hours:.2g} h"
          + (": more than one allocation, the job requeues itself"
             if estimate.hours > args.hours else ""), file=sys.stderr)


if __name__ == "__main__":
    main()
