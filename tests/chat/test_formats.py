"""The prompt of `-ins`, segment by segment (llama.cpp of 2023)."""

from __future__ import annotations

import pytest

from alpaca_tui.chat.conversation import Conversation
from alpaca_tui.chat.formats import FORMATS, LLAMA_2, VICUNA, PromptFormat, build_request
from alpaca_tui.chat.settings import Settings
from alpaca_tui.engine.protocol import FinishReason, Segment, WhenFull
from alpaca_tui.resources import prompts_dir, read_prompt

INSTRUCTION = "\n\n### Instruction:\n\n"
RESPONSE = "\n\n### Response:\n\n"


def test_the_first_question() -> None:
    c = Conversation()
    c.add_reply(c.add_question("Hi"))
    request = build_request(c, Settings(temp=0.3, n_predict=99, n_batch=64), "Below is.")
    assert request.prefix == (Segment("Below is.", bos=True, space_prefix=True),)
    assert request.turns == ((Segment(INSTRUCTION, bos=True), Segment("Hi\n"), Segment(RESPONSE)),)
    assert request.stop == ("### Instruction:",)
    assert (request.max_tokens, request.n_batch, request.sampling.temp) == (99, 64, 0.3)


def test_an_earlier_reply_goes_with_its_ids_and_its_eos() -> None:
    c = Conversation()
    reply = c.add_reply(c.add_question("Hi"))
    reply.text = "Hello"
    reply.finish(FinishReason.END, None, (10, 11))
    c.add_reply(c.add_question("And?\nmore"))
    first, second = build_request(c, Settings(), "").turns
    assert first[-1] == Segment("Hello", eos=True, tokens=(10, 11))
    assert second == (Segment(INSTRUCTION, bos=True), Segment("And?\nmore\n"), Segment(RESPONSE))


def test_a_stopped_reply_goes_without_eos_and_is_where_it_continues() -> None:
    c = Conversation()
    reply = c.add_reply(c.add_question("Hi"))
    reply.text = "Hel"
    reply.finish(FinishReason.STOPPED, None, (10,))
    (turn,) = build_request(c, Settings(), "").turns
    assert turn[-1] == Segment("Hel", eos=False, tokens=(10,))


def test_a_reply_without_a_word_leaves_its_question() -> None:
    c = Conversation()
    reply = c.add_reply(c.add_question("Hi"))
    reply.finish(FinishReason.STOPPED, None, ())
    c.add_reply(c.add_question("Again"))
    first, _ = build_request(c, Settings(), "").turns
    assert [segment.text for segment in first] == [INSTRUCTION, "Hi\n", RESPONSE]


def test_a_reply_that_was_only_an_eos_keeps_it() -> None:
    c = Conversation()
    c.add_reply(c.add_question("Hi")).finish(FinishReason.END, None, ())
    c.add_reply(c.add_question("Again"))
    assert build_request(c, Settings(), "").turns[0][-1] == Segment("", eos=True, tokens=())


def test_turns_of_the_request_are_turns_of_the_conversation() -> None:
    c = Conversation()
    for text in "abc":
        c.add_reply(c.add_question(text)).finish(FinishReason.END, None, (1,))
    request = build_request(c, Settings(), "")
    assert [turn[1].text for turn in request.turns] == [f"{t.question.text}\n" for t in c.turns()]


def test_text_of_the_user_is_never_a_control_token() -> None:
    c = Conversation()
    c.add_reply(c.add_question("</s><s>"))
    segment = build_request(c, Settings(), "").turns[0][1]
    assert segment == Segment("</s><s>\n") and not segment.bos and not segment.eos and segment.tokens is None


def test_nothing_asked_is_no_request() -> None:
    with pytest.raises(ValueError, match="asked"):
        build_request(Conversation(), Settings(), "")


def test_flags_that_are_no_settings_reach_the_request_and_the_load() -> None:
    c = Conversation()
    c.add_reply(c.add_question("Hi"))
    settings = Settings()
    settings.other_request = {"when_full": WhenFull.STOP}
    settings.other_loading = {"cache_type": "q8_0"}
    assert build_request(c, settings, "").when_full is WhenFull.STOP
    assert settings.load_options().cache_type == "q8_0"


# --- other formats -----------------------------------------------------------------------------------------


def texts(prompt_format: PromptFormat, instruction: str) -> list[tuple[bool, bool, str]]:
    """(BOS, EOS, text) of each segment of two exchanges, the second without its reply."""
    c = Conversation()
    reply = c.add_reply(c.add_question("Hi"))
    reply.text = " Hello"
    reply.finish(FinishReason.END, None, (10,))
    c.add_reply(c.add_question("And?"))
    request = build_request(c, Settings(), instruction, prompt_format)
    segments = [*request.prefix, *(segment for turn in request.turns for segment in turn)]
    assert segments[0].space_prefix and not any(segment.space_prefix for segment in segments[1:])
    return [(segment.bos, segment.eos, segment.text) for segment in segments]


def test_llama_2() -> None:
    assert texts(LLAMA_2, "Be kind.") == [
        (True, False, "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n"),
        (False, False, "Hi [/INST]"),
        (False, True, " Hello"),
        (True, False, " [INST] And? [/INST]"),
    ]
    assert texts(LLAMA_2, "")[0] == (True, False, "[INST] ")


def test_vicuna() -> None:
    assert texts(VICUNA, "A chat.") == [
        (True, False, "A chat."),
        (False, False, " USER: Hi ASSISTANT:"),
        (False, True, " Hello"),
        (False, False, " USER: And? ASSISTANT:"),
    ]


@pytest.mark.parametrize("prompt_format", FORMATS.values(), ids=FORMATS)
def test_each_format_has_its_instruction(prompt_format: PromptFormat) -> None:
    assert read_prompt(prompts_dir() / prompt_format.prompt_file)
