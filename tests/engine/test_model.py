"""The compiled model against known results: model T, the logits kit, the NumPy reference."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alpaca_tui.engine import model as model_module
from alpaca_tui.engine.model import Model, Stopped
from alpaca_tui.engine.protocol import RopeOptions
from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from tests.gguf_writer import write_llama
from tests.reference_model import ReferenceModel, logits, weights_of
from tests.small_model import small_hparams

ONCE_UPON_A_TIME = [1, 9038, 2501, 263, 931]
GREEDY = [
    31326, 31888, 25956, 22796, 672, 10672, 7656, 7016, 24634, 29559, 25376, 16537,
    15645, 27595, 53, 5178, 4324, 22852, 17955, 14110, 3438, 16387, 9474, 24438,
]  # fmt: skip
FORMATS = ["f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q6_K"]


def load(path: Path, n_ctx: int = 256, n_threads: int = 2, n_batch: int = 512, **more: Any) -> Model:
    return Model(open_model(path), n_ctx=n_ctx, n_threads=n_threads, n_batch=n_batch, **more)


def greedy(model: Model, prompt: list[int], n: int) -> list[int]:
    result, tokens, pos = [], prompt, 0
    while len(result) < n:
        token = int(model.eval(tokens, pos, 1)[0].argmax())
        result.append(token)
        tokens, pos = [token], pos + len(tokens)
    return result


def kl_divergence(reference: np.ndarray, ours: np.ndarray) -> float:
    """Mean over positions of KL(reference || ours), in nats."""

    def log_softmax(x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    p, q = log_softmax(reference), log_softmax(ours)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


@pytest.fixture(autouse=True)
def always_a_team(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small models would be left to one thread; here all threads have to meet."""
    monkeypatch.setattr(model_module, "WORTH_A_TEAM", 0)


@pytest.fixture(scope="module")
def t(model_t: Path) -> Iterator[Model]:
    model = load(model_t)
    yield model
    model.close()


def test_model_t_has_its_logits(t: Model) -> None:
    last = t.eval(ONCE_UPON_A_TIME, 0, 1)[0]
    assert last.argmax() == GREEDY[0]
    np.testing.assert_allclose(last.max(), 12.9951, atol=5e-3)
    np.testing.assert_allclose(last[:5], [-3.1356, -1.1333, 5.3414, -0.5822, 3.0803], atol=5e-3)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_model_t_says_its_24_tokens(t: Model, n_threads: int) -> None:
    t.set_threads(n_threads)
    assert greedy(t, ONCE_UPON_A_TIME, 24) == GREEDY


@pytest.mark.parametrize("fmt", ["f16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1"])
def test_as_exact_as_llama_cpp(kits: Path, fmt: str) -> None:
    reference = np.load(kits / "logits/reference.npz")
    model = load(kits / f"logits/model-{fmt}.gguf")
    ours = model.eval(reference["tokens"].tolist(), 0, len(reference["tokens"]))
    model.close()
    assert kl_divergence(reference[fmt], ours) <= (1e-5 if fmt == "f16" else 7e-4)


@pytest.mark.parametrize("fmt", ["f16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1"])
def test_a_cache_of_8_bits_loses_little(kits: Path, fmt: str) -> None:
    reference = np.load(kits / "logits/reference.npz")
    tokens = reference["tokens"].tolist()
    model = load(kits / f"logits/model-{fmt}.gguf", cache_type="q8_0")
    ours = model.eval(tokens, 0, len(tokens))
    one_by_one = np.concatenate([model.eval([token], i, 1) for i, token in enumerate(tokens)])
    model.close()
    assert kl_divergence(reference[fmt], ours) <= (3e-4 if fmt == "f16" else 1e-3)
    np.testing.assert_array_equal(one_by_one, ours)


def test_heads_that_a_cache_of_8_bits_cannot_hold_are_named(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "m.gguf", "q8_0", small_hparams(n_embd=64, n_head=4, n_head_kv=4), seed=1)
    with pytest.raises(UserError, match="heads of a multiple of 32"):
        load(path, cache_type="q8_0")


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_against_the_reference(tmp_path: Path, fmt: str) -> None:
    h = small_hparams(n_embd=256, n_ff=512)
    path = write_llama(tmp_path / "m.gguf", fmt, h, seed=3)
    tokens = [1, *range(40, 70)]
    model = load(path)
    ours = model.eval(tokens, 0, len(tokens))
    model.close()
    expected = logits(weights_of(open_model(path)), h, tokens)
    limit = 1e-5 if fmt in ("f32", "f16", "bf16") else 2e-3
    assert kl_divergence(expected, ours) <= limit


