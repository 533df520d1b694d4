"""Writing a merged model as Meta's checkpoints: the files that the script of Chinese-LLaMA-Alpaca wrote."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from alpaca_tui.errors import UserError
from alpaca_tui.files.hparams import ROPE_FREQ_BASE
from alpaca_tui.files.output import check_room, new_file
from alpaca_tui.files.pth_write import Entry, PthWriter, pth_size
from alpaca_tui.files.tensors import Tensor, join_axis, name_2023
from alpaca_tui.pipeline.convert_rows import Counts, RowConverter
from alpaca_tui.pipeline.jobs import Job
from alpaca_tui.pipeline.merged import MergedSource

N_SHARDS = {4096: 1, 5120: 2, 6656: 4, 8192: 8}  # by n_embd; others get one
Progress = Callable[[int, int, str], None]  # bytes written, of how many, tensor


class Digest:
    """A file that works out the SHA256 of what goes into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._sha256 = file, hashlib.sha256()

    def write(self, data: bytes | memoryview, /) -> None:
        self._sha256.update(data)
        self._file.write(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


def spans(tensor: Tensor, n_shards: int) -> list[tuple[int, int]]:
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
    assert name is not None  # a merged model has the names of 2023
    if len(shape) == 2:
        shape[join_axis(tensor.name)] = span[1] - span[0]
    return Entry(name, "f16", tuple(shape))


def write_pth(
    source: MergedSource, folder: Path, n_threads: int, progress: Progress
) -> tuple[dict[Path, str], dict[str, Counts]]:
    """Writes consolidated.*.pth and params.json: path -> SHA256 of each, and the tensors with odd values."""
    tensors = list(source.tensors.values())
    n_shards = N_SHARDS.get(source.hparams.n_embd, 1)
    shards = [spans(tensor, n_shards) for tensor in tensors]
    paths = [folder / f"consolidated.{i:02d}.pth" for i in range(n_shards)]
    entries = [
        [_entry(tensor, span[i]) for tensor, span in zip(tensors, shards, strict=True)]
        for i in range(n_shards)
    ]
    sizes = [pth_size(path.stem, each) for path, each in zip(paths, entries, strict=True)]
    check_room(paths[0], sum(sizes))
    odd: dict[str, Counts] = {}
    done = 0
    with ExitStack() as stack:
        files = [
            Digest(stack.enter_context(new_file(path, size, source.paths)))
            for path, size in zip(paths, sizes, strict=True)
        ]
        writers = [
            PthWriter(file, path.stem, each) for file, path, each in zip(files, paths, entries, strict=True)
        ]
        converter = stack.enter_context(RowConverter(n_threads))
        for index in writers[0].order:
            tensor = tensors[index]
            counts = _write_tensor(source, tensor, index, shards[index], writers, converter)
            if counts.n_nan or counts.n_inf:
                odd[tensor.name] = counts
            done += sum(each[index].nbytes for each in entries)
            progress(done, sum(sizes), tensor.name)
        for writer in writers:
            writer.finish()
    write_json(folder / "params.json", params_json(source))
    return {path: file.sha256 for path, file in zip(paths, files, strict=True)}, odd


def _write_tensor(
    source: MergedSource,
    tensor: Tensor,
    index: int,
    shards: Sequence[tuple[int, int]],
    writers: Sequence[PthWriter],
    converter: RowConverter,
) -> Counts:
    """One tensor, computed once and dealt out to all shards."""
    counts, at = Counts(), 0
    by_columns = len(tensor.shape) == 2 and join_axis(tensor.name) == 1
    for writer in writers:
        writer.begin(index)
    for data, some in converter.run(source, Job(tensor, tensor.format)):
        counts.add(some)
        for writer, (low, high) in zip(writers, shards, strict=True):
            if by_columns:
                piece = data[:, 2 * low : 2 * high]
            elif len(tensor.shape) == 1:
                piece = data
            else:
                piece = data[max(low - at, 0) : max(high - at, 0)]
            if piece.size:
                writer.write(np.ascontiguousarray(piece).data.cast("B"))
        at += len(data)
    for writer in writers:
        writer.end()
    source.release(tensor.name)
    return counts


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
