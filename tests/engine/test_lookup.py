"""Drafts from what was said before: where they come from, what they may cost, and that no token changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.engine.generation import Context, Reply, Token
from alpaca_tui.engine.lookup import LENGTHS, NGRAM, STRONG, Account, Ngrams
from alpaca_tui.engine.protocol import FinishReason, SamplingParams
from alpaca_tui.engine.sampling import Sampler
from tests.engine.fakes import BOS, EOS, ByteTokenizer, ScriptedModel, engine_of, text_ids

GREEDY = SamplingParams(temp=0.0, repeat_penalty=1.0)


class Eager(Account):
    """Always drafts, whatever it costs."""

    def __init__(self, length: int = 5) -> None:
        super().__init__()
        self._length = length

    @property
    def length(self) -> int:
        return self._length

    agreement = NGRAM


# --- where drafts come from --------------------------------------------------------------------------------


def draft(text: str, n: int) -> str:
    return bytes(Ngrams(text.encode()).draft(n)).decode()


def test_a_draft_is_what_followed_the_last_three_tokens() -> None:
    assert draft("one two three; one t", 9) == "wo three;"
    assert draft("abcX abc", 1) == "X"
    assert draft("abX ab", 5) == ""
    assert draft("ab", 5) == ""
    assert draft("", 5) == ""


def test_the_place_with_most_in_common_counts_then_the_latest() -> None:
    assert draft("see the cat. saw the dog. the cow. see the ", 3) == "cat"
    assert draft("the cat. the dog. the ", 3) == "dog"


def test_more_may_have_to_agree() -> None:
    ngrams = Ngrams(b"a cat; the cat")
    assert bytes(ngrams.draft(1)) == b";"
    assert bytes(ngrams.draft(1, 4)) == b";"
    assert ngrams.draft(1, 5) == []


def test_a_draft_goes_on_with_what_it_repeats() -> None:
    assert draft("abcabc", 7) == "abcabca"
    assert draft("xaaaa", 3) == "aaa"


def test_places_are_found_as_tokens_come() -> None:
    ngrams = Ngrams([1, 2, 3, 4])
    assert ngrams.draft(2) == []
    for token in (9, 1, 2):
        ngrams.push(token)
    assert ngrams.draft(2) == []
    ngrams.push(3)
    assert ngrams.draft(2) == [4, 9]


# --- what they may cost ------------------------------------------------------------------------------------


def account(cost: float = 1.0) -> Account:
    """One that knows how long a single token takes, and a short draft."""
    made = Account()
    made.begin_reply()
    assert made.length == 0  # nothing is known yet
    made.evaluated(0, 1.0)
    assert made.length == LENGTHS[0]
    made.evaluated(LENGTHS[0], 1.0 + cost)
    return made


def accept(made: Account, n: int) -> None:
    for _ in range(n):
        made.accepted()


def test_drafts_grow_while_they_come_true() -> None:
    made = account()
    accept(made, 7)
    assert made.length == 15
    made.evaluated(15, 3.0)
    accept(made, 15)
    assert made.length == 31
    made.evaluated(31, 5.0)
    accept(made, 31)
    assert made.length == 31
    made.evaluated(31, 5.0)
    accept(made, 30)
    assert made.length == 7


def test_before_a_draft_came_true_more_must_agree() -> None:
    made = account(cost=1.0)
    assert made.agreement == STRONG
    accept(made, 7)
    assert made.agreement == NGRAM
    for _ in range(7):
        made.evaluated(7, 2.0)
    assert made.agreement == STRONG


def test_after_failures_drafts_are_rare() -> None:
    made = account(cost=2.0)
    assert made.length == 0
    tries = 0
    for _ in range(1000):
        n = made.length
        made.evaluated(n, 3.0 if n else 1.0)
        tries += n > 0
    assert 5 <= tries <= 1000 / 64 / 2 + 1


def test_a_new_reply_has_a_chance_unless_batches_are_slow_here() -> None:
    made = account(cost=2.0)
    made.begin_reply()
    assert made.length == 7
    made = account(cost=6.0)
    made.begin_reply()
    assert made.length == 0


def test_one_slow_evaluation_is_no_reason_to_draft() -> None:
    made = account(cost=2.0)
    made.evaluated(0, 100.0)
    made.begin_reply()
    made.evaluated(7, 3.0)
    assert made.length == 0


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 31)), min_size=50, max_size=400),
    st.sampled_from([0.1, 0.3, 1.0]),
)
def test_no_more_than_a_small_share_can_be_lost(steps: list[tuple[bool, int]], each: float) -> None:
    """`each`: what another token of a batch costs, in times of a single one."""
    made = Account()
    made.begin_reply()
    tokens = seconds = 0.0
    for has_draft, right in steps:
        n = made.length if has_draft else 0
        took = 1 + each * n
        made.evaluated(n, took)
        accept(made, min(right, n))
        tokens += 1 + min(right, n)
        seconds += took
    assert seconds <= tokens * (1 + 1 / 64) + 1 + each * 7  # the last draft may be paid for in advance


# --- that no token changes ---------------------------------------------------------------------------------


class Babbler(ScriptedModel):
    """Logits that hang on the last two tokens alone, so that what it says comes again."""

    def after(self, context: list[int]) -> np.ndarray:
        rng = np.random.default_rng([*context[-2:], 7])
        logits = np.full(self.n_vocab, -30, np.float32)
        logits[[EOS, *text_ids("abcdef")]] = [-2.5, *(3 * rng.standard_normal(6))]
        return logits


def run(
    model: ScriptedModel, prompt: list[int], sampling: SamplingParams, account: Account | None, **options
):
    """All that can be seen of a reply."""
    context = Context(model)
    reply = Reply(
        context, ByteTokenizer(), prompt, Sampler(sampling, model.n_vocab), account=account, **options
    )
    seen: list[tuple[Token, int, int]] = []
    for token in reply:
        seen.append((token, reply.stats.generated_tokens, reply.stats.n_past))
    return seen, reply.tokens, reply.reason, list(context.tokens), reply.stats


@given(
    st.sampled_from([GREEDY, *(SamplingParams(seed=seed, temp=0.5, repeat_last_n=8) for seed in range(4))]),
    st.text("abcdef", max_size=40),
    st.sampled_from([-1, 0, 1, 2, 9, 30]),
    st.lists(st.text("abcdef", min_size=1, max_size=4), max_size=2),
    st.sampled_from([45, 60, 200]),
    st.sampled_from([1, 3, 8, 64]),
    st.integers(1, 31),
)
def test_with_and_without_drafts_a_reply_is_the_same(
    sampling: SamplingParams,
    text: str,
    max_tokens: int,
    stop: list[str],
    n_ctx: int,
    n_batch: int,
    length: int,
) -> None:
    prompt = [BOS, *text_ids(text)]
    results = []
    for account in (None, Eager(length)):
        model = Babbler(n_ctx=n_ctx, n_batch=n_batch)
        refits: list[list[int]] = []

        def refit(tokens: list[int], refits: list[list[int]] = refits) -> list[int] | None:
            refits.append(list(tokens))
            return [BOS, *tokens[-20:]] if len(refits) < 3 else None

        *result, stats = run(model, prompt, sampling, account, max_tokens=max_tokens, stop=stop, refit=refit)
        results.append((*result, refits, stats.prompt_tokens, stats.reused_tokens))
        assert stats.accepted_tokens <= stats.drafted_tokens
    assert results[0] == results[1]


def test_drafts_spare_evaluations_and_are_counted() -> None:
    text = "The quick brown fox jumps over the lazy dog."
    model = ScriptedModel(text_ids(text))
    *_, stats = run(model, [BOS, *text_ids(text + "\n")], GREEDY, Eager(7))
    # The first three tokens, then 8 of them with each call.
    assert [len(tokens) for tokens, _, _ in model.calls][1:] == [1, 1, 8, 8, 8, 8, 8, 8]
    assert stats.generated_tokens == len(text)
    assert stats.drafted_tokens == 6 * 7
    assert stats.accepted_tokens == len(text) - 2 - 6
    *_, stats = run(ScriptedModel(text_ids(text)), [BOS, *text_ids(text + "\n")], GREEDY, None)
    assert (stats.drafted_tokens, stats.accepted_tokens) == (0, 0)


def test_nothing_is_drafted_that_cannot_be_wanted() -> None:
    model = ScriptedModel(next_token=lambda context: 60)
    *_, stats = run(model, [BOS, 60, 60, 60, 60], GREEDY, Eager(7), max_tokens=10)
    assert [len(tokens) for tokens, _, _ in model.calls] == [5, 8, 1]
    assert stats.n_past == 5 + 9
    model = ScriptedModel(next_token=lambda context: 60, n_ctx=16)
    *_, reason, context, stats = run(model, [BOS, 60, 60, 60, 60], GREEDY, Eager(31))
    assert reason is FinishReason.CONTEXT
    assert [len(tokens) for tokens, _, _ in model.calls] == [5, 11]
    assert len(context) == 16


def test_what_was_drafted_wrongly_leaves_the_cache() -> None:
    model = ScriptedModel(text_ids("abcX"))
    seen, _, _, context, _ = run(model, [BOS, *text_ids("abcdefgh ")], GREEDY, Eager(4))
    assert "".join(token.text for token, *_ in seen) == "abcX"
    assert context == [BOS, *text_ids("abcdefgh abcX")]
    assert model.calls[3][0] == (*text_ids("cdefg"),)
    assert model.calls[4] == ((*text_ids("X"),), 13, 1)


def test_a_stop_in_the_middle_of_a_draft() -> None:
    model = ScriptedModel(next_token=lambda context: 60)
    engine = engine_of(model)
    engine._account = Eager(7)
    made = []
    for token in engine.generate([BOS, 60, 60, 60, 60], GREEDY):
        made.append(token.id)
        if len(made) == 4:
            engine.stop()
    assert made == [60] * 4
    assert engine.finish_reason is FinishReason.STOPPED
    assert engine.context == (BOS, *[60] * 7)
    assert [t.id for t in engine.generate([BOS, *[60] * 8], GREEDY, max_tokens=2)] == [60, 60]


def test_new_parameters_count_from_the_next_token_on() -> None:
    class Two(ScriptedModel):
        def after(self, context: list[int]) -> np.ndarray:
            logits = np.zeros(self.n_vocab, np.float32)
            logits[50], logits[51] = 9, 8
            return logits

    engine = engine_of(Two())
    engine._account = Eager(7)
    out = []
    for token in engine.generate([BOS, 50, 50, 50, 50], GREEDY, max_tokens=5):
        out.append(token.id)
        if len(out) == 3:
            engine.set_sampling(replace(GREEDY, repeat_penalty=2.0, repeat_last_n=1))
    assert out == [50, 50, 50, 51, 50]


@pytest.mark.parametrize("lookup", [True, False])
def test_lookup_can_be_turned_off(lookup: bool) -> None:
    engine = engine_of(ScriptedModel(next_token=lambda context: 60))
    engine._account = Eager()
    list(engine.generate([BOS, 60, 60, 60, 60], GREEDY, max_tokens=9, lookup=lookup))
    assert bool(engine.stats.drafted_tokens) is lookup
