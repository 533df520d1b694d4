"""Hyper-parameters of a LLaMA model, out of a 2023 header or GGUF metadata, checked before use."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaca_tui.errors import UserError
from alpaca_tui.files.cursor import damaged

NORM_EPS_2023 = 1e-6  # LLaMA-1's; files of 2023 do not say
N_CTX_2023 = 2048
ROPE_FREQ_BASE = 10000.0


@dataclass(frozen=True)
class Yarn:
    """How YaRN (Peng et al. 2023, arXiv 2309.00071) stretches a context of `orig_ctx` tokens.

    Dimensions that turn more than `beta_fast` times in it keep their frequency, those that turn less than
    `beta_slow` times are interpolated by `rope_freq_scale`, with a ramp between; `ext_factor` is the share of
    that (0: all are interpolated). `attn_factor` multiplies the magnitude of queries and keys.
    """

    orig_ctx: int
    ext_factor: float = 1.0
    attn_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0


@dataclass(frozen=True)
class HParams:
    """Shape and constants of a model. Names as in llama.cpp; `rope_freq_scale` multiplies the position."""

    arch: str
    n_vocab: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_layer: int
    n_ff: int
    n_rot: int
    n_ctx_train: int
    norm_eps: float
    rope_freq_base: float = ROPE_FREQ_BASE
    rope_freq_scale: float = 1.0
    yarn: Yarn | None = None

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    @property
    def n_embd_kv(self) -> int:
        """Width of the keys (and of the values) of all heads of a layer."""
        return self.head_dim * self.n_head_kv


# What is believed of a file; beyond lies damage, not a bigger model.
_LIMITS = {
    "n_vocab": (1, 1 << 22),
    "n_embd": (2, 1 << 16),
    "n_head": (1, 1 << 12),
    "n_head_kv": (1, 1 << 12),
    "n_layer": (1, 1 << 10),
    "n_ff": (1, 1 << 20),
    "n_ctx_train": (1, 1 << 31),
}


def check_number(path: Path, name: str, value: int, says: str = "") -> int:
    """`value` when it is possible for `name`; UserError otherwise. `says`: the file's own word for it."""
    low, high = _LIMITS[name]
    if not low <= value <= high:
        raise damaged(path, f"its header says {says or name} = {value}, which is impossible")
    return value


def check(path: Path, h: HParams, norm_eps: float | None) -> HParams:
    """`h`, with `norm_eps` in place of its own where given. Raises UserError for an impossible model."""
    for name in _LIMITS:
        check_number(path, name, getattr(h, name))
    if h.n_embd % h.n_head or h.head_dim % 2:
        raise damaged(path, f"its n_embd = {h.n_embd} does not go with n_head = {h.n_head}")
    if h.n_head % h.n_head_kv:
        raise damaged(path, f"its n_head = {h.n_head} does not go with n_head_kv = {h.n_head_kv}")
    if h.n_rot != h.head_dim:
        raise UserError(
            f"{path} rotates {h.n_rot} of {h.head_dim} dimensions of a head, which this program does not "
            "support; use another model."
        )
    eps = h.norm_eps if norm_eps is None else norm_eps
    if not 0.0 < eps < 1.0:
        raise UserError(f"norm_eps = {eps:g} of {path} is impossible; set a small number such as 1e-6.")
    for name in ("rope_freq_base", "rope_freq_scale"):
        value = getattr(h, name)
        if not (math.isfinite(value) and 1e-6 < value < 1e12):
            raise damaged(path, f"its {name} = {value:g} is impossible")
    if h.yarn and (wrong := wrong_yarn(h.yarn)):
        raise damaged(path, f"its {wrong}, which is impossible")
    return dataclasses.replace(h, norm_eps=eps)


