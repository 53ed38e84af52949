#!/usr/bin/env python3
"""Runs the methods of the published table on one manifest, and prints the table.

    table.py MANIFEST -K 5 --output FOLDER [--d2c d2c] [--starter 'mpirun -n 16']

Rows: the base model, each task's own adapter, k-means on the adapters, D2C, the search `auto`, and
that with distillation. For each method FOLDER gets a result and its predictions; what is there is
not made again. Columns: the score of each problem type (of tasks that are named TYPE-LANGUAGE, as
prepare.py names them; of other tasks --score), their mean, and the S-score: the mean over tasks of
score / score of the task's own adapter.
"""
import argparse
import json
import pathlib
import shlex
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import score  # noqa: E402
import sources  # noqa: E402

METHODS = {"k-means": ["--search", "kmeans", "--refine", "none"], "D2C": ["--search", "d2c", "--refine", "none"],
           "auto": ["--search", "auto", "--refine", "none"], "auto + distillation": ["--search", "auto"]}


def call(command):
    print("+ " + shlex.join(map(str, command)), file=sys.stderr, flush=True)
    if subprocess.run(list(map(str, command))).returncode != 0:
        sys.exit("table: the command above failed; its message says why")


def predictions(name, options):
    """The predictions by the clusters of a method; the first method's hold base and own, too."""
    folder = options.output / name.replace(" ", "").replace("+", "-")
    program = [*shlex.split(options.starter), options.d2c]
    if not (folder / "results.h5").exists():
        call([*program, "run", options.manifest, "-K", options.k, *METHODS[name], "--output", folder, "--quiet"])
    first = name == next(iter(METHODS))
    file = folder / "predictions.jsonl"
    if not file.exists():
        call([*program, "generate", folder, "--adapters", "base,own,clusters" if first else "clusters",
              "--max-new-tokens", options.max_new_tokens, "--quiet"])
    return file


def kind_of(task):
    return task.rpartition("-")[0] if task.rpartition("-")[0] in sources.SCORES else "all"


def metric_of(task, options):
    return sources.SCORES.get(kind_of(task), options.score)


def add_sources(groups):
    """The text that a correction starts from stands after the instruction."""
    for (task, _), rows in groups.items():
        if kind_of(task) == "grammar":
            for row in rows:
                row.setdefault("source", row["prompt"].partition("\n\n")[2])


def rows_of(options):
    """Method -> task -> score."""
    table = {}
    for name in METHODS:
        with open(predictions(name, options), encoding="utf-8") as file:
            groups = score.read(file, name)
        add_sources(groups)
        for (task, adapter), lines in groups.items():
            row = {"base": "base model", "own": "own adapters"}.get(adapter, name)
            table.setdefault(row, {})[task] = score.score(lines)[metric_of(task, options)]
    return table


def print_table(table):
    tasks = list(next(iter(table.values())))
    kinds = list(dict.fromkeys(map(kind_of, tasks)))
    print("| method | " + " | ".join(kinds) + " | mean | S-score |")
    print("|---|" + "---|" * (len(kinds) + 2))

    def mean(values):
        values = list(values)
        return sum(values) / len(values) if values else float("nan")

    own = table["own adapters"]
    for name, scores in table.items():
        by_kind = [mean(scores[t] for t in tasks if kind_of(t) == kind) for kind in kinds]
        relative = mean(scores[t] / own[t] for t in tasks if own[t] > 0)
        print(f"| {name} | " + " | ".join(f"{v:.1f}" for v in [*by_kind, mean(by_kind)]) + f" | {relative:.3f} |")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=pathlib.Path)
    parser.add_argument("-K", dest="k", type=int, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--d2c", default="d2c", help="the program")
    parser.add_argument("--starter", default="", help="what starts it: 'mpirun -n 16', 'srun --mpi=pmix'")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--score", default="rougeL", help="of tasks of no known type")
    parser.add_argument("--json", type=pathlib.Path, help="write all scores to this file")
    options = parser.parse_args(arguments)
    table = rows_of(options)
    if options.json:
        options.json.write_text(json.dumps(table, indent=1))
    print_table(table)


if __name__ == "__main__":
    main()
