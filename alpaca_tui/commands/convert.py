"""`alpaca-tui convert`, also as `convert.py` and `convert-pth-to-ggml.py`: a model file from a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_tui.commands import flags, weights
from alpaca_tui.commands.progress import Bar, clock
from alpaca_tui.errors import UserError

if TYPE_CHECKING:
    from alpaca_tui.pipeline.containers import Container
    from alpaca_tui.pipeline.jobs import Job
    from alpaca_tui.pipeline.sources import Source

OUTTYPES = ("f32", "f16", "q8_0", "q4_1", "q4_0")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="a folder with a checkpoint, or a model file"
    )
    parser.add_argument(
        "ftype",
        metavar="0|1",
        nargs="?",
        help="1: f16, 0: f32, with tensors in the order of convert-pth-to-ggml.py; without: as convert.py",
    )
    parser.add_argument("vocab", metavar="0|1", nargs="?", help="1: the vocabulary only")

    def flag(*names: str, **keywords: object) -> None:
        flags.both_spellings(parser, names, **keywords)

    flag("--outtype", metavar="TYPE", help=f"{', '.join(OUTTYPES)} (default: f16 of f16, else f32)")
    flag("--outfile", metavar="FILE", type=Path, help="default: ggml-model-TYPE.bin (.gguf) beside MODEL")
    flag("--container", metavar="NAME", help="ggml, ggmf, ggjt-v1 (default), ggjt-v2, ggjt-v3 or gguf")
    flag("--vocab-dir", metavar="DIR", type=Path, help="where tokenizer.model is, if not with MODEL")
    flag("--vocab-only", action="store_true", help="write the vocabulary only; needs --outfile")
    flag("--dump", action="store_true", help="say what is in MODEL, and write nothing")
    flag("--model-name", metavar="NAME", help="general.name of a GGUF file (default: the folder's)")
    flag(
        "--metadata",
        metavar="FILE",
        type=Path,
        help="a JSON object with what a GGUF file is to say: general.description, general.license, ...",
    )
    flag(
        "-eps",
        "--rms-norm-eps",
        dest="norm_eps",
        metavar="X",
        type=flags.norm_eps,
        help="epsilon of the norms, where MODEL does not say it",
    )
    flag("-c", "--ctx-size", dest="n_ctx", metavar="N", type=int, help="context that a GGUF file announces")
    flag("-t", "--threads", metavar="N", help="threads (default: as many as there are cores)")


def run(args: argparse.Namespace) -> int:
    from alpaca_tui.files.output import gigabytes
    from alpaca_tui.pipeline.containers import CONTAINERS, container_named
    from alpaca_tui.pipeline.convert import CONVERT_PY, STATE_DICT, ConvertOptions, convert, read_metadata

    kind = _kind(args)
    container = container_named(args.container) if args.container else None
    if args.n_ctx is not None and not 8 <= args.n_ctx < 1 << 31:
        raise UserError(f"-c takes a whole number from 8, not {args.n_ctx}.")
    if _flag(args.vocab) or args.vocab_only:
        return _write_vocab(args, container or CONTAINERS["ggjt-v1"])
    if args.dump:
        return _dump(args)
    options = ConvertOptions(
        kind=kind,
        container=container,
        order=CONVERT_PY if args.ftype is None else STATE_DICT,
        vocab_dir=args.vocab_dir,
        name=args.model_name,
        metadata=read_metadata(args.metadata) if args.metadata else {},
        norm_eps=args.norm_eps,
        n_ctx_train=args.n_ctx,
    )
    n_threads = weights.n_threads(args.threads)
    with Bar() as bar:
        printer = _Printer(bar)
        written = convert(args.model, args.outfile, options, n_threads=n_threads, watcher=printer)
    weights.tell_odd(written)
    for line in printer.notes():
        print(line)
    print(f"Wrote {written.path}, {gigabytes(written.size)}, in {clock(printer.seconds)}.")
    return 0


def _kind(args: argparse.Namespace) -> str | None:
    if args.ftype is not None:
        if args.ftype not in ("0", "1"):
            raise UserError(f"After the folder comes 0 (f32) or 1 (f16), not {args.ftype!r}.")
        if args.outtype is not None:
            raise UserError(
                "--outtype and the number after the folder say the same thing; leave one of them out."
            )
        return "f16" if args.ftype == "1" else "f32"
    if args.outtype is not None and args.outtype.lower() not in OUTTYPES:
        raise UserError(f"There is no --outtype {args.outtype!r}; there are {', '.join(OUTTYPES)}.")
    return args.outtype.lower() if args.outtype else None


def _flag(text: str | None) -> bool:
    if text not in (None, "0", "1"):
        raise UserError(f"The third argument is 1 for the vocabulary only, else 0, not {text!r}.")
    return text == "1"


class _Printer(weights.Reporter):
    """Remembers what there is to say about the source."""

    def __init__(self, bar: Bar) -> None:
        super().__init__(bar)
        self._source: Source | None = None
        self._is_gguf = False
        self._jobs: Sequence[Job] = ()

    def begin(self, source: Source, jobs: Sequence[Job], container: Container) -> None:
        self._source, self._jobs = source, jobs
        self._is_gguf = container.family == "gguf"

    def notes(self) -> list[str]:
        """What the user should know about the file that was written."""
        from alpaca_tui.pipeline.layout import unsaid

        notes = []
        formats = {
            (job.tensor.format.name, job.format.name) for job in self._jobs if len(job.tensor.shape) == 2
        }
        if ("bf16", "f32") in formats:
            notes.append("The weights were bf16, which became f32; --outtype f16 takes half of the room.")
        if any(old.endswith(("_v1", "_v2")) and new != old for old, new in formats):
            notes.append("The quantised weights keep their levels; only scales were rounded to f16.")
        lost = unsaid(self._source.hparams) if self._source and not self._is_gguf else None
        return [*notes, lost] if lost else notes


def _dump(args: argparse.Namespace) -> int:
    """The parts, numbers, vocabulary and tensors of a model."""
    from alpaca_tui.pipeline.find import open_source

    with open_source(args.model, args.vocab_dir, need_vocab=False) as source:
        for path in source.paths:
            print(path)
        h = source.hparams
        print(
            f"params: n_vocab:{h.n_vocab} n_embd:{h.n_embd} n_mult:{source.n_mult} n_head:{h.n_head} "
            f"n_head_kv:{h.n_head_kv} n_layer:{h.n_layer} n_ff:{h.n_ff} norm_eps:{h.norm_eps:.3g}"
        )
        for name, tensor in source.tensors.items():
            print(f"{name}: shape={list(tensor.shape)} type={tensor.format.name}")
    return 0


def _write_vocab(args: argparse.Namespace, container: Container) -> int:
    from alpaca_tui.pipeline.convert import convert_vocab

    by_number = args.ftype is not None
    if args.outfile is None and not by_number:
        raise UserError("--vocab-only needs --outfile FILE: where to write the vocabulary.")
    output = args.outfile or args.model / "ggml-vocab.bin"
    size = convert_vocab(
        args.model, output, args.vocab_dir, container, int(args.ftype) if by_number else None
    )
    print(f"Wrote {output}, {size:,} bytes.")
    return 0
