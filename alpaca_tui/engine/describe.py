"""What a model file says of itself, from its head alone: for whoever chooses among many."""

from __future__ import annotations

from pathlib import Path

from alpaca_tui.engine.memory import DEFAULT_N_CTX, required_memory
from alpaca_tui.engine.protocol import LoadOptions, ModelHead
from alpaca_tui.files.model_file import open_model


def describe(path: Path, options: LoadOptions) -> ModelHead:
    """Reads the head of a model file. Raises UserError for what is no model that this program can run."""
    with open_model(path, tokenizer=options.tokenizer, need_vocab=False) as file:
        n_ctx_train = file.hparams.n_ctx_train
        n_ctx = options.n_ctx or min(n_ctx_train or DEFAULT_N_CTX, DEFAULT_N_CTX)
        memory = required_memory(
            file.hparams, file.tensors, n_ctx, options.n_batch, cache_type=options.cache_type
        )
        container = f"{file.container} v{file.version}" if file.version else file.container
        return ModelHead(
            name=file.name,
            size_label=file.size_label,
            container=container,
            quantisation=file.main_format,
            n_ctx_train=n_ctx_train,
            n_ctx=n_ctx,
            memory=memory.total,
        )
