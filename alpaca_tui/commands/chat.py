"""`alpaca-tui`: the full-screen chat."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from alpaca_tui.commands import flags, main_flags, no_meaning
from alpaca_tui.commands.wanted import wanted_from
from alpaca_tui.errors import UserError

# What there is no screen for, by the name of its value.
PLAIN_ONLY = {"compat": "--compat", "perplexity": "--perplexity", "single_turn": "--single-turn"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("positional", metavar="MODEL", nargs="?", type=Path, help="the same as -m MODEL")
    flags.add_model_flags(parser)
    flags.add_settings_flags(parser)
    group = parser.add_argument_group("screen")
    group.add_argument(
        "--no-saved-states",
        action="store_true",
        help="keep nothing of what was evaluated on disk: reopened conversations are evaluated again",
    )
    group.add_argument("--lang", choices=("en", "zh"), help="language of the screen (default: the system's)")
    main_flags.add_main_flags(parser, full_screen=True)
    no_meaning.add_unused_flags(parser)


def prompt_name(args: argparse.Namespace) -> str:
    """The name of the prompt's file, where it is one file and nothing else; else empty."""
    parts = args.parts or []
    return Path(parts[0].value).name if len(parts) == 1 and parts[0].flag == "-f" else ""


def run(args: argparse.Namespace) -> int:
    if args.positional is not None and args.model is not None:
        raise UserError(f"Two models were given, {str(args.model)!r} and {str(args.positional)!r}; name one.")
    model = args.model if args.model is not None else args.positional
    if model is not None:
        flags.readable_file(model, "model file")
    if args.tokenizer is not None:
        flags.readable_file(args.tokenizer, "tokenizer.model file")
    for dest, flag in PLAIN_ONLY.items():
        if getattr(args, dest):
            raise UserError(f"{flag} is for the plain terminal: alpaca-tui main … {flag} ….")
    args.instruct, args.conversation = True, None  # the screen is a chat: -p and -f are its instruction
    wanted = wanted_from(args)
    wanted.settings.other_loading.setdefault("saved_states", not args.no_saved_states)
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UserError(
            "The full-screen chat needs a terminal for its input and output; "
            "for pipes and scripts there is `alpaca-tui main`."
        )
    from alpaca_tui.commands.workshop import PipelineWorkshop
    from alpaca_tui.log import set_up_log
    from alpaca_tui.tui.run import run_app  # only now: Textual takes longer to import than all of the above

    set_up_log()
    for line in (*no_meaning.said_of(args), *main_flags.plain_only(args), *wanted.notices):
        print(f"({line})", file=sys.stderr)
    return run_app(
        model=model,
        settings=wanted.settings,
        instruction=wanted.prompt if args.parts or args.random_prompt or args.template else None,
        explicit=wanted.explicit,
        language=args.lang,
        norm_eps=args.norm_eps,
        tokenizer=args.tokenizer,
        workshop=PipelineWorkshop(),
        prompt_name=prompt_name(args),
        prompt_format=wanted.format,
    )
