"""The chain: its order, its draws, determinism, what is forbidden, and bad numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from alpaca_tui.engine.protocol import SAMPLERS, SamplingParams
from alpaca_tui.engine.sampling import Sampler, checked
from alpaca_tui.engine.sampling.candidates import Candidates
from alpaca_tui.engine.sampling.sampler import temperature
from alpaca_tui.errors import UserError
from tests.engine.fakes import EOS, ByteTokenizer
from tests.engine.sampling.values import LOGITS, of, shares

P4 = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))
OFF = SamplingParams(temp=1.0, top_k=0, top_p=1.0, min_p=0.0, repeat_penalty=1.0, seed=1)
SEED_1 = [2, 3, 1, 3, 2, 2, 3, 2, 2, 0, 3, 2]


def drawn(params: SamplingParams, logits: np.ndarray, context: list[int], n: int = 300) -> set[int]:
    sampler = Sampler(params, len(logits))
    return {sampler.sample(logits, context) for _ in range(n)}


# --- order -------------------------------------------------------------------------------------------------


def test_the_default_order() -> None:
    # Penalty first: without it 3 would be the one that top_k leaves.
    params = replace(OFF, top_k=1, repeat_penalty=10.0)
    assert drawn(params, np.array([0, 1, 2, 3], np.float32), [3]) == {2}
    # Temperature last: at temp 5 first, {0.4, 0.3, 0.2} would be too flat for top_p 0.7 to leave but two.
    assert drawn(replace(OFF, temp=5.0, top_p=0.7), P4, []) == {2, 3}
    # top_k before top_p: 0.4 is 0.571 of {0.4, 0.3}, so that top_p 0.5 needs one of them, not two.
    assert drawn(replace(OFF, top_k=2, top_p=0.5), P4, []) == {3}


def test_an_order_of_ones_own() -> None:
    flat = replace(OFF, temp=5.0, top_p=0.7)
    assert drawn(replace(flat, samplers=("temperature", "top_p")), P4, []) == {1, 2, 3}
    assert drawn(replace(OFF, top_k=2, top_p=0.5, samplers=("top_p", "top_k")), P4, []) == {2, 3}
    params = replace(OFF, top_k=1, repeat_penalty=10.0, samplers=("top_k", "penalties"))
    assert drawn(params, np.array([0, 1, 2, 3], np.float32), [3]) == {3}


def test_what_is_not_named_is_off() -> None:
    params = SamplingParams(temp=0.0, top_k=1, top_p=0.0, repeat_penalty=9.0, samplers=(), seed=2)
    assert drawn(params, P4, [3]) == {0, 1, 2, 3}
    assert drawn(replace(params, samplers=("top_k",)), P4, [3]) == {3}


@pytest.mark.parametrize(
    ("field", "value", "left"),
    [
        ("min_p", 0.7, {2, 3}),
        ("top_p", 0.5, {2, 3}),
        ("tfs_z", 0.5, {3}),
        ("typical_p", 0.3, {1, 2}),
        ("top_n_sigma", 1.0, {2, 3}),
        ("top_k", 3, {1, 2, 3}),
    ],
)
def test_every_cut_is_in_the_chain(field: str, value: float, left: set[int]) -> None:
    made = drawn(replace(OFF, **{field: value}), P4, [])
    assert made < {0, 1, 2, 3}
    assert made == left


def test_greedy_sees_what_may_drop_the_likeliest() -> None:
    greedy = replace(OFF, temp=0.0)
    assert drawn(replace(greedy, xtc_probability=1.0, xtc_threshold=0.25), P4, []) == {2}
    assert drawn(replace(greedy, top_k=2, top_p=0.1), P4, []) == {3}


def test_xtc_comes_by_chance() -> None:
    params = replace(OFF, xtc_probability=0.3, xtc_threshold=0.35, seed=7)
    sampler = Sampler(params, 3)
    logits = np.log(np.array([0.45, 0.4, 0.15], np.float32))
    n = 6000
    counts = np.bincount([sampler.sample(logits, []) for _ in range(n)], minlength=3) / n
    without = np.array([0, 0.4, 0.15]) / 0.55
    assert counts == pytest.approx(0.7 * np.array([0.45, 0.4, 0.15]) + 0.3 * without, abs=0.025)


# --- temperature -------------------------------------------------------------------------------------------


def test_temperature() -> None:
    assert shares(temperature(of([0.1, 0.2, 0.3, 0.4]), 1.0)) == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-5)
    assert shares(temperature(of([0.1, 0.2, 0.3, 0.4]), 0.0)) == [1.0]
    scaled = temperature(Candidates(LOGITS), 0.7).logits
    assert scaled[:4] == pytest.approx([1.0857, -3.7143, 2.6857, 3.3571], abs=1e-4)


@pytest.mark.parametrize(
    ("temp", "spread", "exponent", "expected"),
    [
        (0.8, 0.5, 1.0, [0.7308, -2.5001, 1.8078, 2.2597, -4.6925, -3.1347]),
        (1.0, 1.0, 2.0, [0.694, -2.3742, 1.7167, 2.1459, -4.4562, -2.9769]),
        (0.7, 0.0, 1.0, [1.0857, -3.7143, 2.6857, 3.3571, -6.9714, -4.6571]),
    ],
)
def test_dynamic_temperature(temp: float, spread: float, exponent: float, expected: list[float]) -> None:
    scaled = temperature(Candidates(LOGITS), temp, spread, exponent).logits
    assert scaled[:6] == pytest.approx(expected, abs=1e-3)


def test_tiny_temperatures_are_greedy_without_warnings(recwarn: pytest.WarningsRecorder) -> None:
    for temp in (1e-3, 1e-29, 1e-30, 5e-324, 0.0, -1.0):
        assert drawn(replace(OFF, temp=temp), P4, [], 20) == {3}
    assert not recwarn.list


def test_distribution() -> None:
    logits = np.array([0.0, 1.0, 2.0, -1.0, 1.5], np.float32)
    sampler = Sampler(replace(OFF, temp=0.7, top_k=4, seed=5), 5)
    n = 20_000
    counts = np.bincount([sampler.sample(logits, []) for _ in range(n)], minlength=5)
    expected = np.exp(np.where(logits < 0, -np.inf, logits) / 0.7)
    expected /= expected.sum()
    assert counts[3] == 0
    kept = expected > 0
    chi2 = float((((counts - n * expected) ** 2)[kept] / (n * expected[kept])).sum())
    assert chi2 < 16.3  # 3 degrees of freedom, one in a thousand


KEPT = {  # by llama.cpp, of LOGITS
    "top_k": (5, [22, 13, 3, 10, 18]),
    "top_p": (0.6, [22, 13, 3, 10]),
    "min_p": (0.1, [0, 2, 3, 10, 11, 13, 14, 16, 18, 22]),
    "typical_p": (0.5, [10, 18, 3, 11, 2, 13]),
    "top_n_sigma": (1.0, [2, 3, 10, 11, 13, 14, 18, 22]),
    "tfs_z": (0.8, []),  # below
    "mirostat": (1, [22, 13, 3, 10, 18]),
}


@pytest.mark.parametrize("field", KEPT)
def test_every_sampler_draws_by_its_distribution(field: str) -> None:
    value, kept = KEPT[field]
    if field == "tfs_z":  # llama.cpp has it no more: by the formula
        p = np.sort(np.exp(LOGITS) / np.exp(LOGITS).sum())[::-1]
        bend = np.abs(np.diff(p, n=2))
        n_kept = int(np.flatnonzero(np.cumsum(bend / bend.sum()) > value)[0])
        kept = np.argsort(-LOGITS, kind="stable")[:n_kept].tolist()
    n = 4000
    # mirostat's state changes with each token: so a new one each time
    params = replace(OFF, **{field: value}, mirostat_ent=2.0)
    fresh = field == "mirostat"
    sampler = Sampler(params, 24)
    seeds = range(n) if fresh else [0] * n
    drawn = [
        (Sampler(replace(params, seed=seed), 24) if fresh else sampler).sample(LOGITS, []) for seed in seeds
    ]
    counts = np.bincount(drawn, minlength=24)
    expected = np.zeros(24)
    expected[kept] = np.exp(LOGITS[kept])
    expected *= n / expected.sum()
    assert counts[expected == 0].sum() == 0
    chi2 = float((((counts - expected) ** 2)[kept] / expected[kept]).sum())
    assert chi2 < 30  # up to 9 degrees of freedom: one in two thousand


# --- seeds -------------------------------------------------------------------------------------------------


def test_seed_repeats_a_run() -> None:
    logits = np.random.default_rng(0).standard_normal(1000).astype(np.float32)

    def run(**fields: object) -> list[int]:
        sampler = Sampler(SamplingParams(**fields), 1000)
        return [sampler.sample(logits, []) for _ in range(50)]

    assert run(seed=7) == run(seed=7)
    assert run(seed=7) != run(seed=8)
    assert run(seed=0) == run(seed=0)
    assert run(seed=7, mirostat=2) == run(seed=7, mirostat=2)
    assert run(seed=7, xtc_probability=0.5) == run(seed=7, xtc_probability=0.5)
    assert Sampler(SamplingParams(seed=7), 10).seed == 7


def test_the_stream_of_a_seed_never_changes() -> None:
    """A seed that someone noted down must give the same reply after an upgrade of NumPy or of this."""
    sampler = Sampler(OFF, 4)
    assert [sampler.sample(P4, []) for _ in range(12)] == SEED_1


def test_negative_seed_is_fresh_and_told() -> None:
    seeds = {Sampler(SamplingParams(seed=-1), 10).seed for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_parameters_may_change_between_tokens() -> None:
    sampler = Sampler(SamplingParams(temp=0.0, repeat_penalty=1.0), 4)
    assert sampler.sample(P4, [3]) == 3
    sampler.params = SamplingParams(temp=0.0, repeat_penalty=5.0)
    assert sampler.sample(P4, [3]) == 2
    sampler.params = SamplingParams(temp=0.0, logit_bias=((0, 50.0),))
    assert sampler.sample(P4, []) == 0


# --- what repeats, what is forbidden -----------------------------------------------------------------------


def test_penalty_looks_back_repeat_last_n_tokens() -> None:
    logits = np.array([1.0, 1.1, 1.2, 1.3], np.float32)

    def greedy(last_n: int) -> int:
        params = SamplingParams(temp=0.0, repeat_penalty=2.0, repeat_last_n=last_n)
        return Sampler(params, 4).sample(logits, [3, 3, 2, 1])

    assert [greedy(n) for n in (0, 1, 2, 3, -1, 1000)] == [3, 3, 3, 0, 0, 0]


def test_greedy_takes_the_lowest_id_of_equals_and_is_penalised() -> None:
    params = SamplingParams(temp=0.0, repeat_penalty=1.5)
    logits = np.array([1.0, 2.0, 2.0, 2.0], np.float32)
    assert Sampler(params, 4).sample(logits, []) == 1
    assert Sampler(params, 4).sample(logits, [1]) == 2
    assert Sampler(SamplingParams(temp=-1.0), 4).sample(logits, []) == 1


def words(*pieces: bytes) -> ByteTokenizer:
    vocabulary = ByteTokenizer()
    vocabulary.pieces = list(pieces)
    vocabulary.n_vocab = len(pieces)
    return vocabulary


def test_line_ends_can_be_spared() -> None:
    vocabulary = words(b"a", b"\n", b"\n\n")
    logits = np.array([1.0, 3.0, 2.9], np.float32)
    params = SamplingParams(temp=0.0, presence_penalty=2.5)
    assert Sampler(params, 3, vocabulary).sample(logits, [1, 2]) == 0
    assert Sampler(replace(params, penalize_nl=False), 3, vocabulary).sample(logits, [1, 2]) == 1


def test_dry_is_in_the_chain() -> None:
    vocabulary = words(b"a", b"b", b"c", b":")
    params = SamplingParams(temp=0.0, repeat_penalty=1.0, dry_multiplier=1.0)
    logits = np.array([0.0, 0.0, 1.0, 0.5], np.float32)
    sampler = Sampler(params, 4, vocabulary)
    assert sampler.sample(logits, [0, 1, 2, 0, 1]) == 3
    assert sampler.sample(logits, [0, 1, 2, 3, 1]) == 2
    sampler.params = replace(params, dry_penalty_last_n=4)
    assert sampler.sample(logits, [0, 1, 2, 0, 1]) == 2


def test_bias() -> None:
    params = replace(OFF, logit_bias=((3, -math.inf), (2, -math.inf), (0, 1.0), (0, 1.0)))
    assert drawn(params, P4, []) == {0, 1}
    sampler = Sampler(params, 4)
    n = 4000
    share = sum(sampler.sample(P4, []) == 0 for _ in range(n)) / n
    expected = 0.1 * math.exp(2) / (0.1 * math.exp(2) + 0.2)
    assert share == pytest.approx(expected, abs=0.03)
    assert drawn(replace(OFF, logit_bias=((1, math.inf),)), P4, []) == {1}
    with pytest.raises(UserError, match=r"token 4.* 0 to 3"):
        Sampler(replace(OFF, logit_bias=((4, 1.0),)), 4)


def test_a_reply_need_not_end() -> None:
    vocabulary = ByteTokenizer()
    logits = np.zeros(vocabulary.n_vocab, np.float32)
    logits[EOS] = 30
    assert Sampler(OFF, vocabulary.n_vocab, vocabulary).sample(logits, []) == EOS
    unending = Sampler(replace(OFF, ignore_eos=True), vocabulary.n_vocab, vocabulary)
    assert EOS not in {unending.sample(logits, []) for _ in range(50)}


def test_all_forbidden_is_a_user_error() -> None:
    params = replace(OFF, logit_bias=tuple((i, -math.inf) for i in range(4)))
    with pytest.raises(UserError, match="No token may come next"):
        Sampler(params, 4).sample(P4, [])


class Odd:
    """Allows odd ids, three times."""

    complete = False

    def __init__(self) -> None:
        self.accepted: list[int] = []

    @property
    def allowed(self) -> np.ndarray:
        return np.arange(4) % 2 == 1

    def accept(self, token: int) -> None:
        self.accepted.append(token)
        self.complete = len(self.accepted) == 3


def test_a_constraint_comes_first_and_hears_of_each_token() -> None:
    constraint = Odd()
    sampler = Sampler(replace(OFF, top_k=1, logit_bias=((3, -9.0),)), 4, constraint=constraint)
    assert [sampler.sample(P4, []) for _ in range(3)] == [1, 1, 1]
    assert constraint.accepted == [1, 1, 1]
    assert sampler.complete


# --- bad numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_unusable_logits_are_a_user_error(bad: float) -> None:
    logits = np.array([0.0, bad, 1.0, 2.0], np.float32)
    for params in (SamplingParams(), SamplingParams(temp=0.0), OFF, SamplingParams(mirostat=2)):
        with pytest.raises(UserError, match="no usable numbers"):
            Sampler(params, 4).sample(logits, [0])


@pytest.mark.parametrize(
    "fields",
    [
        {"temp": math.nan},
        {"top_p": math.inf},
        {"repeat_penalty": 0.0},
        {"repeat_penalty": -1.0},
        {"mirostat": 3},
        {"mirostat_ent": math.nan},
        {"samplers": ("top_k", "bottom_k")},
        {"logit_bias": ((1, math.nan),)},
        {"dry_allowed_length": -1},
        {"grammar": 'root ::= "a"', "json_schema": "{}"},
    ],
)
def test_impossible_parameters(fields: dict[str, object]) -> None:
    with pytest.raises(UserError):
        checked(SamplingParams(**fields))


def test_the_names_of_samplers_all_mean_something() -> None:
    sampler = Sampler(OFF, 4)
    for name in SAMPLERS:
        before = Candidates(P4)
        assert sampler._apply(name, replace(OFF, temp=0.5, top_k=1), before, [], False) is not None
