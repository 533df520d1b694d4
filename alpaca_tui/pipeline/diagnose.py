"""What a file is, in words, and what is wrong with a model: missing parts, a wrong tokenizer, weights."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.files import hf, meta
from alpaca_tui.files.model_file import open_model
from alpaca_tui.files.pth import open_pth
from alpaca_tui.files.safetensors import open_safetensors
from alpaca_tui.files.sniff import HEAD, refusal
from alpaca_tui.files.stored import StoredTensor
from alpaca_tui.files.tensors import gguf_name
from alpaca_tui.files.vocab import find_tokenizer, from_tokenizer_model
from alpaca_tui.pipeline.containers import FLOATS
from alpaca_tui.pipeline.find import open_source
from alpaca_tui.pipeline.hashes import LORA, MERGED, Published, needs_first, published_for
from alpaca_tui.pipeline.lora import SIZES, VOCABULARIES, WEIGHTS, count_tokens, open_lora, tokens
from alpaca_tui.pipeline.merge_pth import Digest, lay_out, stream
from alpaca_tui.pipeline.sources import Source

Progress = Callable[[int, int, str], None]  # bytes, of how many, tensor


@dataclass(frozen=True)
class Finding:
    """Something to say about a file or folder; `bad`: it is not as it should be.

    `key` and `fields` say it for those who have their own words for it, in another language; where there is
    no key there is the text only.
    """

    text: str
    bad: bool = True
    key: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


# --- one file ----------------------------------------------------------------------------------------------


def what_it_is(path: Path) -> tuple[str, list[Finding]]:
    """What a file is, in words ("" where that is plain to see), and what is wrong with it by itself."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        return _what(path, head), []
    except OSError as error:
        return "", [Finding(f"{path} cannot be read: {error.strerror or error}.")]
    except UserError as error:
        return "", [Finding(str(error))]


def _what(path: Path, head: bytes) -> str:
    if path.name == "tokenizer.model":
        return f"a vocabulary of {tokens(len(from_tokenizer_model(path)))}"
    if path.suffix == ".zip":
        return _archive(path)
    if head[:4] == b"PK\3\4" or (head[:1] == b"\x80" and path.suffix in (".pth", ".pt", ".bin")):
        with open_pth(path) as checkpoint:
            return _tensors(checkpoint.tensors)
    if path.suffix == ".safetensors":
        with open_safetensors(path) as checkpoint:
            return _tensors(checkpoint.tensors)
    if path.suffix in (".bin", ".gguf") or head[:4] == b"GGUF":
        with open_model(path, need_vocab=False) as model:
            return f"a model: {model.description}, {tokens(model.hparams.n_vocab)}"
    if path.suffix in (".pth", ".pt") or head.startswith(b"version https://git-lfs"):
        raise refusal(path, head)
    return ""


