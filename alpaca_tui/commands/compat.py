"""`main --compat DATE`: the programs of April and of August 2023, with their defaults.

What `engine.compat` does with the flags of that date, and what those programs said on stderr.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from alpaca_tui import system
from alpaca_tui.chat.settings import BY_KEY, SETTINGS, Settings
from alpaca_tui.commands import flags
from alpaca_tui.commands.main_flags import FLAGS
from alpaca_tui.commands.terminal import Terminal
from alpaca_tui.commands.timings import Timings
from alpaca_tui.commands.values import UNTIL_FULL
from alpaca_tui.commands.wanted import RANDOM_PROMPTS, Wanted, prompt_of
from alpaca_tui.engine.protocol import EngineState, LoadOptions, Progress, PromptCache, SamplingParams
from alpaca_tui.errors import UserError
from alpaca_tui.resources import guide_model

if TYPE_CHECKING:
    from alpaca_tui.engine.compat.contexts import Evaluator
    from alpaca_tui.engine.compat.program import Counts, Options, Program
    from alpaca_tui.engine.compat.samplers import Choices
    from alpaca_tui.engine.engine import Engine

OK, INTERRUPTED = 0, 130
APRIL, AUGUST = "2023-04", "2023-08"
# Where the programs differ from the settings' own defaults.
DEFAULTS: dict[str, dict[str, int | float]] = {
    APRIL: {
        "temp": 0.8, "top_k": 40, "top_p": 0.95, "repeat_penalty": 1.1, "repeat_last_n": 64, "n_predict": 128,
        "n_ctx": 512, "n_batch": 8, "seed": -1,
    },
    AUGUST: {
        "temp": 0.8, "top_k": 40, "top_p": 0.95, "repeat_penalty": 1.1, "repeat_last_n": 64, "n_predict": -1,
        "n_ctx": 512, "n_batch": 512, "seed": -1, "tfs_z": 1.0, "typical_p": 1.0, "presence_penalty": 0.0,
        "frequency_penalty": 0.0, "mirostat": 0, "mirostat_lr": 0.1, "mirostat_ent": 5.0,
    },
}  # fmt: skip
# What they printed of their settings, in their order.
NUMBERS = {
    APRIL: "temp top_k top_p repeat_last_n repeat_penalty",
    AUGUST: "repeat_last_n repeat_penalty presence_penalty frequency_penalty top_k tfs_z top_p typical_p "
    "temp mirostat mirostat_lr mirostat_ent",
}
# Flags that came later than a date, by the names of their values.
_LATER_THAN_APRIL = (
    "escape in_suffix in_prefix_bos multiline simple_io logit_bias penalize_nl loras lora_base "
    "rope_freq_base rope_freq_scale rope_scale grammar grammar_file cfg_scale negative negative_file cache "
    "cache_all cache_ro"
)
_LATER_THAN_AUGUST = (
    "system conversation single_turn template samplers breakers json_schema json_schema_file shift cache_k "
    "cache_v rope_scaling yarn_orig_ctx yarn_ext_factor yarn_attn_factor yarn_beta_fast yarn_beta_slow"
)
LATER = {APRIL: f"{_LATER_THAN_APRIL} {_LATER_THAN_AUGUST}".split(), AUGUST: _LATER_THAN_AUGUST.split()}


def settings_of(date: str, settings: Settings) -> Settings:
    """The settings with the defaults of that date where nothing was chosen."""
    for key, value in DEFAULTS[date].items():
        settings.suggest(key, value)
    return settings


def check_date(date: str, args: argparse.Namespace) -> None:
    """Raises UserError for flags that the program of that date did not have: they would do nothing."""
    names = {f.dest: next((n for n in f.names if n[1] == "-"), f.names[0]) for f in reversed(FLAGS)}
    names |= {s.key: s.flag for s in SETTINGS if s.key not in (*DEFAULTS[date], "n_threads")}
    for name, flag in names.items():
        given = getattr(args, name, None) not in (None, ())
        if given and (name in LATER[date] or name in BY_KEY):
            raise UserError(f"--compat {date} has no {flag}; leave one of the two out.")
    if args.cache_all and (args.interactive or args.interactive_first or args.instruct):
        raise UserError(
            "--compat 2023-08 keeps no replies of a conversation: leave --prompt-cache-all out, or --compat."
        )


def program_options(date: str, args: argparse.Namespace, wanted: Wanted, seed: int) -> Options:
    from alpaca_tui.engine.compat.draws import Mt19937
    from alpaca_tui.engine.compat.program import Options

    s, prompt = wanted.settings, prompt_of(args) or ""
    if args.random_prompt:
        prompt = RANDOM_PROMPTS[Mt19937(seed).word() % len(RANDOM_PROMPTS)]
    n_predict = int(s["n_predict"])
    if getattr(args, "n_predict", None) == UNTIL_FULL:
        n_predict = UNTIL_FULL
    return Options(
        prompt=prompt,
        n_ctx=int(s["n_ctx"]) or int(DEFAULTS[date]["n_ctx"]),
        n_batch=min(int(s["n_batch"]), 512),
        n_predict=n_predict,
        n_keep=wanted.keep,
        instruct=bool(args.instruct),
        interactive=bool(args.interactive),
        interactive_first=bool(args.interactive_first),
        antiprompts=wanted.reverse,
        in_prefix=wanted.in_prefix,
        in_suffix=wanted.in_suffix,
        in_prefix_bos=wanted.in_prefix_bos,
        multiline=bool(args.multiline),
    )


def choices_of(args: argparse.Namespace, settings: Settings, eos: int) -> Choices:
    from alpaca_tui.engine.compat.samplers import Choices

    names = ("temp", "top_k", "top_p", "repeat_penalty", "repeat_last_n", "presence_penalty",
             "frequency_penalty", "tfs_z", "typical_p", "mirostat")  # fmt: skip
    chosen: dict[str, Any] = {name: settings[name] for name in names}
    bias = dict(args.logit_bias or ())
    if args.ignore_eos:
        bias[eos] = -math.inf  # in August; April looks at `ignore_eos`
    return Choices(
        **chosen,
        mirostat_eta=float(settings["mirostat_lr"]),
        mirostat_tau=float(settings["mirostat_ent"]),
        ignore_eos=bool(args.ignore_eos),
        logit_bias=bias,
    )


class InThread:
    """The model, evaluating in a thread of its own: Ctrl+C is heard while it does."""

    def __init__(self, model: Evaluator) -> None:
        self._model = model
        self.n_ctx, self.n_batch = model.n_ctx, model.n_batch
        self._pool = ThreadPoolExecutor(1, "eval")

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> Any:
        return self._pool.submit(self._model.eval, tokens, pos, n_logits).result()


class Console:
    """`engine.compat.program.Console` over the terminal: bytes to stdout as they are."""

    def __init__(self, terminal: Terminal, slash: bool) -> None:
        self._terminal, self._slash = terminal, slash
        self._line = b""  # what stands on the screen since the last new line
        self._lines: list[str] = []  # typed together, and not read yet

    def write(self, data: bytes) -> None:
        self._terminal.clear_progress()
        self._terminal.out.flush()
        self._terminal.out.buffer.write(data)
        self._terminal.out.buffer.flush()
        self._line = (self._line + data).rpartition(b"\n")[2]

    def notice(self, text: str) -> None:
        self._terminal.notice(text)

    def colour(self, name: str) -> None:
        self._terminal.colour(name)

    def read_line(self) -> str | None:
        """A line as it would come from a file: of a message of several lines, each but the last goes on."""
        if not self._lines:
            prompt, self._line = self._line.decode("utf-8", "replace"), b""
            text = self._terminal.read_message(prompt, slash=self._slash, drawn=True)
            if text is None:
                return None
            multiline = self._terminal.multiline
            *first, last = text.split("\n")
            marks = ("", "\\") if multiline and not last.endswith("/") else ("\\" * (not multiline), "")
            self._lines = [line + marks[0] for line in first] + [last + marks[1]]
        return self._lines.pop(0)


def run(args: argparse.Namespace, wanted: Wanted) -> int:
    """Exit code: 0, or 130 after the second Ctrl+C. Raises UserError."""
    date: str = args.compat
    check_date(date, args)
    settings = settings_of(date, wanted.settings)
    seed = seed_of(date, int(settings["seed"]))
    options = program_options(date, args, wanted, seed)
    terminal = Terminal(
        sys.stdin,
        sys.stdout,
        sys.stderr,
        color="off" if args.color is None else args.color,
        simple_io=bool(args.simple_io),
        multiline=options.multiline,
    )
    terminal.notice(f"main: seed = {seed}")
    began = time.perf_counter()
    load = flags.load_options(args, settings)
    with _engine(wanted.model or guide_model(), load, options.n_ctx, terminal) as engine:
        timings = Timings(load=time.perf_counter() - began)
        if args.mlock and (refused := system.lock_memory()):
            terminal.notice(f"(--mlock has no effect: {refused}.)")
        choices = choices_of(args, settings, engine.tokenizer.eos)
        program = _program(date, options, choices, settings, seed, engine, terminal)
        for line in banner(date, program, settings):
            terminal.notice(line)
        code = talk(program, terminal, april=date == APRIL)
        if code is None:
            return OK
        add_counts(timings, program.counts)
        timings.total = time.perf_counter() - began
        terminal.notice(timings.text(april=date == APRIL))
        return code


def talk(program: Program, terminal: Terminal, april: bool) -> int | None:
    """Runs the program. None where it left without a word: April at the end of input, and at a second
    Ctrl+C.
    """

    def press(number: int, frame: FrameType | None) -> None:
        if april:
            terminal.colour("default")
            terminal.write("\n")
        if not program.interject():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press) if program.interactive else None
    try:
        with terminal.talking() if program.interactive else nullcontext():
            return OK if program.run() else None
    except KeyboardInterrupt:
        if april or not program.interactive:
            raise
        terminal.colour("default")
        terminal.write("\n")
        return INTERRUPTED
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def seed_of(date: str, seed: int) -> int:
    """A seed of the clock's where none was given; in April 0 was none."""
    return int(time.time()) if seed < 0 or (seed == 0 and date == APRIL) else seed


