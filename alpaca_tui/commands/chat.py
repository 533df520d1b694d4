"""`alpaca-tui`: the full-screen chat."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from alpaca_tui.commands import flags
from alpaca_tui.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("positional", metavar="MODEL", nargs="?", type=Path, help="the same as -m MODEL")
    flags.add_model_flags(parser)
    flags.add_settings_flags(parser)
    flags.add_prompt_flags(parser)
    group = parser.add_argument_group("screen")
    group.add_argument("--lang", choices=("en", "zh"), help="language of the screen (default: the system's)")
    group.add_argument(
        "--color", action="store_true", help="the screen has colours anyway; kept for old habits"
    )


def run(args: argparse.Namespace) -> int:
    if args.positional is not None and args.model is not None:
        raise UserError(f"Two models were given, {str(args.model)!r} and {str(args.positional)!r}; name one.")
    model = args.model if args.model is not None else args.positional
    if model is not None:
        flags.readable_file(model, "model file")
    if args.tokenizer is not None:
        flags.readable_file(args.tokenizer, "tokenizer.model file")
    settings, explicit = flags.settings_from(args)
    instruction = flags.instruction_from(args)
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UserError(
            "The full-screen chat needs a terminal for its input and output; "
            "for pipes and scripts there is `alpaca-tui main`."
        )
    from alpaca_tui.commands.workshop import PipelineWorkshop
    from alpaca_tui.log import set_up_log
    from alpaca_tui.tui.app import run_app  # only now: Textual takes longer to import than all of the above

    set_up_log()
    return run_app(
        model=model,
        settings=settings,
        instruction=instruction,
        explicit=explicit,
        language=args.lang,
        norm_eps=args.norm_eps,
        tokenizer=args.tokenizer,
        workshop=PipelineWorkshop(),
    )
