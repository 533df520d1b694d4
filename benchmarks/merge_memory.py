"""How much memory `alpaca-tui merge` takes: RssAnon at its highest while a model of 7B's shape is merged.

    python -m benchmarks.merge_memory [--layers 32] [--output-type pth] [--folder DIR]

The base and the LoRA are made here, in 7B's shapes: files with holes, whose zeros take no disk. What is
merged does: 13.8 GB with 32 layers. The merge runs in a process of its own, whose memory is read from /proc
(Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np

from alpaca_tui.files.pth_write import Entry, PthWriter

N_EMBD, N_FF, N_HEAD, N_VOCAB, GROWN, RANK = 4096, 11008, 32, 32000, 49953, 8
MODULES = {
    "self_attn.q_proj": (N_EMBD, N_EMBD),
    "self_attn.k_proj": (N_EMBD, N_EMBD),
    "self_attn.v_proj": (N_EMBD, N_EMBD),
    "self_attn.o_proj": (N_EMBD, N_EMBD),
    "mlp.gate_proj": (N_FF, N_EMBD),
    "mlp.down_proj": (N_EMBD, N_FF),
    "mlp.up_proj": (N_FF, N_EMBD),
}
POLL_SECONDS = 0.02


class Holes:
    """A file in which runs of zeros are left out."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes | memoryview, /) -> None:
        if len(data) > 1 << 16 and not np.frombuffer(data, np.uint8).any():
            self._file.seek(len(data), 1)
        else:
            self._file.write(data)


def save(path: Path, entries: list[Entry], seed: int | None) -> None:
    """Zeros, or with a seed random factors of a LoRA (embeddings stay zeros)."""
    rng = np.random.default_rng(seed)
    zeros = bytes(1 << 24)
    with path.open("wb") as file:
        writer = PthWriter(Holes(file), path.stem, entries)
        for index in writer.order:
            entry = entries[index]
            writer.begin(index)
            if seed is not None and "lora_" in entry.name:
                writer.write((rng.standard_normal(entry.shape) / 64).astype(np.float32).tobytes())
            else:
                for at in range(0, entry.nbytes, len(zeros)):
                    writer.write(zeros[: entry.nbytes - at])
            writer.end()
        writer.finish()


def make(folder: Path, n_layer: int) -> None:
    """The base in Hugging Face's layout, and a LoRA with a larger vocabulary."""
    base, lora = folder / "base", folder / "lora"
    base.mkdir()
    lora.mkdir()
    entries = [Entry("model.embed_tokens.weight", "f16", (N_VOCAB, N_EMBD))]
    factors = [Entry(f"base_model.model.{name}.weight", "f16", (GROWN, N_EMBD))
               for name in ("model.embed_tokens", "lm_head")]  # fmt: skip
    for i in range(n_layer):
        prefix = f"model.layers.{i}."
        for module, (rows, cols) in MODULES.items():
            entries.append(Entry(f"{prefix}{module}.weight", "f16", (rows, cols)))
            key = f"base_model.model.{prefix}{module}"
            factors.append(Entry(f"{key}.lora_A.weight", "f32", (RANK, cols)))
            factors.append(Entry(f"{key}.lora_B.weight", "f32", (rows, RANK)))
        entries += [Entry(f"{prefix}{name}.weight", "f16", (N_EMBD,))
                    for name in ("input_layernorm", "post_attention_layernorm")]  # fmt: skip
    entries.append(Entry("model.norm.weight", "f16", (N_EMBD,)))
    entries.append(Entry("lm_head.weight", "f16", (N_VOCAB, N_EMBD)))
    save(base / "pytorch_model.bin", entries, None)
    save(lora / "adapter_model.bin", factors, 1)
    config = {"hidden_size": N_EMBD, "intermediate_size": N_FF, "num_attention_heads": N_HEAD,
              "num_hidden_layers": n_layer, "rms_norm_eps": 1e-6}  # fmt: skip
    (base / "config.json").write_text(json.dumps(config))
    (lora / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 32}))
    write_tokenizer(lora / "tokenizer.model", GROWN)


def write_tokenizer(path: Path, n: int) -> None:
    from alpaca_tui.files.sentencepiece_proto import write_bpe_proto

    pieces = [b"<unk>", b"<s>", b"</s>", *(b"w%d" % i for i in range(n - 3))]
    types = [2, 3, 3, *[1] * (n - 3)]
    path.write_bytes(write_bpe_proto(pieces, [0.0] * n, types, unk=0, bos=1, eos=2, byte_fallback=False))


def rss_anon(pid: int) -> int:
    """Bytes of anonymous memory of a process; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("RssAnon")), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--output-type", default="pth")
    parser.add_argument(
        "--folder", type=Path, help="where the files go (default: the system's temporary folder)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        make(folder, args.layers)
        begin, highest = time.monotonic(), 0
        process = subprocess.Popen(
            [sys.executable, "-m", "alpaca_tui", "merge", "--base_model", str(folder / "base"),
             "--lora_model", str(folder / "lora"), "--output_type", args.output_type,
             "--output_dir", str(folder / "out")], stdout=subprocess.DEVNULL)  # fmt: skip
        while process.poll() is None:
            highest = max(highest, rss_anon(process.pid))
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - begin
        written = sum(path.stat().st_size for path in (folder / "out").iterdir())
    speed = f"{written / 1e9:.1f} GB in {seconds:.0f} s ({written / 1e6 / seconds:.0f} MB/s)"
    print(f"{args.layers} layers to {args.output_type}: {speed}, exit {process.returncode}")
    print(f"RssAnon at most {highest / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
