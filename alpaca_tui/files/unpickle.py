"""Reading the pickle inside a torch checkpoint without running what it says.

A pickle is a program for a small stack machine, and two of its instructions call whatever Python function it
names. Here those functions come from a table of a dozen names that describe tensors (torch/_utils.py,
torch/_tensor.py); each stands for a few lines below, and any other name ends the reading. Instructions,
memo and stack are bounded, so that a small file cannot ask for much memory or time. Opcodes: the standard
library's pickletools; only those that pickle protocol 2 and later write for plain data are known.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaca_tui.errors import UserError
from alpaca_tui.files.cursor import Cursor

MAX_PICKLE = 16 << 20  # bytes; that of LLaMA-65B has 80,000
MAX_STEPS = 1 << 20  # instructions; that of LLaMA-65B has 25,000
_MAX_NAME, _MAX_LONG, _MAX_TEXT = 256, 255, 1 << 20

_U16, _I32, _U32, _U64 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<Q")
_F64 = struct.Struct(">d")

# Class of a storage -> type of its elements, as in stored.DTYPES.
STORAGES = {
    "DoubleStorage": "f64", "FloatStorage": "f32", "HalfStorage": "f16", "BFloat16Storage": "bf16",
    "LongStorage": "i64", "IntStorage": "i32", "ShortStorage": "i16", "CharStorage": "i8",
    "ByteStorage": "u8", "BoolStorage": "bool",
}  # fmt: skip


@dataclass
class Storage:
    """Where the elements of one or more tensors lie; `offset` and `nbytes` are filled in later."""

    key: str
    dtype: str
    numel: int
    offset: int = -1
    nbytes: int = 0


@dataclass(frozen=True)
class Rebuilt:
    """A tensor as the pickle describes it: offset and strides in elements of its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Global:
    """A name that the pickle asked for, and that is in the table."""

    module: str
    name: str


_OBJECTS = {
    ("collections", "OrderedDict"), ("torch", "Size"), ("torch", "Tensor"),
    ("torch.nn.parameter", "Parameter"), ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter"),
    ("torch._tensor", "_rebuild_from_type_v2"),
}  # fmt: skip


