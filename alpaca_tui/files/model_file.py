"""Opening a model file, whatever its container: hyper-parameters, vocabulary, and tensors under GGUF names.

Nothing is read but the head; weights are views of a read-only memory map.
"""

from __future__ import annotations

import mmap
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_tui.errors import UserError
from alpaca_tui.files import hparams as hp
from alpaca_tui.files import vocab as vb
from alpaca_tui.files.block_math import F32, U8
from alpaca_tui.files.cursor import damaged
from alpaca_tui.files.ggml import MAGICS, read_ggml
from alpaca_tui.files.gguf import MAGIC, read_gguf
from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.sniff import HEAD, check_path, refusal
from alpaca_tui.files.tensors import Contents, Tensor, check_tensors
from alpaca_tui.files.vocab import Vocab


class _Maps:
    """The memory maps of the parts of a model, in order."""

    def __init__(self) -> None:
        self.maps: list[mmap.mmap] = []
        self.paths: list[Path] = []

    def open(self, path: Path) -> tuple[mmap.mmap, int]:
        size = check_path(path)
        try:
            with path.open("rb") as file:
                self.maps.append(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{path} cannot be opened: {reason}.") from None
        self.paths.append(path)
        return self.maps[-1], size

    def view(self, index: int, offset: int, shape: tuple[int, int]) -> U8:
        count = shape[0] * shape[1]
        return np.frombuffer(self.maps[index], np.uint8, count, offset).reshape(shape)

    def release(self, index: int, offset: int, size: int) -> None:
        """Tell the system that these pages need not stay in memory; they can be read again."""
        if hasattr(mmap, "MADV_DONTNEED") and size:
            start = offset - offset % mmap.PAGESIZE
            self.maps[index].madvise(mmap.MADV_DONTNEED, start, offset + size - start)

    def close(self) -> None:
        for m in self.maps:
            try:
                m.close()
            except BufferError:  # an array still looks at it, and keeps it until then
                continue
        self.maps = []


class ModelFile:
    """An open model file. All weights are in `tensors`, under GGUF names; see the reading methods.

    `vocab` is None only when it was asked to be optional. Use as a context manager, or call `close`.
    """

    def __init__(
        self, path: Path, contents: Contents, hparams: HParams, vocab: Vocab | None, maps: _Maps
    ) -> None:
        self.path = path
        self.container = contents.container
        self.version = contents.version
        self.metadata: dict[str, Any] = contents.metadata
        self.tensors: dict[str, Tensor] = contents.tensors
        self.hparams = hparams
        self.vocab = vocab
        self.head_2023 = contents.head
        self.paths = list(maps.paths)  # one file, or the parts of a model of 2023
        self._places, self._maps = contents.places, maps

    def __enter__(self) -> ModelFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- weights -------------------------------------------------------------------------------------------

    def rows(self, name: str, start: int, stop: int) -> U8:
        """Rows start .. stop of a tensor as they are stored: u8 [stop - start, row_bytes].

        A read-only view of the memory map; a copy where the rows are spread over several files.
        """
        tensor = self.tensors[name]
        if not 0 <= start <= stop <= tensor.rows:
            raise IndexError(f"rows {start} to {stop} of {name} with {tensor.rows}")
        views = self._part_views(tensor)
        if tensor.axis == 1 and len(views) > 1:
            return np.concatenate([view[start:stop] for view in views], axis=1)
        pieces, first = [], 0
        for view in views:
            piece = view[max(start - first, 0) : max(stop - first, 0)]
            if len(piece):
                pieces.append(piece)
            first += len(view)
        if not pieces:
            return np.empty((0, tensor.row_bytes), np.uint8)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def gather(self, name: str, ids: npt.ArrayLike) -> F32:
        """The rows with these numbers, dequantised: f32 [len(ids), cols]. IndexError for a number outside."""
        tensor = self.tensors[name]
        wanted = np.asarray(ids, np.int64).reshape(-1)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < tensor.rows):
            raise IndexError(f"a row outside of {name} with {tensor.rows}")
        views = self._part_views(tensor)
        if tensor.axis == 1:
            data = np.concatenate([view[wanted] for view in views], axis=1)
        else:
            data = np.empty((len(wanted), tensor.row_bytes), np.uint8)
            first = 0
            for view in views:
                here = (wanted >= first) & (wanted < first + len(view))
                data[here] = view[wanted[here] - first]
                first += len(view)
        return tensor.format.dequantize(data)

    def array(self, name: str) -> F32:
        """The whole tensor, dequantised, in its shape. For small ones, such as norms."""
        tensor = self.tensors[name]
        return tensor.format.dequantize(self.rows(name, 0, tensor.rows)).reshape(tensor.shape)

    def release(self, name: str) -> None:
        """Give the mapped pages of this tensor back to the system, where it lets us; it stays readable."""
        tensor = self.tensors[name]
        for part in tensor.parts:
            self._maps.release(part.file, part.offset, part.rows * tensor.format.row_bytes(part.cols))

    def raw_metadata(self) -> dict[str, bytes]:
        """Every key of a GGUF file, in order: the bytes of the key, its type and its value."""
        data = self._maps.maps[0]
        return {key: data[start:stop] for key, (start, stop) in self._places.items()}

    def close(self) -> None:
        """Unmap the file. Views that are still held stay valid."""
        self._maps.close()

    def _part_views(self, tensor: Tensor) -> list[U8]:
        row_bytes = tensor.format.row_bytes
        return [self._maps.view(p.file, p.offset, (p.rows, row_bytes(p.cols))) for p in tensor.parts]

    # --- words ---------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What to call the model on screen: its own name, or its file's, with the folder if that helps."""
        own = self.metadata.get("general.name")
        text = "".join(c for c in own if c.isprintable()).strip() if isinstance(own, str) else ""
        if text:
            return text[:80]
        stem, folder = self.path.stem, self.path.absolute().parent.name
        return f"{folder}/{stem}" if stem.startswith("ggml-model") and folder else stem

    @property
    def description(self) -> str:
        """Architecture, size, main block format and container: "llama 7B q4_0, gguf v3"."""
        container = f"{self.container} v{self.version}" if self.version else self.container
        return f"{self.hparams.arch} {self.size_label} {self.main_format}, {container}"

    @property
    def n_params(self) -> int:
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def size_label(self) -> str:
        """The number of parameters as people say it: "7B", "1.1B", "15M"."""
        n = self.n_params
        for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
            if n >= 0.9995 * unit:
                value = n / unit
                exact = value < 1.95 and unit == 1e9
                return f"{value:.1f}{letter}" if exact else f"{value:.0f}{letter}"
        return str(n)

    @property
    def main_format(self) -> str:
        """The block format that holds most of the weights, by its plain name ("q4_0", whatever the era)."""
        sizes: Counter[str] = Counter()
        for tensor in self.tensors.values():
            sizes[tensor.format.today.name] += tensor.nbytes
        return sizes.most_common(1)[0][0]


