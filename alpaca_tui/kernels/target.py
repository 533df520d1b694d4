"""Which instructions the kernels may use: asked of Numba's effective target, once.

`NUMBA_CPU_NAME` and `NUMBA_CPU_FEATURES` change that target; what the machine itself could do does not
count then. An instruction that the target lacks would abort the process while it is compiled.
"""

from __future__ import annotations

import enum
from functools import cache

from numba.core.registry import cpu_target


class Path(enum.Enum):
    """The instruction sets that kernels are written for."""

    VNNI = "avx512-vnni"
    AVX2 = "avx2"
    PLAIN = "plain"


_NEEDS = {
    Path.VNNI: {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni"},
    Path.AVX2: {"avx2", "fma", "f16c"},
}


def features_of(text: str) -> frozenset[str]:
    """The features switched on in LLVM's notation: `+avx2,-avx512f` gives `{avx2}`."""
    return frozenset(word[1:] for word in text.split(",") if word.startswith("+"))


def choose(features: frozenset[str]) -> Path:
    """The best path for a set of LLVM feature names."""
    for path, needed in _NEEDS.items():
        if needed <= features:
            return path
    return Path.PLAIN


def tile_for(path: Path, cpu: str) -> tuple[int, int]:
    """Tokens and row groups (of 16) of a tile: what fits into the registers, and what was measured best."""
    if path is not Path.VNNI:
        return 4, 1
    # Zen has one 512-bit product a cycle and fetches activations from memory at no cost; on Intel, with
    # two a cycle, each fetched activation has to serve two row groups
    return (12, 1) if cpu.startswith("znver") else (8, 2)


def prefetch_for(cpu: str) -> int:
    """Bytes by which to ask for weights ahead of reading them.

    Zen follows a plain stream by itself but loses one of 32-byte loads (f16): asked a few lines ahead it is
    twice as fast there, asked further ahead it is slower everywhere. Intel's servers gain half again from
    being asked a page ahead.
    """
    return 256 if cpu.startswith("znver") else 4096


@cache
def prefetch() -> int:
    """`prefetch_for` this process's target."""
    _triple, cpu, _text = cpu_target.target_context.codegen().magic_tuple()
    return prefetch_for(cpu)


@cache
def tile() -> tuple[int, int]:
    """`tile_for` this process's target."""
    _triple, cpu, _text = cpu_target.target_context.codegen().magic_tuple()
    return tile_for(path(), cpu)


@cache
def features() -> frozenset[str]:
    """LLVM feature names of Numba's effective target."""
    _triple, _cpu, text = cpu_target.target_context.codegen().magic_tuple()
    return features_of(text)


@cache
def path() -> Path:
    """The path that kernels compiled in this process take."""
    return choose(features())
