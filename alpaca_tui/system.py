"""Everything that only one operating system needs: cores, memory, folders, the console.

Each question has one public function here, which asks the system it runs on. What differs between systems
is in private functions that take what they read (a root folder, the output of a tool, a DLL) as arguments,
so that each is tested everywhere with fakes.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

APP = "alpaca-tui"

# --- questions ---------------------------------------------------------------------------------------------


def usable_cores() -> int:
    """Physical cores that this process may use (affinity, cgroup's CPU quota); at least 1."""
    cores: int | None
    if sys.platform.startswith("linux"):
        cores = _linux_cores(Path("/"), os.sched_getaffinity(0))
    elif sys.platform == "darwin":
        cores = _macos_cores(_output)
    elif sys.platform == "win32":
        cores = _quietly(_ask_windows, _windows_cores)
    else:
        cores = None
    return max(1, cores or os.cpu_count() or 1)


def available_memory() -> int | None:
    """Bytes that could be taken now without swapping, within the cgroup's limit; None where unknown."""
    if sys.platform.startswith("linux"):
        return _linux_memory(Path("/"))
    if sys.platform == "darwin":
        return _macos_memory(_output)
    if sys.platform == "win32":
        return _quietly(_ask_windows, _windows_memory)
    return None


def process_memory() -> int | None:
    """Bytes of memory that this process takes now, mapped files among them; None where asking is slow."""
    if sys.platform.startswith("linux"):
        return _linux_resident(Path("/"))
    return _quietly(_ask_windows, _windows_resident) if sys.platform == "win32" else None


def process_exists(pid: int) -> bool:
    """Whether a process of this number runs; True on Windows, where asking for it may end it."""
    if sys.platform == "win32" or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


def cpu_name() -> str:
    """What its maker calls the processor; the kind of machine where nothing says that."""
    name: str | None = None
    if sys.platform.startswith("linux"):
        name = _linux_cpu(Path("/"))
    elif sys.platform == "darwin":
        name = _output(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"])
    elif sys.platform == "win32":
        name = os.environ.get("PROCESSOR_IDENTIFIER")
    return " ".join((name or platform.machine() or "unknown").split())


def cache_dir() -> Path:
    """For what can be made again (compiled kernels). Not created here."""
    return _folder("user_cache_dir")


def data_dir() -> Path:
    """For what the user would miss (conversations). Not created here."""
    return _folder("user_data_dir")


def config_dir() -> Path:
    """For what the user writes (settings, themes). Not created here."""
    return _folder("user_config_dir")


def _folder(kind: str) -> Path:
    import platformdirs  # here, not above: `--help` answers without it

    return Path(getattr(platformdirs, kind)(APP, appauthor=False))


def set_utf8_console() -> None:
    """UTF-8 in and out, whatever the locale or code page; on Windows also escape sequences.

    Bytes that are not UTF-8 come in as U+FFFD; a lone surrogate (from a file name) goes out as '?'.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            _quietly(reconfigure, encoding="utf-8", errors="replace")
    if sys.platform == "win32":
        _quietly(_ask_windows, _windows_console)


def lock_memory() -> str:
    """Keeps what this process has in memory from being swapped out, each page from its first use on.

    Empty, or why the system refuses. Locked pages cannot be given back: a model is loaded before.
    """
    if not sys.platform.startswith("linux"):
        return "this system does not let a program keep all of its memory; it may be swapped out"
    return _linux_lock(ctypes.CDLL(None, use_errno=True))


def restart_in_utf8() -> None:
    """Starts the program anew where the locale is not UTF-8, in Python's UTF-8 mode (PEP 540).

    Then the command line and the names of files are UTF-8, too. Windows has them in Unicode anyway.
    """
    if sys.platform == "win32" or sys.flags.utf8_mode or _is_utf8(sys.getfilesystemencoding()):
        return
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8")


# --- Linux -------------------------------------------------------------------------------------------------


def _linux_cores(root: Path, affinity: Iterable[int]) -> int:
    cpus = set(affinity)
    cores = set()
    for cpu in cpus:
        siblings = _read(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(siblings if siblings else f"cpu{cpu}")
    quota = _cgroup_cpus(root)
    count = len(cores)
    # Threads that wait for each other by spinning lose more to throttling than a part of a core brings.
    return count if quota is None else max(1, min(count, int(quota)))


def _linux_memory(root: Path) -> int | None:
    available = None
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    limits = [x for x in (available, _cgroup_memory(root)) if x is not None]
    return min(limits) if limits else None


def _linux_resident(root: Path) -> int | None:
    pages = (_read(root / "proc/self/statm") or "").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else None


def _linux_cpu(root: Path) -> str | None:
    for line in (_read(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):  # x86; some ARM boards
            return value
    return None


_MCL_CURRENT, _MCL_ONFAULT = 1, 4  # mlockall(2): what is there, and of that not what was never touched


def _linux_lock(libc: Any) -> str:
    if libc.mlockall(_MCL_CURRENT | _MCL_ONFAULT) == 0:
        return ""
    return f"{os.strerror(ctypes.get_errno())}; `ulimit -l` says how much memory may be kept"


def _cgroup_folders(root: Path, controller: str) -> list[tuple[int, Path]]:
    """(cgroup version, folder) of this process's group and all groups above it, for one controller.

    /proc/self/cgroup: `0::/path` is version 2, `N:a,b:/path` version 1 (cgroups(7)). In a container the path
    may be the host's; the mount's root is looked at in any case, which there is the container's own group.
    """
    folders = []
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            version, mounts = 2, ["sys/fs/cgroup", "sys/fs/cgroup/unified"]
        elif controller in names.split(","):
            version, mounts = 1, [f"sys/fs/cgroup/{names}", f"sys/fs/cgroup/{controller}"]
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for mount in dict.fromkeys(mounts):
            top = root / mount
            if top.is_dir():
                folders += [(version, top.joinpath(*parts[:n])) for n in range(len(parts), -1, -1)]
    return folders


def _cgroup_cpus(root: Path) -> float | None:
    """The tightest CPU quota in cores (1.5: one and a half); None where there is none."""
    quotas = []
    for version, folder in _cgroup_folders(root, "cpu"):
        if version == 2:
            fields = (_read(folder / "cpu.max") or "").split()
        else:
            fields = [_read(folder / "cpu.cfs_quota_us") or "", _read(folder / "cpu.cfs_period_us") or ""]
        if len(fields) == 2 and all(field.isdigit() for field in fields) and int(fields[1]) > 0:
            quotas.append(int(fields[0]) / int(fields[1]))  # "max" and -1 mean no quota
    return min(quotas) if quotas else None


def _cgroup_memory(root: Path) -> int | None:
    """Bytes left under the tightest limit, counting the page cache as free; None where there is no limit."""
    left = []
    for version, folder in _cgroup_folders(root, "memory"):
        names = ("memory.max", "memory.current") if version == 2 else _V1_MEMORY
        limit, used = (_read(folder / name) or "" for name in names)
        if not limit.isdigit() or not used.isdigit() or int(limit) >= 1 << 60:  # version 1's "no limit"
            continue
        stat = dict(_pairs(_read(folder / "memory.stat") or ""))
        prefix = "total_" if version == 1 else ""
        cache = sum(stat.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
        left.append(max(0, int(limit) - max(0, int(used) - cache)))
    return min(left) if left else None


_V1_MEMORY = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def _pairs(text: str) -> Iterable[tuple[str, int]]:
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 2 and fields[1].isdigit():
            yield fields[0], int(fields[1])


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


# --- macOS -------------------------------------------------------------------------------------------------

Run = Callable[[list[str]], "str | None"]


def _macos_cores(run: Run) -> int | None:
    """Performance cores where the chip has two kinds (the others would hold the team up), else all."""
    for name in ("hw.perflevel0.physicalcpu", "hw.physicalcpu"):
        text = (run(["/usr/sbin/sysctl", "-n", name]) or "").strip()
        if text.isdigit() and int(text) > 0:
            return int(text)
    return None


def _macos_memory(run: Run) -> int | None:
    """Free, inactive, speculative and purgeable pages, as `vm_stat` counts them."""
    text = run(["/usr/bin/vm_stat"]) or ""
    head, _, body = text.partition("\n")
    size = "".join(c for c in head if c.isdigit())  # "(page size of 16384 bytes)"
    pages, found = 0, False
    for line in body.splitlines():
        name, _, value = line.partition(":")
        value = value.strip().rstrip(".")
        if name in ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable"):
            found = found or name == "Pages free"
            pages += int(value) if value.isdigit() else 0
    return pages * int(size) if found and size else None


def _output(command: list[str]) -> str | None:
    import subprocess  # here, not above: only macOS asks

    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


# --- Windows -----------------------------------------------------------------------------------------------


class _LogicalProcessor(ctypes.Structure):
    """SYSTEM_LOGICAL_PROCESSOR_INFORMATION (winnt.h): 32 bytes on 64-bit Windows."""

    _fields_ = (
        ("mask", ctypes.c_size_t),
        ("relationship", ctypes.c_uint32),  # 0: RelationProcessorCore
        ("detail", ctypes.c_uint64 * 2),
    )


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX (sysinfoapi.h)."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total_physical", ctypes.c_uint64),
        ("available_physical", ctypes.c_uint64),
        ("total_page_file", ctypes.c_uint64),
        ("available_page_file", ctypes.c_uint64),
        ("total_virtual", ctypes.c_uint64),
        ("available_virtual", ctypes.c_uint64),
        ("available_extended_virtual", ctypes.c_uint64),
    )


def _kernel32() -> Any:
    dll = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    dll.GetCurrentProcess.restype = ctypes.c_void_p
    dll.GetProcessAffinityMask.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    dll.GetStdHandle.restype = ctypes.c_void_p
    dll.GetConsoleMode.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    dll.SetConsoleMode.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    return dll


def _ask_windows(question: Callable[[Any], Any]) -> Any:
    return question(_kernel32())


def _windows_cores(kernel32: Any) -> int | None:
    """Cores with a logical processor in this process's affinity mask (of its processor group)."""
    size = ctypes.c_uint32(0)
    kernel32.GetLogicalProcessorInformation(None, ctypes.byref(size))  # fails, and says how many bytes
    count = size.value // ctypes.sizeof(_LogicalProcessor)
    if not 0 < count < 1 << 16:
        return None
    table = (_LogicalProcessor * count)()
    if not kernel32.GetLogicalProcessorInformation(ctypes.byref(table), ctypes.byref(size)):
        return None
    mine, system = ctypes.c_size_t(0), ctypes.c_size_t(0)
    process = kernel32.GetCurrentProcess()
    known = kernel32.GetProcessAffinityMask(process, ctypes.byref(mine), ctypes.byref(system))
    allowed = mine.value if known and mine.value else ~0
    return sum(1 for item in table if item.relationship == 0 and item.mask & allowed) or None


class _MemoryCounters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS (psapi.h)."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("page_faults", ctypes.c_uint32),
        ("peak_working_set", ctypes.c_size_t),
        ("working_set", ctypes.c_size_t),
        ("others", ctypes.c_size_t * 6),
    )


def _windows_resident(kernel32: Any) -> int | None:
    counters = _MemoryCounters(length=ctypes.sizeof(_MemoryCounters))
    process = ctypes.c_void_p(-1)  # what GetCurrentProcess returns
    done = kernel32.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.length)
    return int(counters.working_set) if done else None


