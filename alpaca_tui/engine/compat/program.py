"""The main loop of examples/main, as it was on 2023-04-03 and on 2023-08-15.

One loop with a table of what differs (`Rules`). What it says on stdout is the same byte for byte; what it
says on stderr is the caller's. End of input ends the program on both dates; that of August went on for ever.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alpaca_tui.engine.compat.contexts import Guidance, Session

INSTRUCTION, RESPONSE = "\n\n### Instruction:\n\n", "\n\n### Response:\n\n"
RESERVED = 4  # tokens of the context that a prompt may not take


@dataclass(frozen=True)
class Rules:
    """What the two programs do differently."""

    antiprompt_ends: bool  # a reverse prompt ends a run that is not interactive; else it makes it so
    antiprompt_anywhere: bool  # found near the end of the output; else at its very end
    eos_stays: bool  # also interactively; else it becomes a newline there
    keeps_bos: bool  # when the context is full
    slash: bool  # `/` at a line's end returns control without a new line


APRIL = Rules(False, False, False, False, False)
AUGUST = Rules(True, True, True, True, True)


@dataclass(frozen=True)
class Options:
    """The flags that the loop looks at, with April's defaults. `prompt` is without the space in front."""

    prompt: str = ""
    n_ctx: int = 512
    n_batch: int = 8
    n_predict: int = 128
    n_keep: int = 0
    instruct: bool = False
    interactive: bool = False
    interactive_first: bool = False
    antiprompts: tuple[str, ...] = ()
    in_prefix: str = ""
    in_suffix: str = ""
    in_prefix_bos: bool = False
    multiline: bool = False


class Evaluator(Protocol):
    """What is needed of `engine.model.Model`."""

    n_batch: int

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> NDArray[np.float32]: ...


class Vocabulary(Protocol):
    """What is needed of `engine.tokenizer.Tokenizer`."""

    bos: int
    eos: int

    def encode(self, text: str, bos: bool = True, space_prefix: bool = True) -> list[int]: ...
    def piece(self, token: int) -> bytes: ...


class Console(Protocol):
    """Who talks with the program. `colour` is "prompt", "user", "error" or "default"."""

    def write(self, data: bytes) -> None: ...
    def notice(self, text: str) -> None: ...
    def colour(self, name: str) -> None: ...
    def read_line(self) -> str | None: ...


class Sampler(Protocol):
    def restart(self) -> None: ...
    def sample(self, logits: NDArray[np.float32], last: Sequence[int]) -> int: ...


@dataclass
class Count:
    seconds: float = 0.0
    n: int = 0

    @contextmanager
    def more(self, n: int) -> Iterator[None]:
        """Adds the seconds inside, and `n`."""
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start
        self.n += n


@dataclass
class Counts:
    """Seconds and tokens, for the timings at the end. An evaluation of one token counts as `eval`."""

    sample: Count = field(default_factory=Count)
    prompt: Count = field(default_factory=Count)
    eval: Count = field(default_factory=Count)


class PromptTooLongError(Exception):
    """`n_tokens` where at most `most` fit."""

    def __init__(self, n_tokens: int, most: int) -> None:
        super().__init__(n_tokens, most)
        self.n_tokens, self.most = n_tokens, most


