"""From downloads to a model that chats, step by step: a plan, and steps that know whether they are done.

Nothing is printed or asked here. A step writes its file whole or not at all, and notes in the folder what it
was made from; so a plan made again after an interruption goes on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alpaca_tui.engine.memory import required_memory
from alpaca_tui.errors import UserError
from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.output import check_room, remove_abandoned
from alpaca_tui.files.tensors import Tensor
from alpaca_tui.pipeline.containers import CONTAINERS, FTYPES, default_output
from alpaca_tui.pipeline.convert import ConvertOptions, convert
from alpaca_tui.pipeline.diagnose import Finding, model_file_findings, weights_findings
from alpaca_tui.pipeline.find import open_source
from alpaca_tui.pipeline.hashes import PUBLISHED
from alpaca_tui.pipeline.jobs import Job, QuantizeOptions, plain_jobs, quantize_jobs
from alpaca_tui.pipeline.merge import merge, open_for_merge
from alpaca_tui.pipeline.merged import state_dict_names
from alpaca_tui.pipeline.quantize import quantize
from alpaca_tui.pipeline.sources import Source
from alpaca_tui.pipeline.steps import Notes, Progress, Step
from alpaca_tui.pipeline.survey import LoraFound, Model, check_choice
from alpaca_tui.pipeline.verify import sha256_of
from alpaca_tui.pipeline.words import find_words
from alpaca_tui.pipeline.write_model import Nobody, Target, write_model

KINDS = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "f16")
DEFAULT_KIND = "q4_0"
N_CTX = 2048  # what the memory of a chat is worked out for
_HEAD = 4 << 20  # vocabulary and names, about
_CONTAINER = CONTAINERS["gguf"]


# --- choices -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A type of weights: `nbytes` of its file, `memory` of a chat with it."""

    kind: str
    nbytes: int
    memory: int


def choices(model: Model, loras: Sequence[LoraFound]) -> list[Choice]:
    """What each type of weights would take."""
    n_vocab = max([model.hparams.n_vocab, *(lora.n_vocab or 0 for lora in loras)])
    hparams = replace(model.hparams, n_vocab=n_vocab)
    f16 = FORMATS["f16"]
    tensors = []
    for name in state_dict_names(hparams.n_layer):
        shape = model.shapes[name]
        if name in ("token_embd.weight", "output.weight"):
            shape = (n_vocab, *shape[1:])
        tensors.append(Tensor(name, shape, f16, ()))
    found = []
    for kind in KINDS:
        jobs = _as_converted(tensors, kind)
        as_written = {job.name: replace(job.tensor, format=job.format) for job in jobs}
        memory = required_memory(hparams, as_written, N_CTX).total
        found.append(Choice(kind, sum(job.nbytes for job in jobs) + _HEAD, memory))
    return found


def _as_converted(tensors: list[Tensor], kind: str) -> list[Job]:
    """A model's tensors as they are written: vectors in f32, matrices as `kind` asks."""
    if kind == "f16":
        return plain_jobs(tensors, kind, _CONTAINER)
    jobs = quantize_jobs(tensors, kind, _CONTAINER, QuantizeOptions())
    f32 = _CONTAINER.format("f32")
    return [Job(job.tensor, f32) if len(job.tensor.shape) == 1 else job for job in jobs]


# --- the plan ----------------------------------------------------------------------------------------------


@dataclass
class Leftover:
    """Files that a chat does not need. `kind`: f16, model or lora; `name` is that of the model or LoRA."""

    kind: str
    name: str
    title: str
    paths: list[Path]

    @property
    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths if path.is_file())


@dataclass
class Plan:
    """The steps in order, the model that comes out, and what could then be deleted."""

    folder: Path
    steps: list[Step]
    result: Path
    leftovers: list[Leftover]

    @property
    def todo(self) -> list[Step]:
        """The steps that are still to do; none once the model is there, whatever became of the rest."""
        made = next(step for step in self.steps if step.output == self.result)
        if made.done and made is self.steps[-1]:
            return []
        return [step for step in self.steps if not step.done]

    @property
    def nbytes(self) -> int:
        """Disk that the steps still to do will take."""
        return sum(step.nbytes for step in self.todo)


class _Watcher(Nobody):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def progress(self, done: int, total: int, what: str) -> None:
        self._progress(done, total, what)


