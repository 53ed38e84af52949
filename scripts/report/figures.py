"""The figures of a report: one function each, from a Result to a matplotlib figure.

Each stands in FIGURES with a title; its docstring is for readers of the code, `alt` for those who
do not see it. Text is never read as mathematics, colours are told apart by colour-blind people, and
series differ in their marks as well.
"""
import dataclasses
import io
import re
import warnings

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402

from replacing import replacing  # noqa: E402
from result import BASELINES  # noqa: E402
from verdict import percent, plural  # noqa: E402

WIDTH = 8.4  # inches
MOST_ROWS = 60  # tasks that get a line of their own
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "d2c", "font.size": 9, "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.grid": True,
    "grid.linewidth": 0.6, "axes.linewidth": 0.8, "axes.titlesize": 9, "legend.frameon": False,
    "text.parse_math": False, "axes.unicode_minus": True, "figure.constrained_layout.use": True,
    "figure.facecolor": "none", "lines.linewidth": 1.8, "lines.markersize": 5.5, "pdf.fonttype": 42,
}


@dataclasses.dataclass(frozen=True)
class Colours:
    ink: str
    muted: str
    grid: str
    paper: str
    first: str
    second: str
    third: str

    def style(self):
        return {"text.color": self.ink, "axes.labelcolor": self.ink, "axes.edgecolor": self.muted,
                "xtick.color": self.muted, "ytick.color": self.muted, "xtick.labelcolor": self.ink,
                "ytick.labelcolor": self.ink, "grid.color": self.grid, "axes.facecolor": "none"}


# Okabe and Ito's colours, on white paper.
PRINT = Colours("#1b1f24", "#6a737d", "#e1e4e8", "#ffffff", "#0072b2", "#d55e00", "#008060")
# On the page these become variables of its style sheet, which knows light from dark.
PAGE = Colours("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06", "#0a0b07")


def label(name, length=34):
    return name if len(name) <= length else name[:length - 1] + "…"


def thinned(axis, places, names, room):
    """Labels at most `room` of the places, evenly."""
    step = max(1, -(-len(places) // room))
    axis.set_ticks(places[::step], names[::step])


def share_axis(axes, values, least=0.0):
    """Gains on the x axis, from 0 = base model to 1 = own adapter."""
    finite = np.concatenate([np.asarray(v)[np.isfinite(v)] for v in values] or [np.zeros(0)])
    low = min(least, finite.min() if finite.size else 0.0)
    high = max(1.0, finite.max() if finite.size else 1.0)
    axes.set_xlim(max(low, -1.0) - 0.02, min(high, 1.5) + 0.02)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:.2f}".rstrip("0").rstrip(".").replace("-", "−"))


def comparison(run, c):
    """Kept gain of the clusters beside the simple ways."""
    names = [n for n in ("one", "random") if n in run.few.baseline]
    names += sorted(set(run.few.baseline) - {"base", "own", "one", "random"})
    splits = [(run.few, c.second, "few-shot examples", "D")]
    if run.unseen:
        splits.append((run.unseen, c.first, run.unseen.words.replace("on ", "", 1), "o"))
    rows = [(f"{run.k} clusters", [run.mean(s.gain) for s, *_ in splits])]
    rows += [(BASELINES.get(n, n), [run.mean(s.gain_of(s.baseline[n])) if n in s.baseline else np.nan
                                    for s, *_ in splits]) for n in names]
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.36 * len(rows)))
    places = np.arange(len(rows))
    for i, (_, colour, words, mark) in enumerate(splits):
        values = np.array([row[1][i] for row in rows])
        last = i == len(splits) - 1
        if last:
            axes.barh(places, values, height=0.5, color=colour, label=words, alpha=0.9)
            for y, value in zip(places, values):
                if np.isfinite(value):
                    axes.text(0.015, y, percent(value), color=c.paper if value > 0.12 else c.ink, va="center",
                              fontweight="bold")
        else:
            axes.plot(values, places, mark, color=colour, label=words, markeredgecolor=c.paper, zorder=3)
    axes.axvline(1, color=c.muted, linewidth=1, linestyle="--")
    axes.set_yticks(places, [label(row[0]) for row in rows])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    share_axis(axes, [row[1] for row in rows])
    axes.set_xlabel("share of the own adapters' gain that is kept (0 = base model, 1 = own adapters)")
    if len(splits) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return figure, "; ".join(f"{name}: {percent(values[-1])}" for name, values in rows)


