"""`alpaca-tui bench`: the speed of a model on this computer, in llama-bench's words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from alpaca_tui.chat.settings import BY_KEY
from alpaca_tui.commands import flags
from alpaca_tui.commands.bench_table import PRINTERS
from alpaca_tui.commands.progress import Bar
from alpaca_tui.errors import UserError
from alpaca_tui.resources import guide_model

MOST_TOKENS = BY_KEY["n_ctx"].high
MOST_ROUNDS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", metavar="FILE", type=Path, help="default: the bundled model")
    for short, long, default, words in (
        ("-t", "--threads", None, "threads; several numbers make a test each (default: one for each core)"),
        ("-p", "--n-prompt", [512], "tokens of a prompt, evaluated in batches; 0: no such test"),
        ("-n", "--n-gen", [128], "tokens decoded one by one; 0: no such test"),
    ):
        flags.both_spellings(
            parser,
            (short, long),
            metavar="N,...",
            type=_numbers(short),
            default=default,
            help=words + (f" (default: {default[0]})" if default else ""),
        )
    n_batch = BY_KEY["n_batch"]
    flags.both_spellings(
        parser,
        n_batch.flags,
        dest="n_batch",
        metavar="N",
        type=n_batch.parse,
        default=n_batch.default,
        help=f"prompt tokens evaluated at once (default: {n_batch.default})",
    )
    parser.add_argument(
        "-r", "--repetitions", metavar="N", type=_rounds, default=3, help="rounds of each test (default: 3)"
    )
    parser.add_argument(
        "-o", "--output", choices=tuple(PRINTERS), default="md", help="form of the output (default: md)"
    )


def run(args: argparse.Namespace) -> int:
    from alpaca_tui.engine.threads import thread_count
    from alpaca_tui.pipeline.bench import Workload, bench

    path = guide_model() if args.model is None else flags.readable_file(args.model, "model file")
    workloads = [Workload(n, False) for n in args.n_prompt if n] + [
        Workload(n, True) for n in args.n_gen if n
    ]
    if not workloads:
        raise UserError("With -p 0 and -n 0 there is nothing to measure; give one of them some tokens.")
    threads = [thread_count(n) for n in args.threads or [0]]
    with Bar() as loading, Bar(unit="tokens") as bar:

        def on_progress(done: int, total: int, what: str) -> None:
            loading.clear()
            bar(done, total, what)

        results = bench(
            path,
            workloads,
            threads,
            args.repetitions,
            args.n_batch,
            on_load=lambda stage, done, total, what: loading(done, total, f"{stage} {what}"),
            on_progress=on_progress,
        )
        for text in PRINTERS[args.output](results):
            bar.clear()
            sys.stdout.write(text)
            sys.stdout.flush()
    return 0


def _numbers(flag: str) -> Callable[[str], list[int]]:
    def parse(text: str) -> list[int]:
        numbers = [int(part) for part in text.split(",") if part.isascii() and part.isdigit()]
        if len(numbers) != text.count(",") + 1 or not all(n <= MOST_TOKENS for n in numbers):
            raise UserError(
                f"{flag} takes whole numbers up to {MOST_TOKENS:,} with commas between them, not {text!r}."
            )
        return numbers

    return parse


def _rounds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_ROUNDS):
        raise UserError(f"-r takes a whole number from 1 to {MOST_ROUNDS}, not {text!r}.")
    return int(text)
