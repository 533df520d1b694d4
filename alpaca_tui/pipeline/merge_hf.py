"""Writing a merged model as a Hugging Face folder: the base's own files again, with the merged tensors.

A base in Hugging Face's layout keeps the names of its files and which tensor is in which; one of Meta's
layout becomes pytorch_model*.bin of at most 10 GB, as transformers of 2023 split them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alpaca_tui.files import hf
from alpaca_tui.files.hparams import ROPE_FREQ_BASE
from alpaca_tui.files.json_object import read_json
from alpaca_tui.files.output import check_room, new_file
from alpaca_tui.files.pth_write import Entry, PthWriter, pth_size
from alpaca_tui.files.stored import StoredTensor
from alpaca_tui.pipeline.convert_rows import Counts, RowConverter
from alpaca_tui.pipeline.jobs import Job
from alpaca_tui.pipeline.merge_pth import Digest, Progress, write_json
from alpaca_tui.pipeline.merged import MergedSource, state_dict_names
from alpaca_tui.pipeline.sources import CheckpointSource

MAX_FILE = 10 * 10**9
_SIDE_FILES = ("generation_config.json",)
_SAFETENSORS_NAMES = {"f16": "F16", "bf16": "BF16", "f32": "F32"}


ChunksOf = Callable[[Entry], Iterator["bytes | memoryview"]]


class _Writer:
    """A checkpoint file, torch's or safetensors by its name."""

    def __init__(self, path: Path, entries: Sequence[Entry]) -> None:
        self.path, self.entries = path, entries
        self.is_torch = path.suffix == ".bin"
        self._header = b"" if self.is_torch else _safetensors_header(entries)

    @property
    def size(self) -> int:
        if self.is_torch:
            return pth_size(self.path.stem, self.entries)
        return len(self._header) + sum(entry.nbytes for entry in self.entries)

    def write(self, file: Digest, chunks_of: ChunksOf) -> None:
        """All of it; `chunks_of(entry)` gives the values of an entry in pieces."""
        if not self.is_torch:
            file.write(self._header)
            for entry in self.entries:
                for chunk in chunks_of(entry):
                    file.write(chunk)
            return
        writer = PthWriter(file, self.path.stem, self.entries)
        for index in writer.order:
            writer.begin(index)
            for chunk in chunks_of(self.entries[index]):
                writer.write(chunk)
            writer.end()
        writer.finish()


