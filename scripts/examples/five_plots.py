# %% [markdown]
# Five plots of a result, cell by cell (an editor that knows `# %%` shows them as a notebook).
#
#     five_plots.py results.h5 [FOLDER]

# %% What is read
import pathlib
import sys

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

results = sys.argv[1]
folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ".")
folder.mkdir(parents=True, exist_ok=True)
with h5py.File(results) as run:
    def values(name):
        return run[name][:] if name in run else None
    task, cluster = run["task/name"].asstr()[:], run["result/assignment"][:]
    gain, heldout = values("result/gain"), values("heldout/gain")
    loss, base, own = run["result/loss"][:], run["baseline/base"][:], run["baseline/own"][:]
    evaluations, objective = values("curve/evaluations"), values("curve/objective")
    phase, seconds = run["timing/phase"].asstr()[:], run["timing/seconds"][:]
order = sorted(range(len(task)), key=lambda t: (cluster[t], -gain[t]))

# %% 1. Gain of each task
figure, axes = plt.subplots(figsize=(8, 0.18 * len(task) + 1), layout="constrained")
axes.plot(gain[order], range(len(task)), "o", label="few-shot")
if heldout is not None:
    axes.plot(heldout[order], range(len(task)), "D", fillstyle="none", label="held out")
axes.set_yticks(range(len(task)), [f"{task[t]} ({cluster[t]})" for t in order], fontsize=7)
axes.axvline(1, linestyle="--", color="grey")
axes.set_xlabel("gain (0 = base model, 1 = own adapter)")
axes.legend()
figure.savefig(folder / "gain.svg")

# %% 2. Loss of every task under every cluster, as far as measured
figure, axes = plt.subplots(figsize=(6, 0.14 * len(task) + 1), layout="constrained")
image = axes.imshow(((base[:, None] - loss) / (base - own)[:, None])[order], vmin=0, vmax=1, aspect="auto")
axes.set_xlabel("cluster")
axes.set_yticks(range(len(task)), task[order], fontsize=6)
figure.colorbar(image, label="gain")
figure.savefig(folder / "matrix.svg")

# %% 3. Objective against work
if evaluations is not None:
    figure, axes = plt.subplots(layout="constrained")
    axes.step(evaluations, objective, where="post")
    axes.set(xlabel="evaluations", ylabel="best objective")
    figure.savefig(folder / "search.svg")

# %% 4. From few-shot examples to held-out ones
if heldout is not None:
    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.scatter(gain, heldout, c=cluster, cmap="tab20")
    axes.axline((0, 0), slope=1, color="grey", linestyle="--")
    axes.set(xlabel="gain on few-shot examples", ylabel="gain on held-out examples")
    figure.savefig(folder / "heldout.svg")

# %% 5. Where the time went
figure, axes = plt.subplots(layout="constrained")
below = 0
for i, name in enumerate(phase):
    if name != "total" and seconds[:, i].max() > 0.01 * seconds[:, list(phase).index("total")].max():
        axes.bar(range(len(seconds)), seconds[:, i], bottom=below, label=name)
        below = below + seconds[:, i]
axes.set(xlabel="rank", ylabel="seconds")
axes.legend(loc="lower right")
figure.savefig(folder / "time.svg")
