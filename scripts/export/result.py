"""A result's routing.json: which merged adapter serves which task."""
import dataclasses
import hashlib
import json
import pathlib

from problem import Problem
from readable import readable


def load(path):
    if not path.is_file():
        raise Problem(f"{path}: is missing, or is no file; check the path")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Problem(f"{path}: is not JSON ({error}); repair the file") from None


def read_aliases(given, file):
    """Task -> name, from `TASK=NAME` texts and from a JSON object."""
    aliases = {}
    if file:
        content = load(file)
        if not isinstance(content, dict) or not all(isinstance(name, str) for name in content.values()):
            raise Problem(f'{file}: is not a JSON object of names; write {{"TASK": "NAME"}}')
        aliases.update(content)
    for text in given:
        task, equals, name = text.rpartition("=")
        if not (task and equals and name):
            raise Problem(f"--alias does not take '{text}'; write TASK=NAME", 2)
        aliases[task] = name
    return aliases


# What an entry of `checks` says to clients, beside its cluster.
CHECK = ("task", "loss", "base_loss", "examples")


@dataclasses.dataclass
class Adapter:
    name: str  # cluster_00
    cluster: int
    folder: pathlib.Path
    rank: int
    sha256: dict  # file name -> digest
    tasks: list  # as they are called in the export


class Result:
    def __init__(self, folder, model, aliases):
        self.path = folder / "routing.json"
        if not self.path.is_file():
            raise Problem(f"{self.path}: is missing (it says which adapter serves which task); name the folder of a "
                          "result of d2c run or d2c add")
        routing = load(self.path)
        self._check(routing)
        try:
            if routing["format"] != "d2c-routing" or routing["format_version"] != 1:
                raise Problem(f"{self.path}: is of another format; use the d2c that wrote it")
            self.base_model = readable(routing["base_model"] or routing["model"]).replace("`", "'")
            self.model = pathlib.Path(model or routing["model"])
            self.loss_on = routing["loss_on"]
            cluster_of = {task: entry["cluster"] for task, entry in routing["tasks"].items()}
            name_of = self._names(list(cluster_of), aliases)
            self.adapters = [
                Adapter(f"cluster_{entry['cluster']:02}", entry["cluster"], folder / (entry["folder"] or ""),
                        entry["rank"], entry["sha256"],
                        [name_of[task] for task, cluster in cluster_of.items() if cluster == entry["cluster"]])
                for entry in routing["clusters"]]
            if not self.adapters or not all(entry["folder"] for entry in routing["clusters"]):
                raise Problem(f"{self.path}: names no folders of adapters (--merged hdf5 keeps them in the results "
                              "file); run the job with --merged peft")
            self.checks = [{**check, "task": name_of[check["task"]]} for check in routing["checks"]]
        except (KeyError, TypeError, AttributeError):
            raise self._damaged() from None

    def _check(self, routing):
        """What names files and adapters names them within the result, and nothing that is needed is missing."""
        try:
            clusters = [entry["cluster"] for entry in routing["clusters"]]
            asked = [entry["cluster"] for entry in [*routing["tasks"].values(), *routing["checks"]]]
            paths = [pathlib.PurePath(entry["folder"]) for entry in routing["clusters"] if entry["folder"]]
            names = [name for entry in routing["clusters"] for name in entry["sha256"].keys()]
            is_right = (all(type(number) is int and number >= 0 for number in clusters + asked) and
                        set(asked) <= set(clusters) and
                        all(check.keys() >= set(CHECK) for check in routing["checks"]) and
                        all(type(entry["rank"]) is int for entry in routing["clusters"]) and
                        not any(path.is_absolute() or ".." in path.parts for path in paths) and
                        all(name == pathlib.PurePath(name).name for name in names) and
                        all(isinstance(routing[key], str) for key in ("base_model", "model")) and
                        all(readable(task, len(task)) == task for task in routing["tasks"]))
        except (KeyError, TypeError, AttributeError):
            is_right = False
        if not is_right:
            raise self._damaged()

    def _damaged(self):
        return Problem(f"{self.path}: is damaged (it is not as d2c writes it); repeat the job")

    @staticmethod
    def _names(tasks, aliases):
        unknown = sorted(aliases.keys() - set(tasks))
        if unknown:
            raise Problem(f"there is an alias for '{unknown[0]}', which is no task of the result; see assignment.csv", 2)
        names = {task: aliases.get(task, task) for task in tasks}
        owner = {}
        for task, name in names.items():
            if name in owner:
                raise Problem(f"'{owner[name]}' and '{task}' would both be called '{name}' (requests name one of "
                              "them); give other aliases", 2)
            owner[name] = task
        return names

    def check_files(self):
        """The adapters must be those that the job measured."""
        for adapter in self.adapters:
            for name, expected in adapter.sha256.items():
                file = adapter.folder / name
                if not file.is_file():
                    raise Problem(f"{file}: is missing; repeat the job, or bring the folder back")
                if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
                    raise Problem(f"{file}: is not the file that the job wrote (its SHA-256 differs); repeat the job")

    def routes(self, places):
        """What a client needs: task -> adapter, and how to find out whether an adapter is in force.

        @param places  for each adapter by name, what the server calls it
        """
        of_cluster = {adapter.cluster: adapter.name for adapter in self.adapters}
        return {
            "base_model": self.base_model,
            "adapters": places,
            "tasks": {task: adapter.name for adapter in self.adapters for task in adapter.tasks},
            "loss_on": self.loss_on,
            "checks": [{"adapter": of_cluster[check["cluster"]],
                        **{key: check[key] for key in CHECK}}
                       for check in self.checks],
        }


def write_routes(result, places, output):
    text = json.dumps(result.routes(places), ensure_ascii=False, indent=1)
    (output / "routes.json").write_text(text + "\n", encoding="utf-8")
