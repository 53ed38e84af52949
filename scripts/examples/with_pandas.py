#!/usr/bin/env python3
"""A results file as pandas tables: tasks, losses, iterations, ranks.

    with_pandas.py results.h5
"""
import sys

import h5py
import pandas


def tables(path):
    with h5py.File(path) as run:
        task = pandas.Index(run["task/name"].asstr()[:], name="task")
        tasks = pandas.DataFrame({"cluster": run["result/assignment"][:], "gain": run["result/gain"][:],
                                  "base": run["baseline/base"][:], "own": run["baseline/own"][:]}, index=task)
        if "heldout" in run:
            tasks["heldout_gain"] = run["heldout/gain"][:]
        # One row for each task and cluster that was measured.
        loss = pandas.DataFrame(run["result/loss"][:], index=task).rename_axis(columns="cluster")
        loss = loss.stack().rename("loss").dropna().reset_index()
        iterations = pandas.DataFrame({name: run[f"iteration/{name}"][:] for name in ("objective", "moved", "seconds")
                                       if f"iteration/{name}" in run}).rename_axis("iteration")
        ranks = pandas.DataFrame(run["timing/seconds"][:], columns=run["timing/phase"].asstr()[:]
                                 ).rename_axis("rank").assign(host=run["timing/host"].asstr()[:])
    return tasks, loss, iterations, ranks


if __name__ == "__main__":
    tasks, loss, iterations, ranks = tables(sys.argv[1])
    print(tasks.groupby("cluster").mean(numeric_only=True), "\n")
    print(tasks.nsmallest(5, "gain"), "\n")
    # Tables join by their names: what each task loses against its own adapter, in its cluster.
    own = loss.merge(tasks.reset_index(), on=["task", "cluster"])
    print(own.assign(regret=own["loss"] - own["own"])[["task", "cluster", "regret"]].head(), "\n")
    print(iterations.tail(3), "\n")
    print(ranks.drop(columns="host").describe().loc[["min", "mean", "max"]])
