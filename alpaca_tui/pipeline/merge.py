"""Merging LoRAs into a base model, as the scripts of Chinese-LLaMA-Alpaca do, in bounded memory.

Nothing is held but the rows in work: the base and the LoRAs are mapped files, and what is merged goes
straight into the files that are written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.pipeline.containers import CONTAINERS, FTYPES, default_output
from alpaca_tui.pipeline.convert_rows import Counts
from alpaca_tui.pipeline.find import open_source
from alpaca_tui.pipeline.jobs import plain_jobs
from alpaca_tui.pipeline.merge_hf import copy_file, write_hf
from alpaca_tui.pipeline.merge_pth import Progress, write_pth
from alpaca_tui.pipeline.merged import MergedSource, open_merged
from alpaca_tui.pipeline.sources import CheckpointSource
from alpaca_tui.pipeline.words import find_words
from alpaca_tui.pipeline.write_model import Nobody, Target, write_model

OUTPUT_TYPES = ("pth", "huggingface", "ggml", "gguf")
_CONTAINER = {"ggml": "ggjt-v1", "gguf": "gguf"}
TOKENIZER_FILES = (
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


@dataclass
class Merged:
    """What was written: `sha256` of each checkpoint, `odd` tensors with values that are no numbers."""

    folder: Path
    n_vocab: int
    paths: list[Path] = field(default_factory=list)
    sha256: dict[Path, str] = field(default_factory=dict)
    odd: dict[str, Counts] = field(default_factory=dict)


def merge(
    base: Path,
    loras: Sequence[Path],
    output_type: str,
    folder: Path,
    *,
    n_threads: int = 1,
    progress: Progress = lambda done, total, what: None,
    on_open: Callable[[MergedSource], None] = lambda source: None,
) -> Merged:
    """Merge `loras`, in their order, into the model in the folder `base`, and write the result to `folder`.

    `output_type`: pth (consolidated.*.pth with params.json), huggingface, ggml (ggjt v1, f16) or gguf (f16).
    The tokenizer of the last LoRA that has one goes with it. `on_open` sees the model before it is written.
    Raises UserError for what cannot be read, merged or written; nothing half-written stays.
    """
    if output_type not in OUTPUT_TYPES:
        raise UserError(f"There is no output type {output_type!r}; there are {', '.join(OUTPUT_TYPES)}.")
    with open_for_merge(base, loras) as source:
        if output_type in _CONTAINER and source.vocab is None:
            source.vocab = find_words(source.base.paths[0], None, source.hparams.n_vocab)
        on_open(source)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"The folder {folder} cannot be made: {error.strerror or error}.") from None
        merged = Merged(folder, source.hparams.n_vocab)
        if output_type == "pth":
            merged.sha256, merged.odd = write_pth(source, folder, n_threads, progress)
        elif output_type == "huggingface":
            merged.sha256, merged.odd = write_hf(source, folder, n_threads, progress)
        else:
            merged.paths = [_write_model_file(source, output_type, merged, n_threads, progress)]
        merged.paths = merged.paths or list(merged.sha256)
        tokenizer = source.tokenizer_folder or source.base.paths[0].parent
        for name in TOKENIZER_FILES:
            if copy_file(tokenizer / name, folder / name):
                merged.paths.append(folder / name)
    return merged


def open_for_merge(base: Path, loras: Sequence[Path]) -> MergedSource:
    """The merged model, unwritten. Raises UserError for a base that is no folder of a checkpoint."""
    if not base.is_dir():
        raise UserError(
            f"There is no folder {str(base)!r}; --base_model names the folder of a model in Meta's or Hugging"
            " Face's layout, which has to be on this computer."
        )
    source = open_source(base, need_vocab=False)
    if not isinstance(source, CheckpointSource):
        source.close()
        raise UserError(
            f"{source.paths[0]} is a converted model; LoRAs are merged into checkpoints (consolidated.*.pth, "
            "pytorch_model*.bin, model*.safetensors)."
        )
    return open_merged(source, loras)


class _Watcher(Nobody):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def progress(self, done: int, total: int, what: str) -> None:
        self._progress(done, total, what)


def _write_model_file(
    source: MergedSource, output_type: str, merged: Merged, n_threads: int, progress: Progress
) -> Path:
    container = CONTAINERS[_CONTAINER[output_type]]
    target = Target(
        default_output(merged.folder, "f16", container),
        container,
        FTYPES["f16"],
        merged.folder.absolute().name,
    )
    jobs = plain_jobs(source.tensors.values(), "f16", container)
    merged.odd = write_model(source, jobs, target, n_threads, _Watcher(progress)).odd
    return target.path