def open_model(
    path: Path | str,
    *,
    tokenizer: Path | None = None,
    norm_eps: float | None = None,
    need_vocab: bool = True,
    whole: bool = True,
) -> ModelFile:
    """Open a GGUF, ggjt, ggmf or ggml file of a LLaMA model.

    `tokenizer`: a tokenizer.model to use instead of the file's own vocabulary. Unversioned ggml files hold no
    scores; for them one is looked for beside the file and one folder up, and where there is none `need_vocab`
    says whether that is an error or leaves `vocab` None. `norm_eps` replaces the file's; files of 2023 have
    none and get LLaMA-1's 1e-6. Unless `whole`, tensors may be missing or have other shapes: whoever only
    writes them again need not mind.

    Raises UserError, naming file and reason, for whatever is not a whole model that this program can run.
    """
    path = Path(path)
    maps = _Maps()
    try:
        return _open(path, maps, tokenizer, norm_eps, need_vocab, whole)
    except BaseException:
        maps.close()
        raise


def _open(
    path: Path, maps: _Maps, tokenizer: Path | None, norm_eps: float | None, need_vocab: bool, whole: bool
) -> ModelFile:
    check_path(path)
    head = _head(path)
    if head.startswith(MAGIC):
        contents = read_gguf(path, *maps.open(path))
        if contents.metadata.get("general.type") == "adapter":
            raise UserError(
                f"{path} is a LoRA adapter, not a whole model; name it with --lora, and its base model "
                "with -m."
            )
        embedding = contents.tensors.get("token_embd.weight")
        n_vocab = embedding.rows if embedding else 1
        hparams = hp.check(path, hp.from_gguf(path, contents.metadata, n_vocab), norm_eps)
        if not contents.tensors:
            raise UserError(f"{path} holds a vocabulary only, no weights; give the model file.")
        if embedding is None:
            raise damaged(path, "its tensor token_embd.weight is missing")
        tied = True
        own = None if tokenizer else vb.from_gguf(path, contents.metadata)
        _drop_vocab(contents.metadata)
    elif head[:4] in MAGICS:
        legacy = read_ggml(path, maps.open, whole)
        contents, own, tied = legacy.contents, legacy.vocab, False
        hparams = hp.check(path, legacy.hparams, norm_eps)
    else:
        raise refusal(path, head)
    if whole:
        contents.tensors = check_tensors(path, contents.tensors, hparams, tied)
    vocab = _vocab(path, own, tokenizer, hparams.n_vocab, need_vocab)
    return ModelFile(path, contents, hparams, vocab, maps)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None


def _drop_vocab(metadata: dict[str, Any]) -> None:
    """The vocabulary's long lists are in `Vocab` now."""
    for key in ("tokens", "scores", "token_type", "merges"):
        metadata.pop(f"tokenizer.ggml.{key}", None)


def _vocab(
    path: Path, own: Vocab | None, tokenizer: Path | None, n_vocab: int, need_vocab: bool
) -> Vocab | None:
    if tokenizer is None and own is not None and own.scores is not None:
        if len(own) != n_vocab:
            raise damaged(path, f"its vocabulary has {len(own)} tokens, and its embedding {n_vocab}")
        return own
    found = tokenizer or vb.find_tokenizer(path)
    if found is None:
        if not need_vocab:
            return None
        lacks = "vocabulary" if own is None else "token scores"
        raise UserError(
            f"{path} holds no {lacks}, so it needs its tokenizer.model: put that beside the file or one "
            "folder up, or name it with --tokenizer."
        )
    vocab = vb.from_tokenizer_model(found)
    if len(vocab) == n_vocab - 1 and own is not None and own.pieces[-1] == b"":
        vocab = vb.with_padding(vocab)
    if len(vocab) != n_vocab:
        raise UserError(
            f"{found} has {len(vocab)} tokens and {path} has {n_vocab}: they belong to different models; "
            "give the tokenizer.model that came with this one."
        )
    if own is not None:
        vb.check_same(path, own, found, vocab)
    return vocab
