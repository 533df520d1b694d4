"""`alpaca-tui export`: conversations of the full-screen chat as files."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alpaca_tui.chat.conversation import Conversation
from alpaca_tui.chat.store import chats
from alpaca_tui.chat.store.archive import Archive
from alpaca_tui.chat.store.chats import Summary
from alpaca_tui.chat.store.trouble import StoreTroubleError
from alpaca_tui.chat.transfer import FORMATS, as_json, as_markdown, as_text, file_name, free_path, write_new
from alpaca_tui.errors import UserError
from alpaca_tui.system import data_dir

LISTED = 10  # chats that are named where it is not clear which is meant
STDOUT = Path("-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", metavar="WORD", nargs="*", help="the chat whose title or messages have these words"
    )
    parser.add_argument("--all", action="store_true", help="all chats (with these words), not one")
    parser.add_argument(
        "-o",
        metavar="FILE|DIR",
        type=Path,
        help="where to; the suffix is the format: .md, .json (all versions, for import) or .txt; - is the "
        "screen (default: a file here, named by the title)",
    )
    parser.add_argument("--format", choices=[suffix[1:] for suffix in FORMATS], help="md where nothing says")


def run(args: argparse.Namespace) -> int:
    words = " ".join(args.words)
    with opened(data_dir()) as archive:
        found = (archive.run(chats.matching, words) if words else archive.run(chats.summaries)).result()
        if not found:
            raise UserError("No chat has these words." if words else "There are no chats yet.")
        if not args.all:
            found = [_one(found, words)]
        loaded = (archive.run(chats.load, chat.id).result() for chat in found)
        conversations = [chat[0] for chat in loaded if chat is not None]
    suffix = f".{args.format}" if args.format else ""
    for path in _write(conversations, args.o, suffix, args.all):
        print(path)
    return 0


@contextmanager
def opened(folder: Path) -> Iterator[Archive]:
    """The conversations of the full-screen chat. Raises UserError where they cannot be read."""
    archive = Archive(folder)
    try:
        archive.run(lambda connection: None).result()
        if archive.trouble is not None:
            raise UserError(archive.trouble.sentence())
        yield archive
    except StoreTroubleError as trouble:
        raise UserError(trouble.sentence()) from None
    finally:
        archive.close()


def _one(found: Sequence[Summary], words: str) -> Summary:
    titled = [chat for chat in found if chat.title.casefold() == words.casefold()]
    if len(found) == 1 or len(titled) == 1:
        return (titled or found)[0]
    lines = [f"  {time.strftime('%Y-%m-%d', time.localtime(c.updated))}  {_title(c)}" for c in found[:LISTED]]
    more = f"\n  and {len(found) - LISTED} more" if len(found) > LISTED else ""
    raise UserError("Which chat? Name words that only one has, or --all:\n" + "\n".join(lines) + more)


def _title(chat: Summary) -> str:
    return " ".join((chat.title or chat.draft)[:70].split())


def _write(
    conversations: Sequence[Conversation], target: Path | None, suffix: str, several: bool
) -> Iterator[Path]:
    """Writes into one file, or one for each into a folder, and yields their paths."""
    if target == STDOUT:
        sys.stdout.write(_text(conversations, suffix or ".md"))
        return
    if target is not None and target.suffix.lower() in FORMATS and not target.is_dir():
        write_new(target, _text(conversations, suffix or target.suffix.lower()))
        yield target
        return
    if target is not None and not target.is_dir() and not several:
        raise UserError(f"{target} does not say a format; end it with {', '.join(FORMATS)}, or add --format.")
    folder = target or Path()
    if not folder.is_dir():
        raise UserError(f"There is no folder {str(folder)!r}; make it first.")
    suffix = suffix or ".md"
    for conversation in conversations:
        title = conversation.title or " ".join(conversation.first_question[:80].split())
        path = free_path(folder / file_name(title, suffix))
        write_new(path, _text([conversation], suffix))
        yield path


def _text(conversations: Sequence[Conversation], suffix: str) -> str:
    if suffix == ".json":
        return as_json(conversations)
    write = as_markdown if suffix == ".md" else as_text
    return "\n".join(write(conversation, "You", "Model") for conversation in conversations)
