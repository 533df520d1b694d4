"""Writing a merged model as Meta's checkpoints: the files that the script of Chinese-LLaMA-Alpaca wrote."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from alpaca_tui.errors import UserError
from alpaca_tui.files.block_math import U8
from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.hparams import ROPE_FREQ_BASE
from alpaca_tui.files.output import check_room, new_file
from alpaca_tui.files.pth_write import Entry, PthWriter, pth_size
from alpaca_tui.files.tensors import Tensor, join_axis, name_2023
from alpaca_tui.pipeline.convert_rows import Counts, RowConverter
from alpaca_tui.pipeline.jobs import Job
from alpaca_tui.pipeline.merged import MergedSource, state_dict_names
from alpaca_tui.pipeline.sources import Source

N_SHARDS = {4096: 1, 5120: 2, 6656: 4, 8192: 8}  # by n_embd; others get one
Progress = Callable[[int, int, str], None]  # bytes written, of how many, tensor


class Digest:
    """A file that works out the SHA256 of what goes into it; without a file only that."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file, self._sha256 = file, hashlib.sha256()

    def write(self, data: bytes | memoryview, /) -> None:
        self._sha256.update(data)
        if self._file is not None:
            self._file.write(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


@dataclass(frozen=True)
class Shards:
    """A model laid out as consolidated.00.pth and on: `spans[tensor][shard]` says which part a shard has."""

    tensors: list[Tensor]
    spans: list[list[tuple[int, int]]]
    entries: list[list[Entry]]

    @property
    def stems(self) -> list[str]:
        return [f"consolidated.{i:02d}" for i in range(len(self.entries))]

    @property
    def sizes(self) -> list[int]:
        """Bytes of each file."""
        return [pth_size(stem, each) for stem, each in zip(self.stems, self.entries, strict=True)]


def lay_out(source: Source) -> Shards:
    """How the original script splits a model of this width. UserError where it cannot be split so."""
    h = source.hparams
    n_shards = N_SHARDS.get(h.n_embd, 1)
    tensors = [source.tensors[name] for name in state_dict_names(h.n_layer)]
    spans = [_spans(tensor, n_shards) for tensor in tensors]
    entries = [
        [_entry(tensor, span[i]) for tensor, span in zip(tensors, spans, strict=True)]
        for i in range(n_shards)
    ]
    return Shards(tensors, spans, entries)


def _spans(tensor: Tensor, n_shards: int) -> list[tuple[int, int]]:
    """Which rows (or columns, see `join_axis`) of a matrix each shard has; all of a vector.

    Only the head may be uneven: there the last shard has what is left over.
    """
    if len(tensor.shape) == 1:
        return [(0, tensor.cols)] * n_shards
    n = tensor.shape[join_axis(tensor.name)]
    if n % n_shards and tensor.name != "output.weight":
        raise UserError(
            f"{tensor.name} of the shape {tensor.shape} cannot be split into the {n_shards} files that a "
            "model of this width has; use --output_type huggingface or gguf."
        )
    step = n // n_shards
    return [(i * step, (i + 1) * step if i + 1 < n_shards else n) for i in range(n_shards)]


def _entry(tensor: Tensor, span: tuple[int, int]) -> Entry:
    shape, name = list(tensor.shape), name_2023(tensor.name)
    assert name is not None  # a model has the names of 2023
    if len(shape) == 2:
        shape[join_axis(tensor.name)] = span[1] - span[0]
    return Entry(name, "f16", tuple(shape))


def stream(
    source: Source, shards: Shards, sinks: Sequence[Digest], n_threads: int, progress: Progress
) -> dict[str, Counts]:
    """Writes all shards side by side, each tensor computed once; returns the tensors with odd values."""
    writers = [
        PthWriter(sink, stem, each)
        for sink, stem, each in zip(sinks, shards.stems, shards.entries, strict=True)
    ]
    odd: dict[str, Counts] = {}
    total, done = sum(entry.nbytes for each in shards.entries for entry in each), 0
    with RowConverter(n_threads) as converter:
        for index in writers[0].order:
            tensor = shards.tensors[index]
            for writer in writers:
                writer.begin(index)
            counts = Counts()
            for pieces, some in _deal(source, tensor, shards.spans[index], converter):
                counts.add(some)
                for writer, piece in zip(writers, pieces, strict=True):
                    if piece.size:
                        writer.write(np.ascontiguousarray(piece).data.cast("B"))
            for writer in writers:
                writer.end()
            source.release(tensor.name)
            if counts.n_nan or counts.n_inf or counts.n_overflow:
                odd[tensor.name] = counts
            done += sum(each[index].nbytes for each in shards.entries)
            progress(done, total, tensor.name)
    for writer in writers:
        writer.finish()
    return odd


def _deal(
    source: Source, tensor: Tensor, spans: Sequence[tuple[int, int]], converter: RowConverter
) -> Iterator[tuple[list[U8], Counts]]:
    """A tensor in f16, some rows at a time: the part of them that each shard has."""
    by_columns = len(tensor.shape) == 2 and join_axis(tensor.name) == 1
    at = 0
    for data, counts in converter.run(source, Job(tensor, FORMATS["f16"])):
        if by_columns:
            yield [data[:, 2 * low : 2 * high] for low, high in spans], counts
        elif len(tensor.shape) == 1:
            yield [data] * len(spans), counts
        else:
            yield [data[max(low - at, 0) : max(high - at, 0)] for low, high in spans], counts
        at += len(data)


def write_pth(
    source: MergedSource, folder: Path, n_threads: int, progress: Progress
) -> tuple[dict[Path, str], dict[str, Counts]]:
    """Writes consolidated.*.pth and params.json: path -> SHA256 of each, and the tensors with odd values."""
    shards = lay_out(source)
    paths = [folder / f"{stem}.pth" for stem in shards.stems]
    check_room(paths[0], sum(shards.sizes))
    with ExitStack() as stack:
        files = [
            Digest(stack.enter_context(new_file(path, size, source.paths)))
            for path, size in zip(paths, shards.sizes, strict=True)
        ]
        odd = stream(source, shards, files, n_threads, progress)
    write_json(folder / "params.json", params_json(source))
    return {path: file.sha256 for path, file in zip(paths, files, strict=True)}, odd


def params_json(source: MergedSource) -> dict[str, Any]:
    """What params.json says: for LLaMA's sizes exactly what the original script wrote."""
    h = source.hparams
    params: dict[str, Any] = {
        "dim": h.n_embd,
        "multiple_of": source.n_mult or h.n_ff,
        "n_heads": h.n_head,
        "n_layers": h.n_layer,
        "norm_eps": float(f"{h.norm_eps:.6g}"),
        "vocab_size": -1,
    }
    if h.n_head_kv != h.n_head:
        params["n_kv_heads"] = h.n_head_kv
    if h.rope_freq_base != ROPE_FREQ_BASE:
        params["rope_theta"] = h.rope_freq_base
    return params


def write_json(path: Path, values: dict[str, Any], indent: int | None = None) -> None:
    """A small JSON file, whole or not at all."""
    data = json.dumps(values, indent=indent).encode()
    with new_file(path, len(data)) as file:
        file.write(data)
