"""RoPE scaled by the file and by flags: the logits that llama.cpp gives for the same model and settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.engine import rope
from alpaca_tui.engine.model import Model
from alpaca_tui.engine.protocol import RopeOptions
from alpaca_tui.errors import UserError
from alpaca_tui.files.hparams import Yarn
from alpaca_tui.files.model_file import open_model
from tests.gguf_writer import KV, quantized, random_weights, small_hparams, write_gguf, write_llama
from tests.gguf_writer import llama_metadata as metadata_of

H = small_hparams(n_embd=256, n_ff=512, n_ctx_train=64)
TOKENS = [1, *((i * 37) % 300 + 5 for i in range(95))]  # three times YaRN's original context
IDS = [0, 50, 100, 200, 319]


def scaling(kind: str, factor: float) -> list[KV]:
    return [KV("llama.rope.scaling.type", "str", kind), KV("llama.rope.scaling.factor", "f32", factor)]


FILES: dict[str, list[KV]] = {
    "plain": [],
    "linear": scaling("linear", 4.0),
    "base": [KV("llama.rope.freq_base", "f32", 80000.0)],
    "yarn": [*scaling("yarn", 4.0), KV("llama.rope.scaling.original_context_length", "u32", 32)],
    "factors": [],
}
WHOLE_YARN = RopeOptions(
    scaling="yarn", freq_scale=0.25, yarn_orig_ctx=32, yarn_beta_fast=16.0, yarn_beta_slow=2.0,
    yarn_ext_factor=0.7,
)  # fmt: skip


def last_logits(folder: Path, name: str, options: RopeOptions) -> np.ndarray:
    path = folder / "m.gguf"
    if name == "factors":  # as files of Llama 3.1 have them
        tensors = [quantized(n, v, "f32") for n, v in random_weights(H, 7).items()]
        factors = np.linspace(1, 8, H.n_rot // 2).astype(np.float32)
        write_gguf(path, metadata_of(H), [*tensors, quantized("rope_freqs.weight", factors, "f32")])
    else:
        write_llama(path, "f32", H, seed=7, extra=FILES[name])
    model = Model(open_model(path), n_ctx=128, n_threads=1, rope_options=options)
    last = model.eval(TOKENS, 0, 1)[0]
    model.close()
    return last[IDS]


# The numbers are those of llama.cpp (llama-cpp-python 0.3.36), which keeps its cache in f16 as well.
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("plain", RopeOptions(), [-0.9036, -1.0746, 0.7194, 0.9623, -0.7503]),
        ("linear", RopeOptions(), [-0.726, -0.7018, 0.4824, 1.0117, -0.8326]),
        ("base", RopeOptions(), [-0.9909, -0.9385, 0.9224, 1.1333, -0.8328]),
        ("yarn", RopeOptions(), [-0.7516, -0.5728, 0.655, 1.1744, -0.8493]),
        ("factors", RopeOptions(), [-0.74, -0.8592, 0.6748, 1.1589, -0.7133]),
        ("plain", RopeOptions(freq_base=40000.0), [-1.0452, -0.8704, 1.044, 1.1271, -0.6841]),
        ("plain", RopeOptions(freq_scale=0.25), [-0.726, -0.7018, 0.4824, 1.0117, -0.8326]),
        ("plain", WHOLE_YARN, [-0.7864, -0.4328, 0.5296, 1.2774, -1.0259]),
        ("yarn", RopeOptions(scaling="none"), [-0.9036, -1.0746, 0.7194, 0.9623, -0.7503]),
        ("yarn", RopeOptions(freq_scale=0.5), [-0.8155, -1.291, 0.7548, 1.0316, -0.7969]),
    ],
)
def test_logits_are_llama_cpps(
    tmp_path: Path, name: str, options: RopeOptions, expected: list[float]
) -> None:
    np.testing.assert_allclose(last_logits(tmp_path, name, options), expected, atol=2e-3)


def test_flags_go_before_the_file(tmp_path: Path) -> None:
    with open_model(write_llama(tmp_path / "m.gguf", h=H, extra=FILES["yarn"])) as file:
        h = file.hparams
    assert h.rope_freq_scale == 0.25
    assert h.yarn == Yarn(orig_ctx=32)
    assert rope.with_options(h, RopeOptions()) == h
    assert rope.with_options(h, RopeOptions(scaling="linear")) == dataclasses.replace(h, yarn=None)
    assert rope.with_options(h, RopeOptions(yarn_beta_slow=2.0)).yarn == Yarn(32, beta_slow=2.0)
    assert rope.with_options(h, RopeOptions(freq_base=5e5)).rope_freq_base == 5e5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (RopeOptions(freq_base=0.0), "--rope-freq-base 0 is impossible"),
        (RopeOptions(freq_scale=float("nan")), "--rope-freq-scale nan is impossible"),
        (RopeOptions(scaling="ntk"), "'ntk' is no RoPE scaling: give none, linear, yarn"),
        (RopeOptions(scaling="yarn", yarn_ext_factor=2.0), "yarn_ext_factor = 2 is impossible"),
    ],
)
def test_impossible_numbers_are_refused(options: RopeOptions, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rope.with_options(H, options)
