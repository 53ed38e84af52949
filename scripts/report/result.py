"""What a results file says, as plain values, and the figures that follow from it."""
import dataclasses
import functools
import hashlib
import json
import pathlib
import re

import h5py
import numpy as np

BASELINES = {"base": "base model", "own": "own adapters", "one": "one merged adapter",
             "random": "random partition"}


def clean(text):
    """Text without characters that HTML, XML or a line of a table cannot hold."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufffe"
                  r"\uffff]", "\ufffd", str(text))


@dataclasses.dataclass
class Split:
    """Losses and gains on one part of the examples. Arrays are per task; NaN = no value."""
    words: str  # "on held-out examples"
    matrix: np.ndarray  # loss [task, cluster]
    gain: np.ndarray  # under the task's cluster
    baseline: dict  # name -> loss

    @property
    def gains(self):
        """Gain [task, cluster]; NaN where the task's own adapter does not help."""
        return self.gain_of(self.matrix)

    def gain_of(self, loss):
        """(base - loss) / (base - own) for losses [task] or [task, cluster]."""
        base, own = (self.baseline.get(name, np.full(len(self.gain), np.nan)) for name in ("base", "own"))
        room = np.where(np.isfinite(self.gain), base - own, np.nan)
        if loss.ndim == 2:
            base, room = base[:, None], room[:, None]
        return (base - loss) / room


@dataclasses.dataclass
class Folder:
    """A merged adapter on the disk."""
    path: pathlib.Path
    bytes: int
    sha256: str
    rank: int


class Result:
    def __init__(self, file, path):
        self.path = path.resolve()
        self.attributes = {name: value.item() if isinstance(value, np.generic) else value
                           for name, value in file.attrs.items()}
        self.attributes |= {name: clean(value) for name, value in self.attributes.items()
                            if isinstance(value, str) and name != "config"}
        self.config = self._config()
        self.task = self._texts(file, "task/name")
        self.adapter = self._texts(file, "task/adapter")
        self.n_examples = file["task/n_examples"][:]
        self.n_tokens = file["task/n_tokens"][:]
        self.weight = file["task/weight"][:]
        self.assignment = file["result/assignment"][:]
        self.objective = float(file["result/objective"][()])
        self.k = len(file["cluster"])
        self.few = self._split(file, "", "on the few-shot examples")
        self.verify = self._split(file, "verify", "on examples kept from the search")
        self.heldout = self._split(file, "heldout", "on held-out examples")
        groups = ("curve", "sweep", "refine", "recipe", "timing", "evaluation", "iteration", "restart",
                  "score")
        self.tables = {name: self._table(file, name) for name in groups}

    def _config(self):
        try:
            options = json.loads(self.attributes.get("config", "{}"))
            return options if isinstance(options, dict) else {}
        except ValueError:
            return {}

    @staticmethod
    def _texts(file, name):
        return [clean(text) for text in file[name].asstr(errors="replace")[:]]

    def _table(self, file, group):
        """Datasets of a group by name, without the long ones; empty where it is absent."""
        if group not in file:
            return {}
        table = {}
        for name, dataset in file[group].items():
            if not isinstance(dataset, h5py.Dataset) or (group == "iteration" and name == "loss"):
                continue
            if h5py.check_string_dtype(dataset.dtype):
                table[name] = self._texts(file, f"{group}/{name}")
            else:
                table[name] = dataset[()]
        return table

    def _split(self, file, group, words):
        root = file[group] if group and group in file else (file if not group else None)
        if root is None:
            return None
        part = root["result"] if not group else root
        baseline = {name: dataset[:] for name, dataset in root["baseline"].items()
                    if name != "task"} if "baseline" in root else {}
        return Split(words, part["loss"][:], part["gain"][:], baseline)

    @property
    def unseen(self):
        """The split that the search did not see, or None."""
        return self.heldout or self.verify

    @property
    def shown(self):
        """The split that the report is mainly about."""
        return self.unseen or self.few

    def mean(self, values, tasks=slice(None)):
        """Weighted mean over the tasks that have a value; NaN where none has."""
        values, weight = np.asarray(values)[tasks], self.weight[tasks]
        known = np.isfinite(values)
        total = weight[known].sum()
        return float((values[known] * weight[known]).sum() / total) if total > 0 else float("nan")

    def members(self, cluster):
        return np.flatnonzero(self.assignment == cluster)

    @functools.cached_property
    def order(self):
        """Tasks by cluster, and by falling gain within it."""
        gain = np.nan_to_num(self.shown.gain, nan=-np.inf)
        return np.lexsort((-gain, self.assignment))

    @functools.cached_property
    def folders(self):
        """Cluster -> Folder, of those that lie beside the results file."""
        found = {}
        for cluster in range(self.k):
            path = self.path.parent / "merged" / f"cluster_{cluster:02}"
            try:
                content = path / "adapter_model.safetensors"
                digest = hashlib.sha256()
                with content.open("rb") as file:
                    for block in iter(lambda: file.read(1 << 20), b""):
                        digest.update(block)
                config = json.loads((path / "adapter_config.json").read_text())
                found[cluster] = Folder(path, content.stat().st_size, digest.hexdigest(), int(config["r"]))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        return found

    @functools.cached_property
    def source_bytes(self):
        """Size of the tasks' own adapters; None where one is not to be found."""
        try:
            return sum((pathlib.Path(path) / "adapter_model.safetensors").stat().st_size
                       for path in set(self.adapter))
        except OSError:
            return None

    @functools.cached_property
    def merged_bytes(self):
        used = set(self.assignment.tolist())
        if not used <= self.folders.keys():
            return None
        return sum(self.folders[cluster].bytes for cluster in used)

    @functools.cached_property
    def model(self):
        """Path of the base model, or None where the manifest is not to be found."""
        manifest = pathlib.Path(str(self.config.get("manifest", "")))
        try:
            if manifest.is_dir():
                return str(manifest / "model")
            return str(manifest.parent / json.loads(manifest.read_text())["model"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def read(path):
    with h5py.File(path) as file:
        return Result(file, path)
