"""Looking at a folder of downloads: which base models and LoRAs are in it, and what is missing."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.files import hf, meta
from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.vocab import find_tokenizer
from alpaca_tui.pipeline.diagnose import Finding
from alpaca_tui.pipeline.find import open_source
from alpaca_tui.pipeline.lora import SIZES, VOCABULARIES, WEIGHTS, check_fit, open_lora, tokens
from alpaca_tui.pipeline.sources import Source

_LEVELS = 3  # how deep models may lie in the folder
_MAX_FOLDERS = 500
_UNFINISHED = (".crdownload", ".aria2", ".download", ".partial", ".!ut", ".tmp", ".part")
CHINESE_LLAMA_TOKENS, CHINESE_ALPACA_TOKENS = 49953, 49954


@dataclass(frozen=True)
class Model:
    """A checkpoint: a folder that can be opened, with its size on disk and shape."""

    folder: Path
    paths: tuple[Path, ...]
    nbytes: int
    hparams: HParams
    shapes: dict[str, tuple[int, ...]]
    has_tokenizer: bool

    @property
    def is_base(self) -> bool:
        """Whether LoRAs are to be merged into it: it has no vocabulary that a LoRA has brought."""
        return self.hparams.n_vocab not in (CHINESE_LLAMA_TOKENS, CHINESE_ALPACA_TOKENS)

    @property
    def name(self) -> str:
        """ "LLaMA-7B", "Chinese-Alpaca-13B", or what can be said without knowing it."""
        family = VOCABULARIES.get(self.hparams.n_vocab, "a LLaMA model")
        size = SIZES.get(self.hparams.n_embd)
        return f"{family}-{size}" if size else f"{family} ({self.hparams.n_layer} layers)"


@dataclass(frozen=True)
class LoraFound:
    """A LoRA that can be opened. `n_vocab` is None where it leaves the vocabulary alone."""

    folder: Path
    path: Path
    nbytes: int
    n_vocab: int | None

    @property
    def name(self) -> str:
        family = VOCABULARIES.get(self.n_vocab or 0)
        return f"{self.folder.name} ({family})" if family else self.folder.name

    @property
    def is_plus(self) -> bool:
        """Whether its folder's name says that it builds on a Chinese-LLaMA LoRA."""
        name = self.folder.name.lower()
        return "alpaca" in name and any(word in name for word in ("plus", "pro"))


@dataclass
class Survey:
    """What is in a folder. `problems`: what is wrong or missing, a sentence each."""

    folder: Path
    models: list[Model] = field(default_factory=list)
    loras: list[LoraFound] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)

    def say(self, key: str, text: str, **fields: object) -> None:
        """Adds a problem: `text` in English, and its key and fields for other languages."""
        self.problems.append(Finding(text, True, key, {name: str(value) for name, value in fields.items()}))

    @property
    def made(self) -> list[Path]:
        """Models that were made in the folder before, the smallest first."""
        return sorted(self.folder.glob("ggml-model-*.gguf"), key=lambda path: path.stat().st_size)

    @property
    def usual_model(self) -> Model | None:
        """The one to start with: LLaMA itself where there are LoRAs, else the first."""
        bases = [model for model in self.models if model.is_base]
        return next(iter(bases if self.loras and bases else self.models), None)

    def usual_loras(self, model: Model) -> list[LoraFound]:
        """Those to merge into it: by the size of their vocabularies, Chinese-LLaMA before Chinese-Alpaca.

        Of several with the same vocabulary the first counts, and one that builds on another is not taken
        alone when there is another choice.
        """
        if not model.is_base:
            return []
        chosen: dict[int | None, LoraFound] = {}
        plus = [lora for lora in self.loras if lora.is_plus or "plus" in lora.folder.name.lower()]
        has_llama_plus = any(not lora.is_plus for lora in plus)
        pool = plus if has_llama_plus else [lora for lora in self.loras if lora not in plus] or self.loras
        for lora in pool:
            chosen.setdefault(lora.n_vocab, lora)
        loras = sorted(chosen.values(), key=lambda lora: lora.n_vocab or 0)
        if not has_llama_plus and any(lora.n_vocab == CHINESE_ALPACA_TOKENS for lora in loras):
            # the first Alpaca was trained on LLaMA itself
            loras = [lora for lora in loras if lora.n_vocab != CHINESE_LLAMA_TOKENS]
        return loras