def banner(date: str, program: Program, settings: Settings) -> Iterator[str]:
    """What the programs said on stderr before they began."""
    o = program.options
    if program.interactive:
        yield "main: interactive mode on."
        yield from (f"Reverse prompt: '{text}'" for text in program.antiprompts)
        if o.in_prefix:
            yield f"Input prefix: '{o.in_prefix}'"
        if o.in_suffix:
            yield f"Input suffix: '{o.in_suffix}'"
    values = ((name, settings[name]) for name in NUMBERS[date].split())
    yield "sampling: " + ", ".join(
        f"{name} = {value:.6f}" if isinstance(value, float) else f"{name} = {value}" for name, value in values
    )
    yield (
        f"generate: n_ctx = {o.n_ctx}, n_batch = {o.n_batch}, n_predict = {o.n_predict}, "
        f"n_keep = {program.keep}\n\n"
    )
    if program.interactive:
        yield "== Running in interactive mode. ==\n - Press Ctrl+C to interject at any time."
        if date == APRIL:
            yield " - Press Return to return control to LLaMa."
        else:
            ends = "end your input with '\\'" if o.multiline else "press Return"
            yield f" - To return control to LLaMa, {ends}."
            yield " - To return control without starting a new line, end your input with '/'."
        if not o.multiline:
            yield " - If you want to submit another line, end your input in '\\'."
        yield ""


