"""A digest of each tensor that depends on its values alone: not on the file, its names, order or container.

Values count as f32 (f16 and bf16 are exact in it), rows as GGUF orders them for RoPE. So the same weights in
a .pth, a Hugging Face folder, a ggml file in f16 and a GGUF have the same digests.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.pipeline.convert_rows import RowConverter
from alpaca_tui.pipeline.jobs import Job
from alpaca_tui.pipeline.sources import Source

Progress = Callable[[int, int, str], None]  # bytes of f32 looked at, of how many, tensor


@dataclass(frozen=True)
class TensorDigest:
    """`sha256` of the values; `format` is how the file holds them."""

    sha256: str
    shape: tuple[int, ...]
    format: str


def tensor_digests(
    source: Source, n_threads: int = 1, progress: Progress = lambda done, total, what: None
) -> dict[str, TensorDigest]:
    """The digest of every tensor, by GGUF name, in alphabetical order."""
    total, done = sum(4 * tensor.size for tensor in source.tensors.values()), 0
    digests = {}
    with RowConverter(n_threads) as converter:
        for name in sorted(source.tensors):
            tensor = source.tensors[name]
            sha256 = hashlib.sha256()
            for data, _ in converter.run(source, Job(tensor, FORMATS["f32"])):
                sha256.update(data.data)
                done += data.nbytes
                progress(done, total, name)
            source.release(name)
            digests[name] = TensorDigest(sha256.hexdigest(), tensor.shape, tensor.format.name)
    return digests


def model_digest(digests: dict[str, TensorDigest]) -> str:
    """One SHA256 for all weights: of the lines `name shape sha256`."""
    lines = (f"{name} {'x'.join(map(str, d.shape))} {d.sha256}\n" for name, d in sorted(digests.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Comparison:
    """Names of the tensors that two models share or do not."""

    same: list[str]
    different: list[str]
    reshaped: list[str]
    only_first: list[str]
    only_second: list[str]

    @property
    def equal(self) -> bool:
        return not (self.different or self.reshaped or self.only_first or self.only_second)

    @property
    def text(self) -> str:
        """What it comes to, in a sentence."""
        if self.equal:
            return f"the same weights: all {len(self.same)} tensors have the same values"
        parts = [
            f"{len(names)} tensors {words} ({kinds(names)})"
            for names, words in (
                (self.different, "have other values"),
                (self.reshaped, "have another shape"),
                (self.only_first, "are only in the first"),
                (self.only_second, "are only in the second"),
            )
            if names
        ]
        same = f"{len(self.same)} have the same values" + (f" ({kinds(self.same)})" if self.same else "")
        return f"other weights: {', '.join(parts)}; {same}"


def compare(first: dict[str, TensorDigest], second: dict[str, TensorDigest]) -> Comparison:
    """Which tensors of two models have the same values."""
    both = [name for name in first if name in second]
    reshaped = [name for name in both if first[name].shape != second[name].shape]
    rest = [name for name in both if name not in set(reshaped)]
    same = [name for name in rest if first[name].sha256 == second[name].sha256]
    return Comparison(
        same,
        [name for name in rest if name not in set(same)],
        reshaped,
        [name for name in first if name not in second],
        [name for name in second if name not in first],
    )


def kinds(names: Iterable[str]) -> str:
    """The kinds of tensors: "token_embd, attn_q of 32 layers"."""
    counts = Counter(name.split(".")[2] if name.startswith("blk.") else name.split(".")[0] for name in names)
    layered = {name.split(".")[2] for name in names if name.startswith("blk.")}
    return ", ".join(
        f"{kind} of {n} layer{'s' if n > 1 else ''}" if kind in layered else kind
        for kind, n in counts.items()
    )
