"""From positions to angles: RoPE as the file says or as the user asks, and the table that kernels read.

Three ways to a longer context than the one a model was trained with: positions are multiplied by less than 1
(linear scaling), the base grows, so that slow dimensions turn slower still (NTK), or each dimension gets as
much of the first as it needs (YaRN).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_tui.engine.protocol import ROPE_SCALINGS, RopeOptions
from alpaca_tui.errors import UserError
from alpaca_tui.files.hparams import HParams, Yarn, wrong_yarn

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def with_options(h: HParams, options: RopeOptions) -> HParams:
    """`h` with what the user asks for in place of what the file says. Raises UserError, naming the range."""
    for name, value, high in (
        ("--rope-freq-base", options.freq_base, 1e12),
        ("--rope-freq-scale", options.freq_scale, 1e3),
    ):
        if value is not None and not (math.isfinite(value) and 1e-6 < value < high):
            raise UserError(
                f"{name} {value:g} is impossible: give a number above 0.000001 and below {high:g}."
            )
    if options.scaling not in (None, *ROPE_SCALINGS):
        raise UserError(f"{options.scaling!r} is no RoPE scaling: give {', '.join(ROPE_SCALINGS)}.")
    base = h.rope_freq_base if options.freq_base is None else options.freq_base
    scale = h.rope_freq_scale if options.freq_scale is None else options.freq_scale
    kind = options.scaling or ("yarn" if h.yarn else "linear")
    return dataclasses.replace(
        h,
        rope_freq_base=base,
        rope_freq_scale=1.0 if kind == "none" else scale,
        yarn=_yarn(h, options) if kind == "yarn" else None,
    )


def _yarn(h: HParams, options: RopeOptions) -> Yarn:
    fields: dict[str, Any] = {
        "orig_ctx": options.yarn_orig_ctx or None,
        "ext_factor": options.yarn_ext_factor,
        "attn_factor": options.yarn_attn_factor,
        "beta_fast": options.yarn_beta_fast,
        "beta_slow": options.yarn_beta_slow,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    yarn = dataclasses.replace(h.yarn or Yarn(max(h.n_ctx_train, 1)), **given)
    if wrong := wrong_yarn(yarn):
        raise UserError(f"{wrong} is impossible; leave it out, and it is as the model's file says.")
    return yarn


def frequencies(h: HParams, factors: F32 | None = None) -> tuple[F64, float]:
    """Radians per position of each pair of dimensions, f64 [n_rot / 2], and the magnitude of all of them.

    base^(-2p / n_rot) * freq_scale / factors[p], and with YaRN between that and base^(-2p / n_rot) /
    factors[p]. YaRN's magnitude is attn_factor * (1 + 0.1 ln(1 / freq_scale)) where it extrapolates at all.
    """
    pairs = np.arange(h.n_rot // 2, dtype=np.float64)
    free = h.rope_freq_base ** (-2 * pairs / h.n_rot)
    if factors is not None:
        free = free / factors
    stretched = free * h.rope_freq_scale
    yarn = h.yarn
    if yarn is None:
        return stretched, 1.0
    if not yarn.ext_factor:
        return stretched, yarn.attn_factor
    low = max(math.floor(_pair_that_turns(yarn.beta_fast, h, yarn)), 0)
    high = min(math.ceil(_pair_that_turns(yarn.beta_slow, h, yarn)), h.n_rot - 1)
    ramp = yarn.ext_factor * (1 - np.clip((pairs - low) / max(high - low, 0.001), 0, 1))
    return stretched * (1 - ramp) + free * ramp, yarn.attn_factor * (1 - 0.1 * math.log(h.rope_freq_scale))


def _pair_that_turns(times: float, h: HParams, yarn: Yarn) -> float:
    """The pair that turns so many times within the original context (a fraction of a pair counts)."""
    base = math.log(h.rope_freq_base)
    return h.n_rot * math.log(yarn.orig_ctx / (times * 2 * math.pi)) / (2 * base) if base else 0.0


def table(h: HParams, n_ctx: int, factors: F32 | None = None) -> tuple[F32, F32]:
    """Magnitude times cos and sin of the angles of positions 0 .. n_ctx: two of f32 [n_ctx, n_rot / 2]."""
    frequency, magnitude = frequencies(h, factors)
    angle = np.arange(n_ctx)[:, None] * frequency
    return (magnitude * np.cos(angle)).astype(np.float32), (magnitude * np.sin(angle)).astype(np.float32)
