"""Mirostat: what it leaves is what llama.cpp leaves, and the mean surprise comes to its target."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alpaca_tui.engine.protocol import SamplingParams
from alpaca_tui.engine.sampling import Sampler
from alpaca_tui.engine.sampling.candidates import Candidates
from alpaca_tui.engine.sampling.mirostat import Mirostat
from tests.engine.sampling.values import LOGITS


@pytest.mark.parametrize(("version", "target", "n_left"), [(1, 1, 1), (2, 1, 1), (1, 2, 5), (2, 2, 7)])
def test_llama_cpp_leaves_as_many(version: int, target: int, n_left: int) -> None:
    seen = set()
    for i in range(200):
        seen.add(Mirostat(target).choose(Candidates(LOGITS), version, target, 0.1, 24, i / 200))
    assert len(seen) == n_left


def zipf(rng: np.random.Generator, n: int, exponent: float) -> np.ndarray:
    return rng.permutation(-exponent * np.log(np.arange(1, n + 1))).astype(np.float32)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("target", [2.0, 4.0])
def test_surprise_converges_to_its_target(version: int, target: float) -> None:
    rng = np.random.default_rng(3)
    n = 2000
    params = SamplingParams(
        temp=1.0, repeat_penalty=1.0, mirostat=version, mirostat_ent=target, mirostat_lr=0.1, seed=4
    )
    sampler = Sampler(params, n)
    mus, surprises = [], []
    for _ in range(1500):
        logits = zipf(rng, n, rng.uniform(0.9, 1.4))
        mu = 2 * target if sampler._mirostat is None else sampler._mirostat.mu
        token = sampler.sample(logits, [])
        mus.append(mu)
        p = np.exp(logits.astype(np.float64))
        surprises.append(-math.log2(p[token] / p.sum()))
    # what is observed is the surprise within what was left; its mean follows from mu's own path
    followed = target - (sampler._mirostat.mu - mus[500]) / (0.1 * 1000)
    assert followed == pytest.approx(target, abs=0.05)
    assert np.std(mus[500:]) < 1.5
    # within the whole distribution the surprise is a little greater, and falls with the target
    assert target - 0.3 < np.mean(surprises[500:]) < target + 1.5


def test_state_lasts_for_the_reply_and_its_parameters_may_change() -> None:
    sampler = Sampler(SamplingParams(mirostat=2, mirostat_ent=3.0, seed=1), 24)
    sampler.sample(LOGITS, [])
    first = sampler._mirostat.mu
    assert first != 6.0
    sampler.params = SamplingParams(mirostat=1, mirostat_ent=3.0)
    sampler.sample(LOGITS, [])
    assert sampler._mirostat.mu != first


def test_nothing_breaks_it() -> None:
    flat = np.zeros(300, np.float32)
    steep = np.zeros(300, np.float32)
    steep[5] = 80
    for version in (1, 2):
        for logits in (flat, steep, LOGITS[:1], LOGITS[:2]):
            mirostat = Mirostat(5.0)
            for i in range(50):
                token = mirostat.choose(Candidates(logits), version, 5.0, 0.5, len(logits), i / 50)
                assert 0 <= token < len(logits)
                assert math.isfinite(mirostat.mu)


def test_greedy_stays_greedy() -> None:
    sampler = Sampler(SamplingParams(temp=0.0, mirostat=2, repeat_penalty=1.0), 24)
    assert [sampler.sample(LOGITS, []) for _ in range(5)] == [22] * 5
