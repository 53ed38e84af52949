#!/usr/bin/env python3
"""Compares d2c's per-token losses with those of transformers and peft.

    compare_with_transformers.py --model DIR [--adapter DIR] --examples FILE.jsonl
    compare_with_transformers.py ... --reference-json saved.json      (made before by --save-reference)

d2c reads and tokenises the examples and computes its losses; transformers and peft compute the
same losses in float32 from token ids that this script makes with the model's own tokenizer. A
difference in tokens therefore shows as a difference in losses, or in the number of tokens.

Exit status: 0 all within --tolerance, 1 a difference beyond it, 2 usage, bad input or a missing
package. Needs torch, transformers and (with --adapter) peft, but not with --reference-json.
"""
import argparse
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Problem(Exception):
    """What the user has to mend, in one line."""


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0], allow_abbrev=False)
    parser.add_argument("--model", type=pathlib.Path, help="Hugging Face model folder")
    parser.add_argument("--adapter", type=pathlib.Path, help="PEFT folder; without it the base model")
    parser.add_argument("--examples", type=pathlib.Path, help="JSON lines, as for d2c evaluate")
    parser.add_argument("--loss-on", choices=("response", "all"), default="response")
    parser.add_argument("--tolerance", type=float, default=1e-3,
                        help="largest difference that passes, nats per token (default %(default)s)")
    parser.add_argument("--d2c", type=pathlib.Path, help="the d2c program; default: the newest built")
    parser.add_argument("--d2c-json", type=pathlib.Path,
                        help="losses written before by d2c evaluate --per-token --json, instead of "
                        "running d2c")
    parser.add_argument("--reference-json", type=pathlib.Path,
                        help="reference losses in the same form, instead of running transformers")
    parser.add_argument("--save-reference", type=pathlib.Path,
                        help="write the losses of transformers to this file")
    options = parser.parse_args(arguments)
    if not (options.d2c_json and options.reference_json) and not (options.model and options.examples):
        parser.error("--model and --examples are needed, but where both --d2c-json and "
                     "--reference-json are given")
    if not options.tolerance >= 0:
        parser.error("--tolerance must be at least 0")
    return options


# --- Losses as lists of lists: [example][scored token], nats -------------------------------------

