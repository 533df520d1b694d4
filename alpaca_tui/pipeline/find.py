"""Finding what a path given to `convert` means: a folder of shards, one of Hugging Face, or a model file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alpaca_tui.errors import UserError
from alpaca_tui.files import hf, meta
from alpaca_tui.files import hparams as hp
from alpaca_tui.files.cursor import damaged
from alpaca_tui.files.hparams import N_CTX_2023, NORM_EPS_2023, HParams
from alpaca_tui.files.json_object import number, whole_number
from alpaca_tui.files.model_file import open_model
from alpaca_tui.files.pth import open_pth
from alpaca_tui.files.safetensors import open_safetensors
from alpaca_tui.files.sniff import check_path
from alpaca_tui.files.stored import Checkpoint, StoredTensor
from alpaca_tui.files.tensors import check_tensors
from alpaca_tui.files.tensors import gguf_name as name_of_meta
from alpaca_tui.pipeline.sources import CheckpointSource, Joined, ModelSource, Source, find_n_mult, join
from alpaca_tui.pipeline.sources import reordered as in_order
from alpaca_tui.pipeline.words import find_words, tokenizer_in

_HEAD_DIM = 128  # of every LLaMA; what convert.py assumes where params.json is missing


def open_source(path: Path, vocab_dir: Path | None = None, *, need_vocab: bool = True) -> Source:
    """Open the model at `path`, a folder or a file (one file of several stands for all).

    `vocab_dir`: where tokenizer.model is, if neither beside the model nor one folder up. Raises UserError for
    what is no model, incomplete or ambiguous; and for a missing or wrong vocabulary where one is needed.
    """
    source = _open_folder(path, vocab_dir) if path.is_dir() else _open_file(path, vocab_dir)
    try:
        if isinstance(source, CheckpointSource):
            source.name = _name(path if path.is_dir() else path.parent)
            if need_vocab:
                source.vocab = find_words(source.paths[0], vocab_dir, source.hparams.n_vocab)
        elif need_vocab and source.vocab is None:
            source.vocab = find_words(source.paths[0], vocab_dir, source.hparams.n_vocab)
    except BaseException:
        source.close()
        raise
    return source


def _name(folder: Path) -> str:
    """ "zh-models-7B" for zh-models/7B, and the folder's own name where that says more."""
    folder = folder.absolute()
    return f"{folder.parent.name}-{folder.name}" if len(folder.name) <= 4 else folder.name


def _open_folder(folder: Path, vocab_dir: Path | None) -> Source:
    shards, has_hf = meta.shard_paths(folder), hf.is_hf(folder)
    if shards and has_hf:
        raise UserError(
            f"{folder} holds a model of Meta's layout and one of Hugging Face's; name one of their files."
        )
    if shards:
        return open_meta(folder, shards)
    if has_hf:
        return open_hf(folder)
    found = sorted(p for pattern in ("ggml-model*.bin", "*.gguf") for p in folder.glob(pattern))
    if not found:
        raise UserError(
            f"{folder} holds no model; give the folder with consolidated.00.pth, pytorch_model*.bin or "
            "model*.safetensors, or a model file."
        )
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise UserError(f"{folder} holds several models ({names}); name one of them.")
    return _open_file(found[0], vocab_dir)


def _open_file(path: Path, vocab_dir: Path | None) -> Source:
    check_path(path)
    with path.open("rb") as file:
        head = file.read(16)
    safetensors = head[8:9] == b"{" and head[:4] != b"GGUF"
    if head[:4] != b"PK\3\4" and head[:1] != b"\x80" and not safetensors:
        return open_model_file(path, vocab_dir)
    if path.name.startswith("consolidated.") and path.suffix == ".pth":
        return open_meta(path.parent, meta.shard_paths(path.parent))
    if hf.is_hf(path.parent) and path.stem.startswith(("pytorch_model", "model")):
        return open_hf(path.parent)
    single = (open_safetensors if safetensors else open_pth)(path)
    try:
        if any(hf.gguf_name(name) for name in single.tensors):
            return _hf_source(path.parent, single)
        return _meta_source(path.parent, [single])
    except BaseException:
        single.close()
        raise


