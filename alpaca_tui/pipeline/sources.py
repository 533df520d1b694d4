"""What the converter reads, whatever it is: checkpoints of Meta's and of Hugging Face's layout, model files.

A `Source` has the model's numbers, its vocabulary where that is known, and its tensors under GGUF names; rows
of a tensor come as the bytes of its block format, joined over shards and ordered for RoPE as GGUF has it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from alpaca_tui.errors import UserError
from alpaca_tui.files.block_math import U8
from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.cursor import damaged
from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.model_file import ModelFile
from alpaca_tui.files.stored import Checkpoint, StoredTensor, to_f32
from alpaca_tui.files.tensors import Head2023, Tensor, join_axis
from alpaca_tui.files.vocab import Vocab


class Source(ABC):
    """`paths` are the files that are read; `tensors` are in their order there.

    `n_mult` is what a header of 2023 has for n_ff; None where that is not known. Use as a context manager.
    """

    paths: list[Path]
    name: str
    hparams: HParams
    n_mult: int | None
    vocab: Vocab | None
    tensors: dict[str, Tensor]
    container: str = "checkpoint"

    @abstractmethod
    def rows(self, name: str, start: int, stop: int) -> U8:
        """Rows start .. stop of a tensor in its own format: u8 [stop - start, row_bytes]."""

    @abstractmethod
    def release(self, name: str) -> None:
        """Give the mapped pages of a tensor back; it stays readable."""

    @abstractmethod
    def close(self) -> None:
        """Close the files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ModelSource(Source):
    """A model file: GGUF, or ggml, ggmf, ggjt of 2023."""

    def __init__(self, file: ModelFile) -> None:
        self.file = file
        self.paths = file.paths
        self.name = file.name
        self.hparams, self.vocab = file.hparams, file.vocab
        self.container, self.version = file.container, file.version
        self.head: Head2023 | None = file.head_2023
        self.n_mult = find_n_mult(file.hparams.n_embd, file.hparams.n_ff)
        if self.head:
            self.n_mult = self.head.numbers[2]
        in_order = sorted(file.tensors.values(), key=lambda tensor: tensor.parts[0].offset)
        self.tensors = {tensor.name: tensor for tensor in in_order}

    @property
    def ftype(self) -> int | None:
        """What the file says of its formats as a whole."""
        key = "ftype" if self.head else "general.file_type"
        value = self.file.metadata.get(key)
        return value if isinstance(value, int) else None

    def rows(self, name: str, start: int, stop: int) -> U8:
        return self.file.rows(name, start, stop)

    def release(self, name: str) -> None:
        self.file.release(name)

    def close(self) -> None:
        self.file.close()


@dataclass(frozen=True)
class Joined:
    """One tensor of a checkpoint: its parts, one a shard, and how they are put together.

    `axis`: 0 one under the other, 1 side by side. `order`: which row of the parts a row is, where that is
    another one.
    """

    parts: tuple[StoredTensor, ...]
    axis: int = 0
    order: npt.NDArray[np.int64] | None = None

    @property
    def dtype(self) -> str:
        return self.parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        first = self.parts[0].shape
        if len(first) == 1:
            return first
        total = sum(part.shape[self.axis] for part in self.parts)
        return (total, first[1]) if self.axis == 0 else (first[0], total)

    def values(self, start: int, stop: int) -> npt.NDArray:
        """Rows start .. stop in the parts' own type, [stop - start, cols]; a vector is one row."""
        if len(self.parts[0].shape) == 1:
            return self.parts[0].numpy()[None, :]
        if self.axis == 1 and len(self.parts) > 1:
            return np.concatenate([part.rows(start, stop) for part in self.parts], axis=1)
        if self.order is not None:
            return self.parts[0].numpy()[self.order[start:stop]]
        pieces, first = [], 0
        for part in self.parts:
            low, high = max(start - first, 0), min(stop - first, part.shape[0])
            if low < high:
                pieces.append(part.rows(low, high))
            first += part.shape[0]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class CheckpointSource(Source):
    """Tensors of one or several checkpoint files. `joined` has them under GGUF names."""

    def __init__(self, files: Sequence[Checkpoint], joined: dict[str, Joined], hparams: HParams) -> None:
        self.files, self.joined = list(files), joined
        self.paths = [path for file in files for path in file.paths]
        self.hparams = hparams
        self.n_mult, self.vocab, self.name = None, None, ""
        self.tensors = {name: _tensor(self.paths[0], name, tensor) for name, tensor in joined.items()}

    def rows(self, name: str, start: int, stop: int) -> U8:
        joined = self.joined[name]
        values = joined.values(start, stop)
        if joined.dtype == "f64":
            values = to_f32("f64", values)
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        return values.view(np.uint8).reshape(len(values), -1)

    def release(self, name: str) -> None:
        for part in self.joined[name].parts:
            part.release()

    def close(self) -> None:
        for file in self.files:
            file.close()


def _tensor(path: Path, name: str, joined: Joined) -> Tensor:
    fmt = FORMATS.get("f32" if joined.dtype == "f64" else joined.dtype)
    if fmt is None:
        raise UserError(
            f"{path} has its tensor {name} in the type {joined.dtype}, which no converter reads; use a "
            "checkpoint in f16, bf16 or f32."
        )
    return Tensor(name, joined.shape, fmt, ())


def join(shards: Sequence[tuple[Path, dict[str, StoredTensor]]]) -> dict[str, Joined]:
    """The tensors of several shards, all of which have all tensors, by GGUF name.

    Vectors are the same in all shards. Raises UserError for what does not fit together.
    """
    path, first = shards[0]
    joined = {}
    for name, tensor in first.items():
        axis = join_axis(name)
        parts = []
        for other_path, others in shards:
            other = others.get(name)
            if other is None:
                raise damaged(other_path, f"its tensor {name} is missing")
            same = len(other.shape) == len(tensor.shape) and other.dtype == tensor.dtype
            if not same or len(tensor.shape) not in (1, 2) or not tensor.size:
                raise damaged(other_path, f"its tensor {name} has the type {other.dtype} {other.shape}")
            if len(tensor.shape) == 2 and other.shape[1 - axis] != tensor.shape[1 - axis]:
                raise damaged(other_path, f"its tensor {name} does not go with that of {path.name}")
            parts.append(other)
        joined[name] = Joined(tuple(parts[:1] if len(tensor.shape) == 1 else parts), axis)
    for other_path, others in shards[1:]:
        for name in others.keys() - first.keys():
            raise damaged(other_path, f"its tensor {name} is not in {path.name}")
    return joined


def reordered(joined: Joined, order: npt.NDArray[np.int64]) -> Joined:
    """The same tensor with its rows in another order; for tensors of one part."""
    return replace(joined, order=order)


# --- n_mult ------------------------------------------------------------------------------------------------

_USUAL_N_MULT = 256


def n_ff_of(n_embd: int, n_mult: int) -> int:
    """Width of the feed-forward layers that programs of 2023 worked out from a header."""
    return (2 * (4 * n_embd) // 3 + n_mult - 1) // n_mult * n_mult


def find_n_mult(n_embd: int, n_ff: int, wanted: int = _USUAL_N_MULT) -> int | None:
    """An n_mult that leads to `n_ff`: `wanted`, or the largest up to 8192; None where there is none.

    The search is that of convert.py of August 2023.
    """
    if wanted > 0 and n_ff_of(n_embd, wanted) == n_ff:
        return wanted
    return next((m for m in range(8192, 1, -1) if n_ff_of(n_embd, m) == n_ff), None)
