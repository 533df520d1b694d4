"""Prompt formats: how an instruction, questions and replies become the segments that a model reads.

`ALPACA` is what llama.cpp of 2023 makes with `-ins -f prompts/alpaca.txt`: the text of the file as the
prompt (BOS, one space, text), then for each turn BOS, "\\n\\n### Instruction:\\n\\n", the user's line and its
newline, "\\n\\n### Response:\\n\\n", and the reply with the EOS that ended it.

`LLAMA_2` is Meta's (llama/generation.py), which Chinese-Alpaca-2 was trained with, too; `VICUNA` is that of
Vicuna v1.1 and later (FastChat's conversation.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alpaca_tui.chat.conversation import Conversation, Message
from alpaca_tui.chat.settings import Settings
from alpaca_tui.engine.protocol import GenerateRequest, Segment


@dataclass(frozen=True)
class PromptFormat:
    """The fixed texts of a format. `stop` texts end a reply: the model has begun to write our part.

    `prompt_file` has the instruction that models were trained with. `first` stands in place of
    `before_question` in the first turn (None: the same), which then follows the instruction without BOS.
    `joined`: a question is encoded together with what stands around it, since a word and the space before
    it are one token.
    """

    key: str
    before_question: str
    after_question: str
    before_reply: str
    stop: tuple[str, ...]
    bos_each_turn: bool = True
    prompt_file: str = "alpaca.txt"
    before_instruction: str = ""
    after_instruction: str = ""
    no_instruction: str = ""
    first: str | None = None
    joined: bool = False

    def prefix(self, instruction: str) -> tuple[Segment, ...]:
        text = self.no_instruction
        if instruction:
            text = f"{self.before_instruction}{instruction}{self.after_instruction}"
        return (Segment(text, bos=True, space_prefix=True),)

    def turn(self, question: Message, reply: Message | None, first: bool = False) -> tuple[Segment, ...]:
        """One exchange; without a reply it ends where the model is to begin."""
        special = first and self.first is not None
        before = (self.first or "") if special else self.before_question
        after, answer = self.after_question, self.before_reply
        bos = self.bos_each_turn and not special
        asked: tuple[Segment, ...]
        if self.joined:
            asked = (Segment(before + question.text + after + answer, bos=bos),)
        else:
            asked = (Segment(before, bos=bos), Segment(question.text + after), Segment(answer))
        if reply is None or not (reply.text or reply.ended):
            return asked
        return (*asked, Segment(reply.text, eos=reply.ended, tokens=reply.tokens))


ALPACA = PromptFormat(
    key="alpaca",
    before_question="\n\n### Instruction:\n\n",
    after_question="\n",
    before_reply="\n\n### Response:\n\n",
    stop=("### Instruction:",),
)
LLAMA_2 = PromptFormat(
    key="llama2",
    before_question=" [INST] ",
    after_question=" ",
    before_reply="[/INST]",
    stop=("[INST]",),
    prompt_file="llama-2.txt",
    before_instruction="[INST] <<SYS>>\n",
    after_instruction="\n<</SYS>>\n\n",
    no_instruction="[INST] ",
    first="",
    joined=True,
)
VICUNA = PromptFormat(
    key="vicuna",
    before_question=" USER: ",
    after_question=" ",
    before_reply="ASSISTANT:",
    stop=("USER:",),
    bos_each_turn=False,
    prompt_file="vicuna.txt",
    joined=True,
)
FORMATS: Mapping[str, PromptFormat] = {f.key: f for f in (ALPACA, LLAMA_2, VICUNA)}


def build_request(
    conversation: Conversation,
    settings: Settings,
    instruction_text: str,
    prompt_format: PromptFormat = ALPACA,
) -> GenerateRequest:
    """The request for what comes next on the active path: a reply, or the rest of one that was stopped.

    Turn i of the request is turn i of `conversation.turns()`, so that `ContextCut.first_turn` counts both.
    """
    turns = conversation.turns()
    if not turns:
        raise ValueError("nothing was asked yet")
    request: dict[str, Any] = {
        "prefix": prompt_format.prefix(instruction_text),
        "turns": tuple(
            prompt_format.turn(turn.question, turn.reply, first=i == 0) for i, turn in enumerate(turns)
        ),
        "sampling": settings.sampling(),
        "max_tokens": int(settings["n_predict"]),
        "stop": prompt_format.stop,
        "n_batch": int(settings["n_batch"]),
        "begun": turns[-1].reply.text if turns[-1].reply else "",
    }
    return GenerateRequest(**request, **settings.other_request)
