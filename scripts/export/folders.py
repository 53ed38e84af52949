"""Servers that read PEFT folders: PEFT itself and vLLM."""
import shlex
import shutil

from problem import Problem
from result import write_routes
from vllm_ranks import RANKS, room_for

README = """# {title}

{n_adapters} for {n_tasks}, made by `d2c export`. Base model: `{base}`.

`routes.json`: `tasks` says which adapter serves a task, `adapters` what an adapter is called here, and `checks` has
token ids with the loss that they must give with the adapter (`loss`) and without it (`base_loss`): a server that
ignores an adapter gives `base_loss`.

{how}
"""


def plural(count, noun):
    return f"{count} {noun}" + ("" if count == 1 else "s")


def write_readme(result, output, title, how):
    n_tasks = sum(len(adapter.tasks) for adapter in result.adapters)
    (output / "README.md").write_text(README.format(
        title=title, n_adapters=plural(len(result.adapters), "adapter"), n_tasks=plural(n_tasks, "task"),
        base=result.base_model, how=how), encoding="utf-8")


def write_script(path, text):
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def copy_adapters(result, output):
    for adapter in result.adapters:
        (output / adapter.name).mkdir()
        for file in sorted(adapter.folder.iterdir()):
            if file.is_symlink() or not file.is_file():
                raise Problem(f"{file}: is no file of its own (a result has none such); remove it")
            shutil.copyfile(file, output / adapter.name / file.name)
    return {adapter.name: {"path": adapter.name, "rank": adapter.rank} for adapter in result.adapters}


def for_peft(result, output, call):
    write_routes(result, copy_adapters(result, output), output)
    first, rest = result.adapters[0], result.adapters[1:]
    lines = ["```python", "import json", "", "from peft import PeftModel",
             "from transformers import AutoModelForCausalLM", "",
             f"base = AutoModelForCausalLM.from_pretrained({str(result.model)!r})",
             f"model = PeftModel.from_pretrained(base, {first.name!r}, adapter_name={first.name!r})",
             *(f"model.load_adapter({adapter.name!r}, adapter_name={adapter.name!r})" for adapter in rest),
             "", 'tasks = json.load(open("routes.json"))["tasks"]',
             f"model.set_adapter(tasks[{first.tasks[0]!r}])" if first.tasks else "", "```"]
    write_readme(result, output, "Merged adapters for PEFT", "\n".join(["In this folder:", "", *lines]))
    return f"{plural(len(result.adapters), 'PEFT folder')} in {call.output}; README.md there loads them"


def for_vllm(result, output, call):
    rank = max(adapter.rank for adapter in result.adapters)
    room = room_for(rank)
    if room is None:
        raise Problem(f"the adapters have rank {rank} (vLLM takes {RANKS[-1]} at most); run the job with a lower "
                      "--merged-rank")
    places = copy_adapters(result, output)
    write_routes(result, places, output)
    options = [f"--enable-lora --max-loras {len(places)} --max-lora-rank {room}", "--lora-modules",
               *(f'  {name}="$here/{name}"' for name in places), '"$@"']
    model = shlex.quote(str(result.model))
    write_script(output / "serve.sh", "\n".join([
        "#!/usr/bin/env bash",
        "# serve.sh [OPTION...]: serves the adapters by vLLM. MODEL=... names another place of the base model.",
        'here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)',
        f"model={model}",
        'exec vllm serve "${MODEL:-$model}" \\',
        *(f"  {line} \\" for line in options[:-1]), f"  {options[-1]}", ""]))
    command = " ".join(f"{name}={shlex.quote(str(call.output.resolve() / name))}" for name in places)
    how = (f"`./serve.sh` starts the server. A request names the adapter as its model: `\"model\": \"{next(iter(places))}\"`.\n"
           f"vLLM reserves memory for rank {room} in each of {plural(len(places), 'place')}; fewer places "
           "(`--max-loras`) make it load adapters when\nthey are asked for.")
    write_readme(result, output, "Merged adapters for vLLM", how)
    return f"vllm serve {model} --enable-lora --max-loras {len(places)} --max-lora-rank {room} --lora-modules {command}"