def open_model_file(path: Path, vocab_dir: Path | None = None, *, whole: bool = True) -> ModelSource:
    """A model file; its vocabulary may be None. Unless `whole`, tensors may be missing."""
    tokenizer = None if vocab_dir is None else tokenizer_in(vocab_dir)
    return ModelSource(open_model(path, tokenizer=tokenizer, need_vocab=False, whole=whole))


# --- Meta's layout -----------------------------------------------------------------------------------------


def open_meta(folder: Path, shards: Sequence[Path]) -> CheckpointSource:
    """consolidated.*.pth with params.json, without a vocabulary."""
    opened: list[Checkpoint] = []
    try:
        for path in shards:
            opened.append(open_pth(path))
        return _meta_source(folder, opened)
    except BaseException:
        for file in opened:
            file.close()
        raise


def _meta_source(folder: Path, files: list[Checkpoint]) -> CheckpointSource:
    path = files[0].path
    named = [(file.path, _named(file)) for file in files]
    params = meta.read_params(folder / "params.json") if (folder / "params.json").is_file() else None
    first = named[0][1]
    embedding, query = first.get("token_embd.weight"), first.get("blk.0.attn_q.weight")
    if embedding is None or query is None or len(embedding.shape) != 2 or len(query.shape) != 2:
        raise damaged(path, "it lacks the embedding or the first layer of a LLaMA model")
    _check_shards(folder, files, query.shape[1], embedding.shape[1])
    joined = join(named)
    return _checkpoint(
        path, files, joined, _hparams_of_meta(joined, params), params.multiple_of if params else 0
    )


def _named(file: Checkpoint) -> dict[str, StoredTensor]:
    """Its tensors under GGUF names, without those that hold RoPE's frequencies."""
    found = {}
    for name, tensor in file.tensors.items():
        if name.endswith("freqs"):
            continue
        ours = name_of_meta(name)
        if ours is None:
            raise UserError(
                f"{file.path} has a tensor {name!r} that LLaMA does not have; give the checkpoint of a LLaMA "
                "model."
            )
        found[ours] = tensor
    return found


def _check_shards(folder: Path, files: list[Checkpoint], n_embd: int, cols: int) -> None:
    """Queries are split by rows and so have all columns; the embedding is split by columns."""
    if cols == 0 or n_embd % cols:
        raise damaged(files[0].path, f"its embedding has {cols} columns and its queries have {n_embd}")
    expected = n_embd // cols
    if expected == len(files):
        return
    if expected > len(files):
        raise UserError(
            f"{folder / f'consolidated.{len(files):02d}.pth'} is missing: the model has {expected} parts; "
            "copy all of them into one folder."
        )
    raise UserError(
        f"{files[-1].path} is one part too many: the model has {expected}; give a folder that holds one "
        "model only."
    )


