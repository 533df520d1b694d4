"""What `bench` runs, in which order, and what it makes of the times."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alpaca_tui.engine import limits
from alpaca_tui.engine.model import Model
from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from alpaca_tui.pipeline.bench import Facts, Limits, Result, Workload, bench, facts_of
from tests.gguf_writer import small_hparams, write_llama

FACTS = Facts(
    path=Path("m.gguf"),
    kind="llama 1M q4_0",
    size=2_000_000,
    n_params=1_000_000,
    bytes_read=500_000,
    layer_products=700_000,
    output_products=100_000,
    integer=True,
    cpu="a CPU",
    kernels="avx2",
)
RESULT = Result(
    facts=FACTS,
    workload=Workload(100, decode=True),
    n_threads=2,
    n_batch=50,
    seconds=(1.0, 2.0),
    limits=Limits(bandwidth=75e6, peak=1e9),
    time=datetime(2026, 1, 2, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("bench") / "small.gguf", "q4_0", small_hparams())


@pytest.fixture(autouse=True)
def quick_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "bandwidth", lambda n, stopped: 1e9 * n)
    monkeypatch.setattr(limits, "dot_peak", lambda n, stopped: 1e12)
    monkeypatch.setattr(limits, "fma_peak", lambda n, stopped: 1e11)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the model evaluates: (threads, tokens, position, logits)."""
    seen: list[Any] = []
    real = Model.eval

    def eval(self: Model, tokens: list[int], pos: int, n_logits: int) -> Any:
        seen.append((self.n_threads, len(tokens), pos, n_logits))
        return real(self, tokens, pos, n_logits)

    monkeypatch.setattr(Model, "eval", eval)
    return seen


# --- figures -----------------------------------------------------------------------------------------------


def test_decoding_is_held_against_memory() -> None:
    assert RESULT.speeds == [100, 50]
    assert (RESULT.speed, RESULT.deviation) == (75, pytest.approx(35.36, abs=0.01))
    assert RESULT.bytes_per_second == 37.5e6
    assert RESULT.bandwidth_share == 0.5
    assert RESULT.products_per_second is None
    assert RESULT.peak_share is None


def test_a_prompt_is_held_against_the_products() -> None:
    result = replace(RESULT, workload=Workload(100, decode=False), seconds=(0.5,))
    assert result.deviation == 0
    assert result.bytes_per_second is None and result.bandwidth_share is None
    assert result.products_per_second == pytest.approx(2 * (100 * 700_000 + 100_000))
    assert result.peak_share == pytest.approx(0.1402)
    no_instruction = replace(result, limits=Limits(75e6, None))
    assert no_instruction.peak_share is None


def test_facts_of_a_file(path: Path) -> None:
    with open_model(path) as file:
        facts = facts_of(file)
        h = file.hparams
    layer = h.n_embd * (2 * h.n_embd + 2 * h.n_embd_kv + 3 * h.n_ff)
    assert facts.layer_products == h.n_layer * layer
    assert facts.output_products == h.n_vocab * h.n_embd
    norms = 4 * h.n_embd * (2 * h.n_layer + 1)
    assert facts.bytes_read == (facts.layer_products + facts.output_products) * 18 // 32 + norms
    assert facts.kind.startswith("llama") and facts.kind.endswith("q4_0")
    assert facts.integer and facts.cpu


def test_floats_are_held_against_floats(tmp_path: Path) -> None:
    """The peak of small integers says nothing about them."""
    for weights, peak in (("f16", 1e11), ("q8_0", 1e12)):
        model = write_llama(tmp_path / f"{weights}.gguf", weights, small_hparams())
        [result] = bench(model, [Workload(4, False)], [1], 1, 8)
        assert result.limits.peak == peak


# --- what is run -------------------------------------------------------------------------------------------


def test_each_test_with_each_number_of_threads(path: Path, calls: list[Any]) -> None:
    told: list[tuple[int, int, str]] = []
    results = list(
        bench(
            path,
            [Workload(20, False), Workload(6, True)],
            [1, 2],
            2,
            8,
            on_progress=lambda *progress: told.append(progress),
        )
    )
    assert [(r.n_threads, r.workload.name, len(r.seconds)) for r in results] == [
        (1, "pp20", 2), (1, "tg6", 2), (2, "pp20", 2), (2, "tg6", 2),
    ]  # fmt: skip
    assert [r.limits.bandwidth for r in results] == [1e9, 1e9, 2e9, 2e9]
    assert all(r.n_batch == 8 and min(r.seconds) > 0 for r in results)
    expected = []
    for n in (1, 2):
        expected += 3 * [(n, 8, 0, 0), (n, 8, 8, 0), (n, 4, 16, 1)]  # one round is not counted
        expected += [(n, 1, at, 1) for rounds in (4, 6, 6) for at in range(rounds)]
    assert calls == expected
    assert {total for _, total, _ in told} == {2 * 3 * (20 + 6)}
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {"the limits with 1 thread", "tg6 with 2 threads"} <= {what for _, _, what in told}


def test_an_interruption_ends_it_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Model] = []
    monkeypatch.setattr(Model, "close", lambda self, real=Model.close: (closed.append(self), real(self)))

    def on_progress(done: int, total: int, what: str) -> None:
        if what.startswith("tg"):
            raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(bench(path, [Workload(100_000, True)], [1], 1, 8, on_progress=on_progress))
    assert time.monotonic() - begin < 10
    assert len(closed) == 1


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    wrong = tmp_path / "x.gguf"
    wrong.write_bytes(b"GGUF")
    with pytest.raises(UserError, match=r"x\.gguf"):
        list(bench(wrong, [Workload(4, True)], [1], 1, 8))
