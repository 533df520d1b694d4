"""`alpaca-tui quantize`: a model file with smaller weights, byte for byte as llama.cpp quantises."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alpaca_tui.commands import flags, weights
from alpaca_tui.commands.progress import Bar, clock
from alpaca_tui.errors import UserError

if TYPE_CHECKING:
    from alpaca_tui.commands.quantize_table import Table
    from alpaca_tui.pipeline.containers import Container
    from alpaca_tui.pipeline.convert_rows import Counts
    from alpaca_tui.pipeline.jobs import Job
    from alpaca_tui.pipeline.sources import Source

# number, name, and how large a model of 7B becomes in GGUF
TYPES = (
    (2, "q4_0", "3.8 GB; the tutorials' choice"),
    (3, "q4_1", "4.2 GB"),
    (8, "q5_0", "4.6 GB"),
    (9, "q5_1", "5.1 GB"),
    (18, "q6_K", "5.5 GB"),
    (7, "q8_0", "7.2 GB; as good as f16"),
    (1, "f16", "13.5 GB"),
    (0, "f32", "27 GB"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", metavar="IN [OUT] TYPE [THREADS]", nargs="+", help="as llama.cpp's quantize takes them"
    )
    flags.both_spellings(
        parser,
        ("--container",),
        metavar="NAME",
        help="ggml, ggmf, ggjt-v1, ggjt-v2, ggjt-v3 or gguf (default: that of IN)",
    )
    for flag, words in (
        ("--allow-requantize", "also from weights that are quantised already, which makes them worse"),
        ("--leave-output-tensor", "leave output.weight as it is"),
        ("--pure", "all matrices of the same type: no better one for output.weight"),
    ):
        flags.both_spellings(parser, (flag,), action="store_true", help=words)
    flags.both_spellings(
        parser,
        ("--vocab-dir",),
        metavar="DIR",
        type=Path,
        help="where tokenizer.model is, if IN lacks scores",
    )
    parser.epilog = "types (by number or name, and what 7B weights come to in GGUF):\n" + "".join(
        f"  {number:2}  {name:6}{about}\n" for number, name, about in TYPES
    )


class _Request(NamedTuple):
    source: Path
    output: Path | None
    kind: str
    n_threads: int


def run(args: argparse.Namespace) -> int:
    from alpaca_tui.files.output import gigabytes
    from alpaca_tui.pipeline.containers import container_named
    from alpaca_tui.pipeline.jobs import QuantizeOptions
    from alpaca_tui.pipeline.quantize import quantize

    request = _read_words(args.words)
    container = container_named(args.container) if args.container else None
    options = QuantizeOptions(args.allow_requantize, args.leave_output_tensor, args.pure)
    with Bar() as bar:
        printer = _Printer(bar)
        written = quantize(
            request.source,
            request.kind,
            request.output,
            container=container,
            options=options,
            n_threads=request.n_threads,
            vocab_dir=args.vocab_dir,
            watcher=printer,
        )
        bar.clear()
        printer.end()
    weights.tell_odd(written)
    print(f"\nWrote {written.path}, {gigabytes(written.size)}, in {clock(printer.seconds)}.", end="")
    if written.new_size < written.old_size:
        saved = written.old_size - written.new_size
        print(f" The weights take {gigabytes(saved)} less: {100 * saved / written.old_size:.0f} %.", end="")
    print()
    return 0


def _read_words(words: Sequence[str]) -> _Request:
    """IN [OUT] TYPE [THREADS]: the second word is the type if it can be one."""
    from alpaca_tui.pipeline.containers import parse_type

    rest = list(words[1:])
    output = Path(rest.pop(0)) if rest and parse_type(rest[0]) is None else None
    if not rest:
        hint = f"{words[1]!r} is no type; " if output else ""
        raise UserError(f"{hint}say what to quantise to, for example q4_0 or 2: IN [OUT] TYPE [THREADS].")
    kind = parse_type(rest[0])
    if kind is None:
        known = ", ".join(f"{number} {name}" for number, name, _ in TYPES)
        raise UserError(f"There is no type {rest[0]!r} to quantise to; there are {known}.")
    if len(rest) > 2:
        raise UserError(f"{rest[2]!r} is one argument too many; the order is IN [OUT] TYPE [THREADS].")
    return _Request(Path(words[0]), output, kind, weights.n_threads(rest[1] if len(rest) > 1 else None))


class _Printer(weights.Reporter):
    """Prints the table of the container's time."""

    def __init__(self, bar: Bar) -> None:
        super().__init__(bar)
        self._table: Table | None = None

    def begin(self, source: Source, jobs: Sequence[Job], container: Container) -> None:
        from alpaca_tui.commands.quantize_table import Table

        self._table = Table(source, jobs, container)
        self._print(self._table.head())

    def tensor_done(self, index: int, job: Job, counts: Counts) -> None:
        if self._table:
            self._print(self._table.line(index, job, counts))

    def end(self) -> None:
        if self._table:
            self._print(self._table.totals())

    def _print(self, text: str) -> None:
        if text:
            self.bar.clear()
            print(text, flush=True)
