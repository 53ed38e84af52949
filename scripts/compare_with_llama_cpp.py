#!/usr/bin/env python3
"""Checks by llama.cpp itself that exported GGUF files do what d2c measured.

    d2c export RESULT --for llama.cpp -o EXPORT
    compare_with_llama_cpp.py EXPORT --model MODEL --llama FOLDER

FOLDER has llama.cpp's shared libraries (libllama*.so and the libggml*.so beside it). The base model
is written as a GGUF file without vocabulary, in float32. Then the examples of EXPORT/routes.json are
evaluated with and without their adapter, and their losses compared with those of the job. llama.cpp
keeps keys and values in float16, so that losses agree to some 1e-3.

Exit status: 0 all within --tolerance, 1 a difference beyond it, 2 usage or bad input.
"""
import argparse
import ctypes
import json
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "export"))
import gguf  # noqa: E402
import llama_cpp  # noqa: E402

# Names of weights beside the ones that adapters change: ours -> llama.cpp's.
GLOBAL = {"model.norm": "output_norm"}
IN_LAYER = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
            "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}


# --- The base model as GGUF ------------------------------------------------------------------------

def read_weights(folder):
    """Name -> float32 array."""
    for path in sorted(folder.glob("*.safetensors")):
        for name, dtype, values in llama_cpp.tensors_in(path):
            yield name, llama_cpp.as_f32(dtype, values)


def write_base(folder, path):
    model = llama_cpp.Model(folder)
    config = json.loads((folder / "config.json").read_text())
    if config.get("rope_scaling"):
        sys.exit("compare_with_llama_cpp: rope_scaling is not written here; convert the model by llama.cpp")
    is_tied, model.tied = model.tied, False  # the one matrix is written as the embedding
    tensors = []
    for name, values in read_weights(folder):
        module, _, kind = name.rpartition(".")
        if is_tied and module == llama_cpp.HEAD:
            module = llama_cpp.EMBEDDING
        layer, _, part = module.removeprefix("model.layers.").partition(".")
        if module in GLOBAL:
            target = f"{GLOBAL[module]}.{kind}"
        elif part in IN_LAYER:
            target = f"blk.{layer}.{IN_LAYER[part]}.{kind}"
        elif "rotary_emb" in module:
            continue
        else:
            target = model.tensor_name(module).removesuffix("weight") + kind
        matrix = values if values.ndim == 2 else values[:, None]
        tensors.append((target, "F32", values.shape, model.reordered(module, matrix).tobytes()))
    hidden, heads = config["hidden_size"], model.heads
    head = config.get("head_dim") or hidden // heads
    rotary = int(head * config.get("partial_rotary_factor", 0.25 if config["model_type"] == "stablelm" else 1))
    a = model.architecture
    epsilon = "layer_norm_rms_epsilon" if "rms_norm_eps" in config else "layer_norm_epsilon"
    metadata = {
        "general.architecture": a, "general.type": "model", f"{a}.context_length": config["max_position_embeddings"],
        f"{a}.embedding_length": hidden, f"{a}.block_count": config["num_hidden_layers"],
        f"{a}.feed_forward_length": config["intermediate_size"], f"{a}.attention.head_count": heads,
        f"{a}.attention.head_count_kv": model.kv_heads, f"{a}.attention.key_length": head,
        f"{a}.attention.value_length": head,
        f"{a}.attention.{epsilon}": config.get("rms_norm_eps") or config["layer_norm_eps"],
        f"{a}.rope.dimension_count": rotary, f"{a}.rope.freq_base": float(config.get("rope_theta", 10000.0)),
        f"{a}.use_parallel_residual": bool(config.get("use_parallel_residual", False)),
        f"{a}.vocab_size": config["vocab_size"], "tokenizer.ggml.model": "no_vocab"}
    gguf.write(path, metadata, tensors)


# --- llama.cpp by its C interface ------------------------------------------------------------------

class Parameters(ctypes.Structure):
    """Any of llama.cpp's structs of parameters, with their defaults: they are only handed on."""
    _fields_ = [("bytes", ctypes.c_uint8 * 1024)]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.POINTER(ctypes.c_int32)), ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8))]