def make_plan(folder: Path, model: Model, loras: Sequence[LoraFound], kind: str, n_threads: int) -> Plan:
    """The steps from `model` and `loras` to a GGUF file of the type `kind` in `folder`.

    Where the disk has no room for the model in f16 as well, it is quantised as it is merged. Raises UserError
    where the LoRAs do not fit, or the result does not fit on the disk.
    """
    if kind not in KINDS:
        raise UserError(f"There is no type {kind!r}; there are {', '.join(KINDS)}.")
    check_choice(model, loras)
    remove_abandoned(folder)
    work = _Work(folder, model, list(loras), kind, n_threads)
    sizes = {choice.kind: choice.nbytes for choice in choices(model, loras)}
    downloads = [*model.paths, *(lora.path for lora in loras)]
    verb, make = ("merge and convert", "merge") if loras else ("convert", "convert")
    notes, out, size = Notes(folder), work.result, sizes[kind]
    first = Step(
        "verify-downloads",
        "verify_downloads",
        "verify the downloads",
        downloads,
        work.verify_downloads,
        notes,
    )
    f16 = Step("f16", make, f"{verb} to f16", downloads, work.make_f16, notes, work.f16, sizes["f16"])
    look = ("verify_weights", "verify the weights")
    steps = [first, f16, Step("verify-weights", *look, [work.f16, *downloads], work.verify_f16, notes)]
    others = [Leftover("model", model.name, f"the downloaded {model.name}", list(model.paths))]
    others += [Leftover("lora", lora.name, f"the LoRA {lora.name}", [lora.path]) for lora in loras]
    plan = Plan(folder, steps, out, others)
    if kind != "f16":
        quantise = (f"quantise-{kind}", "quantise", f"quantise to {kind}")
        steps.append(Step(*quantise, downloads, work.quantise, notes, out, size))
        plan = Plan(folder, steps, out, [Leftover("f16", "f16", "the model in f16", [work.f16]), *others])
        at_once = (f"at-once-{kind}", make, f"{verb} to {kind}")
        last = Step(*at_once, downloads, work.make_at_once, notes, out, size)
        if last.done or (plan.todo and not f16.done and not has_room(folder, plan.nbytes)):
            verify = Step("verify-weights-only", *look, downloads, work.verify_merged, notes)
            plan = Plan(folder, [first, verify, last], out, others)
    if plan.todo:
        check_room(work.result, plan.nbytes)
    return plan


def has_room(folder: Path, nbytes: int) -> bool:
    try:
        check_room(folder / "x", nbytes)
    except UserError:
        return False
    return True


@dataclass
class _Work:
    """What the steps do."""

    folder: Path
    model: Model
    loras: list[LoraFound]
    kind: str
    n_threads: int

    @property
    def lora_folders(self) -> list[Path]:
        return [lora.folder for lora in self.loras]

    @property
    def f16(self) -> Path:
        return default_output(self.folder, "f16", _CONTAINER)

    @property
    def result(self) -> Path:
        return default_output(self.folder, self.kind, _CONTAINER)

    def verify_downloads(self, progress: Progress) -> list[Finding]:
        """What the hashes of the downloaded files say."""
        return verify_downloads([*self.model.paths, *(lora.path for lora in self.loras)], progress)

    def make_f16(self, progress: Progress) -> list[Finding]:
        base, loras, n = self.model.folder, self.lora_folders, self.n_threads
        if loras:
            return _odd(merge(base, loras, "gguf", self.folder, n_threads=n, progress=progress).odd)
        options = ConvertOptions("f16", _CONTAINER)
        return _odd(convert(base, self.f16, options, n_threads=n, watcher=_Watcher(progress)).odd)

    def verify_f16(self, progress: Progress) -> list[Finding]:
        return list(model_file_findings(self.f16, self.n_threads, progress))

    def quantise(self, progress: Progress) -> list[Finding]:
        quantize(self.f16, self.kind, self.result, n_threads=self.n_threads, watcher=_Watcher(progress))
        return []

    def verify_merged(self, progress: Progress) -> list[Finding]:
        with self._source() as source:
            return list(weights_findings(source, self.n_threads, progress))

    def make_at_once(self, progress: Progress) -> list[Finding]:
        with self._source() as source:
            jobs = _as_converted(list(source.tensors.values()), self.kind)
            target = Target(self.result, _CONTAINER, FTYPES[self.kind], self.folder.absolute().name)
            return _odd(write_model(source, jobs, target, self.n_threads, _Watcher(progress)).odd)

    def _source(self) -> Source:
        if not self.loras:
            return open_source(self.model.folder)
        source = open_for_merge(self.model.folder, self.lora_folders)
        if source.vocab is None:
            source.vocab = find_words(source.base.paths[0], None, source.hparams.n_vocab)
        return source


def _odd(odd: Mapping[str, object]) -> list[Finding]:
    what = "has values that are no numbers: the model will not work well"
    return [Finding(f"{name} {what}.", True, "odd", {"name": name}) for name in odd]


def verify_downloads(paths: Sequence[Path], progress: Progress) -> list[Finding]:
    """What the hashes of the downloaded files say."""
    findings = []
    total, done = sum(path.stat().st_size for path in paths), 0
    for path in paths:
        begin = done

        def report(n: int, begin: int = begin, path: Path = path) -> None:
            progress(begin + n, total, path.name)

        published = PUBLISHED.get(sha256_of(path, report))
        done += path.stat().st_size
        known = f"is {published.text}, as published" if published else "is not in the list of published files"
        key = "published" if published else "unlisted"
        findings.append(Finding(f"{path} {known}.", False, key, {"name": path.name}))
    return findings


def delete(leftover: Leftover) -> int:
    """Deletes the files, and returns how many bytes that freed."""
    freed = 0
    for path in leftover.paths:
        try:
            size = path.stat().st_size
            path.unlink()
        except OSError as error:
            raise UserError(f"{path} could not be deleted: {error.strerror or error}.") from None
        freed += size
    return freed
