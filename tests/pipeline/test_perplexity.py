"""Perplexity: llama.cpp's definition and its figures, in pieces of any size, and what it refuses."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.engine.stopped import Stopped
from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from alpaca_tui.pipeline import perplexity as pp
from alpaca_tui.pipeline.in_thread import InThread
from alpaca_tui.resources import guide_model
from tests.gguf_writer import write_llama
from tests.reference_model import logits, weights_of

# The text of the figures (spec/tests.md, 4): 904 tokens with BOS in LLaMA's vocabulary.
TEXT = "\n".join(f"Line {i}: the quick brown fox jumps over the lazy dog {i * i} times." for i in range(40))


class Table:
    """A model that says the same whatever came before: logits by token, f32 [n_vocab, n_vocab]."""

    def __init__(self, table: np.ndarray, n_batch: int = 512) -> None:
        self.table, self.n_batch, self.n_vocab = table, n_batch, table.shape[1]
        self.seen: list[tuple[list[int], int, int]] = []

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> np.ndarray:
        self.seen.append((list(tokens), pos, n_logits))
        assert len(tokens) <= self.n_batch
        return self.table[np.asarray(tokens)][len(tokens) - n_logits :]


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 3, (50, 50)).astype(np.float32)


def last(estimates):
    return list(estimates)[-1]


def test_against_the_formula(table: np.ndarray) -> None:
    ids = np.random.default_rng(4).integers(0, 50, 70).tolist()
    windows = pp.cut_windows(ids, 16, bos=1)
    assert windows.tokens.shape == (4, 16)
    found = last(pp.measure(Table(table), windows))
    log_p = table - np.log(np.exp(table.astype(np.float64)).sum(axis=1, keepdims=True))
    nll = np.array([-log_p[ids[16 * w + i], ids[16 * w + i + 1]] for w in range(4) for i in range(8, 15)])
    assert found.count == len(nll) == 28
    assert found.ppl == pytest.approx(math.exp(nll.mean()), rel=1e-6)
    assert found.error == pytest.approx(found.ppl * nll.std() / math.sqrt(27), rel=1e-5)


def test_windows_begin_with_bos_and_end_before_their_last_token(table: np.ndarray) -> None:
    ids = list(range(10, 42))
    for bos, begin in ((1, 1), (None, 26)):
        model = Table(table)
        assert len(list(pp.measure(model, pp.cut_windows(ids, 16, bos)))) == 2
        assert model.seen[2] == ([begin, *range(27, 34)], 0, 0)
        assert model.seen[3] == (list(range(34, 41)), 8, 7)
    assert len(pp.cut_windows(ids, 8, 1, n_chunks=3).tokens) == 3


@pytest.mark.parametrize(("n_batch", "logit_bytes"), [(1, 1 << 20), (3, 1 << 20), (512, 4 * 50 * 3)])
def test_pieces_change_nothing(table: np.ndarray, n_batch: int, logit_bytes: int, monkeypatch) -> None:
    ids = np.random.default_rng(5).integers(0, 50, 64).tolist()
    windows = pp.cut_windows(ids, 32, bos=1)
    expected = last(pp.measure(Table(table), windows))
    monkeypatch.setattr(pp, "LOGIT_BYTES", logit_bytes)
    seen: list[tuple[int, int]] = []
    found = last(pp.measure(Table(table, n_batch), windows, on_progress=lambda *p: seen.append(p)))
    assert found.nll == pytest.approx(expected.nll, rel=1e-12)
    assert found.count == expected.count
    assert seen[-1] == (62, 62) and [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_llama_cpp_on_model_t(model_t_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Today's llama.cpp on model T as a GGUF in f16: 0.1 % (the model is as unsure as can be)."""
    assert hashlib.sha256(TEXT.encode()).hexdigest().startswith("e0d2648fa47785bd")
    model, tokenizer, bos = pp.load_model(model_t_llama, n_ctx=128, n_batch=64, n_threads=2)
    try:
        ids = tokenizer.encode(TEXT)
        assert (len(ids), bos) == (904, 1)
        found = [(e.ppl, e.error) for e in pp.measure(model, pp.cut_windows(ids, 128, bos))]
    finally:
        model.close()
    assert len(found) == 7
    assert found[0][0] == pytest.approx(5799321.79, rel=1e-3)
    assert found[-1] == pytest.approx((5279946.3538, 731217.75701), rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "expected", "tolerance"),
    [
        ("f16", 202741.5103, 1e-3),
        ("q8_0", 203353.6549, 5e-3),
        ("q4_0", 200870.6334, 5e-3),
        ("q4_1", 214306.7273, 5e-3),
        ("q5_0", 215835.2050, 5e-3),
        ("q5_1", 208447.3598, 5e-3),
    ],
)
def test_llama_cpp_on_a_small_model(kits: Path, kind: str, expected: float, tolerance: float) -> None:
    """Figures of llama.cpp (llama-cpp-python 0.3.36) for TEXT in windows of 128."""
    path = kits / f"logits/model-{kind}.gguf"
    model, tokenizer, bos = pp.load_model(path, n_ctx=128, n_batch=128, n_threads=2)
    try:
        found = last(pp.measure(model, pp.cut_windows(tokenizer.encode(TEXT), 128, bos)))
    finally:
        model.close()
    assert found.count == 13 * 63
    assert found.ppl == pytest.approx(expected, rel=tolerance)