def wrong_yarn(yarn: Yarn) -> str:
    """What cannot be in these numbers, such as "yarn_beta_fast = -1"; empty where all can."""
    limits = {
        "orig_ctx": (1, 1 << 31), "ext_factor": (0, 1), "attn_factor": (1e-3, 1e3),
        "beta_fast": (1e-3, 1e6), "beta_slow": (1e-3, 1e6),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        if not low <= getattr(yarn, name) <= high:
            return f"yarn_{name} = {getattr(yarn, name):g}"
    return ""


class GgufKeys:
    """Typed look-ups in GGUF metadata, under the prefix of the architecture."""

    def __init__(self, path: Path, metadata: Mapping[str, Any], prefix: str) -> None:
        self.path, self.metadata, self.prefix = path, metadata, prefix

    def integer(self, key: str, default: int | None = None) -> int:
        """A number, or a list (one a layer) whose entries agree."""
        name = f"{self.prefix}.{key}"
        value = self.metadata.get(name, default)
        if isinstance(value, list) and value and all(v == value[0] for v in value):
            value = value[0]
        if isinstance(value, list) and value:
            raise UserError(
                f"{self.path} has layers of different shapes ({name}), which this program does not support; "
                "use another model."
            )
        if value is None:
            raise damaged(self.path, f"its metadata has no {name}")
        if not isinstance(value, int) or isinstance(value, bool):
            raise damaged(self.path, f"its {name} is no whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        name = f"{self.prefix}.{key}"
        value = self.metadata.get(name, default)
        if value is None:
            raise damaged(self.path, f"its metadata has no {name}")
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise damaged(self.path, f"its {name} is no number")
        return float(value)


def from_gguf(path: Path, metadata: Mapping[str, Any], n_vocab: int) -> HParams:
    """Hyper-parameters of a GGUF file of architecture llama; `n_vocab` is that of the embedding.

    Raises UserError for another architecture, experts, and kinds of RoPE that are not supported, by name.
    """
    arch = metadata.get("general.architecture")
    if not isinstance(arch, str):
        raise damaged(path, "its metadata has no general.architecture")
    if arch != "llama":
        raise UserError(
            f"{path} is a model of the architecture {arch!r}, which this program does not run; use a LLaMA "
            "model (LLaMA, Alpaca, Vicuna, Mistral 7B, ...)."
        )
    keys = GgufKeys(path, metadata, arch)
    if keys.integer("expert_count", 0):
        raise UserError(
            f"{path} is a mixture of experts, which this program does not run; use a dense LLaMA model."
        )
    n_embd = check_number(path, "n_embd", keys.integer("embedding_length"), "llama.embedding_length")
    n_head = check_number(path, "n_head", keys.integer("attention.head_count"), "llama.attention.head_count")
    head_dim = n_embd // n_head
    for key in ("attention.key_length", "attention.value_length"):
        if keys.integer(key, head_dim) != head_dim:
            raise UserError(
                f"{path} has heads of {keys.integer(key)} dimensions instead of n_embd / n_head = {head_dim} "
                f"({arch}.{key}), which this program does not support; use another model."
            )
    n_ctx_train = keys.integer("context_length")
    rope_freq_scale, yarn = _rope_scaling(keys, n_ctx_train)
    return HParams(
        arch=arch,
        n_vocab=n_vocab,
        n_embd=n_embd,
        n_head=n_head,
        n_head_kv=keys.integer("attention.head_count_kv", n_head),
        n_layer=keys.integer("block_count"),
        n_ff=keys.integer("feed_forward_length"),
        n_rot=keys.integer("rope.dimension_count", head_dim),
        n_ctx_train=n_ctx_train,
        norm_eps=keys.number("attention.layer_norm_rms_epsilon"),
        rope_freq_base=keys.number("rope.freq_base", ROPE_FREQ_BASE),
        rope_freq_scale=rope_freq_scale,
        yarn=yarn,
    )


def _rope_scaling(keys: GgufKeys, n_ctx_train: int) -> tuple[float, Yarn | None]:
    """What positions are multiplied by, and YaRN's numbers where the file asks for that."""
    kind = keys.metadata.get(f"{keys.prefix}.rope.scaling.type")
    if kind is None and f"{keys.prefix}.rope.scale_linear" in keys.metadata:
        kind, factor = "linear", keys.number("rope.scale_linear")
    else:
        factor = keys.number("rope.scaling.factor", 1.0)
    if kind in (None, "none"):
        return 1.0, None
    if kind not in ("linear", "yarn"):
        raise UserError(
            f"{keys.path} stretches its context with RoPE scaling {kind!r}, which this program does not "
            "support; use another model."
        )
    scale = 1.0 / factor if factor > 0.0 else 1.0  # also NaN; files write 0 for "none"
    if kind == "linear":
        return scale, None
    return scale, Yarn(
        keys.integer("rope.scaling.original_context_length", n_ctx_train),
        keys.number("rope.scaling.yarn_ext_factor", 1.0),
        keys.number("rope.scaling.yarn_attn_factor", 1.0) * keys.number("rope.scaling.attn_factor", 1.0),
        keys.number("rope.scaling.yarn_beta_fast", 32.0),
        keys.number("rope.scaling.yarn_beta_slow", 1.0),
    )
