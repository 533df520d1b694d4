"""A chat over three streams: messages in, replies out, everything else to stderr.

The engine works in its own thread; this one reads its events, so that Ctrl+C is noticed at once also in the
middle of a prompt of minutes.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import FrameType
from typing import TextIO

from alpaca_tui.chat import changes
from alpaca_tui.chat.conversation import Message, MessageState
from alpaca_tui.chat.session import ChatSession
from alpaca_tui.engine import protocol as p
from alpaca_tui.errors import UserError

OK, INTERRUPTED = 0, 130
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 1.0  # what takes longer than this is reported while it lasts
GREEN, PLAIN = "\x1b[1m\x1b[32m", "\x1b[0m"
WORDS = {
    p.EngineState.LOADING: "Loading",
    p.EngineState.COMPILING: "Preparing (first run only)",
    p.EngineState.PREFILL: "Reading",
}


class Terminal:
    """The three streams, and who is at the other end of each."""

    def __init__(self, source: TextIO, out: TextIO, notices: TextIO, colour: bool = False) -> None:
        self.source, self.out, self.notices = source, out, notices
        self.asks = source.isatty()  # a person types: prompts, notices, and Ctrl+C comes back to the prompt
        self.colour = colour and out.isatty()
        self._since: float | None = None
        self._line_shown = False
        self._editing = self.asks and out.isatty() and self._line_editor()

    def write(self, text: str) -> None:
        self.clear_progress()
        self.out.write(text)
        self.out.flush()

    def notice(self, text: str) -> None:
        self.clear_progress()
        print(text, file=self.notices, flush=True)

    def hint(self, text: str) -> None:
        """A notice for a person at the keyboard only."""
        if self.asks:
            self.notice(text)

    def progress(self, event: p.Progress) -> None:
        """One line that is written over, from the moment on when something takes long; not into files."""
        self._since = self._since or time.monotonic()
        if not self.notices.isatty() or time.monotonic() - self._since < PATIENCE_SECONDS:
            return
        share = f"{100 * event.done // event.total:3d} %" if event.total > 0 else ""
        self.notices.write(f"\r\x1b[K{WORDS.get(event.state, '')} {event.what} {share}".rstrip())
        self.notices.flush()
        self._line_shown = True

    def clear_progress(self) -> None:
        self._since = None
        if self._line_shown:
            self.notices.write("\r\x1b[K")
            self.notices.flush()
            self._line_shown = False

    def read_message(self) -> str | None:
        r"""The next message, without its newline; None at the end. `\` at a line's end joins the next."""
        lines: list[str] = []
        while True:
            line = self._read_line("> " if not lines else "  ")
            if line is None:
                return "\n".join(lines) if lines else None
            if not line.endswith("\\"):
                return "\n".join([*lines, line])
            lines.append(line[:-1])

    def _read_line(self, prompt: str) -> str | None:
        if self._editing:
            try:
                return input(self._coloured(prompt))
            except EOFError:
                return None
            finally:
                if self.colour:
                    self.write(PLAIN)
        if self.asks:
            self.notices.write(prompt)
            self.notices.flush()
        line = self.source.readline()
        return line.removesuffix("\n").removesuffix("\r") if line else None

    def _coloured(self, prompt: str) -> str:
        # \1 and \2 tell readline that what is between them takes no room on the line
        return f"{prompt}\1{GREEN}\2" if self.colour and self._marks else prompt

    def _line_editor(self) -> bool:
        """Readline where Python has it: `input` then edits the line, and remembers those before."""
        try:
            import readline
        except ImportError:
            self._marks = False
        else:
            self._marks = "libedit" not in (readline.__doc__ or "")
        return self.source is sys.stdin and self.out is sys.stdout


class PlainChat:
    """A conversation. Raises UserError where the model cannot be loaded or a reply cannot be made."""

    def __init__(self, session: ChatSession, terminal: Terminal) -> None:
        self.session, self.terminal = session, terminal

    def load(self, engine: p.ChatEngine, path: Path, options: p.LoadOptions) -> None:
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
                    self._greet(model)
                    return

    def answer_once(self, message: str) -> int:
        """Exit code: 0, or 130 if Ctrl+C cut the answer short."""
        return INTERRUPTED if self._ask(message) is p.FinishReason.STOPPED else OK

    def converse(self) -> int:
        """Until the end of input (0). Ctrl+C stops a reply; at the prompt, or in a pipe, the chat (130)."""
        while True:
            try:
                message = self.terminal.read_message()
            except KeyboardInterrupt:
                self.terminal.write("\n")
                return INTERRUPTED
            if message is None:
                self.terminal.hint("")
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

    def _greet(self, model: p.ModelInfo) -> None:
        if model.guide:
            self.terminal.hint(
                "This is a tiny model that answers questions about the program; -m FILE opens a real one."
            )
        else:
            self.terminal.hint(f"{model.name} ({model.description}), context {model.n_ctx}")
        end = "Ctrl+Z and Enter end" if sys.platform == "win32" else "Ctrl+D ends"
        self.terminal.hint(f"Ctrl+C stops a reply, \\ at the end of a line continues it, {end}.\n")

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
        questions = [turn.question.id for turn in self.session.conversation.turns()]
        forgotten = questions.index(question_id) if question_id in questions else 0
        if forgotten:
            what = "message" if forgotten == 1 else f"{forgotten} messages"
            self.terminal.notice(f"(the context is full: the model no longer knows the first {what})")

    def _changes(self, pressed: list[int] | None = None) -> Iterator[changes.Change]:
        """What happens, as it happens. A Ctrl+C in `pressed` stops the reply, the third one the program."""
        told = 0
        while True:
            yield from self.session.pump()
            if pressed and len(pressed) > told:
                told = len(pressed)
                if told > 2:
                    raise KeyboardInterrupt
                self.session.stop()
            time.sleep(POLL_SECONDS)


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collects the Ctrl+C presses in a list, instead of raising in the middle of whatever is being done."""
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