def heat_map(run, c):
    """Gain of every task under every cluster, where it was measured."""
    order = run.order
    elsewhere = run.assignment[:, None] != np.arange(run.k)
    split = next((s for s in (run.shown, run.few) if np.isfinite(s.gains[elsewhere]).any()), None)
    if split is None and run.k > 1:
        return None
    split = split or run.shown
    gains = split.gains[order]
    n, k = gains.shape
    height = min(max(0.165 * n, 1.2), 11.0)
    figure, axes = plt.subplots(figsize=(WIDTH, height + 1.1))
    colours = matplotlib.colormaps["cividis"].copy()
    colours.set_bad(alpha=0)
    axes.set_facecolor(c.grid)
    image = axes.imshow(np.ma.masked_invalid(np.clip(gains, 0, 1)), cmap=colours, vmin=0, vmax=1,
                        aspect="auto", interpolation="none")
    clusters = run.assignment[order]
    for cluster in range(k):
        rows = np.flatnonzero(clusters == cluster)
        if not rows.size:
            continue
        for width, colour in ((3.6, "black"), (1.6, "white")):
            axes.add_patch(Rectangle((cluster - 0.5, rows[0] - 0.5), 1, rows.size, fill=False,
                                     edgecolor=colour, linewidth=width, clip_on=False, zorder=3))
    measured = np.where(np.isfinite(gains), gains, -np.inf)
    best = measured.argmax(axis=1)
    better = np.flatnonzero((best != clusters) & (measured.max(axis=1) > measured[np.arange(n), clusters] + 0.01)
                            & np.isfinite(gains[np.arange(n), clusters]))
    if n <= 200:
        axes.plot(best[better], better, "o", color="white", markeredgecolor="black", markersize=4, zorder=4)
    thinned(axes.yaxis, np.arange(n), [label(run.task[t]) for t in order], int(height / 0.15))
    thinned(axes.xaxis, np.arange(k), [str(i) for i in range(k)], 32)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(f"cluster ({split.words})")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, orientation="horizontal", fraction=0.05, pad=0.02, aspect=45,
                          shrink=0.6, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.set_ticklabels(["≤ 0 (base model)", "0.25", "0.5", "0.75", "≥ 1 (own adapter)"])
    bar.outline.set_visible(False)
    missing = int((~np.isfinite(gains)).sum())
    alt = (f"{plural(n, 'task')} in rows, {plural(k, 'cluster')} in columns. Mean gain in the own cluster "
           f"{percent(run.mean(split.gain))}, in the others {percent(_mean_elsewhere(gains, clusters))}.")
    if better.size:
        alt += (f" {plural(better.size, 'task')} would gain more under another cluster"
                f"{' (white dots)' if n <= 200 else ''}.")
    return figure, alt + (f" {plural(missing, 'cell')} without a value (grey)." if missing else "")


def _mean_elsewhere(gains, clusters):
    elsewhere = gains[clusters[:, None] != np.arange(gains.shape[1])]
    elsewhere = elsewhere[np.isfinite(elsewhere)]
    return float(np.clip(elsewhere, -1, 1).mean()) if elsewhere.size else float("nan")


def gain_per_task(run, c):
    """Gain of each task, from few-shot to held-out examples."""
    split = run.shown
    order = run.order[np.isfinite(split.gain[run.order])]
    if order.size == 0:
        return None
    cut = order.size > MOST_ROWS
    if cut:
        worst = np.argsort(split.gain[order], kind="stable")[:MOST_ROWS]
        order = order[worst]
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.17 * order.size))
    rows = np.arange(order.size)
    if split is not run.few:
        axes.hlines(rows, run.few.gain[order], split.gain[order], color=c.muted, linewidth=1)
        axes.plot(run.few.gain[order], rows, "D", color=c.second, markersize=4.5, label="few-shot examples")
    axes.plot(split.gain[order], rows, "o", color=c.first, label=split.words.replace("on ", "", 1))
    axes.set_yticks(rows, [f"{label(run.task[t])} · {run.assignment[t]}" for t in order])
    axes.set_ylim(order.size - 0.4, -0.6)
    axes.axvline(1, color=c.muted, linewidth=1, linestyle="--")
    if not cut:
        for i in np.flatnonzero(np.diff(run.assignment[order])):
            axes.axhline(i + 0.5, color=c.muted, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    shown = [split.gain[order], run.few.gain[order]]
    share_axis(axes, shown, least=min(1.0, max(0.0, np.floor(10 * np.nanmin(shown)) / 10)))
    axes.set_xlabel("gain (0 = base model, 1 = own adapter); the cluster stands behind the name")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    least = order[np.argmin(split.gain[order])]
    alt = (f"{'The ' + str(MOST_ROWS) + ' tasks with the lowest gain' if cut else plural(order.size, 'task')}; "
           f"lowest {split.words}: {run.task[least]} with {percent(split.gain[least])}.")
    return figure, alt


def distribution(run, c):
    """Gains of all tasks in rising order, where they are too many for a line each."""
    split = run.shown
    gain = np.sort(split.gain[np.isfinite(split.gain)])
    if gain.size <= MOST_ROWS:
        return None
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8))
    if split is not run.few:
        few = np.sort(run.few.gain[np.isfinite(run.few.gain)])
        axes.plot(np.linspace(0, 100, few.size), few, "--", color=c.second, label="few-shot examples")
    axes.plot(np.linspace(0, 100, gain.size), gain, color=c.first, label=split.words.replace("on ", "", 1))
    axes.axhline(1, color=c.muted, linewidth=1, linestyle="--")
    axes.set_ylim(max(-1, min(0, gain[0])) - 0.03, max(1.05, min(gain[-1], 1.5) + 0.03))
    axes.set_xlabel("share of the tasks (%)")
    axes.set_ylabel("gain at most")
    axes.legend(loc="lower right")
    quarter, half = np.quantile(gain, [0.05, 0.5])
    return figure, (f"Half of the tasks have a gain of {percent(half)} or more, 95 % of them {percent(quarter)} "
                    "or more.")