def _windows_memory(kernel32: Any) -> int | None:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    return int(status.available_physical) if kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else None


_UTF8_CODE_PAGE = 65001
_VT_PROCESSING = 0x0004  # ENABLE_VIRTUAL_TERMINAL_PROCESSING
_STD_OUTPUT, _STD_ERROR = 0xFFFFFFF5, 0xFFFFFFF4  # (DWORD)-11, -12


def _windows_console(kernel32: Any) -> None:
    """UTF-8 code pages, put back when the program ends, and escape sequences on stdout and stderr."""
    for get, put in (
        (kernel32.GetConsoleCP, kernel32.SetConsoleCP),
        (kernel32.GetConsoleOutputCP, kernel32.SetConsoleOutputCP),
    ):
        before = get()
        if before and before != _UTF8_CODE_PAGE and put(_UTF8_CODE_PAGE):
            atexit.register(put, before)
    for which in (_STD_OUTPUT, _STD_ERROR):
        handle, mode = kernel32.GetStdHandle(which), ctypes.c_uint32(0)
        if kernel32.GetConsoleMode(handle, ctypes.byref(mode)):
            kernel32.SetConsoleMode(handle, mode.value | _VT_PROCESSING)


def _quietly(call: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """What `call` returns; None where the system refuses. For answers that have a fallback."""
    try:
        return call(*args, **keywords)
    except (OSError, AttributeError, ValueError):
        return None
