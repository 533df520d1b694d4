"""Writes a run's last checkpoint as GGUF: `python -m tools.guide.export build/guide out.gguf`.

Matrices and the embedding (the output matrix too, so there is no output.weight) in q8_0, norms in f32.
`--type f16` writes the unquantised twin.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
import torch

from tools.guide import tokenizer as tok
from tools.guide.model import Config, Guide
from tools.guide.tokenizer import Tokenizer

TYPES = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "f16": gguf.GGMLQuantizationType.F16}
FILE_TYPES = {"q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "f16": gguf.LlamaFileType.MOSTLY_F16}


def load(run: Path) -> tuple[Guide, Tokenizer]:
    """The model of a training run's last checkpoint, and its tokenizer."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    model = Guide(Config(**state["config"]))
    model.load_state_dict(state["model"])
    return model.eval(), Tokenizer.open(run / "tokenizer.model")


def write(path: Path, model: Guide, tokenizer: Tokenizer, kind: str = "q8_0") -> None:
    c = model.config
    temporary = path.with_suffix(".tmp")
    w = gguf.GGUFWriter(temporary, "llama")
    w.add_name("alpaca-tui guide")
    w.add_description("A tiny guide to alpaca-tui, in English and Chinese. Open a real model with Ctrl+O.")
    w.add_license("MIT")
    w.add_languages(["en", "zh"])
    w.add_file_type(FILE_TYPES[kind])
    w.add_vocab_size(c.n_vocab)
    w.add_context_length(c.n_ctx)
    w.add_embedding_length(c.n_embd)
    w.add_block_count(c.n_layer)
    w.add_feed_forward_length(c.n_ff)
    w.add_head_count(c.n_head)
    w.add_head_count_kv(c.n_head_kv)
    w.add_rope_dimension_count(c.head_dim)
    w.add_rope_freq_base(c.rope_base)
    w.add_layer_norm_rms_eps(c.norm_eps)
    pieces = tokenizer.proto.pieces
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list([p.piece.encode() for p in pieces])
    w.add_token_scores([p.score for p in pieces])
    w.add_token_types([p.type for p in pieces])
    w.add_bos_token_id(tok.BOS)
    w.add_eos_token_id(tok.EOS)
    w.add_unk_token_id(tok.UNK)
    w.add_add_bos_token(True)
    w.add_add_space_prefix(True)
    for name, p in model.named_parameters():
        values = p.detach().float().numpy()
        if values.ndim == 1:
            w.add_tensor(name, values.astype(np.float32))
        else:
            w.add_tensor(name, gguf.quants.quantize(values, TYPES[kind]), raw_dtype=TYPES[kind])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of the training run")
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", choices=tuple(TYPES), default="q8_0")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write(args.out, *load(args.run), args.type)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