def read_losses(path):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise Problem(f"{path}: is not JSON ({error})") from error
    try:
        losses = [[float(nll) for nll in example["nll"]] for example in content["examples"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Problem(f'{path}: is not of the form {{"examples": [{{"nll": [...]}}]}} '
                      "(write it with d2c evaluate --per-token --json)") from error
    if not any(losses):
        raise Problem(f"{path}: holds no losses")
    return losses


def compare(ours, reference):
    """Largest absolute difference, and its (example, token). NaN anywhere is infinitely far."""
    if len(ours) != len(reference):
        raise Problem(f"d2c has losses of {len(ours)} examples, the reference of {len(reference)}")
    largest, place = -1.0, None
    for e, (own, other) in enumerate(zip(ours, reference)):
        if len(own) != len(other):
            raise Problem(f"example {e + 1}: d2c scores {len(own)} tokens, the reference {len(other)} "
                          "(the tokenizers disagree, or --loss-on)")
        for t, (a, b) in enumerate(zip(own, other)):
            difference = abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.inf
            if difference > largest:
                largest, place = difference, (e, t)
    return largest, place


def report(ours, reference, tolerance):
    """Prints the comparison. @return exit status"""
    largest, (e, t) = compare(ours, reference)
    n_tokens = sum(map(len, ours))
    print(f"{len(ours)} examples, {n_tokens} tokens")
    for name, losses in (("d2c", ours), ("reference", reference)):
        means = [sum(nll) / len(nll) for nll in losses if nll]
        print(f"{name:<10} mean {sum(means) / len(means):.6f} nats per token")
    print(f"largest difference {largest:.3e} nats at example {e + 1}, scored token {t + 1}: "
          f"d2c {ours[e][t]:.6f}, reference {reference[e][t]:.6f}")
    passed = largest <= tolerance
    print(f"{'within' if passed else 'BEYOND'} the tolerance of {tolerance:g}")
    return 0 if passed else 1


# --- d2c ------------------------------------------------------------------------------------------

def find_d2c(given):
    if given:
        return given
    built = sorted(ROOT.glob("build/*/bin/d2c"), key=lambda path: path.stat().st_mtime)
    if built:
        return built[-1]
    if installed := shutil.which("d2c"):
        return installed
    raise Problem("d2c is neither built here nor on the PATH (run scripts/build.sh or give --d2c)")


def d2c_losses(options):
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / "losses.json"
        command = [find_d2c(options.d2c), "evaluate", "--model", options.model, "--examples",
                   options.examples, "--loss-on", options.loss_on, "--per-token", "--json", target]
        if options.adapter:
            command += ["--adapter", options.adapter]
        try:
            completed = subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL)
        except OSError as error:
            raise Problem(f"{command[0]}: cannot be run ({error.strerror})") from error
        if completed.returncode != 0:
            raise Problem(f"d2c evaluate ended with status {completed.returncode}, see above")
        return read_losses(target)


# --- transformers and peft ------------------------------------------------------------------------

def import_reference(with_peft):
    try:
        import torch
        import transformers
        if with_peft:
            import peft
            return torch, transformers, peft
    except ImportError as error:
        raise Problem(f"the package '{error.name}' is missing: pip install torch transformers peft, "
                      "or give --reference-json") from error
    return torch, transformers, None


def read_examples(path):
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise Problem(f"{path}: cannot be read ({error.strerror})") from error
    examples = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            examples.append(json.loads(line))
        except ValueError as error:
            raise Problem(f"{path}:{number}: is not JSON ({error})") from error
    return examples


def token_ids(example, tokenizer, eos):
    """Ids of the whole example and the number that belong to the prompt, as d2c defines them.

    `input_ids` win; else BOS (where the tokenizer adds it) + prompt, response, EOS, prompt and
    response encoded apart; a conversation is rendered by the model's chat template and cut at its
    last answer.
    """
    if "input_ids" in example:
        return example["input_ids"], example["prompt_len"]

    def encode(text, special=False):
        return tokenizer(text, add_special_tokens=special)["input_ids"]

    if "prompt" in example:
        prompt_ids = encode(example["prompt"], special=True)
        return prompt_ids + encode(example["response"]) + [eos], len(prompt_ids)
    messages = example["messages"]
    prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    if not whole.startswith(prompt):
        raise Problem("the chat template changes what comes before the last answer: "
                      "give prompt and response, or input_ids")
    prompt_ids = encode(prompt)
    return prompt_ids + encode(whole[len(prompt):]), len(prompt_ids)


def end_of_sequence(tokenizer, config):
    """eos_token of the tokenizer, else eos_token_id of the model (the first, if it is a list)."""
    eos = None if tokenizer is None else tokenizer.eos_token_id
    eos = config.eos_token_id if eos is None else eos
    return eos[0] if isinstance(eos, list) else eos


def first_scored(prompt_len, loss_on):
    """Position of the first token that counts; the very first token of all has no prediction."""
    return max(prompt_len, 1) if loss_on == "response" else 1


def reference_losses(options):
    torch, transformers, peft = import_reference(options.adapter is not None)
    examples = read_examples(options.examples)
    tokenizer = None
    if any("input_ids" not in example for example in examples):
        tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        options.model, torch_dtype=torch.float32, attn_implementation="eager")
    if options.adapter:
        model = peft.PeftModel.from_pretrained(model, options.adapter)
    model.eval()
    eos = end_of_sequence(tokenizer, model.config)
    losses = []
    with torch.no_grad():
        for example in examples:
            ids, prompt_len = token_ids(example, tokenizer, eos)
            logits = model(torch.tensor([ids])).logits[0].double()
            nll = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]),
                                                    reduction="none")
            losses.append(nll[first_scored(prompt_len, options.loss_on) - 1:].tolist())
    if options.save_reference:
        content = {"examples": [{"nll": nll} for nll in losses]}
        options.save_reference.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return losses


def main(arguments=None):
    options = parse_arguments(arguments)
    try:
        # Before d2c runs: a missing package should not cost the wait.
        if not options.reference_json:
            import_reference(options.adapter is not None)
        ours = read_losses(options.d2c_json) if options.d2c_json else d2c_losses(options)
        reference = (read_losses(options.reference_json) if options.reference_json
                     else reference_losses(options))
        return report(ours, reference, options.tolerance)
    except Problem as problem:
        print(f"compare_with_transformers: {problem}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
