"""Flags of `main` that mean nothing here. They are accepted, and each gets one line that says why."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

from alpaca_tui.commands.flags import both_spellings

CPU = "everything is computed on the processor"
MAPPED = "weights are copied into memory once, and the file's pages are given back"


class Unused(NamedTuple):
    """`values`: how many words stand behind the flag; "?": one, or none."""

    names: tuple[str, ...]
    values: int | str
    why: str


UNUSED = (
    Unused(("-ngl", "--n-gpu-layers", "--gpu-layers"), 1, CPU),
    Unused(("-ts", "--tensor-split"), 1, CPU),
    Unused(("-mg", "--main-gpu"), 1, CPU),
    Unused(("-sm", "--split-mode"), 1, CPU),
    Unused(("-dev", "--device"), 1, CPU),
    Unused(("-lv", "--low-vram"), 0, CPU),
    Unused(("-mmq", "--mul-mat-q"), 0, CPU),
    Unused(("-nommq", "--no-mul-mat-q"), 0, CPU),
    Unused(("-nkvo", "--no-kv-offload"), 0, CPU),
    Unused(("-cmoe", "--cpu-moe"), 0, CPU),
    Unused(("-ncmoe", "--n-cpu-moe"), 1, CPU),
    Unused(("-fa", "--flash-attn"), "?", "attention never stores its scores for all positions anyway"),
    Unused(("--numa",), "?", "memory is placed by the system"),
    Unused(("--no-mmap",), 0, MAPPED),
    Unused(("--mmap",), 0, MAPPED),
    Unused(("-lm", "--load-mode"), 1, MAPPED),
    Unused(("-gqa",), 1, "grouped heads are read from the shapes in the file"),
    Unused(("--n-parts",), 1, "the parts of a file are counted when it is read"),
    Unused(("--memory-f32",), 0, "the context is kept in f16, or in q8_0 with --cache-type q8_0"),
    Unused(("--memory-f16",), 0, "the context is kept in f16 anyway"),
    Unused(("--mtest",), 0, "memory is checked before every load"),
    Unused(("--export",), 0, "there is no graph to export"),
    Unused(("--hellaswag",), 0, "this score is not computed here"),
    Unused(("--hellaswag-tasks",), 1, "this score is not computed here"),
    Unused(("--embedding", "--embeddings"), 0, "this program only writes text"),
    Unused(("-tb", "--threads-batch"), 1, "-t holds for the prompt, too"),
    Unused(("-ub", "--ubatch-size"), 1, "-b is all that is evaluated at once"),
    Unused(("-C", "--cpu-mask"), 1, "threads stay where the system puts them"),
    Unused(("-Cr", "--cpu-range"), 1, "threads stay where the system puts them"),
    Unused(("--cpu-strict",), 1, "threads stay where the system puts them"),
    Unused(("--prio",), 1, "the system's own priority holds; `nice` changes it"),
    Unused(("--poll",), 1, "threads wait in the way that was found fastest"),
    Unused(("-dt", "--defrag-thold"), 1, "the context has no holes"),
    Unused(
        ("-gan", "--grp-attn-n"), 1, "self-extend is not computed here; --rope-scaling stretches a context"
    ),
    Unused(
        ("-gaw", "--grp-attn-w"), 1, "self-extend is not computed here; --rope-scaling stretches a context"
    ),
    Unused(("-np", "--parallel"), 1, "there is one conversation at a time"),
    Unused(("-ns", "--sequences"), 1, "there is one conversation at a time"),
    Unused(("-ptc", "--print-token-count"), 1, "timings at the end count the tokens"),
    Unused(("--warmup",), 0, "kernels are compiled before the first token"),
    Unused(("--no-warmup",), 0, "kernels are compiled before the first token"),
    Unused(("--check-tensors",), 0, "`alpaca-tui verify FILE` checks a model"),
    Unused(("--jinja",), 0, "chats have built-in formats: --chat-template"),
    Unused(("-sp", "--special"), 0, "control tokens stand for no text"),
    Unused(("--log-disable",), 0, "there is no log on the screen"),
    Unused(("-v", "--verbose", "--log-verbose"), 0, "details go to alpaca-tui.log in the cache folder"),
)


def add_unused_flags(parser: argparse.ArgumentParser) -> None:
    """They are not in --help; `said_of` tells what was given of them."""
    for unused in UNUSED:
        keywords: dict[str, Any] = {"action": _Remember, "help": argparse.SUPPRESS, "dest": "unused"}
        both_spellings(parser, unused.names, nargs=unused.values, default=(), why=unused.why, **keywords)


class _Remember(argparse.Action):
    def __init__(self, *args: Any, why: str, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.why = why

    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        line = f"{option} has no effect: {self.why}."
        namespace.unused = (*(said for said in namespace.unused if said != line), line)


def said_of(args: argparse.Namespace) -> Sequence[str]:
    """One line for each flag in the command line that means nothing here."""
    return tuple(args.unused)
