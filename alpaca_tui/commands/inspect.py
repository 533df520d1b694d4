"""`alpaca-tui inspect`: what is in a model file, and the memory it will need."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_tui.chat.settings import BY_KEY

if TYPE_CHECKING:
    from alpaca_tui.files.model_file import ModelFile

_N_CTX = BY_KEY["n_ctx"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="GGUF, or ggml/ggmf/ggjt of 2023")
    parser.add_argument(
        "-c",
        "--ctx-size",
        dest="n_ctx",
        metavar="N",
        type=_N_CTX.parse,
        default=_N_CTX.default,
        help="context to work the memory out for; 0: the one that a chat takes by itself (default: 0)",
    )
    parser.add_argument("--ctx_size", dest="n_ctx", type=_N_CTX.parse, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    from alpaca_tui.files.model_file import open_model  # only now: it brings NumPy

    with open_model(args.file, need_vocab=False) as model:
        for line in _lines(model, int(args.n_ctx)):
            print(line)
    return 0


def _lines(model: ModelFile, n_ctx: int) -> Iterator[str]:
    from alpaca_tui.engine.memory import DEFAULT_N_CTX, required_memory

    h = model.hparams
    n_ctx = n_ctx or min(h.n_ctx_train, DEFAULT_N_CTX)
    yield str(model.path)
    yield _row("model", f"{model.name} ({model.description})")
    yield _row(
        "container", model.container + (f" version {model.version}" if model.version else ", unversioned")
    )
    yield _row("parameters", f"{model.n_params:,} in {len(model.tensors)} tensors")
    yield _row("context", f"{h.n_ctx_train:,} tokens")
    yield _row(
        "vocabulary", f"{h.n_vocab:,} tokens{'' if model.vocab else ' (its tokenizer.model is missing)'}"
    )
    if model.vocab is not None:
        yield _row("", f"BOS {model.vocab.bos}, EOS {model.vocab.eos}")
    yield "shape"
    for name in ("n_embd", "n_head", "n_head_kv", "n_layer", "n_ff", "n_rot"):
        yield _row(name, f"{getattr(h, name):,}")
    yield _row("norm_eps", f"{h.norm_eps:.3g}")
    yield _row("rope_freq_base", f"{h.rope_freq_base:g}")
    if h.rope_freq_scale != 1.0:
        yield _row("rope_freq_scale", f"{h.rope_freq_scale:g}")
    yield "block formats"
    counts, sizes = Counter[str](), Counter[str]()
    for tensor in model.tensors.values():
        counts[tensor.format.name] += 1
        sizes[tensor.format.name] += tensor.nbytes
    for name, size in sizes.most_common():
        count = counts[name]
        yield _row(name, f"{count:4} tensor{' ' if count == 1 else 's'}  {_size(size):>10}")
    memory = required_memory(h, model.tensors, n_ctx)
    yield f"memory needed with -c {n_ctx}"
    for name in ("weights", "cache", "buffers", "total"):
        yield _row(name, f"{_size(getattr(memory, name)):>10}")


def _row(name: str, value: str) -> str:
    return f"  {name:16}{value}"


def _size(n_bytes: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.1f} {name}"
    return f"{n_bytes} B"
