"""LoRAs applied while a model is loaded: each matrix is changed before it is repacked, and nothing is kept.

A changed matrix is made row by row: the rows of the model (or of `lora_base`) as f32, plus scale * alpha / r
* B @ A for one LoRA after the other, then put into the format that the model's file has for it. A model in
f16 gets what merging gives, which rounds after each LoRA. A quantised one gets its rows quantised once more,
by the rules of its format, as llama.cpp of 2023 did; with `lora_base` in f16 they are quantised only once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from alpaca_tui.engine.protocol import Adapter
from alpaca_tui.errors import UserError
from alpaca_tui.files import hf
from alpaca_tui.files.block_math import F32, U8
from alpaca_tui.files.ggla import MAGIC as GGLA
from alpaca_tui.files.ggla import open_ggla
from alpaca_tui.files.gguf import MAGIC as GGUF
from alpaca_tui.files.gguf_lora import open_gguf_lora
from alpaca_tui.files.model_file import ModelFile, open_model
from alpaca_tui.files.peft import VOCABULARY, WEIGHTS, Lora, open_peft
from alpaca_tui.files.stored import to_f32
from alpaca_tui.kernels import quantize_run

PIECE = 1 << 20  # elements of a matrix that one thread makes at a time
EMBEDDING, OUTPUT = VOCABULARY


def open_adapter(path: Path) -> Lora:
    """A LoRA in a ggla file, a GGUF adapter, or Hugging Face's folder (or the weights in it).

    Raises UserError for what is none of these, damaged, or cannot be applied.
    """
    if path.is_dir():
        return open_peft(path)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror or error}.") from None
    if magic == GGLA:
        return open_ggla(path)
    if magic == GGUF:
        return open_gguf_lora(path)
    if path.name in WEIGHTS or (path.parent / "adapter_config.json").is_file():
        return open_peft(path.parent)
    raise UserError(
        f"{path} is no LoRA: give a ggla file, a GGUF adapter, or a folder with adapter_config.json and "
        "adapter_model.bin or .safetensors."
    )


class Loras:
    """The LoRAs of one load. `names` are the tensors that they change. Close it when all is loaded.

    `embedding` goes on working after that: its rows are made when they are asked for.
    """

    def __init__(self, file: ModelFile, adapters: Sequence[Adapter], base: Path | None = None) -> None:
        """Raises UserError for what cannot be read, and for what does not fit the model."""
        self._file = self._source = file
        self._loras: list[tuple[Lora, float]] = []
        with ExitStack() as stack:
            for adapter in adapters:
                if not math.isfinite(adapter.scale):
                    raise UserError(f"The scale {adapter.scale} of {adapter.path} is no number; give one.")
                lora = stack.enter_context(open_adapter(adapter.path))
                self._check(lora)
                self._loras.append((lora, adapter.scale))
            if base is not None and self._loras:
                self._source = stack.enter_context(open_model(base, need_vocab=False, whole=False))
            self.names = {self._used(name) for lora, _ in self._loras for name in (*lora.pairs, *lora.whole)}
            if EMBEDDING in self.names and OUTPUT not in file.tensors:
                self.names.add(OUTPUT)  # tied to it
            self._check_base()
            self._open = stack.pop_all()

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what fits -----------------------------------------------------------------------------------------

    def _used(self, name: str) -> str:
        return EMBEDDING if name == OUTPUT and OUTPUT not in self._file.tensors else name

    def _check(self, lora: Lora) -> None:
        """Raises UserError, naming both shapes, where a LoRA was made for another model."""
        path, file = lora.checkpoint.path, self._file
        grown = lora.n_vocab
        if grown not in (None, file.hparams.n_vocab):
            raise UserError(
                f"{path} has {grown:,} tokens and {file.path} has {file.hparams.n_vocab:,}: it brings a "
                "vocabulary of its own; merge it into its base model with `alpaca-tui merge`."
            )
        for name, pair in lora.pairs.items():
            self._check_shape(path, name, pair.shape[::-1] if lora.fan_in_fan_out else pair.shape)
        for name, tensor in lora.whole.items():
            self._check_shape(path, name, tensor.shape)

    def _check_shape(self, path: Path, name: str, found: tuple[int, ...]) -> None:
        tensor = self._file.tensors.get(self._used(name))
        if tensor is None:
            raise UserError(
                f"{path} changes {name}, which {self._file.path} does not have with its "
                f"{self._file.hparams.n_layer} layers; use the LoRA that was made for this model."
            )
        if tensor.shape != found:
            raise UserError(
                f"{path} does not fit {self._file.path}: for {name} it has the shape {found}, and the model "
                f"has {tensor.shape}; use the LoRA that was made for this model."
            )

    def _check_base(self) -> None:
        if self._source is self._file:
            return
        for name in self.names & self._file.tensors.keys():
            found = self._source.tensors.get(name)
            if found is None or found.shape != self._file.tensors[name].shape:
                shape = found.shape if found else "nothing"
                raise UserError(
                    f"{self._source.path} does not fit {self._file.path}: for {name} it has {shape}, and "
                    f"{self._file.tensors[name].shape} is needed; give the same model in f16 as --lora-base."
                )

    # --- what comes out ------------------------------------------------------------------------------------

    def kernels(self) -> list[str]:
        """Names of the kernels that quantise what is changed."""
        formats = {self._file.tensors[name].format.name for name in self.names & self._file.tensors.keys()}
        return [f"quantize_{name}" for name in sorted(formats & quantize_run.QUANTIZERS)]

    def matrix(self, name: str, n_threads: int, check_stop: Callable[[], None]) -> U8:
        """The changed matrix in the format of the model's file: u8 [rows, row_bytes].

        `check_stop` is called between pieces, and what it raises comes through.
        """
        tensor = self._file.tensors[self._used(name)]
        out = np.empty((tensor.rows, tensor.row_bytes), np.uint8)
        step = max(PIECE // tensor.cols, 1)

        def make(start: int) -> None:
            check_stop()
            ids = np.arange(start, min(start + step, tensor.rows))
            out[ids[0] : ids[-1] + 1] = self._rows(name, ids)

        with ThreadPoolExecutor(n_threads) as pool:
            for _ in pool.map(make, range(0, tensor.rows, step)):
                pass
        if self._source is not self._file:
            self._source.release(self._used(name))
        return out

    def vector(self, name: str) -> F32:
        """A changed norm: f32 [n]."""
        return self._values(name, np.arange(1)).reshape(-1)

    def embedding(self, ids: npt.ArrayLike) -> F32:
        """Rows of the changed embedding, rounded as the model's file rounds them: f32 [len(ids), n_embd]."""
        return self._file.tensors[EMBEDDING].format.dequantize(
            self._rows(EMBEDDING, np.asarray(ids, np.int64))
        )

    def _rows(self, name: str, ids: npt.NDArray[np.int64]) -> U8:
        fmt = self._file.tensors[self._used(name)].format
        values = np.ascontiguousarray(self._values(name, ids))
        if fmt.name not in quantize_run.QUANTIZERS:
            return fmt.quantize(values)
        out = np.empty((len(values), fmt.row_bytes(values.shape[1])), np.uint8)
        n_blocks = values.size // fmt.block
        quantize_run.quantize_blocks(fmt.name, values.view(np.uint8).reshape(-1), "f32", n_blocks, out)
        return out

    def _values(self, name: str, ids: npt.NDArray[np.int64]) -> F32:
        """Rows of a tensor with all LoRAs applied: f32 [len(ids), cols]."""
        used = self._used(name)
        tensor = self._source.tensors[used]
        values: F32 | None = None
        for lora, scale in self._loras:
            own = name if name in lora.pairs or name in lora.whole else used
            rows = self._order(lora, own, ids)
            whole = lora.whole.get(own)
            if whole is not None:
                values = to_f32(whole.dtype, np.atleast_2d(whole.numpy())[rows])
            delta = lora.change(own, rows)
            if delta is not None:
                delta *= np.float32(scale)
                delta += self._base_rows(used, ids) if values is None else values
                values = delta
            if values is not None and tensor.format.name == "f16":  # as merging does after each
                with np.errstate(over="ignore"):
                    values = values.astype(np.float16).astype(np.float32)
        return self._base_rows(used, ids) if values is None else values

    def _base_rows(self, name: str, ids: npt.NDArray[np.int64]) -> F32:
        if len(ids) and ids[-1] - ids[0] == len(ids) - 1 and (np.diff(ids) == 1).all():
            data = self._source.rows(name, int(ids[0]), int(ids[-1]) + 1)
            return self._source.tensors[name].format.dequantize(data)
        return self._source.gather(name, ids)

    def _order(self, lora: Lora, name: str, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where the LoRA has these rows of the model."""
        if not (lora.halved and hf.is_rotated(name)):
            return ids
        h = self._file.hparams
        n_head = h.n_head if name.endswith("attn_q.weight") else h.n_head_kv
        return hf.paired_rows(self._file.tensors[name].rows, n_head)[ids]

    def fingerprint(self) -> Iterator[bytes]:
        """What tells these LoRAs from others: scales, names, shapes, and some of each tensor's bytes."""
        for lora, scale in self._loras:
            yield repr((scale, lora.scaling, lora.fan_in_fan_out, lora.halved)).encode()
            stored = [
                (f"{name} {half}", getattr(pair, half)) for name, pair in lora.pairs.items() for half in "ab"
            ]
            for name, tensor in [*stored, *lora.whole.items()]:
                yield repr((name, tensor.dtype, tensor.shape)).encode()
                yield tensor.file.data[tensor.offset : tensor.offset + min(tensor.span, 4096)]
        if self._source is not self._file:
            for name in sorted(self.names & self._source.tensors.keys()):
                yield self._source.rows(name, 0, 1)[:, :4096].tobytes()
