"""LoRA files for llama.cpp: its names, its order of the rows of q and k, and a scale of 1."""
import json
import re
import shlex
import struct

import gguf
from folders import plural, write_readme, write_script
from problem import Problem
from result import load, write_routes

# model_type -> llama.cpp's architecture, and whether its rotary embedding turns neighbouring rows
# where Hugging Face's turns rows that lie half a head apart.
ARCHITECTURES = {"llama": ("llama", True), "mistral": ("llama", True), "qwen2": ("qwen2", False),
                 "qwen3": ("qwen3", False), "stablelm": ("stablelm", False)}
LAYER_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
               "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
               "mlp.down_proj": "ffn_down"}
EMBEDDING, HEAD = "model.embed_tokens", "lm_head"


class Model:
    """What of the base model's config.json decides how its adapters are written."""

    def __init__(self, folder):
        path = folder / "config.json"
        if not path.is_file():
            raise Problem(f"{path}: is missing (the order of rows depends on the base model's heads); name its folder "
                          "with --model")
        config = load(path)
        if not isinstance(config, dict):
            raise Problem(f"{path}: is no JSON object; name the model's folder with --model")
        kind = config.get("model_type")
        if not isinstance(kind, str) or kind not in ARCHITECTURES:
            raise Problem(f"{path}: model_type {kind!r} is not known; supported: {', '.join(ARCHITECTURES)}")
        self.architecture, self.turns_neighbours = ARCHITECTURES[kind]
        self.heads = config.get("num_attention_heads")
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        for field, value in (("num_attention_heads", self.heads), ("num_key_value_heads", self.kv_heads)):
            if type(value) is not int or value < 1:
                raise Problem(f"{path}: {field} is {value!r} (the rows of an attention have that many heads); repair "
                              "the file")
        self.tied = bool(config.get("tie_word_embeddings", False))

    def tensor_name(self, module):
        if module in (EMBEDDING, HEAD):
            if self.tied:
                raise Problem(f"an adapter changes {module} of a model whose embedding and head share one matrix "
                              "(llama.cpp cannot change one without the other); it runs with PEFT or vLLM")
            return "token_embd.weight" if module == EMBEDDING else "output.weight"
        match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", module)
        if match is None or match[2] not in LAYER_NAMES:
            raise Problem(f"llama.cpp has no name for the module {module}; it runs with PEFT or vLLM")
        return f"blk.{match[1]}.{LAYER_NAMES[match[2]]}.weight"

    def reordered(self, module, b):
        """B with its rows as llama.cpp has those of the weight."""
        heads = {"q_proj": self.heads, "k_proj": self.kv_heads}.get(module.rpartition(".")[2])
        if heads is None or not self.turns_neighbours:
            return b
        rows, rank = b.shape
        if rows % (2 * heads) != 0:
            raise Problem(f"{module}: has {rows} rows, which are no {heads} heads of even size (config.json says so); "
                          "name the job's base model with --model")
        return b.reshape(heads, 2, rows // heads // 2, rank).swapaxes(1, 2).reshape(rows, rank)


def read_factors(path):
    """Module -> letter -> (number format, array whose items have that format's bits)."""
    try:
        return _factors(path)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error):
        raise Problem(f"{path}: is no adapter that d2c wrote (its tensors are others); repeat the job") from None


def tensors_in(path):
    """(name, number format, array whose items have that format's bits) of each tensor of a safetensors file."""
    import numpy as np

    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    for name, tensor in json.loads(raw[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = tensor["data_offsets"]
            kind = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[tensor["dtype"]]
            values = np.frombuffer(raw[8 + size + begin:8 + size + end], kind).reshape(tensor["shape"])
            yield name, tensor["dtype"], values


def _factors(path):
    factors = {}
    for name, dtype, values in tensors_in(path):
        module, letter = re.fullmatch(r"base_model\.model\.(.+)\.lora_(?:embedding_)?([AB])(?:\.weight)?", name).groups()
        factors.setdefault(module, {})[letter] = (dtype, values)
    if any(pair.keys() != {"A", "B"} or any(values.ndim != 2 for _, values in pair.values())
           for pair in factors.values()):
        raise ValueError
    return factors


def as_f32(dtype, values):
    if dtype != "BF16":
        return values.astype("<f4")
    return (values.astype("<u4") << 16).view("<f4")


def tensors_of(model, factors, rank, keep_format):
    for module, pair in factors.items():
        name = model.tensor_name(module)
        (dtype, a), (_, b) = pair["A"], pair["B"]
        if len(a) != rank:
            raise Problem(f"the module {module} has rank {len(a)}, others {rank} (llama.cpp knows one scale for all); "
                          "repeat the job")
        if not keep_format:
            dtype, a, b = "F32", as_f32(dtype, a), as_f32(dtype, b)
        if module == EMBEDDING:
            a = a.T  # llama.cpp takes single rows of it
        for letter, values in (("a", a), ("b", model.reordered(module, b))):
            yield f"{name}.lora_{letter}", dtype, values.shape, values.tobytes()


def export(result, output, call):
    try:
        import numpy  # noqa: F401
    except ImportError:
        raise Problem("this Python lacks numpy; install python3-numpy, or name a Python that has it in "
                      "D2C_PYTHON") from None
    model = Model(result.model)
    places = {}
    for index, adapter in enumerate(result.adapters):
        factors = read_factors(adapter.folder / "adapter_model.safetensors")
        metadata = {"general.type": "adapter", "general.architecture": model.architecture,
                    "general.name": adapter.name, "adapter.type": "lora", "adapter.lora.alpha": float(adapter.rank)}
        file = f"{adapter.name}.gguf"
        gguf.write(output / file, metadata, list(tensors_of(model, factors, adapter.rank, call.dtype == "source")))
        places[adapter.name] = {"path": file, "rank": adapter.rank, "id": index}
    write_routes(result, places, output)
    write_script(output / "serve.sh", "\n".join([
        "#!/usr/bin/env bash",
        "# serve.sh BASE_MODEL.gguf [OPTION...]: serves the adapters by llama.cpp's llama-server.",
        'here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)',
        'exec llama-server -m "${1:?name the base model as a GGUF file}" --lora-init-without-apply \\',
        *(f'  --lora "$here/{place["path"]}" \\' for place in places.values()),
        '  "${@:2}"', ""]))
    first = next(iter(places.values()))
    how = ("The base model as GGUF comes from llama.cpp's `convert_hf_to_gguf.py "
           f"{shlex.quote(str(result.model))}`.\n"
           "`./serve.sh BASE_MODEL.gguf` starts the server with no adapter in force; a request chooses one by its `id` "
           "in\n`routes.json`: "
           f"`\"lora\": [{{\"id\": {first['id']}, \"scale\": 1.0}}]`. One adapter by hand:\n\n"
           f"    llama-cli -m BASE_MODEL.gguf --lora {first['path']} -p 'Your prompt'")
    write_readme(result, output, "Merged adapters for llama.cpp", how)
    return f"{plural(len(places), 'GGUF file')} in {call.output}; serve.sh there loads them"
