"""The table that `quantize` prints, in the words of the quantiser of the container's time.

Tools and forms: llama.cpp of 2023-04-03 (ggml to ggjt v1), llama-cpp-python 0.1.50 (ggjt v2) and 0.1.78
(ggjt v3), and llama.cpp of 0.3.36 (GGUF, which counts no levels).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alpaca_tui.pipeline.containers import Container
    from alpaca_tui.pipeline.convert_rows import Counts
    from alpaca_tui.pipeline.jobs import Job
    from alpaca_tui.pipeline.sources import Source

_MIB = 1024 * 1024
_F32 = 4  # bytes that the tool of April took each element for


class Table:
    """`head` first, `line` for each tensor, `totals` at the end; all without the last newline."""

    def __init__(self, source: Source, jobs: Sequence[Job], container: Container) -> None:
        self.source, self.jobs, self.container = source, jobs, container
        self.in_april = container.family != "gguf" and container.version <= 1
        self.histogram: npt.NDArray[np.int64] | None = None

    def head(self) -> str:
        me = "llama_model_quantize_internal"
        if not self.in_april:
            return ""
        from alpaca_tui.pipeline.layout import numbers_2023
        from alpaca_tui.pipeline.sources import ModelSource

        known = isinstance(self.source, ModelSource) and self.source.head
        numbers = known.numbers if known else numbers_2023(self.source)
        values = dict(
            zip(("n_vocab", "n_embd", "n_mult", "n_head", "n_layer", "", "f16"), numbers, strict=True)
        )
        values = {"n_vocab": values.pop("n_vocab"), "n_ctx": 512, **values}
        lines = [f"{me}: loading model from '{self.source.paths[0]}'"]
        lines += [f"{me}: {name:7} = {value}" for name, value in values.items() if name]
        return "\n".join(lines)

    def line(self, index: int, job: Job, counts: Counts) -> str:
        self.histogram = counts.histogram if self.histogram is None else self.histogram + counts.histogram
        number = f"[{index + 1:4}/{len(self.jobs):4}] "
        if self.container.family == "gguf":
            return number + _today(job)
        from alpaca_tui.files.tensors import name_2023

        name, old = name_2023(job.name) or job.name, job.tensor.format.today.name
        shape = job.tensor.shape[::-1]
        if self.in_april:
            text = f"{name:>48} - [{shape[0]:5}, {shape[1] if len(shape) > 1 else 1:5}], type = {old:>6} "
            if job.copies:
                return text + f"size = {job.nbytes / _MIB:8.3f} MB"
            sizes = _sizes(job.tensor.size * _F32, job.nbytes, "MB")
            return f"{text}quantizing .. {sizes} | hist: {_bins(counts.histogram, job.tensor.size)}"
        dims = " x ".join(f"{n:5}" for n in shape)
        text = f"{number}{name:>36} - {dims:>16}, type = {old:>6}, "
        if job.copies:
            return text + f"size = {job.nbytes / _MIB:8.3f} MB"
        to = f" to {job.format.today.name}" if self.container.version == 3 else ""
        text += f"quantizing{to} .. {_sizes(job.tensor.nbytes, job.nbytes, 'MB')} | hist: "
        return text + (_bins(counts.histogram, job.tensor.size) if counts.histogram.any() else "")

    def totals(self) -> str:
        old = sum(job.tensor.size * _F32 if self.in_april else job.tensor.nbytes for job in self.jobs)
        new = sum(job.nbytes for job in self.jobs)
        if self.container.family == "gguf":
            elements = sum(job.tensor.size for job in self.jobs)
            return "\n".join(
                f"llama_model_quantize_impl: {what} size  = {size / _MIB:8.2f} MiB "
                f"({size * 8 / elements:.2f} BPW)"
                for what, size in (("model", old), ("quant", new))
            )
        me = "llama_model_quantize_internal"
        lines = [
            f"{me}: {what} size  = {size / _MIB:8.2f} MB" for what, size in (("model", old), ("quant", new))
        ]
        if self.histogram is not None and self.histogram.any():
            lines.append(f"{me}: hist: {_bins(self.histogram, int(self.histogram.sum()))}")
        return "\n".join(lines)


def _today(job: Job) -> str:
    shape = (*job.tensor.shape[::-1], 1, 1, 1)[:4]
    dims = ", ".join(f"{n:6}" for n in shape)
    text = f"{job.name:36} - [{dims}], type = {job.tensor.format.today.name:>6}, "
    if job.copies:
        return text + f"size = {job.nbytes / _MIB:8.3f} MiB"
    return text + f"converting to {job.format.today.name} .. {_sizes(job.tensor.nbytes, job.nbytes, 'MiB')}"


def _sizes(old: int, new: int, unit: str) -> str:
    return f"size = {old / _MIB:8.2f} {unit} -> {new / _MIB:8.2f} {unit}"


def _bins(histogram: npt.NDArray[np.int64], total: int) -> str:
    """Shares with three digits, each followed by a space; divided in f32, as there."""
    import numpy as np

    shares = histogram.astype(np.float32) / np.float32(total)
    return "".join(f"{float(share):5.3f} " for share in shares)