class Llama:
    def __init__(self, folder, model, verbose):
        ggml = ctypes.CDLL(str(next(iter(sorted(folder.glob("libggml.*so*"))))), ctypes.RTLD_GLOBAL)
        self.c = ctypes.CDLL(str(next(iter(sorted(folder.glob("libllama.*so*"))))))
        for name, result, arguments in (
                ("llama_model_default_params", Parameters, []), ("llama_context_default_params", Parameters, []),
                ("llama_model_load_from_file", ctypes.c_void_p, [ctypes.c_char_p, Parameters]),
                ("llama_init_from_model", ctypes.c_void_p, [ctypes.c_void_p, Parameters]),
                ("llama_adapter_lora_init", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]),
                ("llama_set_adapters_lora", ctypes.c_int32, [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p),
                                                             ctypes.c_size_t, ctypes.POINTER(ctypes.c_float)]),
                ("llama_set_n_threads", None, [ctypes.c_void_p] + [ctypes.c_int32] * 2),
                ("llama_batch_init", Batch, [ctypes.c_int32] * 3), ("llama_batch_free", None, [Batch]),
                ("llama_decode", ctypes.c_int32, [ctypes.c_void_p, Batch]),
                ("llama_get_logits", ctypes.POINTER(ctypes.c_float), [ctypes.c_void_p]),
                ("llama_get_memory", ctypes.c_void_p, [ctypes.c_void_p]),
                ("llama_memory_clear", None, [ctypes.c_void_p, ctypes.c_bool])):
            function = getattr(self.c, name)
            function.restype, function.argtypes = result, arguments
        self.silence = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        if not verbose:
            self.c.llama_log_set(self.silence, None)
        ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
        ggml.ggml_backend_load_all_from_path(str(folder).encode())
        self.c.llama_backend_init()
        self.model = self.c.llama_model_load_from_file(str(model).encode(), self.c.llama_model_default_params())
        if not self.model:
            sys.exit("compare_with_llama_cpp: llama.cpp does not load the base model (see --verbose)")
        self.context = self.c.llama_init_from_model(self.model, self.c.llama_context_default_params())
        self.c.llama_set_n_threads(self.context, 1, 1)

    def use(self, adapter):
        """@param adapter  path of a GGUF file; None = the base model"""
        adapters, scales = (ctypes.c_void_p * 1)(), (ctypes.c_float * 1)(1.0)
        if adapter is not None:
            adapters[0] = self.c.llama_adapter_lora_init(self.model, str(adapter).encode())
            if not adapters[0]:
                sys.exit(f"compare_with_llama_cpp: llama.cpp does not load {adapter} (see --verbose)")
        if self.c.llama_set_adapters_lora(self.context, adapters, int(adapter is not None), scales) != 0:
            sys.exit(f"compare_with_llama_cpp: llama.cpp does not take {adapter}")

    def loss(self, ids, start, n_vocab):
        """Mean over the ids from `start` on of their negative log likelihood."""
        self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)
        batch = self.c.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
        if self.c.llama_decode(self.context, batch) != 0:
            sys.exit("compare_with_llama_cpp: llama.cpp does not evaluate an example (more than 512 ids?)")
        logits = np.ctypeslib.as_array(self.c.llama_get_logits(self.context), (len(ids), n_vocab)).astype("f8")
        self.c.llama_batch_free(batch)
        top = logits.max(axis=1)
        normaliser = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        rows = np.arange(start - 1, len(ids) - 1)
        return float((normaliser[rows] - logits[rows, np.array(ids)[rows + 1]]).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0], allow_abbrev=False)
    parser.add_argument("export", type=pathlib.Path, help="folder that d2c export --for llama.cpp made")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="Hugging Face folder of the base model")
    parser.add_argument("--llama", type=pathlib.Path, required=True, help="folder of llama.cpp's shared libraries")
    parser.add_argument("--tolerance", type=float, default=2e-3, help="nats per token (default %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="show llama.cpp's messages")
    call = parser.parse_args()
    routes = json.loads((call.export / "routes.json").read_text())
    n_vocab = json.loads((call.model / "config.json").read_text())["vocab_size"]
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder) / "base.gguf"
        write_base(call.model, base)
        llama = Llama(call.llama, base, call.verbose)
        for check in routes["checks"]:
            for key, adapter in (("base_loss", None),
                                 ("loss", call.export / routes["adapters"][check["adapter"]]["path"])):
                llama.use(adapter)
                start = (lambda e: 1) if routes["loss_on"] == "all" else (lambda e: max(1, e["prompt_len"]))
                loss = float(np.mean([llama.loss(e["input_ids"], start(e), n_vocab) for e in check["examples"]]))
                worst = max(worst, abs(loss - check[key]))
                print(f"{check['adapter']:12} {'base model' if adapter is None else 'adapter':10} "
                      f"d2c {check[key]:.6f}  llama.cpp {loss:.6f}  difference {loss - check[key]:+.1e}")
    print(f"largest difference {worst:.1e}")
    return 0 if worst <= call.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
