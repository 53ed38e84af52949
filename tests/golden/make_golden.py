#!/usr/bin/env python3
"""Makes the golden cases beside this file: what transformers and peft compute for tiny models.

    make_golden.py [CASE ...]          computes golden.json from the stored model, adapters and examples
    make_golden.py --check [CASE ...]  the same, but compares with golden.json and writes nothing
    make_golden.py --draw [CASE ...]   draws a new model, adapters and examples first

Needs torch 2, transformers 5.17 and peft 0.21 (pip install torch transformers peft); older releases
of peft apply the scaling of members twice in the merges of the SVD family. README.md says what the
files hold, and which cases were drawn with older releases.
"""
import argparse
import json
import math
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent

SHAPE = {"vocab_size": 160, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3,
         "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 512,
         "bos_token_id": 1, "eos_token_id": 2}

LLAMA3_ROPE = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}

# Case -> model type of transformers, fields of its configuration.
MODELS = {
    "llama-mha": ("llama", {"num_key_value_heads": 6, "rms_norm_eps": 1e-5}),
    "llama3-gqa-tied": ("llama", {"max_position_embeddings": 1024, "rms_norm_eps": 1e-5,
                                  "rope_theta": 5e5, "rope_scaling": {"factor": 32.0, **LLAMA3_ROPE},
                                  "tie_word_embeddings": True}),
    "qwen2": ("qwen2", {"rope_theta": 1e6, "tie_word_embeddings": True}),
    "stablelm2": ("stablelm", {"num_key_value_heads": 6, "use_qkv_bias": True,
                               "partial_rotary_factor": 0.25}),
    "mistral-sliding": ("mistral", {"head_dim": 8, "sliding_window": 16}),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "llama-v5-config": ("llama", {"rope_parameters": {"factor": 8.0, "rope_theta": 5e5, **LLAMA3_ROPE},
                                  "tie_word_embeddings": True}),
    "gemma2": ("gemma2", {"num_hidden_layers": 4, "head_dim": 12, "query_pre_attn_scalar": 10,
                          "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0,
                          "sliding_window": 8}),
    "gemma3": ("gemma3_text", {"num_hidden_layers": 6, "head_dim": 12, "query_pre_attn_scalar": 14,
                               "sliding_window": 8}),
    "granite": ("granite", {"embedding_multiplier": 6.0, "attention_multiplier": 0.2,
                            "residual_multiplier": 0.4, "logits_scaling": 3.0}),
    "olmo2": ("olmo2", {}),
    "phi3": ("phi3", {"num_key_value_heads": 3, "pad_token_id": 0}),
    "smollm3": ("smollm3", {"num_hidden_layers": 4, "pad_token_id": 0}),
}

ALL_SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Phi-3 has one matrix for several.
FUSED = {"q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj",
         "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj"}

# Adapter -> fields of its LoraConfig. Scalings differ from 1 and between members on purpose.
ADAPTERS = {
    "qv-r4": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "all-r4-a": {"r": 4, "lora_alpha": 16, "target_modules": ALL_SEVEN},
    "all-r4-b": {"r": 4, "lora_alpha": 16, "target_modules": ALL_SEVEN},
    "all-r4-c": {"r": 4, "lora_alpha": 8, "target_modules": ALL_SEVEN},
    "all-r8-rslora": {"r": 8, "lora_alpha": 16, "target_modules": ALL_SEVEN, "use_rslora": True},
    "all-r4-patterns": {"r": 4, "lora_alpha": 16, "target_modules": ALL_SEVEN,
                        "rank_pattern": {"q_proj": 6, "down_proj": 2},
                        "alpha_pattern": {"k_proj": 3}},
    "linear-r6": {"r": 6, "lora_alpha": 9, "target_modules": "all-linear"},
}

MEMBERS = ["all-r4-a", "all-r4-b", "all-r4-c"]
WEIGHTS = [0.5, 0.3, 0.2]

# Merge -> options of peft's add_weighted_adapter.
MERGES = {
    "linear": {"combination_type": "linear"},
    "cat": {"combination_type": "cat"},
    "svd": {"combination_type": "svd", "svd_rank": 4},
    "svd-r8": {"combination_type": "svd", "svd_rank": 8},
    "ties": {"combination_type": "ties", "density": 0.5},
    "ties-freq": {"combination_type": "ties", "density": 0.3, "majority_sign_method": "frequency"},
    "ties_svd": {"combination_type": "ties_svd", "density": 0.5, "svd_rank": 4},
    "magnitude_prune": {"combination_type": "magnitude_prune", "density": 0.4},
    "magnitude_prune_svd": {"combination_type": "magnitude_prune_svd", "density": 0.4, "svd_rank": 4},
}

EXAMPLES = 7


