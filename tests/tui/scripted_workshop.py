"""A stand-in for the pipeline: a folder of downloads of the sizes of 7B, and steps that wait to be let on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpaca_tui.chat import workshop as ws
from alpaca_tui.errors import UserError

GIB = 1 << 30
KINDS = {"q4_0": 3.9, "q4_1": 4.3, "q5_0": 4.7, "q5_1": 5.1, "q8_0": 7.2, "f16": 12.9}


@dataclass(frozen=True)
class Said:
    text: str
    bad: bool = True
    key: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Thing:
    name: str
    folder: Path
    nbytes: int
    is_base: bool = True


@dataclass
class Seen:
    folder: Path
    models: list[Thing]
    loras: list[Thing]
    problems: list[Said] = field(default_factory=list)
    made: list[Path] = field(default_factory=list)

    @property
    def usual_model(self) -> Thing | None:
        return next(iter(self.models), None)


@dataclass(frozen=True)
class Kind:
    kind: str
    nbytes: int
    memory: int


@dataclass
class Work:
    """A step. It reports its half when it begins and then waits for `go`; `error` makes it fail."""

    key: str
    work: str
    output: Path | None
    nbytes: int
    done: bool = False
    findings: Sequence[Said] = ()
    error: str = ""
    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def run(self, progress: ws.Progress) -> Sequence[Said]:
        progress(6 * GIB, 12 * GIB, "blk.7.ffn_up.weight")
        self.begun.set()
        while not self.go.wait(0.01):
            progress(6 * GIB, 12 * GIB, "blk.7.ffn_up.weight")
        if self.error:
            raise UserError(self.error)
        self.done = True
        return self.findings


@dataclass
class Left:
    kind: str
    name: str
    nbytes: int


@dataclass
class Way:
    folder: Path
    steps: list[Work]
    result: Path
    leftovers: list[Left]

    @property
    def todo(self) -> list[Work]:
        return [step for step in self.steps if not step.done]

    @property
    def nbytes(self) -> int:
        return sum(step.nbytes for step in self.todo)


class ScriptedWorkshop:
    """`chat.workshop.Workshop`. `plans` has what was asked for, `deleted` what was deleted."""

    def __init__(self, seen: Callable[[Path], Seen] | None = None) -> None:
        self._seen = seen or usual_folder
        self.trouble = ""
        self.plans: list[tuple[str, list[str], str]] = []
        self.deleted: list[str] = []
        self.steps: dict[str, Work] = {}

    def look(self, folder: Path) -> Seen:
        return self._seen(folder)

    def usual_loras(self, found: ws.Found, model: ws.Base) -> Sequence[ws.Download]:
        return list(found.loras)[::-1]

    def choices(self, model: ws.Base, loras: Sequence[ws.Download]) -> Sequence[Kind]:
        return [Kind(kind, int(gib * GIB), int((gib + 1.2) * GIB)) for kind, gib in KINDS.items()]

    def plan(self, folder: Path, model: ws.Base, loras: Sequence[ws.Download], kind: str) -> Way:
        self.plans.append((model.name, [lora.name for lora in loras], kind))
        if self.trouble:
            raise UserError(self.trouble)
        make = "merge" if loras else "convert"
        published = [Said(f"{name} is published.", False, "published", {"name": name}) for name in "abc"]
        steps = [
            Work("downloads", "verify_downloads", None, 0, findings=published),
            Work("f16", make, folder / "ggml-model-f16.gguf", int(12.9 * GIB)),
            Work("weights", "verify_weights", None, 0, findings=[Said("x.weight is odd.")]),
            Work(kind, "quantise", folder / f"ggml-model-{kind}.gguf", int(3.9 * GIB)),
        ]
        steps = [self.steps.setdefault(step.key, step) for step in steps]
        left = [Left("f16", "f16", int(12.9 * GIB)), Left("model", model.name, int(12.6 * GIB))]
        left += [Left("lora", lora.name, lora.nbytes) for lora in loras]
        return Way(folder, steps, folder / f"ggml-model-{kind}.gguf", left)

    def delete(self, leftover: ws.Leftover) -> int:
        if "locked" in leftover.name:
            raise UserError(f"{leftover.name} could not be deleted: in use.")
        assert isinstance(leftover, Left)
        freed, leftover.nbytes = leftover.nbytes, 0
        self.deleted.append(leftover.name)
        return freed


def usual_folder(folder: Path) -> Seen:
    """What Chinese-Alpaca-Plus is made of."""
    loras = [
        Thing(f"chinese-{name}-plus-lora-7b", folder / f"chinese-{name}-plus-lora-7b", 1 * GIB)
        for name in ("alpaca", "llama")
    ]
    return Seen(folder, [Thing("LLaMA-7B", folder / "LLaMA/7B", int(12.6 * GIB))], loras)


def empty_folder(folder: Path) -> Seen:
    missing = Said("There is no model.", True, "no_model", {"folder": str(folder)})
    return Seen(folder, [], [], [missing, Said("x.pth is damaged.")])
