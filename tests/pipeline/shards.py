"""Folders of Meta's layout, split into shards as torch's model parallelism did it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from alpaca_tui.files.hparams import HParams
from tests.checkpoints import H, hf_weights, save_pth, save_tokenizer, to_meta

N_MULT = 96  # what is found for the n_ff of H, where no params.json says it
SIDE_BY_SIDE = ("tok_embeddings", "attention.wo", "feed_forward.w2")


def write_params(
    folder: Path, dim: int, multiple_of: int, n_heads: int, n_layers: int, **more: float
) -> None:
    params = {
        "dim": dim,
        "multiple_of": multiple_of,
        "n_heads": n_heads,
        "n_layers": n_layers,
        "norm_eps": 1e-06,
    }
    (folder / "params.json").write_text(json.dumps(params | {"vocab_size": -1} | more))


def write_shards(folder: Path, weights: dict[str, np.ndarray], shares: list[float]) -> None:
    """consolidated.00.pth and so on; rows that no share divides go to the last one."""
    for i in range(len(shares)):
        part = {}
        for name, a in weights.items():
            if a.ndim == 1:
                part[name] = a
                continue
            axis = 1 if any(word in name for word in SIDE_BY_SIDE) else 0
            bounds = [int(a.shape[axis] * sum(shares[:k])) for k in range(len(shares))] + [a.shape[axis]]
            part[name] = np.ascontiguousarray(np.split(a, bounds[1:-1], axis)[i])
        save_pth(folder / f"consolidated.{i:02d}.pth", part)


def meta_folder(folder: Path, shares: list[float], h: HParams = H) -> Path:
    folder.mkdir(parents=True)
    write_shards(folder, to_meta(hf_weights(h), h), shares)
    write_params(folder, h.n_embd, N_MULT, h.n_head, h.n_layer)
    save_tokenizer(folder.parent, h.n_vocab)
    return folder
