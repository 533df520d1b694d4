"""`alpaca-tui main`: the chat in the plain terminal, as the tutorials of 2023 have it, and for pipes."""

from __future__ import annotations

import argparse
import sys

from alpaca_tui.commands import flags
from alpaca_tui.resources import guide_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flags.add_model_flags(parser)
    flags.add_settings_flags(parser)
    group = flags.add_prompt_flags(parser)
    group.add_argument("-p", "--prompt", metavar="TEXT", help="answer this one message, and end")
    group = parser.add_argument_group("screen")
    group.add_argument("--color", action="store_true", help="show what you type in green")


def run(args: argparse.Namespace) -> int:
    settings, explicit = flags.settings_from(args)
    instruction = flags.instruction_from(args)
    options = flags.load_options(args, settings)
    path = guide_model() if args.model is None else flags.readable_file(args.model, "model file")

    # only now: all this takes longer to import than the above
    from alpaca_tui.chat.session import ChatSession
    from alpaca_tui.commands.plain import PlainChat, Terminal
    from alpaca_tui.engine.worker import EngineWorker
    from alpaca_tui.log import set_up_log

    set_up_log()
    session = ChatSession(settings, instruction, explicit=explicit)
    chat = PlainChat(session, Terminal(sys.stdin, sys.stdout, sys.stderr, colour=args.color))
    engine = EngineWorker()
    try:
        chat.load(engine, path, options)
        return chat.answer_once(args.prompt) if args.prompt is not None else chat.converse()
    finally:
        engine.close()
