"""Small checkpoints and LoRAs for tests, in the layouts of Meta, Hugging Face (two kinds) and PEFT."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.pth_write import Entry, PthWriter
from alpaca_tui.files.sentencepiece_proto import write_bpe_proto
from tests.small_model import small_hparams

Arrays = Mapping[str, np.ndarray]  # uint16 stands for bf16
_DTYPES = {"float16": "f16", "float32": "f32", "uint16": "bf16"}
LINEAR = {
    "self_attn.q_proj": ("n_embd", "n_embd"), "self_attn.k_proj": ("n_embd_kv", "n_embd"),
    "self_attn.v_proj": ("n_embd_kv", "n_embd"), "self_attn.o_proj": ("n_embd", "n_embd"),
    "mlp.gate_proj": ("n_ff", "n_embd"), "mlp.down_proj": ("n_embd", "n_ff"),
    "mlp.up_proj": ("n_ff", "n_embd"),
}  # fmt: skip
META_NAMES = {
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
    "model.embed_tokens.weight": "tok_embeddings.weight", "model.norm.weight": "norm.weight",
    "lm_head.weight": "output.weight",
}  # fmt: skip
H = small_hparams(n_vocab=300, n_embd=32, n_ff=96, n_head=4, n_head_kv=4, n_layer=2, norm_eps=1e-6)


# --- files -------------------------------------------------------------------------------------------------


def save_pth(path: Path, tensors: Arrays) -> Path:
    """What torch.save writes for a dict of tensors."""
    values = list(tensors.values())
    entries = [Entry(name, _DTYPES[str(a.dtype)], a.shape) for name, a in tensors.items()]
    with path.open("wb") as file:
        writer = PthWriter(file, path.stem, entries)
        for index in writer.order:
            writer.begin(index)
            writer.write(np.ascontiguousarray(values[index]).tobytes())
            writer.end()
        writer.finish()
    return path


def save_safetensors(path: Path, tensors: Arrays) -> Path:
    header: dict[str, Any] = {}
    at = 0
    for name, a in tensors.items():
        end = at + a.nbytes
        kind = _DTYPES[str(a.dtype)].upper()
        header[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [at, end]}
        at = end
    raw = json.dumps(header).encode()
    data = b"".join(np.ascontiguousarray(a).tobytes() for a in tensors.values())
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def save_tokenizer(folder: Path, n: int) -> Path:
    """A tokenizer.model with `n` tokens."""
    pieces = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % i for i in range(256))]
    pieces += [b"\xe2\x96\x81w%d" % i for i in range(n - len(pieces))]
    types = [2, 3, 3, *[6] * 256, *[1] * n][:n]
    data = write_bpe_proto(pieces[:n], [0.0] * n, types, unk=0, bos=1, eos=2, byte_fallback=True)
    path = folder / "tokenizer.model"
    path.write_bytes(data)
    return path


# --- models ------------------------------------------------------------------------------------------------


def hf_weights(h: HParams = H, seed: int = 0, dtype: type = np.float16) -> dict[str, np.ndarray]:
    """Random weights under transformers' names, in its order."""
    rng = np.random.default_rng(seed)

    def matrix(rows: int, cols: int) -> np.ndarray:
        return (rng.standard_normal((rows, cols)) / np.sqrt(cols)).astype(dtype)

    weights = {"model.embed_tokens.weight": matrix(h.n_vocab, h.n_embd)}
    for i in range(h.n_layer):
        for name, (rows, cols) in LINEAR.items():
            weights[f"model.layers.{i}.{name}.weight"] = matrix(getattr(h, rows), getattr(h, cols))
            if name == "self_attn.o_proj":
                freq = (10000.0 ** -(np.arange(0, h.head_dim, 2) / h.head_dim)).astype(np.float32)
                weights[f"model.layers.{i}.self_attn.rotary_emb.inv_freq"] = freq
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"model.layers.{i}.{name}.weight"] = (1 + matrix(1, h.n_embd)[0]).astype(dtype)
    weights["model.norm.weight"] = (1 + matrix(1, h.n_embd)[0]).astype(dtype)
    weights["lm_head.weight"] = matrix(h.n_vocab, h.n_embd)
    return weights


def to_meta(weights: Arrays, h: HParams = H) -> dict[str, np.ndarray]:
    """The same under Meta's names, queries and keys with interleaved rows."""
    out = {}
    for name, a in weights.items():
        if name.endswith("inv_freq"):
            continue
        if name in META_NAMES:
            out[META_NAMES[name]] = a
            continue
        _, _, layer, rest = name.split(".", 3)
        module = rest.removesuffix(".weight")
        if module in ("self_attn.q_proj", "self_attn.k_proj"):
            n_head = h.n_head if "q_proj" in module else h.n_head_kv
            a = a.reshape(n_head, 2, -1, a.shape[1]).swapaxes(1, 2).reshape(a.shape)
        out[f"layers.{layer}.{META_NAMES[module]}.weight"] = a
    return out


