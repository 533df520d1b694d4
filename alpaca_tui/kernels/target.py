"""Which instructions the kernels may use: asked of Numba's effective target, once.

`NUMBA_CPU_NAME` and `NUMBA_CPU_FEATURES` change that target; what the machine itself could do does not
count then. An instruction that the target lacks would abort the process while it is compiled.
"""

from __future__ import annotations

import enum
from functools import cache
from typing import Any

from llvmlite import binding
from numba.core.registry import cpu_target


class Path(enum.Enum):
    """The instruction sets that kernels are written for."""

    VNNI = "avx512-vnni"
    AVX2 = "avx2"
    NEON = "neon-dotprod"
    PLAIN = "plain"


_NEEDS = {
    Path.VNNI: {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni"},
    Path.AVX2: {"avx2", "fma", "f16c"},
    Path.NEON: {"aarch64", "neon", "dotprod"},
}

# sums of four products of bytes: an aarch64 that has an instruction for them is given it here
_DOT_PRODUCT = """
define i32 @dot(<16 x i8> %a, <16 x i8> %b) {
  %x = sext <16 x i8> %a to <16 x i32>
  %y = sext <16 x i8> %b to <16 x i32>
  %products = mul <16 x i32> %x, %y
  %sum = call i32 @llvm.vector.reduce.add.v16i32(<16 x i32> %products)
  ret i32 %sum
}
declare i32 @llvm.vector.reduce.add.v16i32(<16 x i32>)
"""


def features_of(text: str) -> frozenset[str]:
    """The features switched on in LLVM's notation: `+avx2,-avx512f` gives `{avx2}`."""
    return frozenset(word[1:] for word in text.split(",") if word.startswith("+"))


def choose(features: frozenset[str]) -> Path:
    """The best path for a set of LLVM feature names, with "aarch64" among them on that architecture."""
    for path, needed in _NEEDS.items():
        if needed <= features:
            return path
    return Path.PLAIN


Shapes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def tiles_for(path: Path, cpu: str) -> Shapes:
    """Tokens and row groups (of 16) of the tiles for long batches, for what is left of them, for few tokens.

    What fits into the registers, and what was measured best. NEON: the sums of 4 tokens take 16 of its 32
    registers, and 4 tokens' activations are one register.
    """
    if path is not Path.VNNI:
        return (4, 1), (4, 1), (4, 1)
    # Zen has one 512-bit product a cycle and fetches activations from memory at no cost; on Intel, with
    # two a cycle, each fetched activation has to serve two row groups
    return ((12, 1), (8, 1), (4, 2)) if cpu.startswith("znver") else ((8, 2), (8, 2), (4, 2))


def prefetch_for(path: Path, cpu: str) -> tuple[int, int]:
    """Bytes by which to ask for weights ahead of reading them: for one token, for several; 0: not at all.

    Zen follows a plain stream by itself but loses one of 32-byte loads (f16): asked a few lines ahead it is
    twice as fast there, asked further ahead it is slower everywhere. With several tokens it has so much to
    do between two reads that its window does not reach the next ones: asked 2 KiB ahead, four tokens take a
    fifth less time. Intel's servers gain half again from being asked a page ahead. On ARM nothing was
    measured, and nothing is asked.
    """
    if path is Path.NEON:
        return 0, 0
    return (256, 2048) if cpu.startswith("znver") else (4096, 4096)


def multiplies_bytes(machine: Any, triple: str) -> bool:
    """Whether LLVM uses `sdot` for this aarch64 target machine of its own accord.

    Features do not tell: on Linux LLVM lists only some of those of an aarch64 processor, on macOS none; the
    rest follow from the processor's name.
    """
    module = binding.parse_assembly(_DOT_PRODUCT)
    module.triple = triple
    return "sdot" in machine.emit_assembly(module)


def _magic() -> tuple[str, str, str]:
    """Triple, processor and features (LLVM's notation) that Numba compiles for."""
    return cpu_target.target_context.codegen().magic_tuple()


@cache
def prefetch() -> tuple[int, int]:
    """`prefetch_for` this process's target."""
    return prefetch_for(path(), _magic()[1])


@cache
def tiles() -> Shapes:
    """`tiles_for` this process's target."""
    return tiles_for(path(), _magic()[1])


@cache
def features() -> frozenset[str]:
    """LLVM feature names of Numba's effective target; on ARM "aarch64", and what its processor implies."""
    triple, _cpu, text = _magic()
    found = features_of(text)
    if triple.split("-")[0] not in ("aarch64", "arm64"):
        return found
    dot_product = multiplies_bytes(cpu_target.target_context.codegen()._tm, triple)
    return found - {"dotprod"} | {"aarch64"} | ({"neon", "dotprod"} if dot_product else set())


@cache
def path() -> Path:
    """The path that kernels compiled in this process take."""
    return choose(features())
