"""The result in plain words."""
import dataclasses

import numpy as np

# A gap between gains that is worth a word.
NOTABLE = 0.02
DROP = 0.15


def percent(value):
    return "–" if not np.isfinite(value) else f"{100 * value:.1f}\u00a0%".replace("-", "−")


def points(value):
    return f"{100 * value:.1f}".replace("-", "−")


def size(count, like=None):
    """Bytes as text, in the unit that fits the size `like`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if (like or count) >= scale:
            return f"{count / scale:.{1 if count >= scale else 2}f}\u00a0{unit}"
    return f"{count} bytes"


def plural(count, noun):
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


@dataclasses.dataclass
class Verdict:
    headline: str
    sentences: list
    tiles: list  # (value, caption)


def verdict(run):
    split = run.shown
    kept = run.mean(split.gain)
    n_adapters = len(set(run.adapter))
    filled = len(set(run.assignment.tolist()))
    headline = (f"{plural(filled, 'adapter')} {'keeps' if filled == 1 else 'keep'} {percent(kept)} of what "
                f"{plural(n_adapters, 'adapter')} {'gains' if n_adapters == 1 else 'gain'} {split.words}")
    if not np.isfinite(kept):
        headline = (f"{plural(filled, 'adapter')} for {plural(len(run.task), 'task')}: no own adapter helps, so "
                    "there is no gain to keep")
    tiles = [(percent(kept), f"kept by {plural(filled, 'merged adapter')}")]
    # Those that memory did not allow to merge were not measured.
    rivals = {name: gain for name in ("one", "random") if name in split.baseline
              and np.isfinite(gain := run.mean(split.gain_of(split.baseline[name])))}
    for name, words in (("one", "by one adapter merged from all"), ("random", "by a random partition")):
        if name in rivals:
            tiles.append((percent(rivals[name]), words))
    if run.source_bytes and run.merged_bytes:
        tiles.append((f"{size(run.source_bytes)} → {size(run.merged_bytes, run.source_bytes)}", "adapters on the device"))
    sentences = [*_against(kept, rivals), *_unseen(run)]
    return Verdict(headline, sentences, tiles)


def _against(kept, rivals):
    if not rivals or not np.isfinite(kept):
        return
    words = {"one": "one adapter merged from all tasks", "random": "a random partition into as many clusters"}
    name, best = max(rivals.items(), key=lambda item: item[1])
    if kept - best > NOTABLE:
        yield (f"The choice of clusters pays: they keep {points(kept - best)} points more than {words[name]}, "
               "the better of the simple ways.")
    else:
        yield (f"The choice of clusters matters little here: {words[name]} keeps {percent(best)}. "
               "Fewer adapters may do.")


def _unseen(run):
    few = percent(run.mean(run.few.gain))
    split = run.unseen
    covered = int(np.isfinite(split.gain).sum()) if split else 0
    if split and covered < np.isfinite(run.few.gain).sum():
        yield f"Figures {split.words} are of the {plural(covered, 'task')} that have some."
    if split is not None:
        drop = run.mean(run.few.gain) - run.mean(split.gain)
        if abs(drop) <= NOTABLE:
            yield f"The gain holds {split.words}: it is {few} on those that the search used."
        elif drop > 0:
            yield (f"It is {few} on the examples that the search used, {points(drop)} points more than "
                   f"{split.words}: more examples per task would narrow this.")
        else:
            yield f"It is {few} on the examples that the search used."
    else:
        yield ("These are the examples that the search itself used, so the figure is optimistic: give a test "
               "split, or run with --verify-examples 2.")


@dataclasses.dataclass
class Flagged:
    task: int
    gain: float
    reasons: list


def worst(run, shown=5):
    """The tasks that are served worst and all those with something to know, lowest gain first."""
    split, gains = run.shown, run.shown.gains
    flagged = []
    for t in range(len(run.task)):
        reasons = list(_reasons(run, split, gains, t))
        flagged.append(Flagged(t, float(split.gain[t]), reasons))
    flagged.sort(key=lambda row: (not np.isfinite(row.gain), row.gain))
    return [row for i, row in enumerate(flagged) if row.reasons or (i < shown and np.isfinite(row.gain))]


def _reasons(run, split, gains, t):
    gain, own = split.gain[t], run.assignment[t]
    if not np.isfinite(gain):
        if np.isfinite(split.matrix[t, own]):
            yield "its own adapter does not help, so there is no gain to keep"
        return
    if gain < 0:
        yield "worse than the base model: leave it without an adapter, or give it one of its own"
    elif gain < 0.5:
        yield "loses more than half of what its own adapter gains"
    if split is not run.few and run.few.gain[t] - gain > DROP:
        yield f"{points(run.few.gain[t] - gain)} points worse than on its few-shot examples"
    if not np.isfinite(gains[t]).any():
        return
    other = int(np.nanargmax(gains[t]))
    if other != own and gains[t, other] - gain > 0.05:
        yield f"cluster {other} would serve it better ({percent(gains[t, other])})"
