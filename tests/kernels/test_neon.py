"""The kernels for ARM, compiled wherever the tests run: their instructions, and what stays in registers.

Needs no ARM processor, only an llvmlite that can compile for one (those from PyPI can). See `cross`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import binding

from alpaca_tui.kernels import target
from alpaca_tui.kernels.matmul import GROUPS
from alpaca_tui.kernels.target import choose, features_of, multiplies_bytes
from tests.kernels import cross

ROOT = Path(__file__).resolve().parents[2]
INTEGERS = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q6_K"]
KERNELS = [
    *(f"matmul_{name}" for name in [*INTEGERS, "f16"]),
    "attend_f16",
    "attend_q8_0",
    "rope_store_f16",
    "silu_pack",
]
SYSTEMS = ["linux", "darwin"]
# what LLVM itself finds out on such processors: not all that they can do
N1 = "+aes,+crc,+fp-armv8,+lse,+neon,-rand,+sha2,-sve"

ELSEWHERE = re.compile(
    r"\b_*(expf?|fmaf?|extendhfsf2|truncsfhf2|gnu_h2f_ieee|gnu_f2h_ieee|aarch64_ldadd\w*)$", re.M
)
SPILL = re.compile(r"\b(?:ld|st)u?[rp]\s+[qd]\d.*\[sp")


@pytest.fixture(scope="module", autouse=True)
def backend() -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        binding.Target.from_triple(cross.LINUX)
    except RuntimeError:
        pytest.skip("this llvmlite cannot compile for AArch64")


def compile_for(folder: Path, cpu: str, features: str, names: list[str]) -> Path:
    environment = os.environ | {
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": features,
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "tests.kernels.cross", str(folder), *names]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def assembly(backend: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the assembly of all KERNELS, for an N1 with Linux and an M1 with macOS."""
    return compile_for(tmp_path_factory.mktemp("neon"), "neoverse-n1", N1, KERNELS)


def inner_loops(code: str) -> list[str]:
    """The bodies of loops without a loop in them."""
    lines = [re.split(r"//|;", line)[0].rstrip() for line in code.splitlines()]
    labels = {m[1]: i for i, line in enumerate(lines) if (m := re.match(r"([.\w$]+):", line))}
    loops = []
    for i, line in enumerate(lines):
        branch = re.match(r"\s+(?:b|b\.\w+|cbn?z|tbn?z)\s(?:.*\s)?([.\w$]+)$", line)
        if branch and labels.get(branch[1], i) < i:
            loops.append((labels[branch[1]], i))
    return [
        "\n".join(lines[start : end + 1])
        for start, end in loops
        if not any(start <= s and e <= end and (s, e) != (start, end) for s, e in loops)
    ]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", INTEGERS)
def test_integer_products_are_sdot_and_stay_in_registers(assembly: Path, name: str, system: str) -> None:
    loops = inner_loops((assembly / f"matmul_{name}.{system}").read_text())
    products = [loop for loop in loops if "sdot" in loop]
    tokens, groups = target.tiles_for(target.Path.NEON, "neoverse-n1")[0]
    # of a block, 8 steps by 4 quarters: for a tile of a batch, and for a single token
    assert sorted(loop.count("sdot") for loop in products) == [32 * GROUPS, 32 * tokens * groups]
    for loop in products:
        assert not SPILL.search(loop)
        # activations are lanes of a register, not registers of their own
        assert len(re.findall(r"sdot.*\[\d\]", loop)) == loop.count("sdot")


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", ["matmul_f16", "attend_f16"])
def test_f16_is_widened_by_the_processor(assembly: Path, name: str, system: str) -> None:
    loops = inner_loops((assembly / f"{name}.{system}").read_text())
    products = [loop for loop in loops if "fcvtl" in loop and "fmla" in loop]
    assert products
    assert not any(SPILL.search(loop) for loop in products)


@pytest.mark.parametrize("system", SYSTEMS)
def test_f16_is_rounded_by_the_processor(assembly: Path, system: str) -> None:
    assert re.search(r"\bfcvt\s+h\d+, s\d+", (assembly / f"rope_store_f16.{system}").read_text())


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", KERNELS)
def test_no_call_leaves_a_kernel(assembly: Path, name: str, system: str) -> None:
    code = (assembly / f"{name}.{system}").read_text()
    assert not ELSEWHERE.search(code)
    called = set(re.findall(r"\bbl\s+_*(\w+)", code))
    assert {c for c in called if not c.startswith(("ZN", "cfunc", "numba_", "Py", "NRT_"))} <= {
        "memset_pattern16"
    }


def test_waiting_is_said_to_the_processor(assembly: Path) -> None:
    assert re.search(r"^\s+yield$", (assembly / "team.linux").read_text(), re.M)


def test_without_dot_products_the_plain_path_is_taken(tmp_path: Path) -> None:
    folder = compile_for(
        tmp_path, "cortex-a72", "+aes,+crc,+fp-armv8,-lse,+neon,-rand,+sha2,-sve", ["matmul_q4_0"]
    )
    assert (folder / "path").read_text() == "plain"
    assert "sdot" not in (folder / "matmul_q4_0.linux").read_text()


@pytest.mark.parametrize(
    ("triple", "cpu", "features", "expected"),
    [
        (cross.LINUX, "neoverse-n1", N1, True),
        (cross.LINUX, "neoverse-n1", "-dotprod", False),
        (cross.LINUX, "generic", "+neon", False),
        (cross.LINUX, "generic", "+neon,+dotprod", True),
        (cross.LINUX, "cortex-a72", "", False),
        (cross.LINUX, "cortex-a76", "", True),
        (cross.DARWIN, "apple-m1", "", True),
        ("aarch64-pc-windows-msvc", "cortex-a76", "+neon,+crc", True),
    ],
)
def test_llvm_is_asked_for_the_instruction(triple: str, cpu: str, features: str, expected: bool) -> None:
    assert multiplies_bytes(cross.machine(triple, cpu, features), triple) is expected


@pytest.mark.parametrize(
    ("features", "path"),
    [
        ("+aarch64,+neon,+dotprod", target.Path.NEON),
        ("+aarch64,+neon", target.Path.PLAIN),
        ("+neon,+dotprod", target.Path.PLAIN),  # 32-bit ARM has these, too
    ],
)
def test_the_path_is_chosen_from_features(features: str, path: target.Path) -> None:
    assert choose(features_of(features)) is path
