"""system.py: each operating system's answers from fakes of what it reads; this one's from itself."""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alpaca_tui import system


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def topology(*siblings: str) -> dict[str, str]:
    name = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return {name.format(cpu): text + "\n" for cpu, text in enumerate(siblings)}


# --- this system -------------------------------------------------------------------------------------------


def test_this_system_has_cores_and_memory() -> None:
    assert 1 <= system.usable_cores() <= (os.cpu_count() or 1)
    memory = system.available_memory()
    assert memory is not None
    assert 1 << 20 < memory < 1 << 50


def test_folders_bear_the_programs_name() -> None:
    for folder in (system.cache_dir(), system.data_dir(), system.config_dir()):
        assert folder.is_absolute()
        assert "alpaca-tui" in folder.parts


def test_the_processor_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert system.cpu_name()
    lay_out(tmp_path, {"proc/cpuinfo": "processor\t: 0\nmodel name\t: Some  CPU @ 3 GHz\nflags\t: x\n"})
    assert (system._linux_cpu(tmp_path) or "").strip() == "Some  CPU @ 3 GHz"
    assert system._linux_cpu(tmp_path / "no") is None
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(
        system, "_output", lambda command: "Apple M9\n" if command[-1][-6:] == "string" else None
    )
    assert system.cpu_name() == "Apple M9"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PROCESSOR_IDENTIFIER", "Intel64 Family 6")
    assert system.cpu_name() == "Intel64 Family 6"
    monkeypatch.setattr(sys, "platform", "plan9")
    monkeypatch.setattr("platform.machine", lambda: "mips")
    assert system.cpu_name() == "mips"


def test_unknown_system_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert system.usable_cores() == 7
    assert system.available_memory() is None
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert system.usable_cores() == 1


# --- Linux -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("siblings", "affinity", "cores"),
    [
        (["0,4", "1,5", "2,6", "3,7"] * 2, range(8), 4),  # two threads a core
        (["0,4", "1,5", "2,6", "3,7"] * 2, {0, 4, 1}, 2),  # only some of them are ours
        (["0", "1"], {0, 1}, 2),
        ([], {0, 1, 2}, 3),  # no topology to be read
    ],
)
def test_linux_counts_cores_not_threads(
    tmp_path: Path, siblings: list[str], affinity: set[int], cores: int
) -> None:
    assert system._linux_cores(lay_out(tmp_path, topology(*siblings)), affinity) == cores


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 4), ("250000 100000", 2), ("50000 100000", 1)])
def test_linux_cores_keep_to_a_version_2_quota(tmp_path: Path, quota: str, cores: int) -> None:
    root = lay_out(tmp_path, topology("0", "1", "2", "3"))
    lay_out(root, {"proc/self/cgroup": "0::/app/inner\n", "sys/fs/cgroup/app/cpu.max": quota + "\n"})
    lay_out(root, {"sys/fs/cgroup/app/inner/cpu.max": "max 100000\n"})
    assert system._linux_cores(root, range(4)) == cores


