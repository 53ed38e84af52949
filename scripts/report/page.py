"""The page: the result and its figures, put into page.html."""
import json
import pathlib
import shlex

import jinja2
import numpy as np
from markupsafe import Markup

import figures
from result import clean
from verdict import percent, plural, size, verdict, worst
from vllm_ranks import room_for

FOLDER = pathlib.Path(__file__).resolve().parent
FEW = 60  # rows that a table may have to be printed


def number(value, decimals=4):
    return f"{value:.{decimals}f}".replace("-", "−") if np.isfinite(value) else "–"


def clusters(run):
    recipe = run.tables["recipe"]
    rows = []
    for cluster in range(run.k):
        members = run.members(cluster)
        ordered = [t for t in run.order if run.assignment[t] == cluster]
        scale = recipe["scale"][cluster] if "scale" in recipe else float("nan")
        rows.append({
            "number": cluster, "members": [run.task[t] for t in ordered],
            "gain": run.mean(run.shown.gain, members), "few": run.mean(run.few.gain, members),
            "least": ordered[-1] if len(ordered) else None,
            "method": recipe["method"][cluster] if "method" in recipe else run.attributes.get("merge_method"),
            "scale": scale, "folder": run.folders.get(cluster)})
    return rows


def tasks(run):
    def value(values, t):
        return values[t] if values is not None else float("nan")
    split = run.shown
    return [{"name": run.task[t], "cluster": int(run.assignment[t]),
             "base": value(split.baseline.get("base"), t), "own": value(split.baseline.get("own"), t),
             "loss": split.matrix[t, run.assignment[t]], "few": run.few.gain[t],
             "gain": split.gain[t], "examples": int(run.n_examples[t])} for t in run.order]


def deployment(run):
    """Commands and programs that load the merged adapters, as text."""
    used = sorted(run.folders)
    if not used:
        return {}
    model = run.model or "BASE_MODEL"
    rank = max(run.folders[i].rank for i in used)
    room = room_for(rank) or rank
    paths = {i: str(run.folders[i].path) for i in used}
    routing = {run.task[t]: f"cluster_{run.assignment[t]:02}" for t in range(len(run.task))}
    some = dict(list(routing.items())[:3])
    peft = [
        "from peft import PeftModel", "from transformers import AutoModelForCausalLM", "",
        f"base = AutoModelForCausalLM.from_pretrained({model!r})",
        f"model = PeftModel.from_pretrained(base, {paths[used[0]]!r}, adapter_name={f'cluster_{used[0]:02}'!r})",
        *(f"model.load_adapter({paths[i]!r}, adapter_name={f'cluster_{i:02}'!r})" for i in used[1:8]),
        *(["# … and so on for the other clusters"] if len(used) > 8 else []),
        f"route = {json.dumps(some, ensure_ascii=False)[:-1]}" + (", ...}" if len(routing) > len(some) else "}"),
        f"model.set_adapter(route[{run.task[0]!r}])"]
    vllm = " \\\n".join([
        f"vllm serve {shlex.quote(model)} --enable-lora --max-loras {len(used)} --max-lora-rank {room}",
        "  --lora-modules",
        *(f"    cluster_{i:02}={shlex.quote(paths[i])}" for i in used)])
    results = shlex.quote(str(run.path.parent))
    llama = "\n".join([
        f"d2c export {results} --for llama.cpp -o served",
        f"llama-cli -m BASE_MODEL.gguf --lora served/cluster_{used[0]:02}.gguf -p 'Your prompt'"])
    return {"peft": "\n".join(peft), "vllm": vllm, "llama": llama}


def scores(run):
    """What scripts/score.py put into the results file."""
    table = run.tables["score"]
    if not {"metric", "adapter", "mean", "s_score"} <= table.keys():
        return None
    return {"adapters": table["adapter"],
            "rows": [(metric, list(zip(table["mean"][:, m], table["s_score"][:, m])))
                     for m, metric in enumerate(table["metric"]) if np.isfinite(table["mean"][:, m]).any()]}


def render(run):
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True,
                                     undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=percent, number=number, size=size)
    drawn = {}
    for name in figures.FIGURES:
        figure = figures.svg(run, name)
        if figure:
            drawn[name] = {"svg": Markup(figure[0]), "alt": figure[1]}
    timing, work = run.tables["timing"], run.tables["evaluation"]
    facts = [("tasks", f"{len(run.task):,}"), ("clusters", run.k),
             ("search", run.config.get("search", "–")),
             (f"objective ({run.attributes.get('objective_kind')}, lower is better)", number(run.objective, 6)),
             ("evaluations", f"{int(work['evaluated']):,} computed, {int(work['cached']):,} from the cache"),
             ("tokens through the model", f"{int(work['tokens']):,}"),
             ("ranks × threads", f"{run.attributes.get('mpi_ranks')} × {run.attributes.get('threads')}")]
    if "phase" in timing and "total" in timing["phase"]:
        facts.append(("wall time", f"{timing['max'][timing['phase'].index('total')]:,.1f} s"))
    return environment.get_template("page.html").render(
        run=run, verdict=verdict(run), figures=drawn, worst=worst(run), clusters=clusters(run),
        tasks=tasks(run), few_rows=len(run.task) <= FEW, deployment=deployment(run), facts=facts,
        scores=scores(run), plural=plural, css=Markup((FOLDER / "page.css").read_text()),
        config="\n".join(f"{name} = {clean(value) if isinstance(value, str) else json.dumps(value)}" for name, value in run.config.items()),
        repeat=f"d2c run --from {shlex.quote(str(run.path))} --output repeated",
        again=shlex.join(["d2c", "report", str(run.path)]))
