"""Which instructions the kernels are made of: read off the machine code that LLVM emitted.

Runs on the path of this process; tests/test_paths.py runs it again on the lesser ones.
"""

from __future__ import annotations

import re

import pytest

from alpaca_tui.kernels import matmul, registry, target, tiles, warm  # noqa: F401 - registers the kernels
from alpaca_tui.kernels.target import Path, choose, features_of

WIDE = {"zmm": re.compile(r"\bzmm\d"), "ymm": re.compile(r"\bymm\d")}


@pytest.mark.parametrize(
    "name", ["matmul_q4_0", "matmul_q6_K", "matmul_f16", "attend_f16", "attend_q8_0", "norm_pack"]
)
def test_no_instruction_beyond_the_path(name: str) -> None:
    code = registry.assembly(name)
    if target.path() is not Path.VNNI:
        assert not WIDE["zmm"].search(code)
        assert "vpdpbusd" not in code
    if target.path() is Path.PLAIN:
        assert not WIDE["ymm"].search(code)
        assert "vpmaddubsw" not in code and "vcvtph2ps" not in code


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q6_K"])
def test_integer_products_are_the_paths_own(name: str) -> None:
    code = registry.assembly(f"matmul_{name}")
    if target.path() is Path.VNNI:
        assert re.search(r"vpdpbusd.*zmm", code)
    elif target.path() is Path.AVX2:
        assert re.search(r"vpmaddubsw.*ymm", code)
    elif target.path() is Path.NEON:
        assert re.search(r"\bsdot\b", code)


def test_no_call_leaves_a_kernel() -> None:
    """exp, f16 and fma are written out: a library call per element would be slow, or not be there."""
    for name in (
        "attend_f16",
        "attend_q8_0",
        "silu_pack",
        "rope_store_f16",
        "rope_store_q8_0",
        "matmul_f16",
        "matmul_q4_0",
    ):
        calls = set(
            re.findall(r"(?:callq?|jmp)\s+(?:qword ptr \[rip \+ )?([a-z_]\w+)", registry.assembly(name))
        )
        foreign = {c for c in calls if not c.startswith(("_ZN", "cfunc", "numba_", "Py", "NRT", "L"))}
        assert not foreign & {"expf", "exp", "fmaf", "__extendhfsf2", "__truncsfhf2", "__gnu_h2f_ieee"}


@pytest.mark.parametrize(
    ("features", "path"),
    [
        ("+avx2,+fma,+f16c,+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512vnni", Path.VNNI),
        ("+avx2,+fma,+f16c,+avx512f,+avx512bw,+avx512vl,+avx512dq,-avx512vnni", Path.AVX2),
        ("+avx2,+fma,+f16c", Path.AVX2),
        ("+avx2,-fma,+f16c", Path.PLAIN),
        ("+avx", Path.PLAIN),
        ("+neon,+dotprod", Path.PLAIN),
        ("", Path.PLAIN),
    ],
)
def test_the_path_is_chosen_from_the_targets_features(features: str, path: Path) -> None:
    assert choose(features_of(features)) is path


def test_the_tiles_fit_the_processor() -> None:
    assert target.tiles_for(Path.VNNI, "znver4")[0] == (12, 1)
    assert target.tiles_for(Path.VNNI, "sapphirerapids")[0] == (8, 2)
    assert target.tiles_for(Path.AVX2, "znver3")[0] == (4, 1)
    assert target.tiles_for(Path.NEON, "neoverse-n1")[0] == (4, 1)
    for path in Path:
        for cpu in ("znver4", "generic"):
            shapes = target.tiles_for(path, cpu)
            large, middle, small = (tokens for tokens, _ in shapes)
            columns = max(8, large)
            # tiles never reach over a column: large ones come first, and one other takes the rest of a span
            assert large >= middle >= small
            assert columns % large == 0 and matmul.SPAN % columns == 0
            assert all(tiles.GROUPS % groups == 0 for _, groups in shapes)