def test_linux_cores_keep_to_a_version_1_quota(tmp_path: Path) -> None:
    root = lay_out(tmp_path, topology("0", "1", "2", "3"))
    lay_out(root, {"proc/self/cgroup": "3:cpu,cpuacct:/docker/abc\n2:memory:/docker/abc\n"})
    # in a container, the mount's root is its own group; the host's path is not there
    lay_out(root, {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n"})
    lay_out(root, {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n"})
    assert system._linux_cores(root, range(4)) == 3
    lay_out(root, {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n"})
    assert system._linux_cores(root, range(4)) == 4


MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"


def test_linux_memory_is_what_the_kernel_calls_available(tmp_path: Path) -> None:
    assert system._linux_memory(lay_out(tmp_path, {"proc/meminfo": MEMINFO})) == 8_000_000 * 1024


def test_linux_memory_keeps_to_a_version_2_limit_and_counts_the_page_cache_as_free(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/app/"
    root = lay_out(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/app\n"})
    lay_out(root, {group + "memory.max": "1000000\n", group + "memory.current": "900000\n"})
    lay_out(root, {group + "memory.stat": "anon 500000\nactive_file 100000\ninactive_file 300000\n"})
    assert system._linux_memory(root) == 500_000
    lay_out(root, {group + "memory.max": "max\n"})
    assert system._linux_memory(root) == 8_000_000 * 1024


def test_linux_memory_keeps_to_a_version_1_limit(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory/"
    root = lay_out(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "4:memory:/\n"})
    lay_out(root, {group + "memory.limit_in_bytes": "2000000\n", group + "memory.usage_in_bytes": "500000\n"})
    lay_out(root, {group + "memory.stat": "total_active_file 1000\ntotal_inactive_file 2000\n"})
    assert system._linux_memory(root) == 2_000_000 - 500_000 + 3000
    lay_out(root, {group + "memory.limit_in_bytes": "9223372036854771712\n"})  # no limit
    assert system._linux_memory(root) == 8_000_000 * 1024


def test_linux_memory_is_unknown_where_nothing_can_be_read(tmp_path: Path) -> None:
    assert system._linux_memory(tmp_path) is None


# --- macOS -------------------------------------------------------------------------------------------------

VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               100.
Pages active:                             999.
Pages inactive:                            20.
Pages speculative:                          3.
Pages purgeable:                            4.
"Translation faults":                  123456.
"""


def test_macos_takes_performance_cores_else_all() -> None:
    answers = {"hw.perflevel0.physicalcpu": "4\n", "hw.physicalcpu": "8\n"}
    assert system._macos_cores(lambda command: answers.get(command[-1])) == 4
    del answers["hw.perflevel0.physicalcpu"]
    assert system._macos_cores(lambda command: answers.get(command[-1])) == 8
    assert system._macos_cores(lambda command: None) is None


def test_macos_memory_comes_from_vm_stat() -> None:
    assert system._macos_memory(lambda command: VM_STAT) == 127 * 16384
    assert system._macos_memory(lambda command: None) is None
    assert system._macos_memory(lambda command: "what?\n") is None


def test_a_tool_that_is_not_there_answers_nothing(tmp_path: Path) -> None:
    assert system._output([str(tmp_path / "none")]) is None
    assert system._output([sys.executable, "-c", "raise SystemExit(3)"]) is None
    assert system._output([sys.executable, "-c", "print(42)"]) == "42\n"


# --- Windows -----------------------------------------------------------------------------------------------


class Kernel32:
    """The few calls of kernel32.dll that we make, on a machine of our own making."""

    def __init__(self, entries: list[tuple[int, int]], affinity: int = 0) -> None:
        self.table = b"".join(struct.pack("<QIxxxxQQ", mask, kind, 0, 0) for mask, kind in entries)
        self.affinity = affinity
        self.code_pages = {"in": 936, "out": 936}
        self.modes = {0xFFFFFFF5: 3}

    def GetLogicalProcessorInformation(self, buffer: Any, size: Any) -> int:  # noqa: N802
        room, size._obj.value = size._obj.value, len(self.table)
        if buffer is None or room < len(self.table):
            return 0
        ctypes.memmove(buffer, self.table, len(self.table))
        return 1

    def GetCurrentProcess(self) -> int:  # noqa: N802
        return -1

    def GetProcessAffinityMask(self, process: int, mine: Any, whole: Any) -> int:  # noqa: N802
        mine._obj.value = self.affinity
        return int(self.affinity != 0)

    def GlobalMemoryStatusEx(self, status: Any) -> int:  # noqa: N802
        if status._obj.length != 64:
            return 0
        status._obj.available_physical = 123456789
        return 1

    def GetConsoleCP(self) -> int:  # noqa: N802
        return self.code_pages["in"]

    def SetConsoleCP(self, page: int) -> int:  # noqa: N802
        self.code_pages["in"] = page
        return 1

    def GetConsoleOutputCP(self) -> int:  # noqa: N802
        return self.code_pages["out"]

    def SetConsoleOutputCP(self, page: int) -> int:  # noqa: N802
        self.code_pages["out"] = page
        return 1

    def GetStdHandle(self, which: int) -> int:  # noqa: N802
        return which

    def GetConsoleMode(self, handle: int, mode: Any) -> int:  # noqa: N802
        mode._obj.value = self.modes.get(handle, 0)
        return int(handle in self.modes)

    def SetConsoleMode(self, handle: int, mode: int) -> int:  # noqa: N802
        self.modes[handle] = mode
        return 1


CORE, CACHE = 0, 2


def test_windows_counts_cores_within_the_affinity() -> None:
    entries = [(0b0011, CORE), (0b1111, CACHE), (0b1100, CORE)]
    assert system._windows_cores(Kernel32(entries)) == 2
    assert system._windows_cores(Kernel32(entries, affinity=0b0100)) == 1
    assert system._windows_cores(Kernel32([])) is None


def test_windows_memory() -> None:
    assert system._windows_memory(Kernel32([])) == 123456789


@pytest.mark.parametrize("page", [936, 65001])
def test_windows_console_speaks_utf8_and_escapes_and_gets_its_code_pages_back(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[Any] = []
    monkeypatch.setattr(system.atexit, "register", lambda call, *args: at_exit.append((call, args)))
    kernel32 = Kernel32([])
    kernel32.code_pages = {"in": page, "out": page}
    system._windows_console(kernel32)
    assert kernel32.code_pages == {"in": 65001, "out": 65001}
    assert kernel32.modes == {0xFFFFFFF5: 7}
    for call, args in at_exit:
        call(*args)
    assert kernel32.code_pages == {"in": page, "out": page}


def test_windows_answers_nothing_where_the_dll_is_not_there() -> None:
    if sys.platform != "win32":
        assert system._quietly(system._ask_windows, system._windows_memory) is None


# --- the console -------------------------------------------------------------------------------------------


def test_console_is_utf8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    out, source = io.BytesIO(), io.BytesIO("你好\n".encode() + b"\xff\n")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="latin-1"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", None)  # pythonw has none
    system.set_utf8_console()
    print("羊驼 \udc80", flush=True)
    assert out.getvalue().decode("utf-8").split() == ["羊驼", "?"]
    assert sys.stdin.readline() == "你好\n"
    assert sys.stdin.readline() == "\ufffd\n"


def gbk_locale(folder: Path) -> list[dict[str, str]]:
    """The variables of a locale that is zh_CN in GBK, where the system can make one."""
    if shutil.which("localedef") is None:
        return []
    made = folder / "zh_CN.GBK"
    subprocess.run(["localedef", "-f", "GBK", "-i", "zh_CN", str(made)], capture_output=True, check=False)
    return [{"LOCPATH": str(folder), "LC_ALL": "zh_CN.GBK", "PYTHONUTF8": "0"}] if made.is_dir() else []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has code pages instead")
def test_the_program_starts_anew_in_utf8_where_the_locale_is_not(tmp_path: Path) -> None:
    code = (
        "import sys; from alpaca_tui import system; system.restart_in_utf8();"
        "print(ascii(sys.argv[1]), sys.flags.utf8_mode, sys.getfilesystemencoding())"
    )
    for variables in (
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        *gbk_locale(tmp_path),
        {"LC_ALL": "C"},
        {"LC_ALL": "C.UTF-8"},
    ):
        environ = {**os.environ, **variables}
        done = subprocess.run(
            [sys.executable, "-c", code, "羊驼.gguf"], env=environ, capture_output=True, text=True, check=True
        )
        name, mode, encoding = done.stdout.split()
        assert (name, encoding) == (ascii("羊驼.gguf"), "utf-8")
        assert mode == "1" or variables["LC_ALL"] == "C.UTF-8"


def test_what_counts_as_utf8() -> None:
    names = ("utf-8", "UTF8", "utf_8", "gbk", "cp936", "ascii")
    assert [system._is_utf8(name) for name in names] == [True, True, True, False, False, False]


def test_memory_is_locked_or_the_reason_is_said() -> None:
    class Libc:
        def __init__(self, result: int) -> None:
            self.result = result

        def mlockall(self, flags: int) -> int:
            assert flags == 5
            ctypes.set_errno(12)
            return self.result

    assert system._linux_lock(Libc(0)) == ""
    assert "ulimit -l" in system._linux_lock(Libc(-1))