def _safetensors_header(entries: Sequence[Entry]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for entry in entries:
        header[entry.name] = {
            "dtype": _SAFETENSORS_NAMES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [at, at + entry.nbytes],
        }
        at += entry.nbytes
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw


def write_hf(
    source: MergedSource, folder: Path, n_threads: int, progress: Progress
) -> tuple[dict[Path, str], dict[str, Counts]]:
    """Writes the weights, their index and config.json.

    Returns path -> SHA256 of each file of weights, and the tensors with odd values.
    """
    kept = _kept(source)
    files = [_Writer(folder / name, entries) for name, entries in _plan(source, kept).items()]
    total, done = sum(file.size for file in files), 0
    check_room(folder / "x", total)
    odd: dict[str, Counts] = {}
    digests: dict[Path, str] = {}
    with RowConverter(n_threads) as converter:

        def chunks_of(entry: Entry) -> Iterator[bytes | memoryview]:
            nonlocal done
            if entry.name in kept:
                yield np.ascontiguousarray(kept[entry.name].numpy()).tobytes()
            else:
                counts = Counts()
                yield from _values(source, entry, converter, counts)
                if counts.n_nan or counts.n_inf:
                    odd[entry.name] = counts
            done += entry.nbytes
            progress(done, total, entry.name)

        for writer in files:
            with new_file(writer.path, writer.size, source.paths) as file:
                digest = Digest(file)
                writer.write(digest, chunks_of)
            digests[writer.path] = digest.sha256
    _write_index(folder, files)
    write_json(folder / "config.json", _config(source), indent=2)
    _copy_side_files(source, folder)
    return digests, odd


def _values(
    source: MergedSource, entry: Entry, converter: RowConverter, counts: Counts
) -> Iterator[bytes | memoryview]:
    """A tensor's values in transformers' order of rows."""
    name = hf.gguf_name(entry.name) or entry.name
    tensor = source.tensors[name]
    pieces = []
    for data, some in converter.run(source, Job(tensor, tensor.format)):
        counts.add(some)
        if hf.is_rotated(name):  # its rows lie all over, so it is put together first
            pieces.append(data)
        else:
            yield data.data.cast("B")
    if pieces:
        h = source.hparams
        n_head = h.n_head if name.endswith("attn_q.weight") else h.n_head_kv
        yield np.concatenate(pieces)[hf.halved_rows(tensor.rows, n_head)].data.cast("B")
    source.release(name)


def _kept(source: MergedSource) -> dict[str, StoredTensor]:
    """Tensors of the base that merging leaves out and that its files hold: RoPE's frequencies."""
    base = source.base
    if not isinstance(base, CheckpointSource):
        return {}
    tensors = [t for file in base.files for t in file.tensors.values()]
    return {t.name: t for t in tensors if hf.is_skipped(t.name) and t.dtype in _SAFETENSORS_NAMES}


def _plan(source: MergedSource, kept: dict[str, StoredTensor]) -> dict[str, list[Entry]]:
    """Name of each file -> its tensors, in order."""
    names = state_dict_names(source.hparams.n_layer)
    left = {name: Entry(name, "f16", source.tensors[gguf].shape) for gguf, name in names.items()}
    left |= {name: Entry(name, t.dtype, t.shape) for name, t in kept.items()}
    base = source.base
    plan: dict[str, list[Entry]] = {}
    if isinstance(base, CheckpointSource):
        for tensor in (t for file in base.files for t in file.tensors.values()):
            if tensor.name in left:
                plan.setdefault(tensor.file.path.name, []).append(left.pop(tensor.name))
    if plan:  # what the base did not have is a head that was tied to the embedding
        plan[list(plan)[-1]] += left.values()
        return plan
    groups: list[list[Entry]] = [[]]
    size = 0
    for entry in left.values():
        if groups[-1] and size + entry.nbytes > MAX_FILE:
            groups.append([])
            size = 0
        groups[-1].append(entry)
        size += entry.nbytes
    if len(groups) == 1:
        return {"pytorch_model.bin": groups[0]}
    return {f"pytorch_model-{i:05d}-of-{len(groups):05d}.bin": g for i, g in enumerate(groups, 1)}


def _write_index(folder: Path, files: Sequence[_Writer]) -> None:
    if len(files) == 1:
        return
    index = {
        "metadata": {"total_size": sum(entry.nbytes for file in files for entry in file.entries)},
        "weight_map": {entry.name: file.path.name for file in files for entry in file.entries},
    }
    kind = "pytorch_model.bin" if files[0].is_torch else "model.safetensors"
    write_json(folder / f"{kind}.index.json", index, indent=2)


def _config(source: MergedSource) -> dict[str, Any]:
    """The base's config.json with the merged vocabulary; made anew where the base has none."""
    h = source.hparams
    path = source.base.paths[0].parent / "config.json"
    if path.is_file():
        config = read_json(path)
    else:
        config = {
            "architectures": ["LlamaForCausalLM"],
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": h.n_embd,
            "initializer_range": 0.02,
            "intermediate_size": h.n_ff,
            "max_position_embeddings": h.n_ctx_train,
            "model_type": "llama",
            "num_attention_heads": h.n_head,
            "num_hidden_layers": h.n_layer,
            "num_key_value_heads": h.n_head_kv,
            "pad_token_id": 0,
            "rms_norm_eps": float(f"{h.norm_eps:.6g}"),
            "tie_word_embeddings": False,
            "use_cache": True,
        }
        if h.rope_freq_base != ROPE_FREQ_BASE:
            config["rope_theta"] = h.rope_freq_base
    config |= {"vocab_size": h.n_vocab, "torch_dtype": "float16"}
    if config.get("tie_word_embeddings"):
        config["tie_word_embeddings"] = False  # the head is written out
    return config


def _copy_side_files(source: MergedSource, folder: Path) -> None:
    for name in _SIDE_FILES:
        copy_file(source.base.paths[0].parent / name, folder / name)


def copy_file(path: Path, target: Path) -> bool:
    """Copies a small file, whole or not at all; False where there is none, or it is the same one."""
    if not path.is_file() or (target.exists() and target.samefile(path)):
        return False
    data = path.read_bytes()
    with new_file(target, len(data)) as file:
        file.write(data)
    return True
