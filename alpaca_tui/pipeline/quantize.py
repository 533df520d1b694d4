"""Quantising a model file as llama.cpp does: the same bytes as the tool of the container's time wrote."""

from __future__ import annotations

from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.files.output import check_output
from alpaca_tui.pipeline.containers import FTYPES, Container, container_of, default_output
from alpaca_tui.pipeline.find import open_model_file
from alpaca_tui.pipeline.jobs import QuantizeOptions, quantize_jobs
from alpaca_tui.pipeline.write_model import Nobody, Target, Watcher, Written, write_model

NOBODY = Nobody()


def quantize(
    source_path: Path,
    kind: str,
    output: Path | None = None,
    *,
    container: Container | None = None,
    options: QuantizeOptions = QuantizeOptions(),  # noqa: B008 (frozen)
    n_threads: int = 1,
    vocab_dir: Path | None = None,
    watcher: Watcher = NOBODY,
) -> Written:
    """Write the model file `source_path` with its matrices as `kind` (a name of QUANTIZE_TYPES).

    `output` left out is ggml-model-KIND beside the source; `container` left out is the source's own. Raises
    UserError for what cannot be read, quantised or written.
    """
    if source_path.is_dir():
        raise UserError(f"{source_path} is a folder; give a model file (`alpaca-tui convert` makes one).")
    with open_model_file(source_path, vocab_dir, whole=container is not None) as source:
        own = container_of(source.container, source.version)
        target = container or own
        jobs = quantize_jobs(list(source.tensors.values()), kind, target, options)
        output = output or default_output(source_path.parent, kind, target)
        check_output(output, source.paths)
        out = Target(output, target, FTYPES[kind], source.name)
        return write_model(source, jobs, out, n_threads, watcher)
