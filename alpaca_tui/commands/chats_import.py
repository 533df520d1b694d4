"""`alpaca-tui import`: conversations from files that `export` wrote as .json."""

from __future__ import annotations

import argparse
from pathlib import Path

from alpaca_tui.chat.read_export import read_chats
from alpaca_tui.chat.store import chats
from alpaca_tui.commands.chats_export import opened
from alpaca_tui.system import data_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="what export wrote as .json")


def run(args: argparse.Namespace) -> int:
    """Reads all files before anything is kept, so that a bad one leaves nothing half done."""
    conversations = [conversation for path in args.files for conversation in read_chats(path)]
    kept = [c for c in conversations if len(c) or c.draft or c.waiting]
    with opened(data_dir()) as archive:
        for conversation in kept:
            archive.run(chats.add, conversation).result()
            print(
                " ".join(
                    (conversation.title or conversation.first_question or conversation.draft)[:70].split()
                )
            )
    return 0
