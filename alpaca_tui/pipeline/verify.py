"""SHA256 of files, and what they should have: published hashes, a list beside the file, one that is given."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.pipeline.diagnose import Finding, what_it_is
from alpaca_tui.pipeline.hashes import PUBLISHED, Published

Progress = Callable[[int, int, str], None]  # bytes hashed, of how many, file

LISTS = ("SHA256SUMS", "SHA256SUMS.txt", "sha256sums.txt", "sha256sum.txt", "SHA256.txt", "SHA256.md")
_BLOCK = 1 << 21
_MAX_LIST = 4 << 20
_MAX_FILES = 10_000
_LEVELS = 2  # how far above a file its list may be
_HASH = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])")
_LINE = re.compile(r"([0-9A-Fa-f]{64})[ \t]+\*?(.+)")  # sha256sum
_LINE_BSD = re.compile(r"SHA256 \((.+)\) = ([0-9A-Fa-f]{64})")  # shasum --tag


@dataclass
class Checked:
    """One file: its hash, what is known of that, what the file is, and what is wrong with it."""

    path: Path
    size: int
    sha256: str
    published: Published | None = None
    listed: str = ""  # "SHA256SUMS", "SHA256.md (Chinese-Alpaca-7B)": the list that has this hash
    what: str = ""
    whole: bool = True  # it can be read as what it is
    findings: list[Finding] = field(default_factory=list)

    @property
    def good(self) -> bool | None:
        """True where the hash is a known one, False where something is wrong, None where nothing is known."""
        if any(finding.bad for finding in self.findings):
            return False
        return True if self.published or self.listed else None


def verify(
    paths: Sequence[Path], expect: str | None = None, progress: Progress = lambda done, total, what: None
) -> Iterator[Checked]:
    """Checks every file in `paths` and in the folders among them, one after the other.

    `expect`: the hash that the only file should have, also with "..." in its middle. Raises UserError for
    paths that cannot be read, and for an `expect` that is no hash.
    """
    wanted = None if expect is None else parse_expected(expect)
    files = files_in(paths)
    if wanted and len(files) != 1:
        raise UserError(f"--expect goes with one file, and {len(files)} were named; name the one it is for.")
    total, done = sum(path.stat().st_size for path in files), 0
    lists: dict[Path, HashList] = {}
    for path in files:
        checked = Checked(path, path.stat().st_size, "")
        begin = done

        def report(n: int, begin: int = begin, path: Path = path) -> None:
            progress(begin + n, total, path.name)

        checked.sha256 = sha256_of(path, report)
        done += checked.size
        checked.published = PUBLISHED.get(checked.sha256)
        checked.what, checked.findings = what_it_is(path)
        checked.whole = not checked.findings
        _look_up(checked, lists)
        if wanted:
            checked.findings.append(_compare(checked.sha256, wanted))
        yield checked


def files_in(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths` and in the folders among them; no hidden ones, no lists of hashes."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not _is_left_out(p, path))
            if not inside:
                raise UserError(f"The folder {path} holds no files; name the folder of a model.")
            found |= dict.fromkeys(inside)
        elif path.is_file():
            found[path] = None
        else:
            raise UserError(f"There is no file or folder {str(path)!r}; check its name.")
        if len(found) > _MAX_FILES:
            raise UserError(f"{path} holds more than {_MAX_FILES:,} files; name the folder of one model.")
    return list(found)


def _is_left_out(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return hidden or path.name in LISTS or path.suffix in (".part", ".sha256")


def sha256_of(path: Path, progress: Callable[[int], None] = lambda done: None) -> str:
    """The hash of a file, read in pieces; `progress` hears of the bytes. UserError where it is unreadable."""
    sha256, done = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_BLOCK))
    try:
        with path.open("rb", buffering=0) as file:
            while n := file.readinto(buffer):
                sha256.update(buffer[:n])
                done += n
                progress(done)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    return sha256.hexdigest()


# --- what a file should have -------------------------------------------------------------------------------


def parse_expected(text: str) -> tuple[str, str]:
    """Beginning and end of a hash: all of it and "", or what stands around "..." or "…"."""
    plain = text.strip().lower()
    head, dots, tail = plain.replace("…", "...").partition("...")
    known = len(head + tail) in (range(8, 64) if dots else (64,))
    if not known or not re.fullmatch("[0-9a-f]*", head + tail):
        raise UserError(
            f"--expect takes a SHA256, 64 letters 0-9a-f, or its beginning and end around ..., not {text!r}."
        )
    return head, tail


def _compare(sha256: str, wanted: tuple[str, str]) -> Finding:
    head, tail = wanted
    shown = f"{head}...{tail}" if tail or len(head) < 64 else head
    if sha256.startswith(head) and sha256.endswith(tail):
        return Finding(f"matches {shown}", bad=False)
    return Finding(f"does not match {shown}: this is another file, or it was damaged on its way")


@dataclass
class HashList:
    """What a list says: hashes by the path they are for, and the words beside hashes without a path."""

    path: Path
    by_path: dict[Path, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def read_list(path: Path) -> HashList:
    """SHA256SUMS, as sha256sum and shasum write it, or a Markdown table with hashes in it."""
    found = HashList(path)
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_LIST).decode("utf-8", "replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    label = ""
    for line in text.splitlines():
        plain, bsd = _LINE.fullmatch(line.strip()), _LINE_BSD.fullmatch(line.strip())
        if plain or bsd:
            name, sha256 = (plain[2], plain[1]) if plain else (bsd[1], bsd[2])  # type: ignore[index]
            place = path.parent / name.strip().replace("\\", "/")
            found.by_path[_normal(place)] = sha256.lower()
            continue
        label = line.strip("#| \t").partition("|")[0].strip(" *`") or label
        for sha256 in _HASH.findall(line):
            found.labels[sha256.lower()] = label
    return found


def _normal(path: Path) -> Path:
    """Without `..` and `.`, links left as they are: what a list names is compared, not opened."""
    return Path(os.path.normpath(path.absolute()))


def _look_up(checked: Checked, lists: dict[Path, HashList]) -> None:
    """Compares with the lists beside the file and above it."""
    place = _normal(checked.path)
    own = [checked.path.with_name(checked.path.name + ".sha256")]
    folders = [place.parent, *place.parents[1 : 1 + _LEVELS]]
    for path in [*own, *(folder / name for folder in folders for name in LISTS)]:
        if path not in lists and path.is_file():
            lists[path] = read_list(path)
        found = lists.get(path)
        if found is None:
            continue
        wanted = found.by_path.get(place)
        if wanted == checked.sha256:
            checked.listed = path.name
        elif wanted is not None:
            checked.findings.append(
                Finding(f"{path.name} expects {wanted}: this is another file, or it was damaged on its way")
            )
        elif checked.sha256 in found.labels:
            checked.listed = f"{path.name} ({found.labels[checked.sha256]})"