@pytest.mark.parametrize("fmt", ["q4_0", "f16"])
def test_batches_and_threads_change_nothing(tmp_path: Path, fmt: str) -> None:
    h = small_hparams(n_embd=256, n_ff=512)
    path = write_llama(tmp_path / "m.gguf", fmt, h, seed=4)
    tokens = [1, *range(30, 70)]
    model = load(path, n_threads=1)
    whole = model.eval(tokens, 0, len(tokens))
    model.close()
    for n_batch, n_threads in ((1, 2), (7, 3), (8, 1), (16, 2)):
        model = load(path, n_batch=n_batch, n_threads=n_threads)
        parts = [
            model.eval(tokens[i : i + n_batch], i, len(tokens[i : i + n_batch]))
            for i in range(0, len(tokens), n_batch)
        ]
        model.close()
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_stop_ends_a_prefill_and_leaves_the_model_usable(t: Model) -> None:
    t.clear_stop()
    before = t.eval(ONCE_UPON_A_TIME, 0, 1)
    tokens = list(range(300, 500))
    threading.Timer(0.01, t.request_stop).start()
    with pytest.raises(Stopped):
        for _ in range(1000):
            t.eval(tokens, 5, 1)
    with pytest.raises(Stopped):
        t.eval(tokens, 5, 1)
    t.clear_stop()
    np.testing.assert_array_equal(t.eval(ONCE_UPON_A_TIME[-1:], 4, 1), before)


def test_a_stop_ends_a_load(model_t: Path) -> None:
    stage: list[str] = []

    def on_progress(what: str, done: int, total: int, name: str) -> None:
        stage.append(what)
        if what == "load":
            raise Stopped

    with pytest.raises(Stopped):
        Model(open_model(model_t), n_ctx=64, n_threads=2, on_progress=on_progress)
    assert "compile" in stage


def test_what_does_not_fit_is_refused(t: Model) -> None:
    for tokens, pos, n_logits in (([], 0, 0), ([1], 256, 1), ([1], 0, 2), ([32000], 0, 1), ([-1], 0, 1)):
        with pytest.raises(ValueError):
            t.eval(tokens, pos, n_logits)


def test_odd_widths_are_refused_by_name(tmp_path: Path) -> None:
    h = small_hparams(n_embd=48, n_head=2, n_head_kv=2, n_rot=24, n_ff=96)
    path = write_llama(tmp_path / "m.gguf", "f32", h)
    with pytest.raises(UserError, match="n_embd is 48"):
        load(path)


def test_a_larger_batch_needs_no_reload(model_t: Path) -> None:
    model = load(model_t, n_batch=2)
    before = model.eval(ONCE_UPON_A_TIME[:2], 0, 1)
    model.set_batch(16)
    after = model.eval(ONCE_UPON_A_TIME[2:], 2, 3)
    model.close()
    assert after[-1].argmax() == GREEDY[0]
    assert before.shape == (1, 32000)
    assert model.progress > 0.9


def test_a_small_model_is_left_to_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    model = load(write_llama(tmp_path / "m.gguf", "q4_0"), n_threads=3)
    alone = []
    run = model._team.run
    monkeypatch.setattr(model._team, "run", lambda steps, only=False: (alone.append(only), run(steps, only)))
    model.eval([1], 0, 1)
    monkeypatch.setattr(model, "_n_weights", 10**9)
    model.eval([1], 0, 1)
    model.close()
    assert alone == [True, False]


WIDE_HEADS = {"n_embd": 128, "n_head": 4, "n_ff": 96}  # of 32 dimensions, which q8_0 needs
EXACT = {"f16": 1e-6, "q8_0": 1e-4}  # mean KL that rounding in the cache gives


@pytest.mark.parametrize("cache", EXACT)
def test_a_shift_is_that_of_the_reference(tmp_path: Path, cache: str) -> None:
    """What was evaluated before what left stays; what is evaluated then sees it nearer."""
    h = small_hparams(**WIDE_HEADS)
    file = open_model(write_llama(tmp_path / "m.gguf", "f32", h, seed=5))
    model = Model(file, n_ctx=128, n_threads=2, cache_type=cache)
    twin = ReferenceModel(weights_of(file), h, n_ctx=128, dtype=np.float64)
    tokens = [1, *range(30, 100)]
    for m in (model, twin):
        m.eval(tokens, 0, 0)
        m.shift(4, 30, len(tokens))
    ours = model.eval([7, 8, 9], 45, 3)
    assert kl_divergence(twin.eval([7, 8, 9], 45, 3), ours) < EXACT[cache]
    without = logits(weights_of(file), h, [*tokens[:4], *tokens[30:], 7, 8, 9])[-3:]
    assert 1e-4 < kl_divergence(without, ours) < 0.5  # near to an evaluation without it, and not that
    for wrong in ((4, 4, 10), (-1, 3, 10), (3, 9, 5), (1, 2, 129)):
        with pytest.raises(ValueError):
            model.shift(*wrong)
    model.close()


@pytest.mark.parametrize("cache", EXACT)
def test_in_one_layer_a_shift_loses_nothing(tmp_path: Path, cache: str) -> None:
    """There keys and values are those of each token alone; so what is left is how keys are turned."""
    path = write_llama(tmp_path / "one.gguf", "f32", small_hparams(**WIDE_HEADS, n_layer=1), seed=5)
    options = RopeOptions(scaling="yarn", freq_scale=0.25, yarn_orig_ctx=64)
    model = Model(open_model(path), n_ctx=128, n_threads=2, cache_type=cache, rope_options=options)
    tokens = [1, *range(30, 100)]
    model.eval(tokens, 0, 0)
    model.shift(4, 30, len(tokens))
    shifted = model.eval([7], 45, 1)
    model.eval([*tokens[:4], *tokens[30:]], 0, 0)
    assert kl_divergence(model.eval([7], 45, 1), shifted) < EXACT[cache]
    model.close()
