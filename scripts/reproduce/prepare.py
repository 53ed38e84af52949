#!/usr/bin/env python3
"""Makes the tasks of the published experiment from data that you have downloaded.

    prepare.py TASKS.json --model MODEL_FOLDER --output JOB_FOLDER

TASKS.json lists the files, paths relative to it; the format is a name of sources.READERS, the kind
one of sources.INSTRUCTIONS:

    [{"kind": "summary", "language": "en", "format": "samsum", "train": "samsum/train.json",
      "test": "samsum/test.json"}, ...]

For each task JOB_FOLDER gets train/NAME.jsonl (what the adapter is trained on), examples/NAME.jsonl
(few-shot examples, which are part of them) and test/NAME.jsonl, and in all manifest.json. Every line
has the ids on which the adapters of the published work are trained: BOS, then the chat template,
which begins with BOS where the model has one, so that it stands twice, then the answer and EOS.
Needs the package transformers, and no network.
"""
import argparse
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import sources  # noqa: E402


class ModelTokenizer:
    """The model's own tokenizer."""

    def __init__(self, folder):
        import transformers
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.eos = self.tokenizer.eos_token

    def chat(self, question):
        """The chat template up to where the answer begins, as text."""
        return self.tokenizer.apply_chat_template([{"role": "user", "content": question}], tokenize=False,
                                                  add_generation_prompt=True)

    def encode(self, text, special_tokens):
        return self.tokenizer(text, add_special_tokens=special_tokens).input_ids


def example(tokenizer, kind, language, pair):
    """One line of an examples file."""
    question = sources.message(kind, language, pair)
    prompt = tokenizer.encode(tokenizer.chat(question), True)
    answer = tokenizer.encode(pair["output"] + tokenizer.eos, False)
    return {"input_ids": prompt + answer, "prompt_len": len(prompt), "prompt": question, "response": pair["output"]}


def chosen(pairs, count, seed, name):
    """So many of the pairs, the same ones every time."""
    pairs = list({(pair["input"], pair["output"]): pair for pair in pairs}.values())
    return random.Random(f"{seed} {name}").sample(pairs, min(count, len(pairs)))


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def prepare(tasks, base, tokenizer, options):
    """Writes the files of all tasks. @return their rows of the manifest"""
    rows = []
    for task in tasks:
        kind, language = task["kind"], task["language"]
        if kind not in sources.INSTRUCTIONS or language not in sources.LANGUAGES:
            sys.exit(f"prepare: a task has kind '{kind}' and language '{language}' (they decide what the model is "
                     f"told); give one of {', '.join(sources.INSTRUCTIONS)} and of {', '.join(sources.LANGUAGES)}")
        name = f"{kind}-{language}"
        if any(row["name"] == name for row in rows):
            sys.exit(f"prepare: two tasks are {name} (one would replace the other's files); join their data in one file")
        read = sources.READERS[task["format"]]

        def lines(file, count, read=read, kind=kind, language=language, name=name):
            made = (example(tokenizer, kind, language, pair)
                    for pair in chosen(read(base / file), 4 * count, options.seed, name + file))
            fitting = [line for line in made if len(line["input_ids"]) <= options.longest]
            if not fitting:
                sys.exit(f"prepare: {base / file} gives no example (an adapter needs some); check the format "
                         f"'{task['format']}' and --longest")
            return fitting[:count]

        train = lines(task["train"], options.train)
        write_lines(options.output / "train" / f"{name}.jsonl", train)
        write_lines(options.output / "examples" / f"{name}.jsonl", train[:options.few])
        write_lines(options.output / "test" / f"{name}.jsonl", lines(task["test"], options.test))
        rows.append({"name": name, "adapter": f"adapters/{name}", "examples": f"examples/{name}.jsonl",
                     "test": f"test/{name}.jsonl"})
    return rows


def main(arguments=None, tokenizer=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="Hugging Face model folder")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--train", type=int, default=1000, help="examples that an adapter is trained on")
    parser.add_argument("--few", type=int, default=10, help="few-shot examples")
    parser.add_argument("--test", type=int, default=100, help="held-out examples")
    parser.add_argument("--longest", type=int, default=1024, help="tokens of an example at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        tokenizer = tokenizer or ModelTokenizer(options.model)
        rows = prepare(json.loads(options.tasks.read_text()), options.tasks.parent, tokenizer, options)
    except ImportError as error:
        sys.exit(f"prepare: {sys.executable} lacks the package {error.name}; install it, or use another Python")
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"prepare: {type(error).__name__}: {error}")
    manifest = {"model": str(options.model.resolve()), "tasks": rows}
    (options.output / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{len(rows)} tasks in {options.output / 'manifest.json'}; next: train.py {options.output}")


if __name__ == "__main__":
    main()
