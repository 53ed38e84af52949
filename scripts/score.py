#!/usr/bin/env python3
"""Scores generated text, per task, and against the tasks' own adapters.

    score.py PREDICTIONS.jsonl [--into results.h5] [--json scores.json]

PREDICTIONS has a line {"task", "adapter", "prompt", "prediction", "reference"} for each example; `-`
is standard input. The adapter is "base", "own", a cluster (cluster_03) or any other name; a
reference may be a list of several. All scores are from 0 to 100, higher is better:

    exact_match, token_f1    SQuAD's
    rouge1, rouge2, rougeL   ROUGE; weighted_rouge = R1/6 + R2/3 + R3/2
    chrf, bleu               of each task's examples as a whole
    edits_f05                F0.5 of the edits to a source text, where a line has "source" or
                             --source-pattern finds it in the prompt

The S-score of an adapter is the mean over tasks of score / score of the task's own adapter (tasks
whose own adapter scores 0 have none). Predictions of clusters count as one adapter, "clusters". With
--into, only those of each task's own cluster count, and the scores become the group /score of the
results file. rouge-score and sacrebleu are used where they are installed.

Exit status: 0 done, 2 wrong usage, 3 bad input.
"""
import argparse
import collections
import json
import math
import os
import pathlib
import re
import shutil
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from readable import readable  # noqa: E402
from replacing import refuse_special, replacing  # noqa: E402
from scoring import metrics  # noqa: E402

SEAL = re.compile(rb"\nd2c crc32 [0-9a-f]{8}\n\Z")
ORDER = ("base", "own", "one", "random", "clusters")


class BadInput(Exception):
    pass


def read(lines, name, pattern=None):
    """(task, adapter) -> rows, in the order of the file."""
    groups = collections.defaultdict(list)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            references = row["reference"]
            row["reference"] = references if isinstance(references, list) else [references]
            texts = [row["task"], row["adapter"], row["prediction"], *row["reference"]]
            if not row["reference"] or not all(isinstance(text, str) for text in texts):
                raise TypeError("task, adapter, prediction and reference must be text")
            found = re.search(pattern, row.get("prompt", "")) if pattern and "source" not in row else None
        except KeyError as error:
            raise BadInput(f"{name}:{number}: has no {error.args[0]}") from None
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(f"{name}:{number}: is not a prediction ({error})") from None
        if found:
            row["source"] = found.group(1)
        groups[row["task"], row["adapter"]].append(row)
    if not groups:
        raise BadInput(f"{name}: has no predictions")
    return groups


def cluster_of(adapter):
    found = re.fullmatch(r"cluster[ _-]?(\d+)|(\d+)", adapter)
    return int(found.group(1) or found.group(2)) if found else None


def join_clusters(groups, assignment=None):
    """The same groups, with each task's cluster under the name "clusters".

    @param assignment  task -> cluster, or None where it is not known
    """
    joined = {}
    for (task, adapter), rows in groups.items():
        cluster = cluster_of(adapter)
        if cluster is None:
            joined[task, adapter] = rows
        elif assignment is None or assignment.get(task) == cluster:
            if (task, "clusters") in joined:
                raise BadInput(f"task {task} has predictions of several clusters (which one serves it is not "
                               "known); give the results file with --into")
            joined[task, "clusters"] = rows
    return joined


def score(rows, edits=metrics.alignment_edits):
    """Metric -> score of the predictions of one task by one adapter."""
    predictions = [row["prediction"] for row in rows]
    references = [row["reference"] for row in rows]
    scores = {name: metric(predictions, references) for name, metric in metrics.METRICS.items()}
    known = all(isinstance(row.get("source"), str) for row in rows)
    scores["edits_f05"] = (metrics.edits_f05([row["source"] for row in rows], predictions, references, edits)
                           if known else math.nan)
    return scores


