#!/usr/bin/env python3
"""Draws what searches gain on held-out examples against what they cost.

    scripts/plot_gain.py EFFORT=compare.csv ... -K 5 -o gain.svg

Reads tables of `d2c compare`, one for each --effort, and writes FIGURE and, beside it, a table of the same name with
the ending .csv: mean and standard deviation over the seeds. Needs Debian's python3-matplotlib.
"""
import argparse
import collections
import csv
import pathlib
import statistics
import sys

FIELDS = ("effort", "search", "method", "K", "evaluations", "gain", "gain_std", "seeds")


def read(label, path, k):
    """Rows of one table, and the gain of one adapter for all tasks."""
    seeds = collections.defaultdict(list)
    one = None
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if not row["heldout_gain"]:
                sys.exit(f"plot_gain: {path}: has no held-out gains (the tasks have no test split); nothing can be drawn")
            if row["search"] == "one":
                one = float(row["heldout_gain"])
            elif row["method"] and int(row["k"]) == k:
                seeds[row["search"], row["method"]].append((int(row["evaluations"]), float(row["heldout_gain"])))
    rows = []
    for (search, method), values in seeds.items():
        evaluations, gains = zip(*values)
        rows.append(dict(zip(FIELDS, (label, search, method, k, round(statistics.mean(evaluations)),
                                      statistics.mean(gains), statistics.pstdev(gains), len(gains)))))
    return rows, one


def draw(rows, one, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    plt.rcParams["svg.hashsalt"] = "d2c"
    figure, axes = plt.subplots(figsize=(8, 4.5))
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["search"]].append(row)
    for i, (search, points) in enumerate(groups.items()):
        points.sort(key=lambda row: row["evaluations"])
        axes.errorbar([row["evaluations"] for row in points], [row["gain"] for row in points],
                      [row["gain_std"] for row in points], marker="os^vD<>Ph*Xd"[i % 12], capsize=3, label=search,
                      linestyle="-" if search.endswith("refined") else ":")
    if one is not None:
        axes.axhline(one, color="grey", linewidth=1)
        axes.annotate("one adapter for all", (axes.get_xlim()[0], one), xytext=(4, 4), textcoords="offset points",
                      color="grey", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("evaluations (one task's examples under one adapter)")
    axes.set_ylabel("gain on held-out examples")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncol=2, loc="lower right")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("tables", nargs="+", metavar="EFFORT=CSV")
    parser.add_argument("-K", type=int, required=True)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    options = parser.parse_args()
    rows, one = [], None
    for table in options.tables:
        label, separator, path = table.partition("=")
        if not separator:
            parser.error(f"{table} is no EFFORT=CSV")
        try:
            more, found = read(label, path, options.K)
        except OSError as error:
            sys.exit(f"plot_gain: {path}: cannot be read ({error.strerror}); give a compare.csv")
        except (KeyError, ValueError):
            sys.exit(f"plot_gain: {path}: is no table of d2c compare; give its compare.csv")
        rows += more
        one = found if one is None else one
    if not rows:
        sys.exit(f"plot_gain: no row has K = {options.K}; give one that was compared")
    with open(options.output.with_suffix(".csv"), "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, FIELDS, lineterminator="\n")
        table.writeheader()
        table.writerows({**row, "gain": f"{row['gain']:.4f}", "gain_std": f"{row['gain_std']:.4f}"} for row in rows)
    draw(rows, one, options.output)


if __name__ == "__main__":
    main()