def draw(case, seed):
    """Writes a model, its adapters and a golden.json that holds nothing but examples.

    Weights are large enough for every part to matter: norms 1 ± 0.3, biases ± 0.3, matrices
    0.9 / sqrt(inputs), lora_A 0.6 / sqrt(inputs), lora_B 0.6 / sqrt(rank).
    """
    import peft
    import torch
    import transformers
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, deviation):
        return deviation * torch.randn(shape, generator=generator)

    def tiny_model():
        model_type, fields = MODELS[case]
        config = transformers.AutoConfig.for_model(model_type, **{**SHAPE, **fields})
        return transformers.AutoModelForCausalLM.from_config(config)

    folder = HERE / case
    shutil.rmtree(folder, ignore_errors=True)
    model = tiny_model()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 1:  # as initialised: 1 or 0
                weight.add_(normal(weight.shape, 0.3))
            else:
                weight.copy_(normal(weight.shape, 0.9 / math.sqrt(weight.shape[1])))
    model.save_pretrained(folder / "model", safe_serialization=True)
    (folder / "model" / "generation_config.json").unlink(missing_ok=True)

    for name, fields in ADAPTERS.items():
        if case == "phi3" and isinstance(fields["target_modules"], list):
            targets = {FUSED.get(target, target) for target in fields["target_modules"]}
            fields = {**fields, "target_modules": sorted(targets)}
        config = peft.LoraConfig(task_type="CAUSAL_LM", inference_mode=True, **fields)
        with_adapter = peft.get_peft_model(tiny_model(), config)
        with torch.no_grad():
            for key, weight in with_adapter.named_parameters():
                if "lora_" in key:
                    weight.copy_(normal(weight.shape, 0.6 / math.sqrt(weight.shape[1])))
        with_adapter.save_pretrained(folder / "adapters" / name)
        (folder / "adapters" / name / "README.md").unlink(missing_ok=True)
        # Adapters that name no base model must merge with those that do.
        path = folder / "adapters" / name / "adapter_config.json"
        saved = json.loads(path.read_text())
        saved["base_model_name_or_path"] = None if name == "qv-r4" else "tiny"
        path.write_text(json.dumps(saved, indent=2))

    def below(low, high):
        return int(torch.randint(low, high, (), generator=generator))

    examples = []
    for _ in range(EXAMPLES):
        prompt, response = below(8, 40), below(1, 30)
        ids = [below(4, SHAPE["vocab_size"]) for _ in range(prompt + response)]
        examples.append({"ids": ids, "prompt_len": prompt})
    (folder / "golden.json").write_text(json.dumps({"examples": examples}))


def losses(model, examples):
    """Negative log likelihood of each response token, nats: [example][token]."""
    import torch
    result = []
    for example in examples:
        ids = torch.tensor([example["ids"]])
        with torch.no_grad():
            log_p = model(input_ids=ids).logits[0].double().log_softmax(dim=-1)
        result.append([-float(log_p[i - 1, ids[0, i]])
                       for i in range(example["prompt_len"], ids.shape[1])])
    return result


def compute(case):
    """Content of golden.json for the stored model, adapters and examples, in float64 from float32.

    transformers computes norms and rotary tables in float32 whatever the model's type: a few 1e-7.
    """
    import peft
    import transformers
    folder = HERE / case
    old = json.loads((folder / "golden.json").read_text())
    examples = old["examples"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model",
                                                              attn_implementation="eager")
    model = model.double().eval()
    golden = {"made_with": f"transformers {transformers.__version__}, peft {peft.__version__}",
              "examples": examples, "base": losses(model, examples), "adapters": {}, "merges": {}}

    names = sorted(path.name for path in (folder / "adapters").iterdir())
    tuned = None
    for name in names:
        if tuned is None:
            tuned = peft.PeftModel.from_pretrained(model, folder / "adapters" / name, adapter_name=name)
        else:
            tuned.load_adapter(folder / "adapters" / name, adapter_name=name)
    tuned = tuned.double().eval()
    for name in names:
        tuned.set_adapter(name)
        golden["adapters"][name] = losses(tuned, examples)

    for name, options in MERGES.items():
        if "merges" in old and name not in old["merges"]:
            continue
        tuned.add_weighted_adapter(MEMBERS, WEIGHTS, adapter_name=name, **options)
        tuned.set_adapter(name)
        golden["merges"][name] = {
            "adapters": MEMBERS, "weights": WEIGHTS, "options": options,
            "nll": losses(tuned.double(), examples),
            "delta_frobenius": {key: float(layer.get_delta_weight(name).norm())
                                for key, layer in tuned.base_model.named_modules()
                                if name in getattr(layer, "lora_A", {})}}
        tuned.delete_adapter(name)
    return golden


def differences(one, other, place=""):
    """(absolute difference, where) of every pair of numbers; infinite where the forms differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{place}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other)):
            yield from differences(a, b, f"{place}/{i}")
    elif isinstance(one, (int, float)) and isinstance(other, (int, float)):
        yield abs(one - other), place
    elif one != other:
        yield math.inf, place


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: " + ", ".join(MODELS))
    parser.add_argument("--draw", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(MODELS):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    worst = 0.0
    for case in arguments.cases or MODELS:
        if arguments.draw:
            draw(case, arguments.seed + list(MODELS).index(case))
        golden = compute(case)
        path = HERE / case / "golden.json"
        if arguments.check:
            stored = {"made_with": None, **json.loads(path.read_text())}
            stored["made_with"] = golden["made_with"]
            difference, place = max(differences(golden, stored))
            print(f"{case}: largest difference {difference:.1e} at {place}")
            worst = max(worst, difference)
        else:
            path.write_text(json.dumps(golden))
            print(f"{case}: written")
    return 0 if worst < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
