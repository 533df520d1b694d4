"""A chat over three streams: messages in, replies out, everything else to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

from alpaca_tui.chat import changes
from alpaca_tui.chat.conversation import Message, MessageState
from alpaca_tui.chat.session import ChatSession
from alpaca_tui.commands.running import INTERRUPTED, OK, interrupts, stoppable
from alpaca_tui.commands.terminal import Terminal
from alpaca_tui.commands.timings import Timings
from alpaca_tui.engine import protocol as p
from alpaca_tui.errors import UserError


class PlainChat:
    """A conversation. Raises UserError where the model cannot be loaded or a reply cannot be made."""

    def __init__(self, session: ChatSession, terminal: Terminal, timings: Timings | None = None) -> None:
        self.session, self.terminal = session, terminal
        self.timings = timings or Timings()

    def load(self, engine: p.ChatEngine, path: Path, options: p.LoadOptions, greet: bool = True) -> None:
        began = time.monotonic()
        self.session.start(path, norm_eps=options.norm_eps, tokenizer=options.tokenizer)
        self.session.attach(engine)
        for change in self._changes():
            match change:
                case changes.ProgressSeen(progress):
                    self.terminal.progress(progress)
                case changes.LoadRefused(reason):
                    self.terminal.clear_progress()
                    raise UserError(reason)
                case changes.ModelReady(model):
                    self.terminal.clear_progress()
                    self.timings.load = time.monotonic() - began
                    if greet:
                        self._greet(model)
                    return

    def answer_once(self, message: str) -> int:
        """Exit code: 0, or 130 if Ctrl+C cut the answer short."""
        return INTERRUPTED if self._ask(message) is p.FinishReason.STOPPED else OK

    def converse(self, first: str | None = None) -> int:
        """Until the end of input (0). Ctrl+C stops a reply; at the prompt, or in a pipe, the chat (130).

        `first` is the first message, where there is one already.
        """
        while True:
            try:
                message, first = self._read() if first is None else first, None
            except KeyboardInterrupt:
                self.terminal.write("\n")
                return INTERRUPTED
            if message is None:
                if not self.terminal.edits:
                    self.terminal.hint("")  # the editor has ended its line
                return OK
            before = deepcopy(self.session.conversation)
            try:
                reason = self._ask(message) if message.strip() else self._go_on()
            except UserError as error:
                if not self.terminal.asks:
                    raise
                self.terminal.notice(f"({error})")
                self.session.conversation = (
                    before  # what could not be answered is not in the model's way later
                )
                continue
            if reason is p.FinishReason.STOPPED and not self.terminal.asks:
                return INTERRUPTED

    def _read(self) -> str | None:
        if not self.terminal.asks:
            return self.terminal.read_message()
        self.terminal.colour("user")
        try:
            return self.terminal.read_message()
        finally:
            self.terminal.colour("default")

    def _greet(self, model: p.ModelInfo) -> None:
        if model.guide:
            self.terminal.hint(
                "This is a tiny model that answers questions about the program; -m FILE opens a real one."
            )
        else:
            self.terminal.hint(f"{model.name} ({model.description}), context {model.n_ctx}")
        end = "Ctrl+Z and Enter end" if sys.platform == "win32" else "Ctrl+D ends"
        line = "\\ at the end of a line " + ("sends" if self.terminal.multiline else "continues it")
        self.terminal.hint(f"Ctrl+C stops a reply, {line}, {end}.\n")

    def _ask(self, message: str) -> p.FinishReason:
        self.session.submit(message)
        return self._show_reply()

    def _go_on(self) -> p.FinishReason | None:
        """An empty line lets a reply that was cut short go on; else it means nothing."""
        return self._show_reply() if self.session.continue_reply() else None

    def _show_reply(self) -> p.FinishReason:
        """Writes the reply out as it comes; what was written of it before stands there already."""
        reply = self.session.replying
        written = len(reply.text) if reply else 0
        with interrupts() as pressed:
            for change in self._changes(pressed):
                match change:
                    case changes.ProgressSeen(progress):
                        self.terminal.progress(progress)
                    case changes.MemoryBegins(question_id):
                        self._tell_cut(question_id)
                    case changes.ReplyText(message):
                        self.terminal.write(message.text[written:])
                        written = len(message.text)
                    case changes.MessageChanged(reply) if reply.state is not MessageState.STREAMING:
                        self.timings.add(reply.stats or p.Stats())
                        if reply.text and not reply.text.endswith("\n"):
                            self.terminal.write("\n")
                        return self._explain(reply)
        raise AssertionError("a reply always ends")

    def _explain(self, reply: Message) -> p.FinishReason:
        """Why a reply ended, said where it is not plain to see."""
        reason = reply.reason or p.FinishReason.END
        if reply.note:
            raise UserError(reply.note)
        if reason is p.FinishReason.CONTEXT:
            self.terminal.notice("(stopped: the context is full; -c takes a larger one)")
        elif reason is p.FinishReason.LENGTH:
            limit = self.session.settings["n_predict"]
            self.terminal.hint(f"(stopped at {limit} tokens; an empty line goes on)")
        elif reason is p.FinishReason.STOPPED:
            self.terminal.hint("(stopped; an empty line goes on)")
        return reason

    def _tell_cut(self, question_id: int | None) -> None:
        turns = self.session.conversation.turns()
        if question_id is not None and any(turn.reply and turn.reply.id == question_id for turn in turns):
            self.terminal.notice(
                "(the context is full: the model no longer sees the beginning of this reply)"
            )
        questions = [turn.question.id for turn in turns]
        forgotten = questions.index(question_id) if question_id in questions else 0
        if forgotten:
            what = "message" if forgotten == 1 else f"{forgotten} messages"
            self.terminal.notice(f"(the context is full: the model no longer knows the first {what})")

    def _changes(self, pressed: list[int] | None = None) -> Iterator[changes.Change]:
        """What happens, as it happens. A Ctrl+C in `pressed` stops the reply, the third one the program."""
        yield from stoppable(self.session.pump, self.session.stop, pressed)
