"""Making a model from downloads, as the chat knows it: what there is to choose from, and who does the work.

The pipeline does it, and its classes have these shapes (see pipeline/survey.py and pipeline/setup.py). The
chat stands on a floor that does not know the pipeline, so the command that opens it hands it a `Workshop`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

Progress = Callable[[int, int, str], None]  # bytes, of how many, what


class Finding(Protocol):
    """Something to say: `text` in English; where there is a `key`, that and `fields` for other languages."""

    @property
    def text(self) -> str: ...
    @property
    def bad(self) -> bool: ...
    @property
    def key(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, str]: ...


class Download(Protocol):
    """A model or a LoRA in a folder of its own, with its size on disk."""

    @property
    def name(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    @property
    def nbytes(self) -> int: ...


class Base(Download, Protocol):
    @property
    def is_base(self) -> bool:
        """Whether LoRAs can be merged into it."""


class Found(Protocol):
    """What is in a folder. `made`: models that were made there before."""

    @property
    def folder(self) -> Path: ...
    @property
    def models(self) -> Sequence[Base]: ...
    @property
    def loras(self) -> Sequence[Download]: ...
    @property
    def problems(self) -> Sequence[Finding]: ...
    @property
    def made(self) -> Sequence[Path]: ...
    @property
    def usual_model(self) -> Base | None: ...


class Choice(Protocol):
    """A type of weights: bytes of its file, and of memory that a chat with it takes."""

    @property
    def kind(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def memory(self) -> int: ...


class Step(Protocol):
    """`work`: verify_downloads, merge, convert, verify_weights or quantise; `nbytes` it will write."""

    @property
    def key(self) -> str: ...
    @property
    def work(self) -> str: ...
    @property
    def output(self) -> Path | None: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def done(self) -> bool: ...
    def run(self, progress: Progress) -> Sequence[Finding]:
        """Does it. What `progress` raises ends it, and leaves no half file."""


class Leftover(Protocol):
    """Files that the chat does not need. `kind`: f16, model or lora."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def nbytes(self) -> int: ...


class Plan(Protocol):
    """The steps to the model `result`, and what could be deleted then. `nbytes` of disk are still to fill."""

    @property
    def folder(self) -> Path: ...
    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def todo(self) -> Sequence[Step]: ...
    @property
    def result(self) -> Path: ...
    @property
    def leftovers(self) -> Sequence[Leftover]: ...
    @property
    def nbytes(self) -> int: ...


class Workshop(Protocol):
    """Who does the work. Each call may take seconds, and raises UserError."""

    def look(self, folder: Path) -> Found: ...
    def usual_loras(self, found: Found, model: Base) -> Sequence[Download]: ...
    def choices(self, model: Base, loras: Sequence[Download]) -> Sequence[Choice]: ...
    def plan(self, folder: Path, model: Base, loras: Sequence[Download], kind: str) -> Plan: ...
    def delete(self, leftover: Leftover) -> int:
        """Deletes the files; how many bytes that freed."""