def table_of(groups, edits=metrics.alignment_edits):
    """{"task", "adapter", "metric", "value" [adapter][metric][task], "mean", "s_score" [adapter][metric]}"""
    tasks = list(dict.fromkeys(task for task, _ in groups))
    adapters = sorted({adapter for _, adapter in groups},
                      key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    scores = {key: score(rows, edits) for key, rows in groups.items()}
    names = [*metrics.METRICS, "edits_f05"]
    value = [[[scores[task, adapter][name] if (task, adapter) in scores else math.nan for task in tasks]
              for name in names] for adapter in adapters]
    own = value[adapters.index("own")] if "own" in adapters else None

    def known(values):
        return [v for v in values if not math.isnan(v)]

    def relative(values, others):
        return known(v / o for v, o in zip(values, others) if o > 0)

    return {"task": tasks, "adapter": adapters, "metric": names, "value": value,
            "mean": [[metrics.mean(known(v)) for v in rows] for rows in value],
            "s_score": [[metrics.mean(relative(v, own[m])) if own else math.nan
                         for m, v in enumerate(rows)] for rows in value]}


def shown(value, digits):
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def print_rows(head, rows, width):
    print("  ".join([head.ljust(width), *rows[0][1]]))
    for name, cells in rows[1:]:
        print("  ".join([readable(name, 60).ljust(width), *(cell.rjust(len(column)) for cell, column in zip(cells, rows[0][1]))]))


def report(table, per_task):
    columns = [name.rjust(6) for name in table["metric"]]
    width = max(len(readable(name, 60))
                for name in [*table["adapter"], *(table["task"] if per_task else []), "adapter"])
    if per_task:
        for a, adapter in enumerate(table["adapter"]):
            print(f"{readable(adapter, 60)}, by task")
            print_rows("task", [("", columns)] + [
                (task, [shown(table["value"][a][m][t], 2) for m in range(len(columns))])
                for t, task in enumerate(table["task"])], width)
            print()
    for title, field, digits in (("mean over tasks", "mean", 2),
                                 ("S-score: mean over tasks of score / score of the own adapter", "s_score", 3)):
        print(title)
        print_rows("adapter", [("", columns)] + [(adapter, [shown(v, digits) for v in table[field][a]])
                                                 for a, adapter in enumerate(table["adapter"])], width)
        print()


def expect_file(path):
    if path.exists() and not path.is_file():
        raise BadInput(f"{path}: is no file; name a file, or - for standard input")


def assignment_of(path):
    import h5py
    try:
        with h5py.File(path) as run:
            return dict(zip(run["task/name"].asstr()[:], run["result/assignment"][:].tolist()))
    except (OSError, KeyError, AttributeError, TypeError) as error:
        if getattr(error, "errno", None):
            raise BadInput(f"{path}: cannot be read: {os.strerror(error.errno)}") from error
        raise BadInput(f"{path}: is not the result of a d2c job (who shares an adapter is read there); "
                       f"name its results.h5 or its folder") from error


def put_into(path, table):
    """Writes the group /score. The file is replaced as a whole, with a checksum that fits."""
    import h5py
    with replacing(path) as target:
        copy = pathlib.Path(target.name)
        shutil.copyfile(path, copy)
        size = copy.stat().st_size
        with copy.open("rb+") as file:
            file.seek(max(0, size - 64))
            line = SEAL.search(file.read())
            if line:
                file.truncate(size - len(line.group()))
        with h5py.File(copy, "r+") as run:
            if "score" in run:
                del run["score"]
            group = run.create_group("score")
            scales = {}
            for name, words in (("task", "name of the task"), ("adapter", "what made the predictions"),
                                ("metric", "measure of the generated text, 0 to 100, higher is better")):
                scales[name] = group.create_dataset(name, data=table[name], dtype=h5py.string_dtype())
                scales[name].make_scale(name)
                scales[name].attrs["long_name"] = words
            for name, dims, words in (
                    ("value", ("adapter", "metric", "task"), "score of the task's predictions"),
                    ("mean", ("adapter", "metric"), "mean score over tasks"),
                    ("s_score", ("adapter", "metric"),
                     "mean over tasks of score / score of the task's own adapter")):
                dataset = group.create_dataset(name, data=table[name], dtype="f8")
                dataset.attrs.update({"long_name": words, "units": "1", "_FillValue": math.nan,
                                      "comment": "NaN: no predictions, or the score is not defined"})
                for axis, dim in enumerate(dims):
                    dataset.dims[axis].label = dim
                    dataset.dims[axis].attach_scale(scales[dim])
        if line:
            checksum = 0
            with copy.open("rb+") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    checksum = zlib.crc32(block, checksum)
                file.write(f"\nd2c crc32 {checksum:08x}\n".encode())


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", help="JSON lines, or - for standard input")
    parser.add_argument("--into", type=pathlib.Path, metavar="RESULT", help="results file, or its folder")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all scores to this file")
    parser.add_argument("--source-pattern", metavar="REGEX",
                        help="finds the source text of edits in the prompt: its first group")
    parser.add_argument("--errant", action="store_true", help="edits by ERRANT (English only)")
    parser.add_argument("--summary", action="store_true", help="leave out the tables by task")
    options = parser.parse_args(arguments)
    try:
        if options.source_pattern and re.compile(options.source_pattern).groups < 1:
            parser.error("--source-pattern needs a group: what it matches is the source")
    except re.error as error:
        parser.error(f"--source-pattern: {error}")
    try:
        results = options.into / "results.h5" if options.into and options.into.is_dir() else options.into
        for path in [options.json] if options.json else []:
            refuse_special(path)
        for path in [results] if results else []:
            expect_file(path)
        if options.predictions == "-":
            groups = read(sys.stdin, "standard input", options.source_pattern)
        else:
            expect_file(pathlib.Path(options.predictions))
            with open(options.predictions, encoding="utf-8") as file:
                groups = read(file, options.predictions, options.source_pattern)
        groups = join_clusters(groups, assignment_of(results) if results else None)
        if not groups:
            raise BadInput(f"{options.predictions}: no prediction is of a task's own cluster")
        table = table_of(groups, metrics.errant_edits() if options.errant else metrics.alignment_edits)
        if results:
            put_into(results, table)
        if options.json:
            with replacing(options.json) as file:
                without_nan = json.loads(json.dumps(table), parse_constant=lambda _: None)
                file.write(json.dumps(without_nan).encode())
    except ImportError as error:
        print(f"score: {sys.executable} lacks the package {error.name}; install it, or use another Python",
              file=sys.stderr)
        return 3
    except (BadInput, OSError, KeyError, UnicodeDecodeError) as error:
        print(f"score: {readable(error)}", file=sys.stderr)
        return 3
    report(table, not options.summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