def curve_over_k(run, c):
    """Gain against the number of clusters."""
    sweep = run.tables["sweep"]
    if not sweep or len(sweep["k"]) < 2 or "gain" not in sweep:
        return None
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2))
    k = sweep["k"]
    for name, colour, style, words in (("gain", c.second, "D--", "few-shot examples"),
                                       ("heldout_gain", c.first, "o-", "held-out examples")):
        if name in sweep and np.isfinite(sweep[name]).any():
            axes.plot(k, sweep[name], style, color=colour, label=words)
    knee = int(sweep["knee"])
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (high - low))
    marks = {knee: ["knee"]}
    marks.setdefault(run.k, []).append("this result")
    if run.config.get("budget-mb"):
        marks.setdefault(int(max(k)), []).append(f"room of {run.config['budget-mb']} MB")
    for place, words in marks.items():
        axes.axvline(place, color=c.muted, linewidth=1, linestyle="--", zorder=1)
        left = place > (min(k) + max(k)) / 2
        axes.annotate(", ".join(words), (place, 1), xycoords=("data", "axes fraction"),
                      xytext=(-4 if left else 4, -3), textcoords="offset points", va="top",
                      ha="right" if left else "left")
    thinned(axes.xaxis, k, [str(i) for i in k], 30)
    axes.set_xlabel("number of clusters K")
    axes.set_ylabel("mean gain")
    axes.legend(loc="lower right")
    best = sweep.get("heldout_gain", sweep["gain"])
    refined = " Before refinement." if run.tables["refine"] else ""
    return figure, (f"From K = {k[0]} ({percent(best[0])}) to K = {k[-1]} ({percent(best[-1])}); the knee is at "
                    f"{knee}, this result has {run.k}.{refined}")


def search(run, c):
    """Best objective against work and time."""
    curve = run.tables["curve"]
    if not curve or len(curve.get("objective", ())) < 2:
        return None
    panels = [("evaluations", "evaluations (task, merged adapter)")]
    if "seconds" in curve:
        panels.append(("seconds", "seconds since the start of the search"))
    figure, both = plt.subplots(1, len(panels), figsize=(WIDTH, 2.7), sharey=True, squeeze=False)
    for axes, (name, words) in zip(both[0], panels):
        axes.step(curve[name], curve["objective"], where="post", color=c.first)
        axes.plot(curve[name][-1], curve["objective"][-1], "o", color=c.first)
        axes.set_xlabel(words)
    both[0][0].set_ylabel("best objective (lower is better)")
    return figure, (f"Best objective from {curve['objective'][0]:.4f} to {curve['objective'][-1]:.4f} in "
                    f"{int(curve['evaluations'][-1]):,} evaluations.")


def refinement(run, c):
    """Objective and gain after each step of the refinement."""
    steps = run.tables["refine"]
    if not steps or len(steps["step"]) < 2:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9))
    x = np.arange(len(steps["step"]))
    left.plot(x, steps["objective"], "D--", color=c.second, label="few-shot examples")
    if "heldout_objective" in steps:
        left.plot(x, steps["heldout_objective"], "o-", color=c.first, label="held-out examples")
    right.plot(x, steps["gain"], "D--", color=c.second)
    if "heldout_gain" in steps:
        right.plot(x, steps["heldout_gain"], "o-", color=c.first)
    for axes, words in ((left, "objective (lower is better)"), (right, "mean gain")):
        thinned(axes.xaxis, x, ["search", *(label(s, 14) for s in steps["step"][1:])], 6)
        axes.tick_params(axis="x", rotation=20)
        axes.set_ylabel(words)
    left.legend(loc="best")
    return figure, (f"{plural(len(x) - 1, 'step')} of refinement: objective {steps['objective'][0]:.4f} to "
                    f"{steps['objective'][-1]:.4f}, gain {percent(steps['gain'][0])} to "
                    f"{percent(steps['gain'][-1])}.")


