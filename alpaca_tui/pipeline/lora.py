"""LoRA adapters for merging: the tokenizer that goes with each, and whether it fits the base model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.json_object import read_json
from alpaca_tui.files.peft import VOCABULARY, WEIGHTS, Lora, open_peft
from alpaca_tui.files.vocab import Vocab, from_tokenizer_model
from alpaca_tui.pipeline.words import find_words

__all__ = [
    "SIZES", "VOCABULARIES", "VOCABULARY", "WEIGHTS", "Lora",
    "check_fit", "count_tokens", "open_lora", "tokens",
]  # fmt: skip

# Tokens -> whose vocabulary has so many.
VOCABULARIES = {32000: "LLaMA", 49953: "Chinese-LLaMA", 49954: "Chinese-Alpaca"}
SIZES = {4096: "7B", 5120: "13B", 6656: "33B", 8192: "65B"}


def open_lora(folder: Path) -> Lora:
    """The adapter in a folder, with its tokenizer. Raises UserError for what is none or cannot be merged."""
    lora = open_peft(folder)
    try:
        if (folder / "tokenizer.model").is_file():
            lora.vocab = _vocab(lora)
        return lora
    except BaseException:
        lora.close()
        raise


def _vocab(lora: Lora) -> Vocab:
    """The tokenizer beside the adapter. UserError where it is not the one that its embedding was made for."""
    n_vocab = lora.n_vocab
    path = lora.folder / "tokenizer.model"
    if n_vocab is None:
        return find_words(path, lora.folder, count_tokens(lora.folder))
    n_tokens = count_tokens(lora.folder)
    if n_tokens != n_vocab:
        raise UserError(
            f"{path} has {tokens(n_tokens)} and the LoRA beside it {tokens(n_vocab)}: they belong to "
            "different models; take the tokenizer.model that came with this LoRA."
        )
    return find_words(path, lora.folder, n_vocab)


def count_tokens(folder: Path) -> int:
    """Tokens of tokenizer.model in a folder, with those of added_tokens.json."""
    extra = folder / "added_tokens.json"
    return len(from_tokenizer_model(folder / "tokenizer.model")) + (
        len(read_json(extra)) if extra.is_file() else 0
    )


def tokens(n: int) -> str:
    """ "49,954 tokens (Chinese-Alpaca's)"."""
    return f"{n:,} tokens" + (f" ({VOCABULARIES[n]}'s)" if n in VOCABULARIES else "")


def check_fit(lora: Lora, h: HParams, shapes: Mapping[str, tuple[int, ...]], n_vocab: int) -> None:
    """Raises UserError unless the LoRA fits a model with these tensors and, so far, `n_vocab` tokens."""
    path = lora.checkpoint.path
    for name, pair in lora.pairs.items():
        found = pair.shape[::-1] if lora.fan_in_fan_out else pair.shape
        _check_shape(path, name, found, shapes.get(name), h)
    for name, tensor in lora.whole.items():
        wanted_shape = shapes.get(name)
        if name in VOCABULARY and wanted_shape is not None:
            wanted_shape = (tensor.shape[0], *wanted_shape[1:])
        _check_shape(path, name, tensor.shape, wanted_shape, h)
    grown = lora.n_vocab
    wanted = grown if grown is not None else len(lora.vocab) if lora.vocab else n_vocab
    if wanted < n_vocab:
        raise UserError(
            f"{lora.folder} has {tokens(wanted)} and the model it is merged into {tokens(n_vocab)}; name the "
            "LoRAs in the order in which they were trained, Chinese-LLaMA before Chinese-Alpaca."
        )
    if grown is None and wanted > n_vocab:
        raise UserError(
            f"{lora.folder / 'tokenizer.model'} has {tokens(wanted)}, but the LoRA holds no embedding for "
            f"them and the model has {tokens(n_vocab)}; take the tokenizer.model that came with this LoRA."
        )
    if grown is not None and grown > n_vocab:
        for name in VOCABULARY:
            if name not in lora.whole:
                raise UserError(f"{path} has {tokens(grown)} but no {name} for them; use another LoRA.")
    if grown is not None and grown > n_vocab and lora.vocab is None:
        raise UserError(
            f"{lora.folder / 'tokenizer.model'} is missing: the LoRA has {tokens(grown)} and the model it is "
            f"merged into {tokens(n_vocab)}; copy it from where the LoRA came from."
        )


def _check_shape(
    path: Path, name: str, found: tuple[int, ...], expected: tuple[int, ...] | None, h: HParams
) -> None:
    if found == expected:
        return
    if expected is None:
        raise UserError(
            f"{path} has weights for {name}, which the base model with its {h.n_layer} layers does not have; "
            "use the LoRA that was made for this size of model."
        )
    size = SIZES.get(h.n_embd)
    raise UserError(
        f"{path} does not fit the base model{f' ({size})' if size else ''}: for {name} it has the shape "
        f"{found}, and {expected} is needed; use the LoRA that was made for this size of model."
    )
