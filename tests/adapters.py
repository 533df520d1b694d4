"""LoRA files for tests: ggla as convert-lora-to-ggml.py wrote it, and today's GGUF adapters."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from alpaca_tui.files import hf
from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.tensors import name_2023
from tests.checkpoints import Arrays
from tests.gguf_writer import KV, quantized, write_gguf


def write_ggla(
    path: Path, weights: Arrays, *, r: int = 4, alpha: int = 16, version: int = 1, today: bool = False
) -> Path:
    """PEFT's weights as the script writes them: A turned around, B with its rows as they are.

    `today`: under GGUF's names, as the script of autumn 2023 does.
    """
    out = bytearray(b"algg" + struct.pack("<3i", version, r, alpha))
    for key, a in weights.items():
        module, _, factor = key.removeprefix("base_model.model.").rpartition(".lora_")
        half = factor[0]
        ours = hf.gguf_name(f"{module}.weight") or ""
        name = f"{ours if today else name_2023(ours)}.lora{half}".encode()
        data = np.ascontiguousarray(a.T if half == "A" else a.astype(np.float32))
        out += struct.pack("<3i", 2, len(name), int(data.dtype == np.float16))
        out += struct.pack("<2i", *reversed(data.shape)) + name
        out += bytes(-len(out) % 32) + data.tobytes()
    path.write_bytes(out)
    return path


def write_gguf_lora(path: Path, weights: Arrays, h: HParams, *, alpha: float = 16.0, **replaced: str) -> Path:
    """PEFT's weights as convert_lora_to_gguf.py writes them: the rows of B in GGUF's order."""
    metadata = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
    metadata |= {key.replace("_", "."): value for key, value in replaced.items()}
    entries = [KV(key, "str", value) for key, value in metadata.items()]
    tensors = []
    for key, a in weights.items():
        module, _, factor = key.removeprefix("base_model.model.").rpartition(".lora_")
        name = hf.gguf_name(f"{module}.weight") or ""
        if factor[0] == "B" and hf.is_rotated(name):
            a = a[hf.paired_rows(len(a), h.n_head if "attn_q" in name else h.n_head_kv)]
        tensors.append(quantized(f"{name}.lora_{factor[0].lower()}", np.ascontiguousarray(a), "f32"))
    return write_gguf(path, [*entries, KV("adapter.lora.alpha", "f32", alpha)], tensors)
