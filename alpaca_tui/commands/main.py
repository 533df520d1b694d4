"""`alpaca-tui main`: llama.cpp's `main` in the plain terminal, for people, pipes and scripts."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_tui import system
from alpaca_tui.commands import flags, main_flags, no_meaning
from alpaca_tui.commands.terminal import Terminal
from alpaca_tui.commands.wanted import Mode, Wanted, wanted_from
from alpaca_tui.engine import protocol as p
from alpaca_tui.resources import guide_model

if TYPE_CHECKING:
    from alpaca_tui.commands.running import Running


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flags.add_model_flags(parser)
    flags.add_settings_flags(parser)
    main_flags.add_main_flags(parser)
    no_meaning.add_unused_flags(parser)


def run(args: argparse.Namespace) -> int:
    wanted = wanted_from(args)
    options = flags.load_options(args, wanted.settings)
    path = guide_model() if wanted.model is None else flags.readable_file(wanted.model, "model file")
    for line in (*no_meaning.said_of(args), *wanted.notices):
        print(f"({line})", file=sys.stderr)
    if wanted.mode is Mode.PERPLEXITY:
        return _perplexity(args)
    if args.verbose_prompt:
        _show_tokens(path, options, wanted)
    if args.compat:
        from alpaca_tui.commands import compat

        return compat.run(args, wanted)
    return _talk(args, wanted, path, options)


def _talk(args: argparse.Namespace, wanted: Wanted, path: Path, options: p.LoadOptions) -> int:
    # only now: all this takes longer to import than the above
    from alpaca_tui.commands.running import Running
    from alpaca_tui.engine.worker import EngineWorker
    from alpaca_tui.log import set_up_log

    set_up_log()
    terminal = Terminal(
        sys.stdin,
        sys.stdout,
        sys.stderr,
        color=args.color or "auto",
        simple_io=bool(args.simple_io),
        multiline=bool(args.multiline),
    )
    engine = EngineWorker()
    running = Running(engine, terminal)
    began = time.monotonic()
    talks = wanted.mode in (Mode.CHAT, Mode.TURNS)
    try:
        with terminal.talking() if talks else nullcontext():
            if wanted.mode in (Mode.CHAT, Mode.ANSWER):
                return _chat(running, wanted, path, options, bool(args.mlock))
            running.load(path, options)
            if args.mlock:
                lock_memory(terminal)
            return _text(running, args, wanted)
    finally:
        terminal.clear_progress()
        engine.close()
        running.timings.total = time.monotonic() - began
        if args.perf is not False and running.timings.n_prompt:
            terminal.notice(running.timings.text())


def lock_memory(terminal: Terminal) -> None:
    """--mlock, once the model is there."""
    refused = system.lock_memory()
    if refused:
        terminal.notice(f"(--mlock has no effect: {refused}.)")


def _chat(running: Running, wanted: Wanted, path: Path, options: p.LoadOptions, mlock: bool) -> int:
    from alpaca_tui.chat.session import ChatSession
    from alpaca_tui.commands.plain import PlainChat

    session = ChatSession(
        wanted.settings, wanted.prompt, explicit=wanted.explicit, prompt_format=wanted.format
    )
    chat = PlainChat(session, running.terminal, running.timings)
    chat.load(running.engine, path, options, greet=wanted.mode is Mode.CHAT)
    if mlock:
        lock_memory(running.terminal)
    if wanted.mode is Mode.ANSWER:
        return chat.answer_once(wanted.message or "")
    return chat.converse(wanted.message)


def _text(running: Running, args: argparse.Namespace, wanted: Wanted) -> int:
    from alpaca_tui.commands.text import Text, Turns

    turns = None
    if wanted.mode is Mode.TURNS:
        turns = Turns(
            wanted.reverse,
            bool(args.interactive_first),
            wanted.in_prefix,
            wanted.in_suffix,
            wanted.in_prefix_bos,
        )
    settings = wanted.settings
    request = p.GenerateRequest(
        prefix=(),
        turns=(),
        sampling=settings.sampling(),
        max_tokens=int(settings["n_predict"]),
        stop=() if turns else wanted.reverse,
        n_batch=int(settings["n_batch"]),
        **settings.other_request,
    )
    text = Text(
        running,
        running.terminal,
        request,
        wanted.prompt,
        keep=wanted.keep,
        show_prompt=args.display_prompt is not False,
        turns=turns,
    )
    return text.run()


def _perplexity(args: argparse.Namespace) -> int:
    """--perplexity: the command of that name, with the flags that it shares with `main`."""
    from alpaca_tui.commands import perplexity

    argv = [f"--model={args.model}"] if args.model is not None else []
    argv += [f"--file={part.value}" for part in args.parts or () if part.flag == "-f"]
    argv += [f"--chunks={args.chunks}"] if args.chunks else []
    argv += [f"--tokenizer={args.tokenizer}"] if args.tokenizer else []
    argv += [f"-eps={args.norm_eps}"] if args.norm_eps else []
    for key, flag in (("n_ctx", "--ctx-size"), ("n_batch", "--batch-size"), ("n_threads", "--threads")):
        argv += [f"{flag}={getattr(args, key)}"] if hasattr(args, key) else []
    parser = flags.Parser("alpaca-tui main --perplexity", "", "")
    perplexity.add_arguments(parser)
    return perplexity.run(parser.parse(argv))


def _show_tokens(path: Path, options: p.LoadOptions, wanted: Wanted) -> None:
    """--verbose-prompt: the prompt's tokens, as `main` printed them, on stderr."""
    from alpaca_tui.engine.tokenizer import Tokenizer
    from alpaca_tui.files.model_file import open_model

    with open_model(path, tokenizer=options.tokenizer, norm_eps=options.norm_eps) as file:
        assert file.vocab is not None  # else open_model has refused it
        tokenizer = Tokenizer(file.vocab)
    tokens = tokenizer.encode(wanted.prompt)
    lines = ["", f"main: prompt: ' {wanted.prompt}'", f"main: number of tokens in prompt = {len(tokens)}"]
    lines += [f"{token:6d} -> '{tokenizer.piece(token).decode('utf-8', 'replace')}'" for token in tokens]
    print("\n".join(lines), end="\n\n", file=sys.stderr)
