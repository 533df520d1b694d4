"""Compiles kernels for an ARM processor, whatever this one is: python -m tests.kernels.cross FOLDER NAME...

Numba is made to believe that it runs on Linux on ARM; NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say on which
processor. What it compiles is never called. For each kernel FOLDER gets the assembly for that processor
(NAME.linux) and for macOS on an M1 (NAME.darwin). A process of its own, for two reasons: Numba has one target
a process, and LLVM ends the process over an instruction that a target lacks.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from llvmlite import binding

LINUX, DARWIN = "aarch64-unknown-linux-gnu", "arm64-apple-darwin23.0.0"
DARWIN_LAYOUT = "e-m:o-i64:64-i128:128-n32:64-S128-Fn32"  # what LLVM itself writes for it


def machine(triple: str, cpu: str, features: str):
    """LLVM's target machine, as Numba makes its own."""
    return binding.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=3)


def for_darwin(ir: str) -> str:
    """The assembly of a module that was made for Linux, for macOS on an M1."""
    ir = re.sub(r'^target triple = ".*"$', f'target triple = "{DARWIN}"', ir, flags=re.M)
    ir = re.sub(r'^target datalayout = ".*"$', f'target datalayout = "{DARWIN_LAYOUT}"', ir, flags=re.M)
    return machine(DARWIN, "apple-m1", "").emit_assembly(binding.parse_assembly(ir))


def main(folder: Path, names: list[str]) -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    binding.get_process_triple = lambda: LINUX
    from numba import cfunc, njit

    from alpaca_tui.kernels import registry, target, team, warm  # noqa: F401 - warm registers the kernels

    (folder / "path").write_text(target.path().value)
    walk = njit(team.run.signatures[0], **registry.OPTIONS)(team.run.py_func)  # afresh, not out of a cache
    (folder / "team.linux").write_text(walk.inspect_asm(walk.signatures[0]))
    for name in names:
        library = cfunc(registry.SIGNATURE, **registry.OPTIONS)(registry._functions[name])._library
        (folder / f"{name}.linux").write_text(library.get_asm_str())
        (folder / f"{name}.darwin").write_text(for_darwin(library.get_llvm_str()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