class Program:
    """One run. `interject` is Ctrl+C; it may come from a signal handler.

    Raises PromptTooLongError. `prompt_tokens`, `keep` and `interactive` are known before `run`.
    """

    def __init__(
        self,
        rules: Rules,
        options: Options,
        model: Evaluator,
        vocabulary: Vocabulary,
        sampler: Sampler,
        console: Console,
        on_sampled: Callable[[int], object] = lambda token: None,
        *,
        session: Session | None = None,
        guide: Callable[[int], Guidance] | None = None,
    ) -> None:
        """`guide` makes the second context of --cfg-scale, knowing how many tokens the prompt has."""
        self.rules, self.options = rules, options
        self.counts = Counts()
        self._session = session
        self._model, self._vocabulary, self._sampler, self._console = model, vocabulary, sampler, console
        self._on_sampled = on_sampled
        self._n_ctx = options.n_ctx
        self.prompt_tokens = encoded = self._encode(" " + options.prompt, bos=True)
        if (
            session
            and session.tokens
            and not (options.prompt or options.interactive_first or options.instruct)
        ):
            self.prompt_tokens = list(session.tokens)  # the text goes on where it ended
        most = self._n_ctx - RESERVED
        if len(self.prompt_tokens) > most:
            raise PromptTooLongError(len(self.prompt_tokens), most)
        self.in_session = session.begin(self.prompt_tokens) if session else 0
        self.guidance = guide(len(encoded)) if guide else None
        n, whole = options.n_keep, len(self.prompt_tokens)
        self.keep = whole if n < 0 or n > whole or options.instruct else n
        self._before_question = self._encode(INSTRUCTION, bos=True)
        self._before_reply = self._encode(RESPONSE)
        self.antiprompts = [*options.antiprompts, *(["### Instruction:\n\n"] if options.instruct else [])]
        self.interacting = options.interactive_first or options.instruct
        self.interactive = (
            options.interactive or self.interacting or bool(self.antiprompts and not rules.antiprompt_ends)
        )
        self._queue = deque(self.prompt_tokens)  # tokens to evaluate that nobody sampled
        self._next: list[int] = []  # what is evaluated next
        self._last = deque([0] * self._n_ctx, maxlen=self._n_ctx)
        self._n_past = 0
        self._n_remain = options.n_predict
        self._antiprompt_seen = False
        self._echo = True
        self._logits: NDArray[np.float32] = np.empty(0, np.float32)

    def interject(self) -> bool:
        """Ctrl+C: generation stops, and the user is asked. False where the user is being asked already."""
        first, self.interacting = not self.interacting, True
        return first

    def run(self) -> bool:
        """Until the end. False where input ended in April: that left at once, without a word."""
        self._console.colour("prompt")
        ended = False
        while self.interactive or (
            self._n_remain != 0 and not (self.rules.antiprompt_ends and self._antiprompt_seen)
        ):
            if self._next and not self._evaluate():
                break
            self._next = []
            if not self._queue and not self.interacting:
                self._sample()
            else:
                self._feed()
            self._show()
            if not self._queue:
                ended = not self._turn()
            if ended:
                return self.rules is not APRIL
            if self._next and self._next[-1] == self._vocabulary.eos and self._at_end():
                break
            if self.interactive and self._n_remain <= 0 and self.options.n_predict != -1:
                self._n_remain = self.options.n_predict
                self.interacting = True
        if self._session:
            self._session.end()
        self._console.colour("default")
        return True

    # --- evaluating ----------------------------------------------------------------------------------------

    def _evaluate(self) -> bool:
        """False where the context is full and `n_predict` is -2."""
        if self.rules is AUGUST:
            self._shorten()
        n, guidance, session = len(self._next), self.guidance, self._session
        if self._n_past + n + max(guidance.offset if guidance else 0, 0) > self._n_ctx:
            if self.options.n_predict == -2 and self.rules is AUGUST:
                self._console.notice("\n\nmain: context full, stopping generation")
                return False
            half = (self._n_past - self.keep) // 2
            self._n_past = max(self.keep, 1) if self.rules.keeps_bos else self.keep
            last = list(self._last)
            self._next = last[self._n_ctx - half - n : self._n_ctx - n] + self._next
            if guidance:
                guidance.swapped(self.keep)
            if session:
                session.swapped()
        if session:
            n = session.reuse(self._next)
            self._n_past += n
            del self._next[:n]
        if guidance:
            guidance.evaluate(self._next, self.options.n_batch)
        size = min(self._model.n_batch, self.options.n_batch if self.rules is AUGUST else self._n_ctx)
        for at in range(0, len(self._next), size):
            chunk = self._next[at : at + size]
            count = self.counts.prompt if len(chunk) > 1 else self.counts.eval
            with count.more(len(chunk)):
                self._logits = self._model.eval(chunk, self._n_past, 1)[-1]
            self._n_past += len(chunk)
        if session:
            session.evaluated(self._next)
        return True

    def _shorten(self) -> None:
        excess = len(self._next) - (self._n_ctx - RESERVED)
        if excess > 0:
            self._console.colour("error")
            self._console.write(f"<<input too long: skipped {excess} token{'s' * (excess != 1)}>>".encode())
            self._console.colour("default")
            del self._next[-excess:]

    def _sample(self) -> None:
        if self._session:
            self._session.sampling()
        with self.counts.sample.more(1):
            token = self._sampler.sample(self._logits, list(self._last))
        self._on_sampled(token)
        self._last.append(token)
        replaced = self.interactive and not self.options.instruct and not self.rules.eos_stays
        if token == self._vocabulary.eos and replaced:
            token = self._encode("\n")[0]
            if self.antiprompts:
                self._queue.extend(self._encode(self.antiprompts[0]))
        self._next = [token]
        self._echo = True
        self._n_remain -= 1

    def _feed(self) -> None:
        while self._queue:
            token = self._queue.popleft()
            self._next.append(token)
            self._last.append(token)
            if len(self._next) >= self.options.n_batch:
                break

    # --- talking -------------------------------------------------------------------------------------------

    def _show(self) -> None:
        if self._echo:
            self._console.write(b"".join(map(self._vocabulary.piece, self._next)))
            if not self._queue:
                self._console.colour("default")

    def _turn(self) -> bool:
        """What happens where nothing is queued: reverse prompts, and the user's turn. False: input ended."""
        if self.antiprompts and (self.interactive or self.rules.antiprompt_ends):
            self._antiprompt_seen = any(map(self._ends_with, self.antiprompts))
            if self._antiprompt_seen and self.interactive:
                self.interacting = True
                self._console.colour("user")
        if self.rules.eos_stays and self._last[-1] == self._vocabulary.eos and self.interactive:
            if self.antiprompts:
                self._queue.extend(self._encode(self.antiprompts[0]))
                self._antiprompt_seen = True
            self.interacting = True
            self._console.write(b"\n")
            self._console.colour("user")
        if not self.interactive or self._n_past == 0:
            return True
        if self.interacting:
            if not self._ask():
                return False
            self._sampler.restart()
        self.interacting = False
        return True

    def _ask(self) -> bool:
        o, april = self.options, self.rules is APRIL
        if april:
            self._console.colour("user")
        if o.instruct:
            self._console.write(b"\n> ")
        if o.in_prefix_bos:
            self._queue.append(self._vocabulary.bos)
        self._console.write(o.in_prefix.encode())
        self._console.colour("user")
        text = self._read()
        if text is None:
            return False
        self._console.colour("default")
        text = o.in_prefix + text
        if len(text.encode()) > 1:
            if o.in_suffix:
                text += o.in_suffix
                self._console.write(o.in_suffix.encode())
            if o.instruct and not self._antiprompt_seen:
                self._queue.clear()
                self._queue.extend(self._before_question)
            tokens = self._encode(text)
            self._queue.extend(tokens)
            if o.instruct:
                self._queue.extend(self._before_reply)
            self._n_remain -= len(tokens)
        self._echo = False
        return True

    def _read(self) -> str | None:
        """Lines with their newlines, as long as they are continued. None where input ends."""
        lines: list[str] = []
        more = True
        while more:
            line = self._console.read_line()
            if line is None:
                return None
            more = self.options.multiline
            if self.rules.slash and line.endswith("/"):
                lines.append(line[:-1])
                break
            if line.endswith("\\"):
                line, more = line[:-1], not more
            lines.append(line + "\n")
        return "".join(lines)

    def _at_end(self) -> bool:
        """The model ended its text. True where that ends the program."""
        if self.rules.eos_stays:
            ends = not self.interactive
        else:
            ends = not self.options.instruct
            self.interacting = self.interacting or not ends
        if ends:
            self._console.notice(" [end of text]")
        return ends

    def _ends_with(self, antiprompt: str) -> bool:
        """Is it at the end of what was written (April), or near it (August)?"""
        wanted = antiprompt.encode()
        room = len(wanted) + (2 if self.rules.antiprompt_anywhere and not self.interactive else 0)
        tail = b""
        for token in reversed(self._last):
            tail = self._vocabulary.piece(token) + tail
            if len(tail) > room:
                break
        return wanted in tail[-room:] if self.rules.antiprompt_anywhere else tail.endswith(wanted)

    def _encode(self, text: str, bos: bool = False) -> list[int]:
        return self._vocabulary.encode(text, bos=bos, space_prefix=False)
