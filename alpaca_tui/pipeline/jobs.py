"""Which format each tensor gets: the rules of the quantisers of April, May and August 2023 and of today's.

Sources: llama_model_quantize_internal of llama.cpp 437e778 (ggml to ggjt v1), of llama-cpp-python 0.1.50
(ggjt v2) and 0.1.78 (ggjt v3), and llama-quant.cpp of 0.3.36 (GGUF).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alpaca_tui.errors import UserError
from alpaca_tui.files.block_repack import can_repack
from alpaca_tui.files.blocks import FORMATS, BlockFormat
from alpaca_tui.files.gguf_write import order_of_llama_cpp
from alpaca_tui.files.tensors import Tensor
from alpaca_tui.pipeline.containers import FLOATS, Container

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
_QK_K = 256


@dataclass(frozen=True)
class Job:
    """A tensor of the source, and the format in which it is written.

    `rule` names how it is quantised, where not as the format always is (a key of files.blocks.QUANTIZERS).
    """

    tensor: Tensor
    format: BlockFormat
    rule: str = ""

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def nbytes(self) -> int:
        return self.tensor.rows * self.format.row_bytes(self.tensor.cols)

    @property
    def quantizer(self) -> str:
        """A key of files.blocks.QUANTIZERS."""
        return self.rule or self.format.name

    @property
    def copies(self) -> bool:
        """Whether the bytes stay as they are."""
        return self.format is self.tensor.format

    @property
    def keeps_levels(self) -> bool:
        """Whether only the layout changes."""
        return self.copies or can_repack(self.tensor.format, self.format)


@dataclass(frozen=True)
class QuantizeOptions:
    """What llama.cpp's quantize has flags for."""

    allow_requantize: bool = False
    leave_output_tensor: bool = False
    pure: bool = False


def quantize_jobs(
    tensors: Sequence[Tensor], kind: str, container: Container, options: QuantizeOptions
) -> list[Job]:
    """What `quantize` writes, in its order. UserError for a tensor that cannot be had in this way."""
    target = container.format(kind)
    gguf = container.family == "gguf"
    names = {tensor.name for tensor in tensors}
    jobs = []
    for tensor in tensors:
        fmt = tensor.format
        if _is_quantized(tensor, gguf, options):
            fmt = (
                _gguf_format(tensor, target, names, options)
                if gguf
                else _old_format(tensor, target, container, options)
            )
        elif not gguf or fmt.name not in container.formats:
            fmt = kept_format(fmt, container)
        job = Job(tensor, fmt, "q6_K_2023" if fmt.name == "q6_K" and not gguf else "")
        if tensor.format.today.name not in FLOATS and not job.keeps_levels and not options.allow_requantize:
            raise UserError(
                f"The tensor {tensor.name} is quantised already ({tensor.format.today.name}), and quantising "
                "it again makes it worse; start from an f16 file, or give --allow-requantize."
            )
        jobs.append(job)
    if not gguf:
        return jobs
    by_name = {job.name: job for job in jobs}
    return [by_name[name] for name in order_of_llama_cpp(by_name)]


def _is_quantized(tensor: Tensor, gguf: bool, options: QuantizeOptions) -> bool:
    if len(tensor.shape) != 2 or not tensor.name.endswith("weight"):
        return False
    if gguf and "_norm.weight" in tensor.name:
        return False
    return not (options.leave_output_tensor and tensor.name == OUTPUT)


def _old_format(
    tensor: Tensor, target: BlockFormat, container: Container, options: QuantizeOptions
) -> BlockFormat:
    """The rules of 2023. Those of August (ggjt v3) give the output matrix q6_K where both sides allow it.

    They did so for f16 and f32 as well.
    """
    if tensor.format is target:
        return target
    fmt = target
    rows, cols = tensor.shape
    k_fits = rows % _QK_K == 0 and cols % _QK_K == 0
    if container.version == 3:
        if tensor.name == OUTPUT and k_fits and not options.pure:
            fmt = FORMATS["q6_K"]
        if fmt.name == "q6_K" and not k_fits:
            if tensor.name == OUTPUT:
                fmt = FORMATS["f16"]
            elif tensor.name == EMBEDDING:
                fmt = FORMATS["q4_0"]
            else:
                raise _does_not_fit(tensor, fmt)
    if cols % fmt.block:
        raise _does_not_fit(tensor, fmt)
    return fmt


def _gguf_format(
    tensor: Tensor, target: BlockFormat, names: Iterable[str], options: QuantizeOptions
) -> BlockFormat:
    """Today's rules: the output matrix (or the embedding that serves as one) gets q6_K, or else q8_0."""
    if target.name in FLOATS:
        return target
    fmt, cols = target, tensor.cols
    is_output = tensor.name == OUTPUT or (tensor.name == EMBEDDING and OUTPUT not in names)
    if is_output and not options.pure:
        if cols % fmt.block:
            fmt = FORMATS["q8_0"]
        elif fmt.name != "q8_0":
            fmt = FORMATS["q6_K"]
    if cols % fmt.block:
        fmt = FORMATS["q8_0"] if fmt.name == "q6_K" else FORMATS["f16"]
        if cols % fmt.block:
            fmt = FORMATS["f16"]
    return fmt


def _does_not_fit(tensor: Tensor, fmt: BlockFormat) -> UserError:
    return UserError(
        f"The tensor {tensor.name} of the shape {tensor.shape} cannot be written as {fmt.today.name}, whose "
        f"blocks take {fmt.block} elements; choose another type, or --container gguf, which mixes types."
    )


def kept_format(fmt: BlockFormat, container: Container) -> BlockFormat:
    """The format of a tensor that is not to change, in a container that may lay it out in another way."""
    kind = fmt.today.name
    if kind == "bf16" and kind not in container.formats:
        kind = "f32"
    return container.format(kind)


def plain_jobs(tensors: Iterable[Tensor], kind: str | None, container: Container) -> list[Job]:
    """What `convert` writes: matrices as f32, f16 or bf16, vectors as f32. Without `kind` all as they are."""
    if kind is None:
        return [Job(tensor, kept_format(tensor.format, container)) for tensor in tensors]
    f32 = FORMATS["f32"]
    return [Job(tensor, container.format(kind) if len(tensor.shape) == 2 else f32) for tensor in tensors]