def add_counts(timings: Timings, counts: Counts) -> None:
    timings.sample, timings.n_sample = counts.sample.seconds, counts.sample.n
    timings.prompt, timings.n_prompt = counts.prompt.seconds, counts.prompt.n
    timings.eval, timings.n_eval = counts.eval.seconds, counts.eval.n


@contextmanager
def _engine(path: Path, options: LoadOptions, n_ctx: int, terminal: Terminal) -> Iterator[Engine]:
    from alpaca_tui.engine.engine import Engine
    from alpaca_tui.log import set_up_log

    set_up_log()

    def on_progress(stage: str, done: int, total: int, what: str) -> None:
        state = EngineState.COMPILING if stage == "compile" else EngineState.LOADING
        terminal.progress(Progress(state, done, total, what))

    load = {f.name: getattr(options, f.name) for f in fields(LoadOptions)}
    for name in ("lookup", "saved_states", "cache_type"):
        del load[name]
    try:
        loaded = Engine.load(path, **{**load, "n_ctx": n_ctx, "n_batch": 512}, on_progress=on_progress)
    finally:
        terminal.clear_progress()
    with loaded as engine:
        try:
            yield engine
        finally:
            engine.stop()  # an evaluation in progress


def _program(
    date: str,
    options: Options,
    choices: Choices,
    settings: Settings,
    seed: int,
    engine: Engine,
    terminal: Terminal,
) -> Program:
    from alpaca_tui.commands import compat_contexts
    from alpaca_tui.engine.compat import program, samplers
    from alpaca_tui.engine.compat.draws import Mt19937
    from alpaca_tui.engine.grammar.matcher import Grammars

    april, rng = date == APRIL, Mt19937(seed)
    sampler: samplers.April | samplers.August
    if april:
        sampler = samplers.April(choices, rng, engine.tokenizer.eos)
    else:
        grammars = Grammars(engine.tokenizer)
        params = SamplingParams(grammar=settings.other_sampling.get("grammar", ""))
        sampler = samplers.August(choices, rng, partial(grammars.matcher, params))
    rules = program.APRIL if april else program.AUGUST
    console = Console(terminal, slash=rules.slash)
    model = InThread(engine.executor)
    request, scale = settings.other_request, settings.other_sampling.get("cfg_scale", 1)
    cache: PromptCache | None = request.get("prompt_cache")
    session = compat_contexts.session_of(cache, engine, terminal.notice) if cache else None
    n_session = len(session.tokens) if session else 0
    guide = None
    if scale > 1:
        guide = compat_contexts.guide_of(scale, request["negative"][0].text, engine, InThread)
    try:
        made = program.Program(
            rules, options, model, engine.tokenizer, sampler, console, session=session, guide=guide
        )
    except program.PromptTooLongError as error:
        raise UserError(
            f"The prompt has {error.n_tokens} tokens, {error.n_tokens - error.most} too many for a context "
            f"of {options.n_ctx}; shorten it, or give a larger one with -c."
        ) from None
    if made.guidance and isinstance(sampler, samplers.August):
        sampler.guided = made.guidance.guided
    if said := compat_contexts.told(made.in_session, len(made.prompt_tokens), n_session):
        terminal.notice(said)
    return made