def write_config(folder: Path, h: HParams = H) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": h.n_embd,
        "intermediate_size": h.n_ff, "num_attention_heads": h.n_head, "num_key_value_heads": h.n_head_kv,
        "num_hidden_layers": h.n_layer, "rms_norm_eps": h.norm_eps, "vocab_size": h.n_vocab,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))


def write_hf(
    folder: Path, weights: Arrays | None = None, h: HParams = H, files: int = 1, kind: str = "bin"
) -> Path:
    """A Hugging Face folder with its tokenizer; `files` > 1 come with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = hf_weights(h) if weights is None else weights
    save = save_safetensors if kind == "safetensors" else save_pth
    stem = "model" if kind == "safetensors" else "pytorch_model"
    names, places = list(weights), {}
    for i in range(files):
        part = names[len(names) * i // files : len(names) * (i + 1) // files]
        file = f"{stem}.{kind}" if files == 1 else f"{stem}-{i + 1:05d}-of-{files:05d}.{kind}"
        save(folder / file, {name: weights[name] for name in part})
        places |= dict.fromkeys(part, file)
    if files > 1:
        (folder / f"{stem}.{kind}.index.json").write_text(json.dumps({"weight_map": places}))
    write_config(folder, h)
    save_tokenizer(folder, h.n_vocab)
    return folder


def write_meta(folder: Path, weights: Arrays | None = None, h: HParams = H, multiple_of: int = 32) -> Path:
    """consolidated.00.pth and params.json, with the tokenizer one folder up."""
    folder.mkdir(parents=True, exist_ok=True)
    save_pth(folder / "consolidated.00.pth", to_meta(hf_weights(h) if weights is None else weights, h))
    params = {"dim": h.n_embd, "multiple_of": multiple_of, "n_heads": h.n_head, "n_layers": h.n_layer,
              "norm_eps": h.norm_eps, "vocab_size": -1}  # fmt: skip
    if h.n_head_kv != h.n_head:
        params["n_kv_heads"] = h.n_head_kv
    (folder / "params.json").write_text(json.dumps(params))
    save_tokenizer(folder.parent, h.n_vocab)
    return folder


# --- LoRAs -------------------------------------------------------------------------------------------------


def lora_weights(
    h: HParams = H,
    *,
    r: int = 4,
    n_vocab: int | None = None,
    modules: Iterable[str] = tuple(LINEAR),
    seed: int = 1,
    fan_in_fan_out: bool = False,
) -> dict[str, np.ndarray]:
    """Random factors under PEFT's names; with `n_vocab` a new embedding and head too."""
    rng = np.random.default_rng(seed)
    out = {}
    if n_vocab is not None:
        for name in ("model.embed_tokens", "lm_head"):
            out[f"base_model.model.{name}.weight"] = rng.standard_normal((n_vocab, h.n_embd)).astype(
                np.float16
            )
    for i in range(h.n_layer):
        for module in modules:
            n_out, n_in = (getattr(h, side) for side in LINEAR[module])
            if fan_in_fan_out:
                n_out, n_in = n_in, n_out
            key = f"base_model.model.model.layers.{i}.{module}"
            out[f"{key}.lora_A.weight"] = rng.standard_normal((r, n_in)).astype(np.float32) / 8
            out[f"{key}.lora_B.weight"] = rng.standard_normal((n_out, r)).astype(np.float32) / 8
    return out


def write_lora(
    folder: Path,
    weights: Arrays,
    *,
    r: int = 4,
    alpha: float = 16.0,
    n_tokens: int | None = None,
    kind: str = "bin",
    **config: Any,
) -> Path:
    """A LoRA's folder; with `n_tokens` its tokenizer as well."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"peft_type": "LORA", "r": r, "lora_alpha": alpha, "fan_in_fan_out": False, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(values | config))
    (save_safetensors if kind == "safetensors" else save_pth)(folder / f"adapter_model.{kind}", weights)
    if n_tokens is not None:
        save_tokenizer(folder, n_tokens)
    return folder


def merge_plainly(weights: Arrays, loras: Iterable[tuple[Arrays, float, bool]]) -> dict[str, np.ndarray]:
    """The twin: (weights, scaling, fan_in_fan_out) of each LoRA applied to whole matrices, f16."""
    out = {name: a.astype(np.float16) for name, a in weights.items() if not name.endswith("inv_freq")}
    for lora, scaling, transposed in loras:
        for key, a in lora.items():
            name = key.removeprefix("base_model.model.")
            if ".lora_A." in name:
                b = lora[key.replace("lora_A", "lora_B")]
                delta = (b @ a) * np.float32(scaling)
                name = name.replace(".lora_A", "")
                out[name] = (out[name].astype(np.float32) + (delta.T if transposed else delta)).astype(
                    np.float16
                )
            elif ".lora_B." not in name:
                out[name] = a.astype(np.float16)
    return out
