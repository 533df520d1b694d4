"""From a checkpoint, or a model file in another container, to a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from alpaca_tui.errors import UserError
from alpaca_tui.files import meta
from alpaca_tui.files.ggml_write import order_of_convert_py
from alpaca_tui.files.json_object import read_json
from alpaca_tui.files.output import check_output, new_file
from alpaca_tui.files.tensors import Tensor
from alpaca_tui.pipeline.containers import (
    CONTAINERS,
    FLOATS,
    FTYPES,
    Container,
    default_output,
)
from alpaca_tui.pipeline.find import open_source
from alpaca_tui.pipeline.jobs import EMBEDDING, OUTPUT, Job, QuantizeOptions, plain_jobs, quantize_jobs
from alpaca_tui.pipeline.layout import vocab_head
from alpaca_tui.pipeline.sources import ModelSource, Source
from alpaca_tui.pipeline.words import find_words
from alpaca_tui.pipeline.write_model import Nobody, Target, Watcher, Written, write_model

NOBODY = Nobody()
STATE_DICT, CONVERT_PY = "state-dict", "convert-py"
_OURS = ("general.architecture", "general.file_type", "general.quantization_version", "general.alignment")
_COMPARED = 1 << 22  # bytes looked at together


@dataclass(frozen=True)
class ConvertOptions:
    """`kind`: f32, f16 or a type to quantise to; None: what the source has.

    `order` of a checkpoint's tensors: STATE_DICT or CONVERT_PY. `metadata` are texts of a GGUF file (see
    `read_metadata`). The numbers at the end replace those of the source where they are given.
    """

    kind: str | None = None
    container: Container | None = None
    order: str = CONVERT_PY
    vocab_dir: Path | None = None
    name: str | None = None
    metadata: Mapping[str, str | list[str]] = field(default_factory=dict)
    norm_eps: float | None = None
    n_ctx_train: int | None = None


def convert(
    model: Path,
    output: Path | None = None,
    options: ConvertOptions = ConvertOptions(),
    *,
    n_threads: int = 1,
    watcher: Watcher = NOBODY,
) -> Written:
    """Write the model at `model` (a folder or a file) into one file.

    `output` left out is ggml-model-KIND beside the model. Raises UserError for what cannot be read or
    written.
    """
    with open_source(model, options.vocab_dir) as source:
        _set_numbers(source, options)
        kind = options.kind or natural_kind(source)
        container = options.container or default_container(kind)
        jobs = _jobs(source, options, kind, container)
        shown = kind or main_kind(jobs)
        output = output or default_output(source.paths[0].parent, shown, container)
        check_output(output, source.paths)
        metadata = {**options.metadata, **({"general.name": options.name} if options.name else {})}
        if metadata and container.family != "gguf":
            raise UserError("Files of 2023 hold no name and no metadata; give --container gguf with them.")
        out = Target(output, container, _ftype(source, kind, shown), source.name, metadata)
        return write_model(source, jobs, out, n_threads, watcher)


def read_metadata(path: Path) -> dict[str, str | list[str]]:
    """What a file for --metadata says: a JSON object with texts, or lists of texts, under general.*.

    The format is that of llama.cpp's convert_hf_to_gguf.py. Raises UserError for anything else.
    """
    found: dict[str, str | list[str]] = {}
    for key, value in read_json(path).items():
        texts = value if isinstance(value, list) else [value]
        if not key.startswith("general.") or key in _OURS or not all(isinstance(t, str) for t in texts):
            raise UserError(
                f"{path} says {key!r}; metadata are texts, or lists of texts, under general.name, "
                "general.description, general.license and the like."
            )
        found[key] = value
    return found


def _set_numbers(source: Source, options: ConvertOptions) -> None:
    if options.norm_eps is not None:
        source.hparams = replace(source.hparams, norm_eps=options.norm_eps)
    if options.n_ctx_train is not None:
        source.hparams = replace(source.hparams, n_ctx_train=options.n_ctx_train)


def natural_kind(source: Source) -> str | None:
    """What convert.py makes of a checkpoint: f16 of f16, else f32. None for a model file, which stays."""
    if isinstance(source, ModelSource):
        return None
    return "f16" if source.tensors["blk.0.attn_q.weight"].format.name == "f16" else "f32"


def default_container(kind: str | None) -> Container:
    """ggjt v1, which the tutorials use, where it held the type; else GGUF."""
    v1 = CONTAINERS["ggjt-v1"]
    return v1 if kind is None or kind in v1.formats else CONTAINERS["gguf"]


def _jobs(source: Source, options: ConvertOptions, kind: str | None, container: Container) -> list[Job]:
    tensors = _ordered(source, options.order)
    if container.family == "gguf" and source.container != "gguf" and _tied(source):
        tensors = [tensor for tensor in tensors if tensor.name != OUTPUT]
    if kind is None or kind in FLOATS:
        return plain_jobs(tensors, kind, container)
    jobs = quantize_jobs(tensors, kind, container, QuantizeOptions())
    f32 = container.format("f32")
    return [Job(job.tensor, f32) if len(job.tensor.shape) == 1 else job for job in jobs]


def _ordered(source: Source, order: str) -> list[Tensor]:
    """Model files keep their order; so do checkpoints, or they get that of convert.py."""
    tensors = source.tensors
    if isinstance(source, ModelSource) or order == STATE_DICT:
        return list(tensors.values())
    first = [name for name in order_of_convert_py(source.hparams.n_layer) if name in tensors]
    return [tensors[name] for name in [*first, *(name for name in tensors if name not in set(first))]]


def _tied(source: Source) -> bool:
    """Whether the output matrix is the embedding once more."""
    if OUTPUT not in source.tensors:
        return False
    embedding, output = source.tensors[EMBEDDING], source.tensors[OUTPUT]
    if (embedding.shape, embedding.format) != (output.shape, output.format):
        return False
    step = max(1, _COMPARED // embedding.row_bytes)
    return all(
        np.array_equal(source.rows(EMBEDDING, i, min(i + step, n)), source.rows(OUTPUT, i, min(i + step, n)))
        for n in (embedding.rows,)
        for i in range(0, n, step)
    )


def main_kind(jobs: Sequence[Job]) -> str:
    """The type that holds most of the model."""
    sizes: dict[str, int] = {}
    for job in jobs:
        kind = job.format.today.name
        sizes[kind] = sizes.get(kind, 0) + job.nbytes
    return max(sizes, key=lambda kind: sizes[kind])


def _ftype(source: Source, kind: str | None, shown: str) -> int:
    if kind is None and isinstance(source, ModelSource):
        own = source.ftype
        if own is not None and 0 <= own < 1 << 31:
            return own
    return FTYPES[shown]


# --- a vocabulary alone ------------------------------------------------------------------------------------

_NO_MODEL = (0, 0, 1, 0, 0, 0)  # convert.py's n_embd, n_mult, n_head, n_layer, n_rot, ftype


def convert_vocab(
    model: Path, output: Path, vocab_dir: Path | None, container: Container, ftype: int | None
) -> int:
    """Write a file of 2023 with the vocabulary only, and return its size.

    With `ftype` as convert-pth-to-ggml.py did it, whose header has the numbers of params.json in the folder
    `model`; without as convert.py did, whose header has none.
    """
    folder = model if model.is_dir() else model.parent
    if container.family == "gguf":
        raise UserError("--vocab-only writes files of 2023; leave --container gguf out.")
    vocab = find_words(folder / "params.json", vocab_dir, None)
    numbers: tuple[int, ...] = (len(vocab), *_NO_MODEL)
    if ftype is not None:
        p = meta.read_params(folder / "params.json")
        numbers = (len(vocab), p.dim, p.multiple_of, p.n_heads, p.n_layers, p.dim // p.n_heads, ftype)
    data = vocab_head(vocab, numbers, container)
    with new_file(output, len(data)) as file:
        file.write(data)
    return len(data)
