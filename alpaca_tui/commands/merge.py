"""`alpaca-tui merge`: a base model and its LoRAs become one model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_tui.chat.settings import BY_KEY
from alpaca_tui.commands.flags import both_spellings
from alpaca_tui.commands.progress import Bar, size
from alpaca_tui.errors import UserError

if TYPE_CHECKING:
    from alpaca_tui.pipeline.merge import Merged
    from alpaca_tui.pipeline.merged import MergedSource

_OUTPUT_TYPES = ("pth", "huggingface", "ggml", "gguf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    both_spellings(
        parser,
        ("--base-model",),
        dest="base",
        metavar="DIR",
        type=Path,
        help="the original model: consolidated.*.pth with params.json, or a Hugging Face folder",
    )
    both_spellings(
        parser,
        ("--lora-model",),
        dest="loras",
        metavar="DIR[,DIR]",
        help="the LoRA's folder; several in the order in which they were trained",
    )
    both_spellings(
        parser,
        ("--output-type",),
        dest="output_type",
        metavar="|".join(_OUTPUT_TYPES),
        default="pth",
        help="what to write (default: pth)",
    )
    both_spellings(
        parser,
        ("--output-dir",),
        dest="folder",
        metavar="DIR",
        type=Path,
        default=Path("merged_model"),
        help="where (default: ./merged_model)",
    )
    threads = BY_KEY["n_threads"]
    parser.add_argument(
        *threads.flags,
        dest="n_threads",
        metavar="N",
        type=threads.parse,
        default=0,
        help="threads; 0: as many as there are cores (default: 0)",
    )
    for unused in ("--offload-dir", "--offload-folder", "--model-size"):  # the original script's; not needed
        both_spellings(parser, (unused,), help=argparse.SUPPRESS)
    parser.add_argument("--verbose", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    if args.base is None:
        raise UserError("Name the folder of the original model with --base_model.")
    loras = [Path(name.strip()) for name in (args.loras or "").split(",") if name.strip()]
    if not loras:
        raise UserError("Name the folder of the LoRA with --lora_model; several are separated by commas.")

    from alpaca_tui.pipeline.merge import merge
    from alpaca_tui.system import usable_cores

    with Bar() as bar:

        def tell(source: MergedSource) -> None:
            bar.clear()
            _describe(source)

        merged = merge(
            args.base,
            loras,
            args.output_type,
            args.folder,
            n_threads=args.n_threads or usable_cores(),
            progress=bar,
            on_open=tell,
        )
    _report(merged, args.output_type)
    return 0


def _describe(source: MergedSource) -> None:
    """What is about to be done, in the words of the original script."""
    print(f"Base model: {source.base.paths[0].parent}")
    n_vocab = source.base.hparams.n_vocab
    print(f"Vocabulary of the base model: {n_vocab}")
    for lora in source.loras:
        print(f"LoRA: {lora.folder} ({len(lora.pairs)} matrices, scaling {lora.scaling:g})", end="")
        grown = lora.n_vocab or n_vocab
        print(f", extends the vocabulary to {grown}" if grown != n_vocab else "", flush=True)
        n_vocab = grown


def _report(merged: Merged, output_type: str) -> None:
    from alpaca_tui.pipeline.hashes import PUBLISHED

    for path in merged.paths:
        print(f"Wrote {path} ({size(path.stat().st_size)})")
        sha256 = merged.sha256.get(path)
        if sha256:
            published = PUBLISHED.get(sha256)
            known = f": {published.text}, as published" if published else ""
            print(f"  SHA256 {sha256}{known}")
    for name, counts in merged.odd.items():
        print(f"Warning: {name} has {counts.n_nan} values that are NaN and {counts.n_inf} that are infinite.")
    if output_type in ("pth", "huggingface"):
        print(f"Next: alpaca-tui convert {merged.folder}")
    else:
        print(f"Next: alpaca-tui quantize {merged.paths[0]} q4_0")
