"""Saving and restoring a context: which states a model can go on from, and the work of doing it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from alpaca_tui.engine.protocol import ContextCut
from alpaca_tui.errors import UserError
from alpaca_tui.files.state_file import U8, Head, read_data, read_head, write_state

if TYPE_CHECKING:
    from alpaca_tui.engine.lora import Loras
    from alpaca_tui.files.hparams import HParams
    from alpaca_tui.files.model_file import ModelFile

# Goes up when a kernel comes to give other keys or values than before for the same tokens.
NUMBERS = 1
_SAMPLE = 256  # bytes of each tensor that are looked at


class Holder(Protocol):
    """What is needed of `engine.model.Model`."""

    n_ctx: int
    n_vocab: int

    def state_sizes(self, n: int) -> list[int]: ...
    def state_pieces(self, n: int) -> Iterator[U8]: ...


@dataclass(frozen=True)
class Identity:
    """What a state must have in common with a model: the weights, and all settings that keys depend on."""

    model: str
    digest: str
    settings: dict[str, Any]

    def check(self, path: Path, head: Head) -> None:
        """Raises UserError, saying what differs, where the state is not one of this model."""
        if head.digest != self.digest:
            other = "other weights" if head.model == self.model else f"{head.model!r}"
            raise UserError(
                f"{path} was saved with another model ({other}, and this is {self.model!r}); give another "
                "name, or delete it."
            )
        for name in sorted(self.settings.keys() | head.settings.keys()):
            ours, theirs = self.settings.get(name), head.settings.get(name)
            if ours != theirs:
                raise UserError(
                    f"{path} was saved with another {name} ({str(theirs)[:60]!r}, and now it is {ours!r}); "
                    "give another name, load the model as it was then, or delete it."
                )

    @property
    def key(self) -> str:
        """16 hex digits."""
        return hashlib.sha256(repr((self.digest, sorted(self.settings.items()))).encode()).hexdigest()[:16]


def identity(file: ModelFile, h: HParams, cache_type: str, loras: Loras | None) -> Identity:
    """The identity of a loaded model; `h` are its hyper-parameters as they are in force.

    Weights are told apart by their names, shapes and formats, and by some bytes from the middle of each: all
    of a file would take as long to read as the model took to load.
    """
    digest = hashlib.sha256()
    for name, tensor in file.tensors.items():
        digest.update(repr((name, tensor.shape, tensor.format.name)).encode())
        middle = tensor.rows // 2
        digest.update(file.rows(name, middle, middle + 1).reshape(-1)[:_SAMPLE].tobytes())
    changes = hashlib.sha256()
    for part in loras.fingerprint() if loras else ():
        changes.update(part)
    settings = {
        "norm_eps": h.norm_eps,
        "rope_freq_base": h.rope_freq_base,
        "rope_freq_scale": h.rope_freq_scale,
        "yarn": list(dataclasses.astuple(h.yarn)) if h.yarn else None,
        "cache_type": cache_type,
        "lora": changes.hexdigest()[:16] if loras else None,
        "numbers": NUMBERS,
    }
    return Identity(file.name, digest.hexdigest(), settings)


def save(
    path: Path,
    who: Identity,
    model: Holder,
    tokens: Sequence[int],
    *,
    seconds: float = 0.0,
    cut: ContextCut = ContextCut(0),  # noqa: B008 (frozen)
    cancelled: Callable[[], bool] = lambda: False,
) -> bool:
    """Writes the state of the first len(tokens) positions; False where it was cancelled.

    `seconds`: what evaluating one token took. Raises UserError where the file cannot be written.
    """
    n_bytes = sum(model.state_sizes(len(tokens)))
    whole = (cut.first_turn, *cut.gap)
    head = Head(who.model, who.digest, who.settings, n_bytes, seconds, whole, tuple(tokens))
    return write_state(path, head, model.state_pieces(len(tokens)), cancelled)


def check(path: Path, who: Identity, model: Holder) -> Head:
    """The head of a state that this model can go on from. Raises UserError for any other."""
    head = read_head(path)
    who.check(path, head)
    sizes = model.state_sizes(len(head.tokens))
    if head.bytes != sum(sizes) or any(not 0 <= token < model.n_vocab for token in head.tokens):
        raise UserError(f"{path} is damaged: its tokens do not go with its data; delete it.")
    return head


def restore(path: Path, head: Head, model: Holder, n: int, seconds: float = float("inf")) -> None:
    """Reads the first n positions of a state into the model's cache.

    Raises UserError for a damaged file and `state_file.TooSlowError`, and then the cache holds nothing.
    """
    sizes = model.state_sizes(len(head.tokens))
    read_data(path, head, zip(model.state_pieces(n), sizes, strict=True), seconds)
