"""Steps of a longer work that know whether they are done: what each was made from is noted in a file.

A step is done where its note says that it was done with inputs of these sizes and times, and its output is
still the file that it was then.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.files.json_object import read_json
from alpaca_tui.files.output import check_room, new_file
from alpaca_tui.pipeline.diagnose import Finding

Progress = Callable[[int, int, str], None]  # bytes, of how many, what

NOTES = ".alpaca-tui-setup.json"


class Notes:
    """What steps noted in the folder: for each its inputs and what it found. Lost notes only cost time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NOTES
        try:
            self._values = read_json(self._path)
        except UserError:
            self._values = {}

    def get(self, key: str, inputs: Sequence[Path]) -> dict[str, object] | None:
        """What was noted, if it was of these inputs as they are now."""
        note = self._values.get(key)
        if isinstance(note, dict) and note.get("inputs") == _stamps(inputs):
            return note
        return None

    def put(self, key: str, inputs: Sequence[Path], **values: object) -> None:
        self._values[key] = {"inputs": _stamps(inputs), **values}
        data = json.dumps(self._values, indent=1, ensure_ascii=False).encode()
        with new_file(self._path, len(data)) as file:
            file.write(data)


def _stamps(paths: Sequence[Path]) -> list[list[str | int]]:
    """Name, size and time of each file: enough to see that it is another one."""
    stamps: list[list[str | int]] = []
    for path in paths:
        try:
            status = path.stat()
            stamps.append([path.name, status.st_size, status.st_mtime_ns])
        except OSError:
            stamps.append([path.name, -1, 0])
    return stamps


@dataclass
class Step:
    """One step: `run(progress)` does it and returns what is to be said of it.

    `key` tells it from others of the folder, `work` is the kind of work. `output` is the file it writes, if
    it writes one, of about `nbytes`.
    """

    key: str
    work: str
    title: str
    inputs: list[Path]
    action: Callable[[Progress], list[Finding]]
    notes: Notes
    output: Path | None = None
    nbytes: int = 0

    @property
    def done(self) -> bool:
        """Whether it was done with these inputs, and its file is as it was then."""
        note = self.notes.get(self.key, self.inputs)
        return note is not None and (self.output is None or note.get("output") == _stamps([self.output]))

    def run(self, progress: Progress) -> list[Finding]:
        """Does it, and notes that. What was found before is returned where it is done already."""
        note = self.notes.get(self.key, self.inputs)
        if self.done and note is not None:
            return _findings(note.get("findings"))
        if self.output is not None:
            check_room(self.output, self.nbytes)
        findings = self.action(progress)
        self.notes.put(
            self.key,
            self.inputs,
            output=_stamps([self.output]) if self.output else None,
            findings=[dataclasses.asdict(finding) for finding in findings],
        )
        return findings


def _findings(values: object) -> list[Finding]:
    found = []
    for value in values if isinstance(values, list) else []:
        try:
            fields = {str(name): str(text) for name, text in value["fields"].items()}
            found.append(Finding(str(value["text"]), bool(value["bad"]), str(value["key"]), fields))
        except (TypeError, KeyError, AttributeError):
            continue  # somebody else's words
    return found
