"""`alpaca-tui perplexity`: how well a model predicts a text, and how far it is from another model."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpaca_tui.chat.settings import BY_KEY
from alpaca_tui.commands import flags
from alpaca_tui.commands.progress import Bar, clock
from alpaca_tui.errors import UserError
from alpaca_tui.resources import guide_model

if TYPE_CHECKING:
    from alpaca_tui.pipeline.divergence import BaseFile, Divergence
    from alpaca_tui.pipeline.in_thread import InThread
    from alpaca_tui.pipeline.perplexity import Estimate, Windows

DEFAULT_N_CTX = 512

# What the figures of --kl-divergence are called; `*`: in per cent.
_LABELS = {
    "ppl": "Mean PPL(Q)",
    "ppl_base": "Mean PPL(base)",
    "correlation": "Cor(ln(PPL(Q)), ln(PPL(base)))*",
    "log_ppl_ratio": "Mean ln(PPL(Q)/PPL(base))",
    "ppl_ratio": "Mean PPL(Q)/PPL(base)",
    "ppl_difference": "Mean PPL(Q)-PPL(base)",
    "kld_mean": "Mean KLD",
    "p_diff_mean": "Mean Δp*",
    "p_diff_rms": "RMS Δp*",
    "same_top": "Same top p*",
}
_TAILS = {"100": "Maximum", "50": "Median", "0": "Minimum"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flags.add_model_flags(parser)
    group = parser.add_argument_group("text")
    group.add_argument("-f", "--file", metavar="TEXT", type=Path, help="a UTF-8 text, such as wiki.test.raw")
    group.add_argument("--chunks", metavar="N", type=_chunks, default=-1, help="stop after N windows")
    group = parser.add_argument_group("settings")
    for key, default, words in (
        ("n_ctx", DEFAULT_N_CTX, "tokens of a window"),
        ("n_batch", BY_KEY["n_batch"].default, "tokens evaluated at once"),
        ("n_threads", 0, "threads; 0: as many as there are cores"),
    ):
        setting = BY_KEY[key]
        flags.both_spellings(
            group,
            setting.flags,
            dest=key,
            metavar="N",
            type=setting.parse,
            default=None if key == "n_ctx" else default,
            help=f"{words} (default: {default})",
        )
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="one JSON object at the end, nothing else")
    flags.both_spellings(
        group,
        ("--kl-divergence-base",),
        dest="base",
        metavar="FILE",
        type=Path,
        help="write the model's predictions there; with --kl-divergence: read them",
    )
    flags.both_spellings(
        group,
        ("--kl-divergence",),
        dest="divergence",
        action="store_true",
        help="compare with the predictions in the --kl-divergence-base file (which has the text, too)",
    )


def _chunks(text: str) -> int:
    if not text.removeprefix("-").isdigit() or int(text) < -1 or int(text) == 0:
        raise UserError(f"--chunks takes a whole number from 1, or -1 for all, not {text!r}.")
    return int(text)


def run(args: argparse.Namespace) -> int:
    path = guide_model() if args.model is None else flags.readable_file(args.model, "model file")
    if args.divergence and args.base is None:
        raise UserError("--kl-divergence needs --kl-divergence-base FILE: what the base model predicted.")
    if not args.divergence and args.file is None:
        raise UserError("Name the text with -f FILE: a UTF-8 text of some thousand words.")
    measure = _Measurement(args, path)
    return measure.compare() if args.divergence else measure.measure()


class _Measurement:
    def __init__(self, args: argparse.Namespace, path: Path) -> None:
        self.args, self.path = args, path
        self.begin = time.monotonic()

    def measure(self) -> int:
        from alpaca_tui.pipeline.divergence import base_writer
        from alpaca_tui.pipeline.perplexity import Estimate, cut_windows, measure, read_text

        text = read_text(self.args.file)
        with ExitStack() as stack:
            n_ctx = self.args.n_ctx or DEFAULT_N_CTX
            model, tokenizer, bos = self._load(stack, n_ctx)
            windows = cut_windows(tokenizer.encode(text), n_ctx, bos, self.args.chunks)
            on_piece = None
            if self.args.base is not None:
                on_piece = stack.enter_context(base_writer(self.args.base, windows, model.n_vocab))
            bar = stack.enter_context(Bar(unit="tokens"))
            estimate, running = Estimate(), list[float]()
            for estimate in measure(model, windows, on_progress=bar, on_piece=on_piece):
                running.append(estimate.ppl)
                self._report(bar, f"[{len(running)}]{estimate.ppl:.4f},", len(running), windows)
        if self.args.json:
            print(json.dumps(self._facts(windows, estimate, running), ensure_ascii=False))
        else:
            print(f"\nFinal estimate: PPL = {estimate.ppl:.4f} +/- {estimate.error:.5f}")
        return 0

    def compare(self) -> int:
        from alpaca_tui.pipeline.divergence import BaseFile, Divergence
        from alpaca_tui.pipeline.perplexity import Estimate, Windows, measure

        base = BaseFile(self.args.base)
        if self.args.n_ctx not in (None, base.n_ctx):
            raise UserError(f"{base.path} was made with -c {base.n_ctx}; leave -c out, or make it anew.")
        with ExitStack() as stack:
            model, _, bos = self._load(stack, base.n_ctx)
            self._check_vocabulary(model, base)
            tokens = base.tokens if self.args.chunks < 0 else base.tokens[: self.args.chunks]
            windows = Windows(tokens, bos)
            bar = stack.enter_context(Bar(unit="tokens"))
            found = Divergence()
            estimate, running = Estimate(), list[float]()

            def piece(logits: Any, targets: Any) -> None:
                found.add(logits, base.next(len(targets)), targets)

            for estimate in measure(model, windows, on_progress=bar, on_piece=piece):
                running.append(estimate.ppl)
                line = _running_line(len(running), found)
                self._report(bar, line, len(running), windows, "\n")
        statistics = found.statistics()
        if self.args.json:
            facts = self._facts(windows, estimate, running)
            print(json.dumps({**facts, "base": str(base.path), "kl_divergence": statistics}))
        else:
            print("\n".join(["", *_table(statistics)]))
        return 0

    def _load(self, stack: ExitStack, n_ctx: int) -> tuple[InThread, Any, int | None]:
        from alpaca_tui.pipeline.in_thread import InThread
        from alpaca_tui.pipeline.perplexity import load_model

        options = flags.load_options(self.args, flags.settings_from(argparse.Namespace())[0])
        with Bar() as bar:
            model, tokenizer, bos = load_model(
                self.path,
                n_ctx=n_ctx,
                n_batch=self.args.n_batch,
                n_threads=self.args.n_threads,
                tokenizer=options.tokenizer,
                norm_eps=options.norm_eps,
                on_progress=lambda stage, done, total, what: bar(done, total, f"{stage} {what}"),
            )
        thread = InThread(model)
        stack.callback(thread.close)
        self.begin = time.monotonic()
        return thread, tokenizer, bos

    def _check_vocabulary(self, model: InThread, base: BaseFile) -> None:
        if model.n_vocab != base.n_vocab:
            raise UserError(
                f"{base.path} is of a model with {base.n_vocab:,} tokens, and {self.path} has "
                f"{model.n_vocab:,}; compare models with the same vocabulary."
            )

    def _report(self, bar: Bar, text: str, n: int, windows: Windows, end: str = "") -> None:
        if n == 1 and not sys.stderr.isatty():
            seconds = (time.monotonic() - self.begin) * len(windows.tokens)
            n_windows = f"{len(windows.tokens)} windows of {windows.n_ctx} tokens"
            print(f"{n_windows}, about {clock(seconds)} in all", file=sys.stderr)
        if not self.args.json:
            bar.clear()
            print(text, end=end, flush=True)

    def _facts(self, windows: Windows, estimate: Estimate, running: list[float]) -> dict[str, Any]:
        return {
            "model": str(self.path),
            "text": str(self.args.file) if self.args.file else None,
            "n_ctx": windows.n_ctx,
            "n_chunks": len(windows.tokens),
            "n_scored": estimate.count,
            "ppl": estimate.ppl,
            "ppl_error": estimate.error,
            "running": running,
            "seconds": round(time.monotonic() - self.begin, 3),
        }


def _running_line(n: int, found: Divergence) -> str:
    s: dict[str, Any] = found.statistics()
    ppl, kld, same = s["ppl"], s["kld_mean"], s["same_top"]
    return (
        f"[{n}] PPL {ppl[0]:.4f} ± {ppl[1]:.4f}  KLD {kld[0]:.5f} ± {kld[1]:.5f}"
        f"  same top {100 * same[0]:.2f} ± {100 * same[1]:.2f} %"
    )


def _table(statistics: dict[str, Any]) -> list[str]:
    lines = []
    for key, value in statistics.items():
        label = _LABELS.get(key) or _tail_label(key)
        scale, unit = (100, " %") if label.endswith("*") else (1, "")
        values = value if isinstance(value, tuple) else (value,)
        shown = " ± ".join(f"{scale * x:10.6f}" for x in values)
        lines.append(f"{label.removesuffix('*'):31}: {shown}{unit}")
    return lines


def _tail_label(key: str) -> str:
    name, _, percent = key.rpartition("_")
    words = _TAILS.get(percent, f"{percent}%")
    return f"{words:7} {'Δp*' if name == 'p_diff' else 'KLD'}"
