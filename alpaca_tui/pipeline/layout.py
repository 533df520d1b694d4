"""What stands around the tensors in a file: its head, and what comes before and after each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from alpaca_tui.errors import UserError
from alpaca_tui.files.ggml_write import head_2023, record_2023
from alpaca_tui.files.gguf_write import TensorInfo, encode_kv, head_gguf, padding
from alpaca_tui.files.hparams import NORM_EPS_2023, ROPE_FREQ_BASE, HParams
from alpaca_tui.files.tensors import Head2023, name_2023
from alpaca_tui.files.vocab import Vocab, text_of
from alpaca_tui.pipeline.containers import FLOATS, Container
from alpaca_tui.pipeline.jobs import Job
from alpaca_tui.pipeline.sources import ModelSource, Source

QUANTIZATION_VERSION = 2  # ggml's, since May 2023
_FILE_TYPE, _QUANT_VERSION = "general.file_type", "general.quantization_version"
_SPLIT = ("split.no", "split.count", "split.tensors.count")
_ALIGNMENT = "general.alignment"


Texts = Mapping[str, str | list[str]]


class Layout(Protocol):
    """`head` comes first, `before` and `after` around the data of a tensor; `at` is the place in the file."""

    @property
    def head(self) -> bytes: ...

    def before(self, job: Job, at: int) -> bytes: ...

    def after(self, job: Job) -> bytes: ...


def size_of(layout: Layout, jobs: Sequence[Job]) -> int:
    """Bytes of the whole file."""
    at = len(layout.head)
    for job in jobs:
        at += len(layout.before(job, at)) + job.nbytes + len(layout.after(job))
    return at


def layout_for(
    source: Source, jobs: Sequence[Job], container: Container, ftype: int, name: str, metadata: Texts
) -> Layout:
    """The layout of a model in a container. UserError for a model that it cannot hold."""
    if container.family == "gguf":
        return layout_gguf(source, ftype, jobs, name, metadata)
    return layout_2023(source, container, ftype, jobs)


# --- 2023 --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout2023:
    """ggml, ggmf and ggjt."""

    family: str
    head: bytes

    def before(self, job: Job, at: int) -> bytes:
        return record_2023(job.name, job.tensor.shape, job.format, at, self.family)

    def after(self, job: Job) -> bytes:
        return b""


def layout_2023(source: Source, container: Container, ftype: int, jobs: Sequence[Job]) -> Layout2023:
    """The layout for a model in a container of 2023. UserError for a model that those could not hold."""
    head = source.head if isinstance(source, ModelSource) else None
    if head is None:
        _check_2023(source.hparams, container, jobs)
        head = Head2023(numbers_2023(source), *_texts(source))
    elif head.scores is None and container.family != "ggml":
        head = Head2023(head.numbers, head.texts, _texts(source)[1])
    numbers = (*head.numbers[:6], ftype)
    return Layout2023(
        container.family, head_2023(container.family, container.version, numbers, head.texts, head.scores)
    )


def numbers_2023(source: Source) -> tuple[int, ...]:
    """n_vocab, n_embd, n_mult, n_head, n_layer, n_rot and a 0 for ftype."""
    h = source.hparams
    if source.n_mult is None:
        raise UserError(
            f"Its feed-forward layers are {h.n_ff} wide, which no file of 2023 can say of a model of this "
            "size; use --container gguf."
        )
    return (h.n_vocab, h.n_embd, source.n_mult, h.n_head, h.n_layer, h.n_rot, 0)


def _texts(source: Source) -> tuple[list[bytes], list[float] | None]:
    vocab = source.vocab
    if vocab is None or vocab.scores is None:
        raise UserError(
            f"{source.paths[0]} holds no token scores, so it needs its tokenizer.model: put that beside the "
            "file or one folder up, or name its folder with --vocab-dir."
        )
    return [text_of(p, kind) for p, kind in zip(vocab.pieces, vocab.types, strict=True)], vocab.scores


def _check_2023(h: HParams, container: Container, jobs: Sequence[Job]) -> None:
    what = ""
    if h.n_head_kv != h.n_head and container.name != "ggjt-v3":
        what = f"{h.n_head} heads that share {h.n_head_kv} keys"
    elif h.rope_freq_base != ROPE_FREQ_BASE or h.rope_freq_scale != 1.0:
        what = f"a RoPE base of {h.rope_freq_base:g} and scale of {h.rope_freq_scale:g}"
    for job in jobs:
        if name_2023(job.name) is None:
            what = f"a tensor {job.name}"
    if what:
        raise UserError(
            f"The model has {what}, which {container.name} files cannot say; use --container gguf."
        )


def unsaid(h: HParams) -> str | None:
    """What a file of 2023 does not say and the reader has to be told; None where nothing is lost."""
    if abs(h.norm_eps - NORM_EPS_2023) <= 1e-9:
        return None
    return (
        f"The model's norm_eps is {h.norm_eps:.3g}, which this container cannot say; when you run it, give "
        f"-eps {h.norm_eps:.3g}, or convert to --container gguf."
    )


# --- GGUF --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayoutGguf:
    """GGUF version 3."""

    head: bytes

    def before(self, job: Job, at: int) -> bytes:
        return b""

    def after(self, job: Job) -> bytes:
        return bytes(padding(job.nbytes))


def layout_gguf(source: Source, ftype: int, jobs: Sequence[Job], name: str, metadata: Texts) -> LayoutGguf:
    """The layout for a model in GGUF. A GGUF source keeps its metadata, but for what `metadata` says anew."""
    said = {key: encode_kv(key, "str" if isinstance(t, str) else "[str]", t) for key, t in metadata.items()}
    quantized = any(job.format.name not in FLOATS for job in jobs)
    last = [encode_kv(_QUANT_VERSION, "u32", QUANTIZATION_VERSION)] if quantized else []
    file_type = encode_kv(_FILE_TYPE, "u32", ftype)
    if isinstance(source, ModelSource) and source.container == "gguf":
        # as llama.cpp's quantiser: these two go to the end, whatever the formats
        last = [encode_kv(_QUANT_VERSION, "u32", QUANTIZATION_VERSION), file_type]
        dropped = (_FILE_TYPE, _QUANT_VERSION, _ALIGNMENT, *_SPLIT)
        entries = [said.pop(k, raw) for k, raw in source.file.raw_metadata().items() if k not in dropped]
        entries += said.values()
    else:
        first = [encode_kv("general.architecture", "str", "llama")]
        first.append(said.pop("general.name", encode_kv("general.name", "str", name)))
        entries = [*first, *said.values(), *([] if quantized else [file_type]), *_of_model(source.hparams)]
        entries += _of_vocab(source)
        last += [file_type] if quantized else []
    infos = [TensorInfo(job.name, job.tensor.shape, job.format, job.nbytes) for job in jobs]
    return LayoutGguf(head_gguf([*entries, *last], infos))


def _of_model(h: HParams) -> list[bytes]:
    entries: list[tuple[str, str, Any]] = [
        ("context_length", "u32", h.n_ctx_train),
        ("embedding_length", "u32", h.n_embd),
        ("block_count", "u32", h.n_layer),
        ("feed_forward_length", "u32", h.n_ff),
        ("rope.dimension_count", "u32", h.n_rot),
        ("attention.head_count", "u32", h.n_head),
        ("attention.head_count_kv", "u32", h.n_head_kv),
        ("attention.layer_norm_rms_epsilon", "f32", h.norm_eps),
    ]
    if h.rope_freq_base != ROPE_FREQ_BASE:
        entries.append(("rope.freq_base", "f32", h.rope_freq_base))
    if h.rope_freq_scale != 1.0:
        entries.append(("rope.scaling.type", "str", "linear"))
        entries.append(("rope.scaling.factor", "f32", 1.0 / h.rope_freq_scale))
    return [encode_kv(f"llama.{key}", kind, value) for key, kind, value in entries]


def _of_vocab(source: Source) -> list[bytes]:
    _texts(source)  # for its complaint
    vocab = source.vocab
    assert vocab is not None
    entries = [
        ("model", "str", "llama"),
        ("pre", "str", "default"),
        ("tokens", "[str]", vocab.pieces),
        ("scores", "[f32]", vocab.scores),
        ("token_type", "[i32]", vocab.types),
        *(
            (f"{key}_token_id", "u32", value)
            for key, value in (("unknown", vocab.unk), ("bos", vocab.bos), ("eos", vocab.eos))
            if value >= 0
        ),
    ]
    if not vocab.add_bos:
        entries.append(("add_bos_token", "bool", False))
    if not vocab.add_space_prefix:
        entries.append(("add_space_prefix", "bool", False))
    return [encode_kv(f"tokenizer.ggml.{key}", kind, value) for key, kind, value in entries]


def vocab_head(vocab: Vocab, numbers: Sequence[int], container: Container) -> bytes:
    """A file of 2023 that holds a vocabulary only."""
    texts = [text_of(p, kind) for p, kind in zip(vocab.pieces, vocab.types, strict=True)]
    return head_2023(container.family, container.version, numbers, texts, vocab.scores)
