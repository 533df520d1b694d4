"""Prompt formats: how an instruction, questions and replies become the segments that a model reads.

`ALPACA` is what llama.cpp of 2023 makes with `-ins -f prompts/alpaca.txt`: the text of the file as the
prompt (BOS, one space, text), then for each turn BOS, "\\n\\n### Instruction:\\n\\n", the user's line and its
newline, "\\n\\n### Response:\\n\\n", and the reply with the EOS that ended it.
"""

from __future__ import annotations

from dataclasses import dataclass

from alpaca_tui.chat.conversation import Conversation, Message
from alpaca_tui.chat.settings import Settings
from alpaca_tui.engine.protocol import GenerateRequest, Segment


@dataclass(frozen=True)
class PromptFormat:
    """The fixed texts of a format. `stop` texts end a reply: the model has begun to write our part."""

    key: str
    before_question: str
    after_question: str
    before_reply: str
    stop: tuple[str, ...]
    bos_each_turn: bool = True

    def prefix(self, instruction: str) -> tuple[Segment, ...]:
        return (Segment(instruction, bos=True, space_prefix=True),)

    def turn(self, question: Message, reply: Message | None) -> tuple[Segment, ...]:
        """One exchange; without a reply it ends where the model is to begin."""
        asked = (
            Segment(self.before_question, bos=self.bos_each_turn),
            Segment(question.text + self.after_question),
            Segment(self.before_reply),
        )
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
    return GenerateRequest(
        prefix=prompt_format.prefix(instruction_text),
        turns=tuple(prompt_format.turn(turn.question, turn.reply) for turn in turns),
        sampling=settings.sampling(),
        max_tokens=int(settings["n_predict"]),
        stop=prompt_format.stop,
        n_batch=int(settings["n_batch"]),
    )