class Unpickler:
    """Runs one pickle that begins where `cursor` stands, and leaves `cursor` behind it.

    `load` returns dicts, lists, tuples, strings, numbers and `Rebuilt` tensors. `persistent` turns a
    persistent id into an object. Raises UserError for everything else, by name.
    """

    def __init__(self, cursor: Cursor, persistent: Callable[[Any], Any]) -> None:
        self.cursor, self.path, self.persistent = cursor, cursor.path, persistent
        self.steps_left = MAX_STEPS
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        end = min(self.cursor.size, self.cursor.pos + MAX_PICKLE)
        while self.cursor.pos < end:
            self.spend(1)
            opcode = self.cursor.take(1)
            if opcode == b".":
                return self.pop()
            action = _ACTIONS.get(opcode)
            if action is None:
                raise self.broken(f"its list of tensors has the instruction {opcode!r}, which none has")
            action(self)
        self.cursor.need(1)
        raise self.broken("its list of tensors does not end")

    # --- the machine ---------------------------------------------------------------------------------------

    def broken(self, what: str) -> UserError:
        return self.cursor.damaged(what)

    def spend(self, steps: int) -> None:
        self.steps_left -= steps
        if self.steps_left < 0:
            raise self.broken(f"its list of tensors has more than {MAX_STEPS:,} instructions")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        bottom = self.marks[-1] if self.marks else 0
        if len(self.stack) <= bottom:
            raise self.broken("its list of tensors takes what it never made")
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        if not self.marks:
            raise self.broken("its list of tensors takes what it never made")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def number(self, layout: struct.Struct) -> Any:
        return self.cursor.unpack(layout)[0]

    def raw(self, length: int) -> bytes:
        if length > _MAX_TEXT:
            raise self.broken(f"a text in its list of tensors has {length:,} bytes")
        return self.cursor.take(length)

    def text(self, length: int) -> str:
        return self.raw(length).decode("utf-8", "replace")

    def line(self) -> str:
        start = self.cursor.pos
        end = self.cursor.data.find(b"\n", start, min(self.cursor.size, start + _MAX_NAME))
        if end < 0:
            raise self.broken("a name in its list of tensors does not end")
        self.cursor.pos = end + 1
        return bytes(self.cursor.data[start:end]).decode("utf-8", "replace")

    def remember(self, key: int) -> None:
        value = self.pop()
        self.push(value)
        self.memo[key] = value

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise self.broken("its list of tensors recalls what it never made")
        self.push(self.memo[key])

    # --- containers ----------------------------------------------------------------------------------------

    def append(self, items: list[Any]) -> None:
        target = self.pop()
        if not isinstance(target, list):
            raise self.broken("its list of tensors appends to what is no list")
        self.push(target)
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.pop()
        if not isinstance(target, dict):
            raise self.broken("its list of tensors sets an item of what is no dictionary")
        self.push(target)
        self.fill(target, items)

    def fill(self, target: dict[Any, Any], items: list[Any]) -> None:
        if len(items) % 2:
            raise self.broken("a dictionary in its list of tensors has a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | float | bytes | None):
                raise self.broken("a dictionary in its list of tensors has a key that is no name")
            target[key] = value

    # --- names, and what may be called ---------------------------------------------------------------------

    def find(self, module: str, name: str) -> None:
        known = (module, name) in _OBJECTS or (module == "torch" and name in STORAGES)
        if not known:
            raise refused(self.path, module, name)
        self.push(_Global(module, name))

    def find_on_stack(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise self.broken("its list of tensors names an object without a name")
        self.find(module[:_MAX_NAME], name[:_MAX_NAME])

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(arguments, tuple):
            raise self.broken("its list of tensors calls something without arguments")
        self.push(self.call(function, arguments))

    def call(self, function: Any, args: tuple[Any, ...]) -> Any:
        if not isinstance(function, _Global):
            raise self.broken("its list of tensors calls what is no function")
        name = function.name
        if name == "OrderedDict" and len(args) <= 1:
            made: dict[Any, Any] = {}
            pairs = args[0] if args else []
            if isinstance(pairs, list) and all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
                self.spend(len(pairs))
                self.fill(made, [item for pair in pairs for item in pair])
                return made
        if name in ("_rebuild_tensor", "_rebuild_tensor_v2") and len(args) >= 4:
            return self.tensor(*args[:4])
        if name == "_rebuild_parameter" and args and isinstance(args[0], Rebuilt):
            return args[0]
        if name == "_rebuild_from_type_v2" and len(args) == 4 and isinstance(args[2], tuple):
            inner = args[0]
            if isinstance(inner, _Global) and inner.name != name:
                return self.call(inner, args[2])
        if name == "Size" and len(args) == 1 and isinstance(args[0], tuple | list):
            self.spend(len(args[0]))
            return tuple(args[0])
        raise refused(self.path, function.module, name)

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> Rebuilt:
        good = isinstance(storage, Storage) and type(offset) is int and offset >= 0
        for numbers in (shape, strides):
            good = good and isinstance(numbers, tuple) and len(numbers) <= 8
            good = good and all(type(n) is int and 0 <= n < 1 << 48 for n in numbers)
        if not good or len(shape) != len(strides):
            raise self.broken("a tensor in it is described wrongly")
        return Rebuilt(storage, offset, shape, strides)

    def build(self) -> None:
        """Attributes of an object: those that torch adds (`_metadata`) say nothing about tensors."""
        self.pop()
        if not isinstance(self.stack[-1] if self.stack else None, dict | Rebuilt):
            raise self.broken("its list of tensors sets attributes of what has none")


def refused(path: Path, module: str, name: str) -> UserError:
    """The error for a name that is not in the table."""
    asked = "".join(c if c.isprintable() else "?" for c in f"{module}.{name}")
    return UserError(
        f"{path} asks for {asked} to be run while it is opened, which tensors do not need: nothing of it was "
        "run; do not trust the file, and get the model from another place."
    )


def _long(machine: Unpickler, length: int) -> None:
    if not 0 <= length <= _MAX_LONG:
        raise machine.broken(f"a number in its list of tensors has {length:,} bytes")
    machine.push(int.from_bytes(machine.cursor.take(length), "little", signed=True))


def _tuple(machine: Unpickler, count: int) -> None:
    items = [machine.pop() for _ in range(count)]
    machine.push(tuple(reversed(items)))


def _dict(machine: Unpickler) -> None:
    made: dict[Any, Any] = {}
    machine.fill(made, machine.pop_mark())
    machine.push(made)


def _refuse_object(machine: Unpickler) -> None:
    _, kind = machine.pop(), machine.pop()
    known = kind if isinstance(kind, _Global) else _Global("an", "object")
    raise refused(machine.path, known.module, known.name)


_ACTIONS: dict[bytes, Callable[[Unpickler], Any]] = {
    b"\x80": lambda m: m.cursor.skip(1),  # PROTO
    b"\x95": lambda m: m.cursor.skip(8),  # FRAME
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"0": lambda m: m.pop(),
    b"1": lambda m: m.pop_mark(),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.cursor.take(1)[0]),
    b"M": lambda m: m.push(m.number(_U16)),
    b"J": lambda m: m.push(m.number(_I32)),
    b"\x8a": lambda m: _long(m, m.cursor.take(1)[0]),
    b"\x8b": lambda m: _long(m, m.number(_I32)),
    b"G": lambda m: m.push(m.number(_F64)),
    b"\x8c": lambda m: m.push(m.text(m.cursor.take(1)[0])),
    b"X": lambda m: m.push(m.text(m.number(_U32))),
    b"\x8d": lambda m: m.push(m.text(m.number(_U64))),
    b"U": lambda m: m.push(m.text(m.cursor.take(1)[0])),  # strings of Python 2
    b"T": lambda m: m.push(m.text(m.number(_U32))),
    b"C": lambda m: m.push(m.raw(m.cursor.take(1)[0])),
    b"B": lambda m: m.push(m.raw(m.number(_U32))),
    b"\x8e": lambda m: m.push(m.raw(m.number(_U64))),
    b")": lambda m: m.push(()),
    b"\x85": lambda m: _tuple(m, 1),
    b"\x86": lambda m: _tuple(m, 2),
    b"\x87": lambda m: _tuple(m, 3),
    b"t": lambda m: m.push(tuple(m.pop_mark())),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.pop_mark()),
    b"a": lambda m: m.append([m.pop()]),
    b"e": lambda m: m.append(m.pop_mark()),
    b"}": lambda m: m.push({}),
    b"d": _dict,
    b"s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    b"u": lambda m: m.set_items(m.pop_mark()),
    b"q": lambda m: m.remember(m.cursor.take(1)[0]),
    b"r": lambda m: m.remember(m.number(_U32)),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"h": lambda m: m.recall(m.cursor.take(1)[0]),
    b"j": lambda m: m.recall(m.number(_U32)),
    b"c": lambda m: m.find(m.line(), m.line()),
    b"\x93": lambda m: m.find_on_stack(),
    b"R": lambda m: m.reduce(),
    b"b": lambda m: m.build(),
    b"\x81": _refuse_object,  # NEWOBJ: makes an object of a class
    b"Q": lambda m: m.push(m.persistent(m.pop())),
}
