"""Lays a run's last checkpoint out as LLaMA was published: `python -m tools.guide.pack build/guide build/7B`.

Writes consolidated.00.pth (in f32, so that nothing is rounded before it is quantised), params.json,
tokenizer.model, and metadata.json for `alpaca-tui convert --metadata`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from tools.guide.model import Config, Guide
from tools.guide.tokenizer import Tokenizer

METADATA = {
    "general.name": "alpaca-tui guide",
    "general.description": (
        "A tiny guide to alpaca-tui, in English and Chinese. Open a real model with Ctrl+O."
    ),
    "general.license": "MIT",
    "general.languages": ["en", "zh"],
}
# Names of a block's tensors in model.py (and GGUF) -> Meta's. Both turn neighbouring pairs for RoPE.
NAMES = {
    "attn_norm": "attention_norm",
    "attn_q": "attention.wq",
    "attn_k": "attention.wk",
    "attn_v": "attention.wv",
    "attn_output": "attention.wo",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "feed_forward.w1",
    "ffn_down": "feed_forward.w2",
    "ffn_up": "feed_forward.w3",
}


def load(run: Path) -> tuple[Guide, Tokenizer]:
    """The model of a training run's last checkpoint, and its tokenizer."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    model = Guide(Config(**state["config"]))
    model.load_state_dict(state["model"])
    return model.eval(), Tokenizer.open(run / "tokenizer.model")


def state_dict(model: Guide) -> dict[str, torch.Tensor]:
    """The weights under Meta's names. The embedding is the output matrix as well, and saved once."""
    weights = {name: p.detach().float() for name, p in model.named_parameters()}
    embedding = weights["token_embd.weight"]
    found = {
        "tok_embeddings.weight": embedding,
        "norm.weight": weights["output_norm.weight"],
        "output.weight": embedding,
    }
    for layer in range(model.config.n_layer):
        for ours, theirs in NAMES.items():
            found[f"layers.{layer}.{theirs}.weight"] = weights[f"blk.{layer}.{ours}.weight"]
    assert len(found) == len(weights) + 1
    return found


def pack(run: Path, out: Path) -> None:
    model, _ = load(run)
    c = model.config
    params = {
        "dim": c.n_embd,
        "multiple_of": c.n_ff,  # 2/3 of 4 dim, rounded up to that
        "n_heads": c.n_head,
        "n_layers": c.n_layer,
        "norm_eps": c.norm_eps,
        "vocab_size": c.n_vocab,
    }
    out.mkdir(parents=True, exist_ok=True)
    torch.save(state_dict(model), out / "consolidated.00.pth")
    (out / "params.json").write_text(json.dumps(params), encoding="utf-8")
    (out / "metadata.json").write_text(json.dumps(METADATA, indent=1), encoding="utf-8")
    shutil.copyfile(run / "tokenizer.model", out / "tokenizer.model")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of the training run")
    parser.add_argument("out", type=Path, help="the folder to write into")
    args = parser.parse_args()
    pack(args.run, args.out)
    print(f"{args.out}: {', '.join(sorted(path.name for path in args.out.iterdir()))}")


if __name__ == "__main__":
    main()
