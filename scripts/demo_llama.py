"""A small Llama in PyTorch, LoRA factors for it, their losses, and safetensors files."""

import json
import math
import struct

import torch
import torch.nn.functional as F

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def linear_shapes(config):
    """{module name: (d_out, d_in)} of every linear layer that an adapter targets."""
    d, f = config["hidden_size"], config["intermediate_size"]
    kv = d // config["num_attention_heads"] * config["num_key_value_heads"]
    block = {
        "self_attn.q_proj": (d, d),
        "self_attn.k_proj": (kv, d),
        "self_attn.v_proj": (kv, d),
        "self_attn.o_proj": (d, d),
        "mlp.gate_proj": (f, d),
        "mlp.up_proj": (f, d),
        "mlp.down_proj": (d, f),
    }
    return {
        f"model.layers.{i}.{name}": shape
        for i in range(config["num_hidden_layers"])
        for name, shape in block.items()
    }


def init_weights(config, generator):
    """{tensor name: tensor}; the output projection is tied to the embedding."""
    d = config["hidden_size"]
    weights = {"model.embed_tokens.weight": (config["vocab_size"], d)}
    weights.update({f"{name}.weight": shape for name, shape in linear_shapes(config).items()})
    weights = {
        k: config["initializer_range"] * torch.randn(s, generator=generator)
        for k, s in weights.items()
    }
    for i in range(config["num_hidden_layers"]):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"model.layers.{i}.{norm}.weight"] = torch.ones(d)
    weights["model.norm.weight"] = torch.ones(d)
    return weights


def init_adapter(config, rank, generator):
    """{module: (A [r, d_in], B [d_out, r])}: uniform A, zero B.

    From the same seed, adapters of different ranks share the first rows of A.
    """
    factors = {}
    for name, (d_out, d_in) in linear_shapes(config).items():
        a = (torch.rand(8, d_in, generator=generator) * 2 - 1) / d_in**0.5
        factors[name] = (a[:rank].clone(), torch.zeros(d_out, rank))
    return factors


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


def logits(config, weights, ids, adapter=None, scaling=1.0):
    """Next-token logits [batch, length, vocab] of ids [batch, length].

    Every linear layer is y = x W^T + scaling (x A^T) B^T.
    """

    def linear(x, name):
        y = x @ weights[f"{name}.weight"].T
        if adapter is not None:
            a, b = adapter[name]
            y = y + scaling * ((x @ a.T) @ b.T)
        return y

    def heads(x, n):
        return x.view(*x.shape[:2], n, head_dim).transpose(1, 2)

    n_heads, n_kv = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config["hidden_size"] // n_heads
    eps = config["rms_norm_eps"]
    embedding = weights["model.embed_tokens.weight"]
    length = ids.shape[1]
    frequency = config["rope_theta"] ** (
        -torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
    )
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency).repeat(1, 2)
    cos, sin = angle.cos().to(embedding.dtype), angle.sin().to(embedding.dtype)
    hidden_future = torch.full((length, length), float("-inf"), dtype=embedding.dtype).triu(1)

    x = embedding[ids]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        h = rms_norm(x, weights[f"{layer}.input_layernorm.weight"], eps)
        q = rotate(heads(linear(h, f"{layer}.self_attn.q_proj"), n_heads), cos, sin)
        k = rotate(heads(linear(h, f"{layer}.self_attn.k_proj"), n_kv), cos, sin)
        v = heads(linear(h, f"{layer}.self_attn.v_proj"), n_kv)
        k, v = (t.repeat_interleave(n_heads // n_kv, dim=1) for t in (k, v))
        attention = torch.softmax(q @ k.transpose(-1, -2) / head_dim**0.5 + hidden_future, dim=-1)
        x = x + linear(
            (attention @ v).transpose(1, 2).reshape(x.shape), f"{layer}.self_attn.o_proj"
        )
        h = rms_norm(x, weights[f"{layer}.post_attention_layernorm.weight"], eps)
        gated = F.silu(linear(h, f"{layer}.mlp.gate_proj")) * linear(h, f"{layer}.mlp.up_proj")
        x = x + linear(gated, f"{layer}.mlp.down_proj")
    return rms_norm(x, weights["model.norm.weight"], eps) @ embedding.T


def pack(examples):
    """(ids, targets) [batch, length] of examples (input_ids, prompt_len), padded at the end.

    Targets of -100 (prompt and padding) are not scored.
    """
    length = max(len(ids) for ids, _ in examples) - 1
    ids = torch.zeros(len(examples), length, dtype=torch.long)
    targets = torch.full((len(examples), length), -100)
    for row, (tokens, prompt_len) in enumerate(examples):
        n = len(tokens)
        ids[row, : n - 1] = torch.tensor(tokens[:-1])
        targets[row, prompt_len - 1 : n - 1] = torch.tensor(tokens[prompt_len:])
    return ids, targets


def token_nll(config, weights, batch, adapter=None, scaling=1.0):
    """-log p of every target [batch, length]; 0 where nothing is scored."""
    ids, targets = batch
    scores = logits(config, weights, ids, adapter, scaling)
    return F.cross_entropy(
        scores.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none"
    ).view_as(targets)


def example_losses(config, weights, batch, adapter=None, scaling=1.0):
    """Mean NLL of the response tokens (EOS is one of them) per example [batch], in nats."""
    nll = token_nll(config, weights, batch, adapter, scaling)
    return nll.sum(1) / (batch[1] != -100).sum(1)


def train(parameters, loss, n_steps, learning_rate, log):
    """AdamW with warm-up and cosine decay; loss() draws a new batch at each call."""
    optimiser = torch.optim.AdamW(
        parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    warm_up = max(1, n_steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda i: min((i + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * i / n_steps)))
    )
    for step in range(n_steps):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step + 1 == n_steps:
            log(step, float(value))


def save_safetensors(path, tensors, dtype):
    """Writes tensors in the order of their names as dtype ("F32", "F16" or "BF16")."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name in sorted(tensors):
        stored = tensors[name].detach().to(DTYPES[dtype]).contiguous()
        raw = (
            stored.view(torch.int16 if stored.element_size() == 2 else torch.int32)
            .numpy()
            .tobytes()
        )
        header[name] = {
            "dtype": dtype,
            "shape": list(stored.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


def load_safetensors(path, dtype=torch.float32):
    raw = path.read_bytes()
    (n,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + n])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        stored = torch.frombuffer(
            bytearray(raw[8 + n + begin : 8 + n + end]), dtype=DTYPES[entry["dtype"]]
        )
        tensors[name] = stored.view(entry["shape"]).to(dtype)
    return tensors