def survey(folder: Path) -> Survey:
    """Looks into a folder and those in it. Raises UserError only where there is no such folder."""
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {str(folder)!r}; name the one with the model that you downloaded."
        )
    found = Survey(folder)
    for place in _folders(folder):
        _look(place, found)
    _look_for_what_is_missing(found)
    return found


def _folders(folder: Path) -> Iterator[Path]:
    """The folder and those in it, not too deep and not too many."""
    level, seen = [folder], 0
    for _ in range(_LEVELS + 1):
        for place in level:
            yield place
            seen += 1
            if seen >= _MAX_FOLDERS:
                return
        level = [p for place in level for p in _entries(place) if p.is_dir() and not p.name.startswith(".")]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _look(place: Path, found: Survey) -> None:
    """What is directly in one folder."""
    try:
        if (place / "adapter_config.json").is_file() or any((place / name).is_file() for name in WEIGHTS):
            _add_lora(place, found)
        elif meta.shard_paths(place) or hf.is_hf(place):
            with open_source(place, need_vocab=False) as source:
                found.models.append(_model(place, source))
    except UserError as error:
        found.say("", str(error))
    for path in _entries(place):
        if path.name.startswith("."):
            continue  # what is being written here
        if path.suffix in _UNFINISHED and path.is_file():
            text = f"{path} is an unfinished download; let it finish, or download it again."
            found.say("unfinished", text, path=path)
        elif path.suffix == ".zip" and path.is_file() and _holds_lora(path):
            target = path.with_suffix("")
            if not target.is_dir():
                text = f"{path} holds a LoRA; unpack it into {target}."
                found.say("packed", text, path=path, target=target)


def _holds_lora(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(WEIGHTS) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _add_lora(place: Path, found: Survey) -> None:
    with open_lora(place) as lora:
        path, n_vocab = lora.checkpoint.path, lora.n_vocab
        if n_vocab in (CHINESE_LLAMA_TOKENS, CHINESE_ALPACA_TOKENS) and lora.vocab is None:
            missing = place / "tokenizer.model"
            needs = f"the LoRA there has {tokens(n_vocab)}"
            text = f"{missing} is missing: {needs}; copy it from where the LoRA came from."
            found.say("no_lora_tokenizer", text, path=missing, n=f"{n_vocab:,}")
            return
    found.loras.append(LoraFound(place, path, path.stat().st_size, n_vocab))


def _model(place: Path, source: Source) -> Model:
    shapes = {name: tensor.shape for name, tensor in source.tensors.items()}
    return Model(
        place,
        tuple(source.paths),
        sum(path.stat().st_size for path in source.paths),
        source.hparams,
        shapes,
        find_tokenizer(source.paths[0]) is not None,
    )


def _look_for_what_is_missing(found: Survey) -> None:
    folder = found.folder
    if not found.models:
        what = "the original LLaMA (consolidated.00.pth with params.json, or its Hugging Face folder)"
        if found.loras:
            text = f"Beside the LoRA {what} is needed; put it into a folder inside {folder}."
            found.say("no_base", text, folder=folder)
        elif not found.problems:
            text = f"{folder} holds no model; put {what} and your LoRA into folders inside it."
            found.say("no_model", text, folder=folder)
        return
    model = found.usual_model
    assert model is not None
    if found.loras and not any(each.is_base for each in found.models):
        n_vocab = model.hparams.n_vocab
        has = f"The model in {model.folder} has {tokens(n_vocab)}"
        text = f"{has}; LoRAs are merged into the original LLaMA, which is missing."
        found.say("merged_only", text, folder=model.folder, n=f"{n_vocab:,}")
    chosen = found.usual_loras(model)
    if chosen and all(lora.is_plus for lora in chosen):
        name = chosen[0].folder.name
        needs = f"{name} builds on the LoRA Chinese-LLaMA-Plus of the same size"
        text = f"{needs}, which is missing; put it into a folder inside {folder}."
        found.say("no_plus", text, name=name, folder=folder)
    if not chosen and not model.has_tokenizer:
        text = f"tokenizer.model is missing; put it into {model.folder}."
        found.say("no_tokenizer", text, folder=model.folder)


def check_choice(model: Model, loras: Sequence[LoraFound]) -> None:
    """Raises UserError unless these LoRAs can be merged into the model, in this order."""
    n_vocab = model.hparams.n_vocab
    for found in loras:
        with open_lora(found.folder) as lora:
            check_fit(lora, model.hparams, model.shapes, n_vocab)
            n_vocab = lora.n_vocab or n_vocab
