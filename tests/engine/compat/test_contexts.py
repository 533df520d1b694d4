"""Prompt caches and guidance of August 2023: what is evaluated, what is kept, what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from alpaca_tui.engine.compat.contexts import Guidance, Session
from alpaca_tui.engine.compat.draws import Mt19937
from alpaca_tui.engine.compat.program import AUGUST, Options, Program
from alpaca_tui.engine.compat.samplers import August, Choices
from tests.engine.compat.harness import BOS, Console, EndOfScriptError, KnownTexts, Scripted
from tests.engine.compat.test_program import TEXTS

ONCE = [BOS, 9038, 2501, 263, 931]  # "Once upon a time"


class Model(Scripted):
    n_ctx = 64


def run(tokens: list[int], n_ctx: int = 64, **options: Any) -> tuple[Program, Model, Console]:
    beside = {name: options.pop(name) for name in ("session", "guide") if name in options}
    model, console = Model(tokens), Console([])
    flags = Options(**{"prompt": "Once upon a time", "n_ctx": n_ctx, "n_predict": len(tokens), **options})
    program = Program(AUGUST, flags, model, KnownTexts(TEXTS), model, console, **beside)
    with suppress(EndOfScriptError):
        program.run()
    return program, model, console


class Disk:
    def __init__(self) -> None:
        self.written: list[list[int]] = []

    def save(self, tokens: Sequence[int]) -> None:
        self.written.append(list(tokens))


@pytest.mark.parametrize(
    ("held", "evaluated", "matching"),
    [
        ([], [(0, ONCE)], 0),
        (ONCE[:3], [(3, ONCE[3:])], 3),
        (ONCE, [(4, ONCE[4:])], 5),
        ([*ONCE, 7, 8], [(4, ONCE[4:])], 5),
        ([BOS, 9038, 99, 98], [(2, ONCE[2:])], 2),
    ],
)
def test_only_what_the_file_does_not_have_is_evaluated(
    held: list[int], evaluated: list[tuple[int, list[int]]], matching: int
) -> None:
    disk = Disk()
    program, model, console = run([7, 8], n_batch=512, session=Session(held, disk.save))
    assert model.evaluated == [*evaluated, (5, [7])]
    assert console.out == b"<9038><2501><263><931><7><8>"
    assert program.in_session == matching
    assert disk.written == ([ONCE] if matching < 5 else [])  # before the first token, once


def test_in_small_batches() -> None:
    _, model, _ = run([7], n_batch=2, session=Session(ONCE[:3], None))
    assert model.evaluated == [(3, [263]), (4, [931])]


def test_replies_are_written_at_the_end_if_wanted() -> None:
    disk = Disk()
    run([7, 8], n_batch=512, session=Session((), disk.save, whole=True))
    assert disk.written == [ONCE, [*ONCE, 7]]
    disk = Disk()
    run([7, 8], n_batch=512, session=Session([*ONCE, 7], disk.save, whole=True))
    assert disk.written == [[*ONCE, 7]]


def test_nothing_is_written_once_the_context_was_full() -> None:
    disk = Disk()
    run(list(range(200, 220)), n_ctx=16, n_batch=512, session=Session((), disk.save, whole=True))
    assert disk.written == [ONCE]


def test_without_a_prompt_the_text_of_the_file_goes_on() -> None:
    _, model, console = run([9], n_batch=512, prompt="", session=Session([*ONCE, 7], None))
    assert model.evaluated == [(5, [7])]
    assert console.out == b"<9038><2501><263><931><7><9>"


# --- guidance ----------------------------------------------------------------------------------------------


def guided(negative: list[int], tokens: list[int], **options: Any) -> tuple[Model, Model]:
    second = Model([])
    _, first, _ = run(tokens, guide=lambda n: Guidance(second, negative, n, 1.5), n_batch=512, **options)
    return first, second


def test_the_second_context_has_another_beginning_and_the_same_rest() -> None:
    first, second = guided([BOS, 50, 51], [7, 8, 9])
    assert first.evaluated == [(0, ONCE), (5, [7]), (6, [8])]
    assert second.evaluated == [(0, [BOS, 50, 51]), (3, [7]), (4, [8])]


def test_a_longer_negative_prompt_makes_the_context_full_earlier() -> None:
    long = [BOS, *range(30, 40)]
    first, second = guided(long, list(range(200, 214)), n_ctx=16, n_predict=14)
    swap = next(i for i, (pos, _) in enumerate(first.evaluated) if i and pos < 2)
    assert first.evaluated[swap - 1][0] == 9  # 5 + 5, and 6 more in the other one
    assert second.evaluated[swap - 1][0] == 15
    assert all(pos + len(tokens) <= Model.n_ctx for pos, tokens in second.evaluated)


def test_guided_logits() -> None:
    model = Model([])
    guidance = Guidance(model, [BOS], 1, 2.0)
    logits = np.log(np.array([0.5, 0.25, 0.25], np.float32))
    assert guidance.guided(logits) is logits  # nothing evaluated yet
    guidance._logits = np.log(np.array([0.25, 0.5, 0.25], np.float32)) + np.float32(3)
    p = np.exp(guidance.guided(logits + np.float32(1)))  # p^2 / q
    np.testing.assert_allclose(p, [1, 0.125, 0.25], rtol=1e-5)
    logits[2] = -np.inf  # of --logit-bias
    assert guidance.guided(logits)[2] == -np.inf


def test_august_leads_away_before_penalties() -> None:
    sampler = August(Choices(temp=0, repeat_penalty=1.0, logit_bias={1: 1.0}), Mt19937(1))
    seen: list[np.ndarray] = []

    def lead(logits: np.ndarray) -> np.ndarray:
        seen.append(logits.copy())
        return -logits

    sampler.guided = lead
    logits = np.array([0, 1, 3], np.float32)
    assert sampler.sample(logits, [0] * 8) == 0
    assert seen[0].tolist() == [0, 2, 3]
