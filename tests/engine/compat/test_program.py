"""The main loop of 2023, turn by turn: budgets, what follows EOS, reverse prompts, full contexts, Ctrl+C."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from alpaca_tui.engine.compat.program import APRIL, AUGUST, Options, Program, PromptTooLongError, Rules
from tests.engine.compat.harness import BOS, EOS, IDS, Console, EndOfScriptError, KnownTexts, Scripted

PREFIX, SUFFIX = IDS["\n\n### Instruction:\n\n"], IDS["\n\n### Response:\n\n"]
TEXTS = {
    **IDS,
    " go": [50],
    "hi\n": [60, 61, 13],
    "a\nb\n": [62, 63],
    "Q:": [70, 71],
    "Q:hi\nA:": [72],
    "hi\nA:": [73],
    "hi": [74],
    "### Instruction:\n\n": [80, 81],
    "long": list(range(100, 140)),
}
PIECES = {70: b"Q", 71: b":", 90: b"x Q", 91: b": y"}


class Run:
    """`tokens` are sampled one after the other, `lines` are typed; the rest is the flags."""

    def __init__(self, rules: Rules, tokens: list[int], lines: list[str], **options: Any) -> None:
        self.model = Scripted(tokens)
        self.console = Console(lines)
        options = {"prompt": "go", "n_ctx": 64, **options}
        vocabulary = KnownTexts(TEXTS, PIECES)
        self.program = Program(rules, Options(**options), self.model, vocabulary, self.model, self.console)
        with suppress(EndOfScriptError):
            self.ended = self.program.run()

    @property
    def out(self) -> str:
        return self.console.out.decode()


@pytest.mark.parametrize("rules", [APRIL, AUGUST])
def test_text_goes_on_until_the_limit_or_the_end_of_text(rules: Rules) -> None:
    run = Run(rules, [7, 8, 9], [], n_predict=2)
    assert run.out == "<50><7><8>"
    assert run.model.cache == [BOS, 50, 7]
    run = Run(rules, [7, EOS, 9], [])
    assert (run.out, run.console.notices) == ("<50><7>", [" [end of text]"])


@pytest.mark.parametrize("rules", [APRIL, AUGUST])
def test_a_question_and_its_answer_share_the_budget(rules: Rules) -> None:
    run = Run(rules, [5, 6, 7], ["hi", "hi"], instruct=True, n_predict=4)
    assert run.out == "<50>\n> <5>\n> <6>\n> "  # 4 - 3 tokens of "hi\n" leave one
    assert run.ended is (rules is AUGUST)
    turn = [BOS, *PREFIX, 60, 61, 13, *SUFFIX]
    assert run.model.cache == [BOS, 50, *turn, 5, *turn, 6]


def test_a_question_as_long_as_the_budget_gets_no_answer() -> None:
    run = Run(APRIL, [5, 6, 7], ["hi", "", "hi"], instruct=True, n_predict=3)
    assert run.model.restarts == 3  # a grammar begins anew with each turn
    assert run.out == "<50>\n> \n> <5><6><7>\n> \n> "


@pytest.mark.parametrize(
    ("rules", "after"),
    [
        (APRIL, [EOS, BOS, *PREFIX, 60, 61, 13, *SUFFIX]),
        (AUGUST, [EOS, 80, 81, 60, 61, 13, *SUFFIX]),
    ],
)
def test_what_follows_the_end_of_a_reply(rules: Rules, after: list[int]) -> None:
    run = Run(rules, [5, EOS, 6, 7], ["hi", "hi"], instruct=True, n_predict=10)
    answered = [BOS, 50, BOS, *PREFIX, 60, 61, 13, *SUFFIX, 5]
    assert run.model.cache[: len(answered) + len(after)] == answered + after


def test_an_end_of_text_is_a_newline_and_the_reverse_prompt_in_april() -> None:
    run = Run(APRIL, [5, EOS, 6], ["hi"], interactive=True, antiprompts=("Q:",))
    assert run.out.startswith("<50><5><13>Q:")
    assert run.model.cache[:6] == [BOS, 50, 5, 13, 70, 71]


def test_a_reverse_prompt_gives_the_turn_to_the_user() -> None:
    for rules in (APRIL, AUGUST):
        run = Run(rules, [5, 70, 71, 6, 70, 71], ["hi"], interactive=True, antiprompts=("Q:",), n_predict=9)
        assert run.out == "<50><5>Q:<6>Q:"
        assert run.model.cache[:9] == [BOS, 50, 5, 70, 71, 60, 61, 13, 6]


def test_a_reverse_prompt_alone_makes_april_interactive_and_ends_august() -> None:
    run = Run(APRIL, [70, 71, 5], ["hi"], antiprompts=("Q:",))
    assert run.program.interactive
    run = Run(AUGUST, [5, 90, 91, 6], [], antiprompts=("Q:",))  # found in the middle of a token, too
    assert run.out == "<50><5>x Q: y"
    run = Run(APRIL, [90, 91, 70, 71], [], antiprompts=("Q:",))
    assert run.out.endswith("x Q: yQ:")


def test_prefix_suffix_and_bos_around_what_is_typed() -> None:
    options = {"interactive_first": True, "in_prefix": "Q:", "in_suffix": "A:", "in_prefix_bos": True}
    run = Run(AUGUST, [5, 6], ["hi"], n_predict=3, **options)
    assert run.out == "<50>Q:A:<5><6>Q:"
    assert run.model.cache[:4] == [BOS, 50, BOS, 72]


def test_lines_are_continued_and_closed() -> None:
    for multiline, lines in ((False, ["a\\", "b"]), (True, ["a", "b\\"])):
        run = Run(AUGUST, [5], lines, interactive_first=True, multiline=multiline, n_predict=3)
        assert run.model.cache[2:4] == [62, 63]
    run = Run(AUGUST, [5, 6], ["hi/"], interactive_first=True, n_predict=2)
    assert run.model.cache[:3] == [BOS, 50, 74]


@pytest.mark.parametrize("rules", [APRIL, AUGUST])
def test_a_full_context_keeps_the_first_and_half_of_the_rest(rules: Rules) -> None:
    run = Run(rules, list(range(200, 230)), [], n_ctx=16, n_predict=20)
    swap = next(i for i, (pos, _) in enumerate(run.model.evaluated) if i and pos < 2)
    pos, tokens = run.model.evaluated[swap]
    assert pos == (1 if rules is AUGUST else 0)
    assert run.out == "<50>" + "".join(f"<{200 + i}>" for i in range(20))
    rest = [*tokens, *(t for _, more in run.model.evaluated[swap + 1 :] for t in more)]
    assert rest == list(range(rest[0], rest[0] + len(rest)))  # the newest half, in its order
    assert rest[0] == 206


def test_minus_two_ends_with_the_context_in_august() -> None:
    run = Run(AUGUST, list(range(200, 230)), [], n_ctx=16, n_predict=-2)
    assert run.console.notices == ["\n\nmain: context full, stopping generation"]
    assert len(run.model.cache) == 16


def test_too_much_typed_is_cut_in_august() -> None:
    texts = {"prompt": "go", "interactive_first": True, "n_ctx": 32, "n_predict": 41, "n_batch": 512}
    model, console = Scripted([5]), Console(["long"])
    vocabulary = KnownTexts({**TEXTS, "long\n": TEXTS["long"]})
    Program(AUGUST, Options(**texts), model, vocabulary, model, console).run()
    assert b"<<input too long: skipped 12 tokens>>" in console.out


def test_a_prompt_longer_than_the_context_is_refused() -> None:
    with pytest.raises(PromptTooLongError) as error:
        Run(APRIL, [], [], prompt="go", n_ctx=5)
    assert (error.value.n_tokens, error.value.most) == (2, 1)


def test_ctrl_c_asks_the_user_and_a_second_one_is_told_apart() -> None:
    class Pressing(Scripted):
        def sample(self, logits: Any, last: Any) -> int:
            if len(self.tokens) == 2:
                assert program.interject()
            return super().sample(logits, last)

    model, console = Pressing([5, 6, 7, 8]), Console(["hi"])
    program = Program(
        APRIL,
        Options("go", interactive=True, n_ctx=64, n_predict=20),
        model,
        KnownTexts(TEXTS),
        model,
        console,
    )
    with pytest.raises(EndOfScriptError):
        program.run()
    assert console.out.decode() == "<50><5><6><7><8>"
    assert model.cache[:8] == [BOS, 50, 5, 6, 7, 60, 61, 13]
    assert program.interject() and not program.interject()


def test_counts_for_the_timings() -> None:
    run = Run(APRIL, [5, 6, 7], [], prompt="Once upon a time", n_predict=3, n_batch=4)
    counts = run.program.counts
    assert (counts.prompt.n, counts.eval.n, counts.sample.n) == (4, 3, 3)  # 5 of the prompt: 4 and 1
