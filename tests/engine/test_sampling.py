"""Sampling: llama.cpp's own test values (spec: logits = ln p), determinism, the distribution, bad numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.engine.protocol import SamplingParams
from alpaca_tui.engine.sampling import Sampler, candidates, draw, penalise
from alpaca_tui.errors import UserError

P4 = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))
OFF = SamplingParams(temp=1.0, top_k=0, top_p=1.0, repeat_penalty=1.0, seed=1)


def probabilities(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits.astype(np.float64) - logits.max())
    return p / p.sum()


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [1.0]), (3, [0.444444, 0.333333, 0.222222]), (4, [0.4, 0.3, 0.2, 0.1]), (0, [0.1, 0.2, 0.3, 0.4])],
)
def test_top_k(k: int, expected: list[float]) -> None:
    kept = probabilities(P4[candidates(P4, k, 1.0)])
    assert sorted(kept) == pytest.approx(sorted(expected), abs=1e-5)


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0.0, [1.0]),
        (0.7, [0.571429, 0.428571]),
        (0.8, [0.444444, 0.333333, 0.222222]),
        (1.0, [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_top_p(p: float, expected: list[float]) -> None:
    kept = probabilities(P4[candidates(P4, 0, p)])
    assert list(kept) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ([0], [0, 0.25, 0.25, 0.25, 0.25]),
        ([0, 1, 2], [0, 0, 0, 0.5, 0.5]),
        ([0, 1, 2, 0, 0], [0, 0, 0, 0.5, 0.5]),
    ],
)
def test_repeat_penalty(last: list[int], expected: list[float]) -> None:
    logits = np.log(np.full(5, 0.2, np.float32))
    assert list(probabilities(penalise(logits, last, 50.0))) == pytest.approx(expected, abs=1e-5)


def test_penalty_divides_what_is_positive_and_leaves_its_argument() -> None:
    logits = np.array([2.0, -2.0, 0.0, 3.0], np.float32)
    assert penalise(logits, [0, 1, 2], 2.0).tolist() == [1.0, -4.0, 0.0, 3.0]
    assert logits.tolist() == [2.0, -2.0, 0.0, 3.0]


def test_penalty_looks_back_repeat_last_n_tokens() -> None:
    logits = np.array([1.0, 1.1, 1.2, 1.3], np.float32)
    context = [3, 3, 2, 1]

    def greedy(last_n: int) -> int:
        params = SamplingParams(temp=0.0, repeat_penalty=2.0, repeat_last_n=last_n)
        return Sampler(params, 4).sample(logits, context)

    assert greedy(0) == 3  # off
    assert greedy(1) == 3  # only 1 is penalised
    assert greedy(2) == 3
    assert greedy(3) == 0  # 3, 2 and 1 are
    assert greedy(-1) == 0  # the whole context
    assert greedy(1000) == 0


def test_greedy_takes_the_lowest_id_of_equals_and_is_penalised() -> None:
    params = SamplingParams(temp=0.0, repeat_penalty=1.5)
    logits = np.array([1.0, 2.0, 2.0, 2.0], np.float32)
    assert Sampler(params, 4).sample(logits, []) == 1
    assert Sampler(params, 4).sample(logits, [1]) == 2
    assert Sampler(SamplingParams(temp=-1.0), 4).sample(logits, []) == 1


def test_order_is_penalty_top_k_top_p_temperature() -> None:
    # Penalty first: without it 3 would be the one that top_k leaves.
    params = SamplingParams(temp=1.0, top_k=1, top_p=1.0, repeat_penalty=10.0, seed=0)
    assert Sampler(params, 4).sample(np.array([0, 1, 2, 3], np.float32), [3]) == 2
    # Temperature last: at temp 5 first, {0.4, 0.3, 0.2} would be too flat for top_p 0.7 to leave but two.
    params = SamplingParams(temp=5.0, top_k=0, top_p=0.7, repeat_penalty=1.0, seed=0)
    sampler = Sampler(params, 4)
    assert {sampler.sample(P4, []) for _ in range(300)} == {2, 3}
    # top_k before top_p: 0.4 is 0.571 of {0.4, 0.3}, so that top_p 0.5 needs one of them, not two.
    params = SamplingParams(temp=1.0, top_k=2, top_p=0.5, repeat_penalty=1.0, seed=0)
    sampler = Sampler(params, 4)
    assert {sampler.sample(P4, []) for _ in range(100)} == {3}


def test_distribution() -> None:
    logits = np.array([0.0, 1.0, 2.0, -1.0, 1.5], np.float32)
    sampler = Sampler(SamplingParams(temp=0.7, top_k=4, top_p=1.0, repeat_penalty=1.0, seed=5), 5)
    n = 20_000
    counts = np.bincount([sampler.sample(logits, []) for _ in range(n)], minlength=5)
    expected = probabilities(np.where(logits < 0, -np.inf, logits) / 0.7)
    assert counts[3] == 0
    kept = expected > 0
    chi2 = float((((counts - n * expected) ** 2)[kept] / (n * expected[kept])).sum())
    assert chi2 < 16.3  # 3 degrees of freedom, one in a thousand


def test_draw_covers_its_intervals_exactly() -> None:
    logits = np.log(np.array([0.25, 0.5, 0.25], np.float32))
    assert [draw(logits, 1.0, u) for u in (0.0, 0.249, 0.251, 0.749, 0.751, 1 - 2**-53)] == [0, 0, 1, 1, 2, 2]


def test_tiny_temperatures_are_greedy_without_warnings(recwarn: pytest.WarningsRecorder) -> None:
    for temp in (1e-3, 1e-30, 5e-324):
        sampler = Sampler(SamplingParams(temp=temp, top_k=0, top_p=1.0, seed=3), 4)
        assert [sampler.sample(P4, []) for _ in range(20)] == [3] * 20
    assert not recwarn.list


def test_seed_repeats_a_run() -> None:
    logits = np.random.default_rng(0).standard_normal(1000).astype(np.float32)

    def run(seed: int) -> list[int]:
        sampler = Sampler(SamplingParams(seed=seed), 1000)
        return [sampler.sample(logits, []) for _ in range(50)]

    assert run(7) == run(7)
    assert run(7) != run(8)
    assert run(0) == run(0)
    assert Sampler(SamplingParams(seed=7), 10).seed == 7


def test_the_stream_of_a_seed_never_changes() -> None:
    """A seed that someone noted down must give the same reply after an upgrade of NumPy or of this."""
    sampler = Sampler(OFF, 4)
    assert [sampler.sample(P4, []) for _ in range(12)] == SEED_1


SEED_1 = [2, 3, 1, 3, 2, 2, 3, 2, 2, 0, 3, 2]


def test_negative_seed_is_fresh_and_told() -> None:
    seeds = {Sampler(SamplingParams(seed=-1), 10).seed for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_parameters_may_change_between_tokens() -> None:
    sampler = Sampler(SamplingParams(temp=0.0, repeat_penalty=1.0), 4)
    assert sampler.sample(P4, [3]) == 3
    sampler.params = SamplingParams(temp=0.0, repeat_penalty=5.0)
    assert sampler.sample(P4, [3]) == 2


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_unusable_logits_are_a_user_error(bad: float) -> None:
    logits = np.array([0.0, bad, 1.0, 2.0], np.float32)
    for params in (SamplingParams(), SamplingParams(temp=0.0), OFF):
        with pytest.raises(UserError, match="no usable numbers"):
            Sampler(params, 4).sample(logits, [0])


def test_overflow_in_the_penalty_is_a_user_error(recwarn: pytest.WarningsRecorder) -> None:
    logits = np.array([0.0, -3e38, 1.0], np.float32)
    with pytest.raises(UserError, match="no usable numbers"):
        Sampler(SamplingParams(repeat_penalty=5.0), 3).sample(logits, [1])
    assert not recwarn.list


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temp=math.nan),
        SamplingParams(top_p=math.inf),
        SamplingParams(repeat_penalty=0.0),
        SamplingParams(repeat_penalty=-1.0),
    ],
)
def test_impossible_parameters(params: SamplingParams) -> None:
    with pytest.raises(UserError):
        Sampler(params, 4)


def naive(logits: np.ndarray, top_k: int, top_p: float) -> list[int]:
    """The rules of spec/main.md by a full sort."""
    order = np.lexsort((np.arange(len(logits)), -logits)).tolist()
    if 0 < top_k < len(order):
        order = order[:top_k]
    if top_p < 1:
        p = np.exp(logits[order].astype(np.float64) - logits[order[0]])
        total = np.cumsum(p / p.sum())
        order = order[
            : int(np.argmax(total >= top_p - 1e-6)) + 1 if total[-1] >= top_p - 1e-6 else len(order)
        ]
    return order


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=200),
    st.integers(0, 210),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.95, 0.999, 1.0]),
)
def test_candidates_are_those_of_a_full_sort(values: list[int], top_k: int, top_p: float) -> None:
    # A quarter is far from rounding, and gives many ties.
    logits = np.array(values, np.float32) / 4
    expected = naive(logits, top_k, top_p)
    made = candidates(logits, top_k, top_p).tolist()
    assert made == (expected if top_p < 1 or 0 < top_k < len(logits) else sorted(expected))


@pytest.mark.parametrize("coarse", [False, True], ids=["all differ", "many equal"])
@pytest.mark.parametrize("n", [5000, 32_000, 150_000])
def test_large_vocabularies_equal_a_full_sort(n: int, coarse: bool) -> None:
    logits = (np.random.default_rng(1).standard_normal(n) * 3).astype(np.float32)
    if coarse:
        logits = np.round(logits * 2) / 2
    for top_k, top_p in ((1, 1.0), (40, 0.95), (0, 0.9), (1000, 1.0), (10_000, 0.5), (4999, 1.0), (0, 0.0)):
        assert candidates(logits, top_k, top_p).tolist() == naive(logits, top_k, top_p)


def test_equal_logits_leave_the_lower_ids() -> None:
    flat = np.zeros(10_000, np.float32)
    flat[::2] = -0.0  # equal to 0
    assert candidates(flat, 40, 1.0).tolist() == list(range(40))
    assert candidates(flat, 7000, 1.0).tolist() == list(range(7000))
    assert candidates(flat, 0, 0.5).tolist() == list(range(5000))
    flat[77] = 1e-30
    assert candidates(flat, 3, 1.0).tolist() == [77, 0, 1]
    flat[:] = -1e30
    flat[[5, 9000]] = -1e-30, 3e38
    assert candidates(flat, 3, 1.0).tolist() == [9000, 5, 0]
