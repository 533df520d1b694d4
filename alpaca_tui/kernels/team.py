"""The thread team: a list of steps, walked by all threads together inside one call without the GIL.

A step is a row of `STEP` int64s: the kernel's address, whether a barrier follows, and the kernel's
arguments. `arguments[COUNTER]` is the step's own work counter: kernels draw the next piece of work from it,
so that a thread that was held up does not hold up the others. `arguments[BATCH]` is the address of what
changes from call to call. Numbers come out the same for any number of threads: a piece of work never
depends on who does it.
"""

from __future__ import annotations

import ctypes
import queue
import sys
import threading
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from alpaca_tui.kernels.registry import OPTIONS, at_once

STEP = 24
ADDRESS, BARRIER, ARGUMENTS = 0, 1, 2  # columns of a step
COUNTER, BATCH = 0, 1  # of the arguments
N_TOKENS, POSITION, N_OUT, STOP = 0, 1, 2, 3  # of the batch
BATCH_SIZE = 8
MAX_THREADS = 64

STEPS_DONE = 4  # where the meeting place says how far thread 0 is

SPINS = 2000  # about 20 us of waiting before the processor is offered to others,
YIELDS = 100  # so many times; then the thread sleeps: an idle core is given to the thread that is awaited

_YIELD = ("llvm.aarch64.hint", [ir.IntType(32)(1)])
_HINTS = {"x86_64": ("llvm.x86.sse2.pause", []), "aarch64": _YIELD, "arm64": _YIELD}  # by architecture


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


if sys.platform == "win32":  # which cannot sleep for less than a millisecond, or 15
    binding.add_symbol("alpaca_tui_yield", _address(ctypes.windll.kernel32.SwitchToThread))
    binding.add_symbol("alpaca_tui_sleep", _address(ctypes.windll.kernel32.Sleep))
    NAP = 0
else:
    binding.add_symbol("alpaca_tui_yield", _address(ctypes.CDLL(None).sched_yield))
    binding.add_symbol("alpaca_tui_sleep", _address(ctypes.CDLL(None).usleep))
    NAP = 50  # microseconds
give_way = types.ExternalFunction("alpaca_tui_yield", types.int32())
sleep = types.ExternalFunction("alpaca_tui_sleep", types.int32(types.uint32))


@intrinsic
def fetch_add(typingctx, pointer, index, value):
    """pointer[index] += value at once, for all threads; the value before."""

    def codegen(context, builder, signature, args):
        place = builder.gep(args[0], [args[1]])
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return types.int64(types.CPointer(types.int64), types.int64, types.int64), codegen


@intrinsic
def load_acquire(typingctx, pointer, index):
    """pointer[index], seen no later than what was written before it was set."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(builder.gep(args[0], [args[1]]), "acquire", 8)

    return types.int64(types.CPointer(types.int64), types.int64), codegen


@intrinsic
def store_release(typingctx, pointer, index, value):
    """pointer[index] = value, after everything written before it."""

    def codegen(context, builder, signature, args):
        builder.store_atomic(args[2], builder.gep(args[0], [args[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.CPointer(types.int64), types.int64, types.int64), codegen


@intrinsic
def pause(typingctx):
    """Tells the processor that this is a waiting loop: `pause` on x86, `yield` on ARM."""

    def codegen(context, builder, signature, args):
        architecture = builder.module.triple.split("-")[0]
        name, numbers = _HINTS.get(architecture, (None, []))
        if name:
            kind = ir.FunctionType(ir.VoidType(), [number.type for number in numbers])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), numbers)
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _call_step(typingctx, steps, offset, thread, n_threads):
    """Calls the kernel whose step begins at steps[offset]."""

    def codegen(context, builder, signature, args):
        i64 = ir.IntType(64)
        step = builder.gep(args[0], [args[1]])
        kernel_type = ir.FunctionType(ir.VoidType(), [i64.as_pointer(), i64, i64])
        function = builder.inttoptr(builder.load(step), kernel_type.as_pointer())
        builder.call(function, [builder.gep(step, [i64(ARGUMENTS)]), args[2], args[3]])
        return context.get_dummy_value()

    return types.void(types.CPointer(types.int64), types.int64, types.int64, types.int64), codegen


@njit(**OPTIONS)
def barrier(meeting, n_threads):
    """Waits until all threads are here. meeting: int64* to [arrived, ..., phase at 8, ...]."""
    phase = load_acquire(meeting, 8)
    if fetch_add(meeting, 0, 1) == n_threads - 1:
        store_release(meeting, 0, 0)
        store_release(meeting, 8, phase + 1)
        return
    spins = 0
    while load_acquire(meeting, 8) == phase:
        pause()
        spins += 1
        if spins > SPINS + YIELDS:
            sleep(NAP)
        elif spins > SPINS:
            give_way()


@intrinsic
def _pointer(typingctx, address):
    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int64)(types.int64), codegen


@at_once("void(int64, int64, int64, int64, int64)")
def run(steps_address, n_steps, meeting_address, thread, n_threads):
    """Walks the steps as one of n_threads threads; all of them must call it."""
    steps = _pointer(steps_address)
    meeting = _pointer(meeting_address)
    for i in range(n_steps):
        if thread == 0:
            store_release(meeting, STEPS_DONE, i)
        _call_step(steps, i * STEP, thread, n_threads)
        if steps[i * STEP + BARRIER] != 0:
            barrier(meeting, n_threads)


class Team:
    """n_threads - 1 waiting threads and the caller's own. Not for two callers at once."""

    def __init__(self, n_threads: int):
        self._meeting = np.zeros(16, np.int64)
        self._tasks: list[queue.SimpleQueue[tuple[int, int, int] | None]] = []
        self.n_threads = 1
        self.resize(n_threads)

    def resize(self, n_threads: int) -> None:
        """Changes the number of threads from the next `run` on."""
        self.n_threads = max(1, min(n_threads, MAX_THREADS))
        while len(self._tasks) < self.n_threads - 1:
            tasks: queue.SimpleQueue[tuple[int, int, int] | None] = queue.SimpleQueue()
            self._tasks.append(tasks)
            thread = threading.Thread(
                target=self._work, args=(tasks, len(self._tasks)), name="alpaca-team", daemon=True
            )
            thread.start()

    def _work(self, tasks: queue.SimpleQueue[tuple[int, int, int] | None], index: int) -> None:
        meeting = self._meeting.ctypes.data
        while (task := tasks.get()) is not None:
            steps, n_steps, n_threads = task
            run(steps, n_steps, meeting, index, n_threads)

    def run(self, steps: np.ndarray, alone: bool = False) -> None:
        """Walks `steps` (int64 [n, STEP], the last with a barrier) with all threads, or with the caller's."""
        n_threads = 1 if alone else self.n_threads
        steps[:, ARGUMENTS + COUNTER] = 0
        task = (steps.ctypes.data, len(steps), n_threads)
        for tasks in self._tasks[: n_threads - 1]:
            tasks.put(task)
        run(task[0], task[1], self._meeting.ctypes.data, 0, n_threads)

    @property
    def steps_done(self) -> int:
        """How many steps of the running list are done; any thread may look."""
        return int(self._meeting[STEPS_DONE])

    def begin(self) -> None:
        """What `steps_done` counts from now on: a list that is about to run."""
        self._meeting[STEPS_DONE] = 0

    def close(self) -> None:
        """Ends the threads."""
        for tasks in self._tasks:
            tasks.put(None)
        self._tasks.clear()
