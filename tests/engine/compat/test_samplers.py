"""The samplers of 2023 against the values in llama.cpp's tests of the time (tests/test-sampling)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alpaca_tui.engine.compat import samplers
from alpaca_tui.engine.compat.draws import Mt19937, discrete
from alpaca_tui.engine.compat.samplers import April, August, Choices


def logits(*p: float) -> np.ndarray:
    return np.log(np.array(p, np.float32))


def shares(p: tuple[float, ...], ids: np.ndarray) -> list[float]:
    return [pytest.approx(p[i], abs=1e-5) for i in ids]


# --- draws -------------------------------------------------------------------------------------------------


def test_the_generator_is_std_mt19937() -> None:
    rng = Mt19937(5489)
    words = [rng.word() for _ in range(10_000)]
    assert words[0] == 3499211612
    assert words[-1] == 4123659995  # what the C++ standard asks of the default seed


def test_a_draw_takes_two_words_and_a_single_weight_none() -> None:
    rng, other = Mt19937(7), Mt19937(7)
    assert discrete(np.array([0.3], np.float32), rng) == 0
    low, high = other.word(), other.word()
    assert rng.uniform() == (low + high * 2**32) / 2**64
    rng = Mt19937(7)
    n = [discrete(np.array([0.2, 0.5, 0.3], np.float32), rng) for _ in range(4000)]
    assert np.bincount(n) / len(n) == pytest.approx([0.2, 0.5, 0.3], abs=0.03)


# --- August ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "kept"), [(0, [3]), (0.7, [3, 2]), (0.8, [3, 2, 1]), (1, [3, 2, 1, 0])])
def test_top_p(share: float, kept: list[int]) -> None:
    x = logits(0.1, 0.2, 0.3, 0.4)
    assert list(samplers.top_p(x, samplers.falling(x), share)) == kept


@pytest.mark.parametrize(("z", "kept"), [(0.25, [4]), (0.75, [4, 3]), (0.99, [4, 3])])
def test_tail_free(z: float, kept: list[int]) -> None:
    x = logits(0.1, 0.15, 0.2, 0.25, 0.3)
    assert list(samplers.tail_free(x, samplers.falling(x), z)) == kept


@pytest.mark.parametrize(("p", "kept"), [((0.97, 0.01, 0.01, 0.01), [0]), ((0.4, 0.2, 0.2, 0.2), [1, 2, 3])])
def test_typical(p: tuple[float, ...], kept: list[int]) -> None:
    x = logits(*p)
    assert list(samplers.typical(x, samplers.falling(x), 0.5)) == kept


@pytest.mark.parametrize(
    ("last", "flags", "wanted"),
    [
        ([0], {"repeat_penalty": 50}, [0, 0.25, 0.25, 0.25, 0.25]),
        ([0, 1, 2], {"repeat_penalty": 50}, [0, 0, 0, 0.5, 0.5]),
        ([0, 1, 2, 0, 0], {"repeat_penalty": 50}, [0, 0, 0, 0.5, 0.5]),
        ([0], {}, [0.000011, *[0.249997] * 4]),
        ([0, 1, 2], {}, [*[0.000023] * 3, *[0.499966] * 2]),
        ([0, 1, 2, 0, 0], {}, [0, 0.000023, 0.000023, 0.499977, 0.499977]),
    ],
)
def test_penalties(last: list[int], flags: dict[str, float], wanted: list[float]) -> None:
    x = logits(*[0.2] * 5)
    if not flags:
        flags = {"repeat_penalty": 1, "frequency_penalty": 5, "presence_penalty": 5}
    samplers.penalise(x, last, Choices(**flags))
    p = np.exp(x) / np.exp(x).sum()
    assert p == pytest.approx(np.array(wanted), abs=1e-5)


def test_penalties_count_under_greedy_in_august_and_not_in_april() -> None:
    x = np.array([0.0, 3.0, 2.9], np.float32)
    choices = Choices(temp=0, repeat_penalty=1.3)
    assert April(choices, Mt19937(1), eos=2).sample(x, [1, 1]) == 1
    assert August(choices, Mt19937(1)).sample(x, [1, 1]) == 2


def test_a_bias_and_a_ban() -> None:
    x = np.array([0.0, 3.0, 2.9], np.float32)
    assert August(Choices(temp=0, logit_bias={1: -math.inf}), Mt19937(1)).sample(x, [0]) == 2
    assert August(Choices(temp=0, logit_bias={0: 4.0}), Mt19937(1)).sample(x, [2]) == 0
    assert list(x) == [0.0, 3.0, np.float32(2.9)]


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_comes_near_the_surprise_that_is_wanted(version: int) -> None:
    x = (-1.1 * np.log(np.arange(1, 2001))).astype(np.float32)
    kinds = []
    for tau in (2.0, 4.0, 6.0):
        choices = Choices(temp=1, repeat_penalty=1, mirostat=version, mirostat_tau=tau)
        sampler = August(choices, Mt19937(3))
        tokens = [sampler.sample(x, [0]) for _ in range(500)]
        # each token moves mu by eta * (tau - its surprise among those that were left)
        surprise = tau + (2 * tau - sampler._mu) / (choices.mirostat_eta * len(tokens))
        assert surprise == pytest.approx(tau, abs=0.15)
        kinds.append(len(set(tokens)))
    assert kinds == sorted(kinds) and kinds[0] < kinds[2] / 3


def test_mirostat_survives_flat_logits() -> None:
    for version in (1, 2):
        sampler = August(Choices(temp=1, repeat_penalty=1, mirostat=version), Mt19937(3))
        assert 0 <= sampler.sample(np.zeros(50, np.float32), [0]) < 50


def test_a_grammar_sees_penalised_logits_and_bans() -> None:
    class TwoThenOne:
        def __init__(self) -> None:
            self.next = 2

        @property
        def allowed(self) -> np.ndarray:
            return np.arange(3) == self.next

        def accept(self, token: int) -> None:
            self.next = token - 1

    for choices in (Choices(), Choices(temp=0), Choices(mirostat=1), Choices(mirostat=2)):
        sampler = August(choices, Mt19937(1), TwoThenOne)
        assert [sampler.sample(np.array([9, 8, 1], np.float32), [0]) for _ in range(2)] == [2, 1]
        sampler.restart()
        assert sampler.sample(np.array([9, 8, 1], np.float32), [0]) == 2


# --- April -------------------------------------------------------------------------------------------------


def test_ignoring_eos_makes_its_logit_zero_in_april() -> None:
    x = np.array([-1.0, -2.0, 5.0], np.float32)
    choices = Choices(temp=0, ignore_eos=True)
    assert April(choices, Mt19937(1), eos=2).sample(x, []) == 2  # 0 is the greatest: not a ban
    x[0] = 1
    assert April(choices, Mt19937(1), eos=2).sample(x, []) == 0


def test_april_draws_from_its_distribution() -> None:
    x = logits(0.1, 0.2, 0.3, 0.4)
    sampler = April(Choices(temp=1, repeat_penalty=1, top_k=3, top_p=1), Mt19937(2), eos=0)
    found = np.bincount([sampler.sample(x, []) for _ in range(4000)], minlength=4) / 4000
    assert found == pytest.approx([0, 2 / 9, 3 / 9, 4 / 9], abs=0.03)