def time_per_phase(run, c):
    """Wall time of each phase: mean over ranks, and least to most."""
    timing = run.tables["timing"]
    rows = [i for i, phase in enumerate(timing.get("phase", ())) if phase != "total" and timing["max"][i] > 0]
    if not rows:
        return None
    rows.sort(key=lambda i: -timing["mean"][i])
    figure, axes = plt.subplots(figsize=(WIDTH, 0.7 + 0.24 * len(rows)))
    mean, least, most = (timing[name][rows] for name in ("mean", "min", "max"))
    axes.barh(range(len(rows)), mean, height=0.6, color=c.first, alpha=0.9)
    if run.attributes.get("mpi_ranks", 1) > 1:
        axes.errorbar(mean, range(len(rows)), xerr=[mean - least, most - mean], fmt="none", ecolor=c.second,
                      capsize=3, linewidth=1.4)
    for y, (value, far) in enumerate(zip(mean, most)):
        axes.annotate(f"{value:.3g} s", (far, y), xytext=(5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rows)), [label(timing["phase"][i]) for i in rows])
    axes.set_xlim(0, 1.12 * most.max())
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("wall time (s), mean over ranks; whiskers: least and most of a rank")
    return figure, "; ".join(f"{timing['phase'][i]} {timing['mean'][i]:.3g} s" for i in rows)


def time_per_rank(run, c):
    """Where the wall time of each rank went."""
    timing = run.tables["timing"]
    seconds = timing.get("seconds")
    if seconds is None or len(seconds) < 2:
        return None
    phases = [i for i, phase in enumerate(timing["phase"]) if phase != "total"]
    phases.sort(key=lambda i: -seconds[:, i].sum())
    most, rest = phases[:4], phases[4:]
    ranks = np.arange(len(seconds))
    figure, axes = plt.subplots(figsize=(WIDTH, 2.4))
    below = np.zeros(len(seconds))
    parts = [(timing["phase"][i], seconds[:, i]) for i in most] + [("the rest", seconds[:, rest].sum(axis=1))]
    looks = ((c.first, 0.9, ""), (c.second, 0.9, "//"), (c.third, 0.9, ""), (c.first, 0.45, "\\\\"), (c.muted, 0.6, ""))
    for (words, values), (colour, alpha, hatch) in zip(parts, looks):
        axes.bar(ranks, values, bottom=below, width=0.86, color=colour, alpha=alpha, hatch=hatch,
                 edgecolor=c.paper, linewidth=0, label=label(words))
        below += values
    axes.set_xlim(-0.6, len(seconds) - 0.4)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="x", visible=False)
    hosts = len(set(timing["host"]))
    axes.set_xlabel(f"rank (on {plural(hosts, 'host')})")
    axes.set_ylabel("wall time (s)")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0.2)
    slowest = int(below.argmax())
    return figure, (f"{plural(len(seconds), 'rank')} on {plural(hosts, 'host')}; " +
                    "; ".join(f"{words} {values.mean():.3g} s" for words, values in parts) +
                    f" on average. Longest: rank {slowest} on {timing['host'][slowest]}, {below[slowest]:.3g} s.")


FIGURES = {f.__name__: f for f in (comparison, heat_map, gain_per_task, distribution, curve_over_k, search,
                                   refinement, time_per_phase, time_per_rank)}


def draw(run, name, colours):
    """(figure, alternative text), or None where the result has nothing to show."""
    with warnings.catch_warnings(), matplotlib.rc_context({**STYLE, **colours.style()}):
        warnings.simplefilter("ignore")  # glyphs that this machine's font lacks: the reader's has them
        return FIGURES[name](run, colours)


def _write(figure, target, kind, **options):
    with warnings.catch_warnings(), matplotlib.rc_context(STYLE):
        warnings.simplefilter("ignore")
        figure.savefig(target, format=kind, metadata={"CreationDate" if kind == "pdf" else "Date": None}, **options)
    plt.close(figure)


def svg(run, name):
    """(inline SVG, alternative text), or None."""
    drawn = draw(run, name, PAGE)
    if drawn is None:
        return None
    figure, alt = drawn
    buffer = io.StringIO()
    _write(figure, buffer, "svg", bbox_inches="tight", pad_inches=0.04)
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.S)
    text = text[text.index("<svg"):]
    text = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", text, count=1)
    # Names of parts must differ between the figures of a page.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{name}-", text)
    for field, colour in dataclasses.asdict(PAGE).items():
        text = text.replace(colour, f"var(--{field})")
    return text, alt


def save(run, folder):
    """Writes every figure to the folder as SVG and PDF, for white paper."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FIGURES:
        for kind in ("svg", "pdf"):
            drawn = draw(run, name, PRINT)
            if drawn:
                with replacing(folder / f"{name}.{kind}") as file:
                    _write(drawn[0], file, kind, bbox_inches="tight", facecolor="white")