def _archive(path: Path) -> str:
    """A .zip file is not a model; it may have one in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        raise UserError(f"{path} is no whole .zip file; download it again.") from None
    inside = "a LoRA" if any(name.endswith(WEIGHTS) for name in names) else f"{len(names)} files"
    return f"a .zip file with {inside}, to be unpacked"


def _tensors(tensors: Mapping[str, StoredTensor]) -> str:
    """A checkpoint, by the names of its tensors."""
    counts = Counter(tensor.dtype for tensor in tensors.values())
    many = f"{len(tensors)} tensors in {counts.most_common(1)[0][0]}"
    ranks = {t.shape[0] for name, t in tensors.items() if ".lora_A." in name and t.shape}
    embedding = next((t for name, t in tensors.items() if name.endswith("embed_tokens.weight")), None)
    if ranks:
        rows = f", {tokens(embedding.shape[0])}" if embedding is not None else ""
        return f"a LoRA of rank {', '.join(map(str, sorted(ranks)))}: {many}{rows}"
    if any(gguf_name(name) for name in tensors):
        layers = {name.split(".")[1] for name in tensors if name.startswith("layers.")}
        embedding = tensors.get("tok_embeddings.weight")
        rows = f", {tokens(embedding.shape[0])}" if embedding is not None else ""
        return f"a checkpoint of Meta's layout: {many}, {len(layers)} layers{rows}"
    if any(hf.gguf_name(name) for name in tensors):
        rows = f", {tokens(embedding.shape[0])}" if embedding is not None else ""
        return f"weights of a Hugging Face folder: {many}{rows}"
    return f"a checkpoint: {many}"


# --- a model -----------------------------------------------------------------------------------------------


def findings_in(
    folder: Path, published: Mapping[Path, Published], n_threads: int, progress: Progress
) -> Iterator[Finding]:
    """What is to be said of the model or LoRA in a folder as a whole.

    `published`: the files in it whose hashes are published ones. `progress` is for weights that are looked
    at once more, to tell another layout from other weights.
    """
    if (folder / "adapter_config.json").is_file() or any((folder / name).is_file() for name in WEIGHTS):
        yield from _lora_findings(folder, published)
    try:
        shards = meta.shard_paths(folder)
        if shards or hf.is_hf(folder):
            with open_source(folder, need_vocab=False) as source:
                yield from _model_findings(folder, source, published, n_threads, progress)
    except UserError as error:
        yield Finding(str(error))


def _lora_findings(folder: Path, published: Mapping[Path, Published]) -> Iterator[Finding]:
    try:
        with open_lora(folder) as lora:
            n_vocab = lora.n_vocab
            if lora.vocab is None and n_vocab is not None:
                yield Finding(f"{folder / 'tokenizer.model'} is missing: this LoRA has {tokens(n_vocab)}.")
    except UserError as error:
        yield Finding(str(error))
        return
    model = next((p.model for path, p in published.items() if p.kind == LORA), "")
    first = needs_first(model)
    if first:
        yield Finding(f"{model} is merged after {first}: name both LoRAs, in that order.", bad=False)


def _model_findings(
    folder: Path, source: Source, published: Mapping[Path, Published], n_threads: int, progress: Progress
) -> Iterator[Finding]:
    n_vocab = source.hparams.n_vocab
    tokenizer = find_tokenizer(source.paths[0])
    if tokenizer is None:
        yield Finding(f"There is no tokenizer.model in {folder} or one folder up; copy it there.")
    elif (n := count_tokens(tokenizer.parent)) != n_vocab and len(from_tokenizer_model(tokenizer)) != n_vocab:
        belongs = "they belong to different models; take the tokenizer.model that came with the last LoRA"
        yield Finding(f"{tokenizer} has {tokens(n)} and the model {tokens(n_vocab)}: {belongs}.")
    if all(path in published for path in source.paths):
        return
    yield from weights_findings(source, n_threads, progress)


def weights_findings(source: Source, n_threads: int, progress: Progress) -> Iterator[Finding]:
    """Whether a model of a Chinese vocabulary has the weights of a published one, in whatever layout.

    Its weights are laid out once more as the original merge script wrote them, without writing anything, and
    what that file would have for a SHA256 is looked up.
    """
    h = source.hparams
    family, size = VOCABULARIES.get(h.n_vocab, ""), SIZES.get(h.n_embd)
    models = [f"{family}{kind}-{size}" for kind in ("", "-Plus")]
    known = {model: hashes for model in models if (hashes := published_for(MERGED, model))}
    formats = {tensor.format.today.name for tensor in source.tensors.values()}
    if not known or not formats <= set(FLOATS):
        return
    shards = lay_out(source)
    digests = [Digest() for _ in shards.entries]
    stream(source, shards, digests, n_threads, progress)
    found = [digest.sha256 for digest in digests]
    same = next((model for model, hashes in known.items() if hashes == found), None)
    if same:
        text = f"The weights are those published as {same}; only the layout of the file is another one."
        yield Finding(text, False, "weights_published", {"model": same})
        return
    text = (
        f"The weights are not those published as {' or '.join(known)}: another base, another LoRA, or LoRAs "
        "in another order make other weights."
    )
    if "f16" not in formats:
        text += f" They are held as {min(formats)}, and the published ones as f16."
    yield Finding(text, True, "weights_other", {"models": ", ".join(known)})


def model_file_findings(path: Path, n_threads: int, progress: Progress) -> Iterator[Finding]:
    """The same for a model file (ggml, ggmf, ggjt, GGUF): its tokenizer, and its weights if f16 or f32."""
    try:
        with open_source(path, need_vocab=True) as source:
            yield from weights_findings(source, n_threads, progress)
    except UserError as error:
        yield Finding(str(error))
