"""`main` without a chat format: a text that the model continues, alone or by turns with the user (-i).

Everything that was written stands in the context as it is on the screen. With reverse prompts (-r) the
model gives the turn to the user where it writes one; without a reverse prompt, where it ends its text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from alpaca_tui.commands.running import INTERRUPTED, OK, Running
from alpaca_tui.commands.terminal import Terminal
from alpaca_tui.engine import protocol as p
from alpaca_tui.errors import UserError


@dataclass(frozen=True)
class Turns:
    """How turns are taken. `first`: the user begins. Prefix and suffix stand around what the user types."""

    reverse: tuple[str, ...] = ()
    first: bool = False
    in_prefix: str = ""
    in_suffix: str = ""
    in_prefix_bos: bool = False


class Text:
    """`request` has the sampling, limits and so on; its `prefix` and `keep` are made here.

    `keep` counts tokens of the prompt (< 0: all of it). Raises UserError where nothing can be generated.
    """

    def __init__(
        self,
        running: Running,
        terminal: Terminal,
        request: p.GenerateRequest,
        prompt: str,
        *,
        keep: int = 0,
        show_prompt: bool = True,
        turns: Turns | None = None,
    ) -> None:
        self._running, self._terminal, self._request = running, terminal, request
        self._begin = p.Segment(prompt, bos=True, space_prefix=True)
        self._old: list[p.Segment] = []  # behind the prompt, and evaluated
        self._new: list[p.Segment] = []  # and what is not yet
        self._typed_from = 0  # in these, what was typed last
        self._begun = False
        self._prompt_to_show = prompt if show_prompt else ""
        self._keep = keep
        self._turns = turns or Turns()
        self._interactive = turns is not None
        self._line = ""  # what stands on the screen since the last new line

    def run(self) -> int:
        """Exit code: 0, or 130 after Ctrl+C."""
        if self._interactive:
            ends = "\\ and Enter end" if self._terminal.multiline else "Enter ends"
            self._terminal.hint(
                f"Ctrl+C interrupts the model; {ends} your turn, and / before that its line.\n"
            )
        if self._interactive and self._turns.first:
            self._show_prompt()
            if not self._ask():
                return OK
        while True:
            try:
                reason = self._generate()
            except UserError as error:
                if self._terminal.out.isatty():
                    self._end_line()
                if not (self._begun and self._interactive and self._terminal.asks):
                    raise
                self._terminal.notice(f"({error})")
                del self._new[self._typed_from :]  # what cannot be gone on from is not in the way later
                reason = p.FinishReason.FAILED
            if not self._interactive:
                self._end_line()
                return INTERRUPTED if reason is p.FinishReason.STOPPED else OK
            if reason is p.FinishReason.STOPPED and not self._terminal.asks:
                return INTERRUPTED
            if not self._ask():
                return OK

    def _show_prompt(self) -> None:
        """Once, and not where it cannot be gone on from."""
        if self._prompt_to_show:
            self._terminal.colour("prompt")
            self._write(self._prompt_to_show)
            self._terminal.colour("default")
            self._prompt_to_show = ""

    def _generate(self) -> p.FinishReason:
        reverse = self._turns.reverse
        request = replace(self._next(), keep=self._keep, stop=(*self._request.stop, *reverse))
        shown: list[str] = []

        def show(text: str) -> None:
            shown.append(text)
            self._write(text)

        finished = self._running.reply(request, show, self._show_prompt)
        self._begun = True
        self._old += self._new
        self._new = []
        reason, text = finished.reason, "".join(shown)
        if reason is p.FinishReason.STOP_TEXT:
            # the token that the reverse prompt began in is not among the tokens: all is encoded again
            found = request.stop[finished.stats.stop_index]
            self._write(found)
            self._new.append(p.Segment(text + found))
        elif text or finished.tokens:
            self._old.append(p.Segment(text, tokens=finished.tokens))
        if reason is p.FinishReason.END and self._interactive and reverse:
            self._new.append(p.Segment("\n" * bool(self._line) + reverse[0]))
            self._end_line()
            self._write(reverse[0])
        self._explain(finished)
        return reason

    def _next(self) -> p.GenerateRequest:
        """The request for what follows. The prompt cannot leave before it was evaluated once: it must fit."""
        if not self._begun and self._keep >= 0 and not self._request.negative:
            return replace(self._request, prefix=(), turns=((self._begin, *self._new),))
        return replace(self._request, prefix=(self._begin,), turns=(tuple(self._old), tuple(self._new)))

    def _ask(self) -> bool:
        """The user's turn; an empty line leaves it to the model. False at the end of input."""
        turns = self._turns
        self._typed_from = len(self._new)
        self._terminal.colour("user")
        self._write(turns.in_prefix)
        try:
            message = self._terminal.read_message(self._line, slash=True, drawn=True)
        except KeyboardInterrupt:
            self._terminal.colour("default")
            self._terminal.write("\n")
            raise
        self._terminal.colour("default")
        if message is None:
            self._end_line()
            return False
        self._line = ""
        if message:
            text = message[:-1] if message.endswith("/") else message + "\n"
            self._new.append(p.Segment(turns.in_prefix + text + turns.in_suffix, bos=turns.in_prefix_bos))
            self._write(turns.in_suffix)
        return True

    def _explain(self, finished: p.Finished) -> None:
        """Why the text ended, said where it is not plain to see."""
        reason, say = finished.reason, self._terminal.notice
        if reason is p.FinishReason.CONTEXT and not finished.tokens:
            raise UserError(finished.message or "The context is full; -c takes a larger one.")
        if reason is p.FinishReason.CONTEXT:
            self._end_line()
            say(f"({finished.message or 'stopped: the context is full; -c takes a larger one'})")
        elif reason is p.FinishReason.END and not self._interactive:
            say(" [end of text]")
            if self._terminal.out.isatty():
                self._line = ""
        elif reason is p.FinishReason.LENGTH and self._interactive:
            self._end_line()
            self._terminal.hint(f"(stopped at {self._request.max_tokens} tokens; an empty line goes on)")
        elif reason is p.FinishReason.STOPPED and self._interactive:
            self._end_line()

    def _write(self, text: str) -> None:
        if text:
            self._terminal.write(text)
            self._line = (self._line + text).rpartition("\n")[2]

    def _end_line(self) -> None:
        if self._line:
            self._write("\n")
