"""The vocabulary that goes with a checkpoint: tokenizer.model, and added_tokens.json where there is one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.files.json_object import read_json
from alpaca_tui.files.vocab import TokenType, Vocab, find_tokenizer, from_tokenizer_model

ADDED_SCORE = -1000.0  # what convert.py gives tokens of added_tokens.json
_NEARLY = 20  # so many tokens fewer mean that added_tokens.json is missing


def find_words(model: Path, vocab_dir: Path | None, n_vocab: int | None) -> Vocab:
    """The vocabulary of a model with `n_vocab` rows in its embedding; None: with as many as there are tokens.

    Looked for in `vocab_dir` (a folder or the file itself), else beside the model, else one folder up. Raises
    UserError where there is none or it is of another size.
    """
    path = _tokenizer(model, vocab_dir)
    vocab = from_tokenizer_model(path)
    extra = path.parent / "added_tokens.json"
    added = _added(extra, len(vocab)) if extra.is_file() else []
    if n_vocab == len(vocab):
        return vocab  # the model has no rows for added tokens
    total = len(vocab) + len(added)
    if n_vocab in (None, total):
        return dataclasses.replace(
            vocab,
            pieces=vocab.pieces + added,
            scores=[*(vocab.scores or []), *(ADDED_SCORE for _ in added)],
            types=vocab.types + [int(TokenType.USER_DEFINED)] * len(added),
        )
    assert n_vocab is not None
    names = f"{path} with {extra.name}" if added else str(path)
    hint = "give the tokenizer.model that came with this model"
    if total < n_vocab < total + _NEARLY and not added:
        hint = f"perhaps added_tokens.json is missing beside it; else {hint}"
    raise UserError(f"{model} has {n_vocab:,} tokens and {names} has {total:,}; {hint}.")


def tokenizer_in(place: Path) -> Path:
    """tokenizer.model in a folder, or `place` itself where that is a file."""
    path = place / "tokenizer.model" if place.is_dir() else place
    if not path.is_file():
        raise UserError(f"{path} does not exist; --vocab-dir names the folder with tokenizer.model.")
    return path


def _tokenizer(model: Path, vocab_dir: Path | None) -> Path:
    if vocab_dir is not None:
        return tokenizer_in(vocab_dir)
    found = find_tokenizer(model)
    if found is None:
        folder = model.absolute().parent
        raise UserError(
            f"There is no tokenizer.model in {folder} or in {folder.parent}; put it there, or name its "
            "folder with --vocab-dir."
        )
    return found


def _added(path: Path, first: int) -> list[bytes]:
    """The texts of added tokens, whose ids must follow those of the vocabulary."""
    ids = read_json(path)
    if not all(type(number) is int for number in ids.values()):
        raise UserError(f"{path} gives a token an id that is no number; get the model's own file.")
    texts = sorted(ids, key=lambda text: int(ids[text]))
    if [ids[text] for text in texts] != list(range(first, first + len(texts))):
        raise UserError(
            f"{path} gives its tokens other ids than {first} and those after it; get the file that came with "
            "this tokenizer.model."
        )
    return [text.encode("utf-8", "replace") for text in texts]
