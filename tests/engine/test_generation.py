"""The cache's tokens, text that comes out whole, and the loop of a reply."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.engine.generation import Context, Reply, TextGate, Token
from alpaca_tui.engine.protocol import FinishReason, SamplingParams
from alpaca_tui.engine.sampling import Sampler
from tests.engine.fakes import BOS, EOS, ByteTokenizer, ScriptedModel, text_ids

GREEDY = SamplingParams(temp=0.0, repeat_penalty=1.0)


def reply(model: ScriptedModel, prompt: list[int], context: Context | None = None, **options) -> Reply:
    tokenizer = options.pop("tokenizer", None) or ByteTokenizer()
    sampler = Sampler(options.pop("sampling", GREEDY), model.n_vocab)
    return Reply(context or Context(model), tokenizer, prompt, sampler, **options)


def text_of(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)


# --- context -----------------------------------------------------------------------------------------------


def test_only_new_tokens_are_evaluated() -> None:
    model = ScriptedModel(text_ids("ab"))
    context = Context(model)
    first = reply(model, [BOS, 10, 11, 12], context)
    assert text_of(list(first)) == "ab"
    assert first.stats.reused_tokens == 0
    model.calls.clear()
    second = reply(model, [BOS, 10, 11, 12, *text_ids("ab"), 20, 21], context)
    assert text_of(list(second)) == "ab"
    assert second.stats.reused_tokens == 6
    assert model.calls[0] == ((20, 21), 6, 1)
    assert second.stats.prompt_tokens == 8


def test_the_last_token_is_evaluated_again() -> None:
    model = ScriptedModel(text_ids("x"))
    context = Context(model)
    list(reply(model, [BOS, 10, 11], context))
    model.calls.clear()
    again = reply(model, [BOS, 10, 11], context)
    assert text_of(list(again)) == "x"
    assert model.calls[0] == ((11,), 2, 1)
    assert again.stats.reused_tokens == 2


def test_a_prompt_that_differs_is_evaluated_from_there_on() -> None:
    model = ScriptedModel(text_ids("x"))
    context = Context(model)
    list(reply(model, [BOS, 10, 11, 12, 13], context))
    model.calls.clear()
    list(reply(model, [BOS, 10, 99, 12, 13], context))
    assert model.calls[0] == ((99, 12, 13), 2, 1)


def test_prefill_goes_by_n_batch_and_tells_how_far_it_is() -> None:
    model = ScriptedModel(n_batch=4)
    seen: list[tuple[int, int]] = []
    list(reply(model, list(range(3, 13)), on_progress=lambda done, total: seen.append((done, total))))
    assert [(len(tokens), pos, n) for tokens, pos, n in model.calls] == [(4, 0, 0), (4, 4, 0), (2, 8, 1)]
    assert seen == [(0, 10), (4, 10), (8, 10), (10, 10)]
    model.calls.clear()
    list(reply(model, list(range(3, 13)), n_batch=3))
    assert [len(tokens) for tokens, _, _ in model.calls] == [3, 3, 3, 1]
    model.calls.clear()
    list(reply(model, list(range(3, 13)), n_batch=100))  # more than the model was made for
    assert [len(tokens) for tokens, _, _ in model.calls] == [4, 4, 2]


# --- text --------------------------------------------------------------------------------------------------


def through(tokens: list[int], stop: list[str], tokenizer: ByteTokenizer) -> tuple[list[Token], TextGate]:
    gate = TextGate(tokenizer, stop)
    out: list[Token] = []
    for token in tokens:
        out += gate.push(token)
        if gate.hit:
            return out, gate
    return out + gate.flush(), gate


def test_a_character_split_over_bytes_comes_out_whole() -> None:
    gate = TextGate(ByteTokenizer(), [])
    out = [gate.push(token) for token in text_ids("a🦙b你")]
    assert [text_of(tokens) for tokens in out] == ["a", "", "", "", "🦙", "b", "", "", "你"]
    assert [len(tokens) for tokens in out] == [1] * 9


def test_a_character_begun_only_is_neither_shown_nor_sent_back() -> None:
    out, gate = through(text_ids("a🦙")[:-1], [], ByteTokenizer())
    assert text_of(out) == "a"
    assert len(out) == 4
    assert gate.n_whole == 1


@pytest.mark.parametrize(
    "words", [["##", "#", " Instr", "uction", ":"], list("### Instruction:"), ["### Instruction:"]]
)
def test_a_stop_text_split_over_tokens_is_never_shown(words: list[str]) -> None:
    tokenizer = ByteTokenizer(words)
    tokens = [*text_ids("Hi.\n"), *map(tokenizer.word, words), *text_ids("more")]
    out, gate = through(tokens, ["### Instruction:"], tokenizer)
    assert gate.hit
    assert text_of(out) == "Hi.\n"
    assert [token.id for token in out] == text_ids("Hi.\n")
    assert gate.n_whole == 4


def test_text_before_a_stop_text_within_one_token_is_shown() -> None:
    tokenizer = ByteTokenizer(["end.##", "#x"])
    out, gate = through([*text_ids("a"), tokenizer.word("end.##"), tokenizer.word("#x")], ["###"], tokenizer)
    assert text_of(out) == "aend."
    assert gate.n_whole == 1  # the token is partly stop text: not to be sent back


def test_what_might_become_a_stop_text_is_held_back_until_decided() -> None:
    tokenizer = ByteTokenizer(["##", "#x", "# "])
    gate = TextGate(tokenizer, ["### I"])
    assert gate.push(tokenizer.word("##")) == []
    assert text_of(gate.push(tokenizer.word("#x"))) == "###x"
    assert gate.push(tokenizer.word("##")) == []
    assert gate.push(tokenizer.word("# ")) == []
    assert text_of(gate.flush()) == "### "


def test_the_stop_text_that_begins_first_wins() -> None:
    out, _ = through(text_ids("one two three"), ["three", "o t"], ByteTokenizer())
    assert text_of(out) == "one tw"
    out, _ = through(text_ids("xabcd"), ["bc", "abcd"], ByteTokenizer())
    assert text_of(out) == "xa"  # complete first, though the other began before


def test_a_stop_text_of_split_characters() -> None:
    out, gate = through(text_ids("好🦙!"), ["🦙!"], ByteTokenizer())
    assert text_of(out) == "好"
    assert gate.n_whole == 3  # the bytes of the other character were out already, and are not to be sent back


def test_empty_stop_texts_mean_nothing() -> None:
    out, gate = through(text_ids("abc"), [""], ByteTokenizer())
    assert text_of(out) == "abc"
    assert not gate.hit


@given(st.data())
def test_stop_texts_in_random_splits(data: st.DataObject) -> None:
    text = data.draw(st.text("ab#你", min_size=1, max_size=25))
    raw = text.encode()
    stops = data.draw(st.lists(st.text("ab#你", min_size=1, max_size=4), max_size=3))
    cuts = [*sorted(data.draw(st.sets(st.integers(1, len(raw))))), len(raw)]
    tokenizer = ByteTokenizer()
    tokenizer.pieces = [raw[a:b] for a, b in itertools.pairwise([0, *cuts])]
    out, gate = through(list(range(len(tokenizer.pieces))), stops, tokenizer)
    # The text ends where, reading it piece by piece, the first stop text is complete.
    expected, hit = text, False
    for end in itertools.accumulate(len(p) for p in tokenizer.pieces):
        seen = raw[:end].decode(errors="ignore")
        found = [seen.find(stop) for stop in stops if stop in seen]
        if found:
            expected, hit = seen[: min(found)], True
            break
    assert gate.hit == hit
    assert text_of(out) == expected
    ids = [token.id for token in out]
    assert ids == list(range(len(ids)))


# --- the loop ----------------------------------------------------------------------------------------------


def test_end_of_text_ends_the_reply_and_is_no_token() -> None:
    model = ScriptedModel([*text_ids("hello"), EOS])
    made = reply(model, [BOS, 10])
    out = list(made)
    assert text_of(out) == "hello"
    assert made.reason is FinishReason.END
    assert made.tokens == text_ids("hello")
    assert made.stats.generated_tokens == 5
    assert made.stats.n_past == 7
    assert made.stats.n_ctx == 1000


@pytest.mark.parametrize("n", [0, 1, 3])
def test_max_tokens(n: int) -> None:
    model = ScriptedModel(text_ids("hello"))
    made = reply(model, [BOS, 10], max_tokens=n)
    assert text_of(list(made)) == "hello"[:n]
    assert made.reason is FinishReason.LENGTH
    assert made.stats.generated_tokens == n
    assert sum(len(tokens) for tokens, _, _ in model.calls) == 2 + max(
        n - 1, 0
    )  # the last needs no evaluation


def test_what_is_held_back_comes_with_the_end() -> None:
    made = reply(ScriptedModel(text_ids("a##")), [BOS], stop=["###"])
    assert text_of(list(made)) == "a##"
    made = reply(ScriptedModel(text_ids("a###")), [BOS], stop=["####"], max_tokens=3)
    assert text_of(list(made)) == "a##"
    assert made.reason is FinishReason.LENGTH


def test_stop_text_ends_the_reply() -> None:
    made = reply(ScriptedModel(text_ids("answer\n###Q")), [BOS], stop=["", "Q:", "###"])
    assert text_of(list(made)) == "answer\n"
    assert made.reason is FinishReason.STOP_TEXT
    assert made.stats.stop_index == 2
    assert 0 < made.stats.sample_seconds <= made.stats.generate_seconds
    assert made.tokens == text_ids("answer\n")


def test_stop_between_tokens_keeps_what_was_made() -> None:
    model = ScriptedModel(text_ids("hello"))
    stopped = False
    made = reply(model, [BOS, 10], stopped=lambda: stopped)
    out = []
    for token in made:
        out.append(token)
        stopped = len(out) == 2
    assert text_of(out) == "he"
    assert made.reason is FinishReason.STOPPED


def test_stop_within_an_evaluation() -> None:
    model = ScriptedModel(text_ids("hello"))
    context = Context(model)
    made = reply(model, [BOS, 10], context)
    tokens = iter(made)
    assert next(tokens).text == "h"
    model.request_stop()
    assert list(tokens) == []
    assert made.reason is FinishReason.STOPPED
    assert context.tokens == [BOS, 10]  # the token in flight does not count
    model.clear_stop()
    model.calls.clear()
    assert text_of(list(reply(model, [BOS, 10, *made.tokens], context))) == "ello"
    assert model.calls[0] == ((*text_ids("h"),), 2, 1)


def test_stop_during_prefill_keeps_the_finished_chunks() -> None:
    model = ScriptedModel(text_ids("x"), n_batch=4)
    context = Context(model)

    def on_progress(done: int, total: int) -> None:
        if done == 8:
            model.request_stop()

    made = reply(model, list(range(3, 23)), context, on_progress=on_progress)
    assert list(made) == []
    assert made.reason is FinishReason.STOPPED
    assert context.tokens == list(range(3, 11))
    assert made.stats.n_past == 8
    model.clear_stop()
    again = reply(model, list(range(3, 23)), context)
    assert text_of(list(again)) == "x"
    assert again.stats.reused_tokens == 8


def test_full_context_ends_the_reply() -> None:
    model = ScriptedModel(text_ids("abcdefghijkl"), n_ctx=8)
    made = reply(model, [BOS, 10, 11, 12])
    assert text_of(list(made)) == "abcde"  # 4 + 4 evaluated, and the one they led to
    assert made.reason is FinishReason.CONTEXT
    assert made.stats.n_past == 8


def test_refit_goes_on_with_a_shorter_context() -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    letters = text_ids(alphabet)

    def after(context: list[int]) -> int:  # the alphabet, whatever stands before it
        return letters[letters.index(context[-1]) + 1] if context[-1] in letters else letters[0]

    model = ScriptedModel(n_ctx=16, next_token=after)
    asked: list[list[int]] = []

    def refit(tokens: list[int]) -> list[int] | None:
        asked.append(list(tokens))
        return [BOS, 12, *tokens] if len(asked) == 1 else None

    made = reply(model, [BOS, 10, 10, 10, 10, 11, 11, 12], refit=refit)
    assert text_of(list(made)) == alphabet[:15]
    assert made.reason is FinishReason.CONTEXT
    assert [len(tokens) for tokens in asked] == [9, 15]
    assert made.tokens == letters[:15]
    assert made.stats.generated_tokens == 15
    assert made.stats.prompt_tokens == 8 + 11
    assert made.stats.reused_tokens == 1  # BOS


def test_numbers_are_live_and_positive() -> None:
    model = ScriptedModel(text_ids("abc"), seconds=0.002)
    made = reply(model, [BOS, 10, 11], sampling=SamplingParams(temp=0.0, repeat_penalty=1.0, seed=9))
    seen = [(made.stats.generated_tokens, made.stats.n_past) for _ in made]
    assert seen == [(1, 3), (2, 4), (3, 5)]
    stats = made.stats
    assert stats.prompt_seconds >= 0.002
    assert stats.first_token_seconds >= stats.prompt_seconds
    assert stats.generate_seconds >= 0.006
    assert stats.prompt_speed > 0
    assert stats.generate_speed > 0
    assert stats.seed == 9


def test_sampler_sees_prompt_and_reply() -> None:
    class Flat(ScriptedModel):
        def eval(self, tokens: list[int], pos: int, n_logits: int) -> np.ndarray:
            logits = super().eval(tokens, pos, n_logits) * 0
            logits[:, 50], logits[:, 51] = 20, 15
            return logits

    made = reply(Flat(), [BOS, 50], sampling=SamplingParams(temp=0.0, repeat_penalty=2.0), max_tokens=2)
    assert [token.id for token in made] == [51, 50]  # 20/2 < 15, then 20/2 > 15/2
