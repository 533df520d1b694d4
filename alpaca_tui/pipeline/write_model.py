"""Writing a model file: tensor after tensor, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from alpaca_tui.files.output import new_file
from alpaca_tui.pipeline.containers import Container
from alpaca_tui.pipeline.convert_rows import Counts, RowConverter
from alpaca_tui.pipeline.jobs import Job
from alpaca_tui.pipeline.layout import layout_for, size_of
from alpaca_tui.pipeline.sources import Source


class Watcher(Protocol):
    """Who is told what happens: `begin` once, then for each tensor `tensor_begins` and `tensor_done`."""

    def begin(self, source: Source, jobs: Sequence[Job], container: Container) -> None: ...

    def tensor_begins(self, index: int, job: Job) -> None: ...

    def tensor_done(self, index: int, job: Job, counts: Counts) -> None: ...

    def progress(self, done: int, total: int, what: str) -> None:
        """Bytes that have been read of all that will be."""


class Nobody:
    """A watcher that does not listen."""

    def begin(self, source: Source, jobs: Sequence[Job], container: Container) -> None: ...

    def tensor_begins(self, index: int, job: Job) -> None: ...

    def tensor_done(self, index: int, job: Job, counts: Counts) -> None: ...

    def progress(self, done: int, total: int, what: str) -> None: ...


@dataclass(frozen=True)
class Target:
    """What is written: `ftype` is the number that the head gets.

    `name` is the model's where its own file does not say one in GGUF's metadata; `metadata` says more there,
    and instead of what the model's own file says.
    """

    path: Path
    container: Container
    ftype: int
    name: str
    metadata: Mapping[str, str | list[str]] = field(default_factory=dict)


@dataclass
class Written:
    """What became of it. `odd` has the tensors with values that are no numbers, or none any more."""

    path: Path
    size: int
    old_size: int
    new_size: int
    odd: dict[str, Counts] = field(default_factory=dict)


def write_model(
    source: Source, jobs: Sequence[Job], target: Target, n_threads: int, watcher: Watcher
) -> Written:
    """Write `jobs` of `source` into a file. Raises UserError where it cannot be written."""
    path = target.path
    layout = layout_for(source, jobs, target.container, target.ftype, target.name, target.metadata)
    size = size_of(layout, jobs)
    total = sum(job.tensor.nbytes for job in jobs)
    written = Written(path, size, total, sum(job.nbytes for job in jobs))
    done = 0
    histograms = target.container.family != "gguf"  # today's quantiser shows none
    with new_file(path, size, source.paths) as file, RowConverter(n_threads, histograms) as converter:
        watcher.begin(source, jobs, target.container)
        file.write(layout.head)
        for i, job in enumerate(jobs):
            watcher.tensor_begins(i, job)
            file.write(layout.before(job, file.tell()))
            counts = Counts()
            for data, some in converter.run(source, job):
                file.write(data.data)
                counts.add(some)
                done += len(data) * job.tensor.row_bytes
                watcher.progress(done, total, job.name)
            file.write(layout.after(job))
            source.release(job.name)
            if counts.n_nan or counts.n_inf or counts.n_overflow:
                written.odd[job.name] = counts
            watcher.tensor_done(i, job, counts)
    return written