def test_llama_cpp_on_the_guide() -> None:
    """The file that ships, on a conversation with it: llama.cpp's figure, by benchmarks/perplexity.py."""
    text = pp.read_text(Path(__file__).parents[1] / "guide/conversation.txt")
    model, tokenizer, bos = pp.load_model(guide_model(), n_ctx=256, n_batch=256, n_threads=2)
    try:
        found = last(pp.measure(model, pp.cut_windows(tokenizer.encode(text), 256, bos)))
    finally:
        model.close()
    assert found.count == 3 * 127
    assert found.ppl == pytest.approx(44.3440, rel=5e-3)


def test_a_real_model_against_the_reference(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "m.gguf", "q8_0")
    ids = [1, *np.random.default_rng(6).integers(3, 320, 40).tolist()]
    with open_model(path) as file:
        expected = logits(weights_of(file), file.hparams, [1, *ids[1:19]])
    log_p = expected - np.logaddexp.reduce(expected, axis=1, keepdims=True)
    nll = -np.mean([log_p[i, ids[i + 1]] for i in range(10, 19)])
    model, _, bos = pp.load_model(path, n_ctx=20, n_batch=8, n_threads=1)
    try:
        (found,) = pp.measure(model, pp.cut_windows(ids, 20, bos, n_chunks=1))
    finally:
        model.close()
    assert found.ppl == pytest.approx(math.exp(nll), rel=5e-3)


# --- what it refuses ---------------------------------------------------------------------------------------


def test_too_short_a_text() -> None:
    with pytest.raises(UserError, match=r"only 31 tokens, and a context of 16 takes at least 32"):
        pp.cut_windows(range(31), 16, 1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_broken_weights(table: np.ndarray, value: float) -> None:
    table[7] = value
    with pytest.raises(UserError, match="not finite"):
        list(pp.measure(Table(table), pp.cut_windows([7] * 32, 16, 1)))


def test_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes("一\r\n\n".encode())
    assert pp.read_text(path) == "一\r\n"
    path.write_bytes(b"abc\xff")
    with pytest.raises(UserError, match=r"no UTF-8 text \(byte 3 is wrong\)"):
        pp.read_text(path)
    with pytest.raises(UserError, match="cannot be read"):
        pp.read_text(tmp_path)


def test_nothing_scored_is_no_number() -> None:
    assert math.isnan(pp.Estimate().ppl)
    assert pp.Estimate(1, 2.0, 4.0).error == 0.0
    assert pp.Estimate(1, 1e6, 1e12).ppl == math.inf


def test_an_interrupt_stops_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()

    class Slow:
        n_vocab = n_batch = 8
        closed = False

        def eval(self, tokens, pos, n_logits):
            if stop.wait(20):
                raise Stopped
            raise AssertionError("nobody stopped it")

        def request_stop(self) -> None:
            stop.set()

        def close(self) -> None:
            self.closed = True

    def interrupt(jobs, timeout=None):
        if timeout is not None:
            raise KeyboardInterrupt
        return original(jobs)

    from alpaca_tui.pipeline import in_thread

    original = in_thread.wait
    monkeypatch.setattr(in_thread, "wait", interrupt)
    slow = Slow()
    model = InThread(slow)
    with pytest.raises(KeyboardInterrupt):
        model.eval([1], 0, 1)
    assert stop.is_set()
    model.close()
    assert slow.closed
