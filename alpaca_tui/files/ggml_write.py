"""Writing the containers of 2023: ggml (unversioned), ggmf, and ggjt versions 1 to 3. Layout: see ggml.py."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from alpaca_tui.files.blocks import BlockFormat
from alpaca_tui.files.ggml import ALIGNMENT, MAGICS
from alpaca_tui.files.tensors import name_2023

_I32, _F32, _U32 = struct.Struct("<i"), struct.Struct("<f"), struct.Struct("<I")
_NUMBERS, _RECORD = struct.Struct("<7i"), struct.Struct("<3i")
_MAGIC_OF = {container: magic for magic, container in MAGICS.items()}


def head_2023(
    container: str,
    version: int,
    numbers: Sequence[int],
    texts: Sequence[bytes],
    scores: Sequence[float] | None,
) -> bytes:
    """Magic, version, hyper-parameters and vocabulary.

    `numbers`: n_vocab, n_embd, n_mult, n_head, n_layer, n_rot, ftype. Unversioned ggml holds no scores; all
    others need them.
    """
    out = bytearray(_MAGIC_OF[container])
    if container != "ggml":
        out += _U32.pack(version)
    out += _NUMBERS.pack(*numbers)
    if container == "ggml":
        for text in texts:
            out += _I32.pack(len(text)) + text
        return bytes(out)
    if scores is None:
        raise ValueError(f"{container} files hold scores")
    for text, score in zip(texts, np.asarray(scores, np.float64).astype(np.float32).tolist(), strict=True):
        out += _I32.pack(len(text)) + text + _F32.pack(score)
    return bytes(out)


def record_2023(name: str, shape: Sequence[int], fmt: BlockFormat, at: int, container: str) -> bytes:
    """What stands before the data of a tensor whose record begins at byte `at` of the file.

    `name` is GGUF's, `shape` in NumPy's order. In ggjt the data is aligned. ValueError for a name that 2023
    had none for.
    """
    old = name_2023(name)
    if old is None:
        raise ValueError(f"{name} has no name of 2023")
    raw = old.encode()
    out = _RECORD.pack(len(shape), len(raw), fmt.ggml_type) + struct.pack(f"<{len(shape)}i", *reversed(shape))
    out += raw
    return out + bytes(-(at + len(out)) % ALIGNMENT) if container == "ggjt" else out


def order_of_convert_py(n_layer: int) -> Iterator[str]:
    """GGUF names in the order in which convert.py of 2023 wrote them."""
    yield from ("token_embd.weight", "output_norm.weight", "output.weight")
    kinds = "attn_q attn_k attn_v attn_output attn_norm ffn_gate ffn_down ffn_up ffn_norm"
    for i in range(n_layer):
        yield from (f"blk.{i}.{kind}.weight" for kind in kinds.split())