def _hparams_of_meta(joined: dict[str, Joined], params: meta.Params | None) -> HParams:
    n_embd = joined["token_embd.weight"].shape[1]
    n_layer = 0
    while f"blk.{n_layer}.attn_q.weight" in joined:
        n_layer += 1
    return _with_shapes(
        joined,
        n_embd=n_embd,
        n_head=params.n_heads if params else max(1, n_embd // _HEAD_DIM),
        n_layer=params.n_layers if params else n_layer,
        norm_eps=params.norm_eps if params else NORM_EPS_2023,
        rope_freq_base=params.rope_theta if params else hp.ROPE_FREQ_BASE,
        n_ctx_train=_n_ctx_train(params),
    )


def _n_ctx_train(params: meta.Params | None) -> int:
    """params.json does not say; the three generations differ in other numbers."""
    if params is None:
        return N_CTX_2023
    if params.rope_theta == 1e6:  # Code Llama
        return 16384
    is_65b = params.n_layers == 80 and params.n_kv_heads == params.n_heads
    return 4096 if params.norm_eps == 1e-5 and not is_65b else N_CTX_2023


# --- Hugging Face's layout ---------------------------------------------------------------------------------


def open_hf(folder: Path) -> CheckpointSource:
    """A Hugging Face folder, without a vocabulary."""
    checkpoint = hf.open_hf(folder)
    try:
        return _hf_source(folder, checkpoint)
    except BaseException:
        checkpoint.close()
        raise


def _hf_source(folder: Path, checkpoint: Checkpoint) -> CheckpointSource:
    path, config = checkpoint.paths[0], hf.read_config(folder)
    found: dict[str, StoredTensor] = {}
    for name, tensor in checkpoint.tensors.items():
        if hf.is_skipped(name):
            continue
        ours = hf.gguf_name(name)
        if ours is None:
            raise UserError(
                f"{tensor.file.path} has a tensor {name!r} that this program's LLaMA does not know; use "
                "another model."
            )
        found[ours] = tensor
    joined = join([(path, found)])
    if "token_embd.weight" not in joined or len(joined["token_embd.weight"].shape) != 2:
        raise damaged(path, "its tensor model.embed_tokens.weight is missing")
    hparams = hp.check(folder / "config.json", _hparams_of_hf(folder / "config.json", config, joined), None)
    if "output.weight" not in joined:
        joined["output.weight"] = joined["token_embd.weight"]  # tied
    for name, whole in joined.items():
        if hf.is_rotated(name) and len(whole.shape) == 2:
            n_head = hparams.n_head if name.endswith("attn_q.weight") else hparams.n_head_kv
            if whole.shape[0] % (2 * n_head):
                raise damaged(path, f"its tensor {name} has the shape {whole.shape}")
            joined[name] = in_order(whole, hf.paired_rows(whole.shape[0], n_head))
    return _checkpoint(path, [checkpoint], joined, hparams, 0)


def _hparams_of_hf(path: Path, config: dict[str, Any], joined: dict[str, Joined]) -> HParams:
    n_embd = whole_number(path, config, "hidden_size")
    n_head = whole_number(path, config, "num_attention_heads")
    if number(path, config, "head_dim", n_embd / n_head) != n_embd / n_head:
        raise UserError(f"{path} has heads of another width than hidden_size / heads; use another model.")
    hparams = _with_shapes(
        joined,
        n_embd=n_embd,
        n_head=n_head,
        n_layer=whole_number(path, config, "num_hidden_layers"),
        norm_eps=number(path, config, "rms_norm_eps", 1e-6),
        rope_freq_base=number(path, config, "rope_theta", hp.ROPE_FREQ_BASE),
        n_ctx_train=whole_number(path, config, "max_position_embeddings", N_CTX_2023),
    )
    return replace(hparams, rope_freq_scale=_rope_freq_scale(path, config))


def _rope_freq_scale(path: Path, config: dict[str, Any]) -> float:
    scaling = config.get("rope_scaling")
    if not isinstance(scaling, dict):
        return 1.0
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    factor = scaling.get("factor", 1.0)
    if kind == "default":
        return 1.0
    if kind != "linear" or type(factor) not in (int, float) or not factor > 0:
        raise UserError(
            f"{path} stretches the context with RoPE scaling {kind!r}, which this program does not support; "
            "use another model."
        )
    return 1.0 / factor


# --- both --------------------------------------------------------------------------------------------------


def _with_shapes(
    joined: dict[str, Joined],
    *,
    n_embd: int,
    n_head: int,
    n_layer: int,
    norm_eps: float,
    rope_freq_base: float,
    n_ctx_train: int,
) -> HParams:
    """With the numbers that only the first layer's shapes tell; `hparams.check` refuses impossible ones."""
    gate, key = joined.get("blk.0.ffn_gate.weight"), joined.get("blk.0.attn_k.weight")
    head_dim = max(1, n_embd // n_head)
    return HParams(
        arch="llama",
        n_vocab=joined["token_embd.weight"].shape[0],
        n_embd=n_embd,
        n_head=n_head,
        n_head_kv=key.shape[0] // head_dim if key else n_head,
        n_layer=n_layer,
        n_ff=gate.shape[0] if gate else 1,
        n_rot=head_dim,
        n_ctx_train=n_ctx_train,
        norm_eps=norm_eps,
        rope_freq_base=rope_freq_base,
    )


def _checkpoint(
    path: Path, files: list[Checkpoint], joined: dict[str, Joined], hparams: HParams, n_mult: int
) -> CheckpointSource:
    hparams = hp.check(path, hparams, None)
    source = CheckpointSource(files, joined, hparams)
    check_tensors(path, source.tensors, hparams, tied=False)
    source.n_mult = find_n_mult(hparams.n_embd, hparams.n_ff, n_mult or 256)
    return source
