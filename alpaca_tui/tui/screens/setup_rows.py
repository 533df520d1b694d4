"""What the setup screen shows, row by row, made from what is so. A row's id says what Enter does on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.cells import cell_len
from textual.content import Content

from alpaca_tui.chat.setup_job import JobState, SetupJob
from alpaca_tui.chat.workshop import Base, Choice, Download, Finding, Found, Leftover, Plan, Step
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.status import BAR, size_text, time_text

SHORT_BAR = 10  # cells
NAMED = 2  # files that are named one by one
KIND_CELLS, FILE_CELLS, MEMORY_CELLS = 10, 12, 14


@dataclass(frozen=True)
class Row:
    """`id` "" is a row on which nothing can be done."""

    content: Content
    id: str = ""


@dataclass
class Choices:
    """What was found, and what the user wants of it. `free_memory` and `free_disk` are None if unknown.

    `shelf` has all LoRAs in the order in which they are listed, `loras` those to merge in theirs.
    """

    found: Found
    model: Base | None = None
    shelf: list[Download] = field(default_factory=list)
    loras: list[Download] = field(default_factory=list)
    kind: str = ""
    table: Sequence[Choice] = ()
    plan: Plan | None = None
    trouble: str = ""
    free_memory: int | None = None
    free_disk: int | None = None


def problem_text(problem: Finding, say: Strings) -> str:
    """A sentence in the user's language, where there is one; names of files cannot colour it."""
    key = f"setup_find_{problem.key}"
    return clean(say(key, **problem.fields) if key in say else problem.text)


# --- choosing ----------------------------------------------------------------------------------------------


def choice_rows(choices: Choices, say: Strings) -> list[Row]:
    """What is missing, what is there, the types of weights, and what would be done."""
    found = choices.found
    rows = [Row(_bad(problem_text(problem, say))) for problem in found.problems]
    for path in found.made if not found.models else []:
        rows.append(_do(f"made:{path}", say("setup_made", name=clean(path.name))))
    for i, model in enumerate(found.models):
        sign = glyphs.DOT if model is choices.model else glyphs.RING
        rows.append(Row(_download(sign, model, found.folder), f"model:{i}" if len(found.models) > 1 else ""))
    if choices.model is not None and choices.model.is_base:
        for i, lora in enumerate(choices.shelf):
            number = next((str(n) for n, each in enumerate(choices.loras, 1) if each is lora), glyphs.RING)
            rows.append(Row(_download(number, lora, found.folder), f"lora:{i}"))
    if choices.table:
        rows += _table(choices, say)
    if choices.trouble:
        rows.append(Row(_bad(choices.trouble)))
    elif choices.plan is not None:
        rows += _plan(choices.plan, bool(found.problems), choices.free_disk, say)
    rows.append(_do("again", say("setup_again")))
    return rows


def _download(sign: str, download: Download, folder: Path) -> Content:
    try:
        where = str(download.folder.relative_to(folder))
    except ValueError:
        where = str(download.folder)
    sign_content = Content.styled(f"{sign} ", "$quiet" if sign == glyphs.RING else "$act")
    facts = [size_text(download.nbytes)]
    if where != "." and not download.name.startswith(where):
        facts.insert(0, where)
    return (
        sign_content
        + Content(clean(download.name))
        + Content.styled(f"  {clean('  '.join(facts))}", "$quiet")
    )


def _table(choices: Choices, say: Strings) -> list[Row]:
    free = choices.free_memory
    head = _columns(say("setup_type"), say("setup_file"), say("setup_memory"))
    note = "" if free is None else f"   {say('setup_free_memory', size=size_text(free))}"
    rows = [Row(Content.styled(f"  {head}{note}", "$quiet"))]
    for choice in choices.table:
        chosen = choice.kind == choices.kind
        line = Content.styled(f"{glyphs.DOT if chosen else glyphs.RING} ", "$act" if chosen else "$quiet")
        line += Content(_columns(choice.kind, size_text(choice.nbytes), size_text(choice.memory)))
        if free is not None and choice.memory > free:
            line += Content.styled(f"   {say('setup_too_much')}", "$now")
        rows.append(Row(line, f"kind:{choice.kind}"))
    return rows


def _columns(kind: str, size: str, memory: str) -> str:
    return (
        kind
        + " " * (KIND_CELLS - cell_len(kind))
        + " " * (FILE_CELLS - cell_len(size))
        + size
        + " " * (MEMORY_CELLS - cell_len(memory))
        + memory
    )


def _plan(plan: Plan, problems: bool, free_disk: int | None, say: Strings) -> list[Row]:
    todo = {step.key for step in plan.todo}
    if not todo:
        return [_do("start", say("setup_there", name=clean(plan.result.name)))]
    steps = [
        Content.styled(
            ("" if step.key in todo else f"{glyphs.CHECK} ") + step_title(step, say),
            "$ink" if step.key in todo else "$quiet",
        )
        for step in plan.steps
    ]
    disk = say("setup_writes", size=size_text(plan.nbytes))
    if free_disk is not None:
        disk += " " + say("setup_free_disk", size=size_text(free_disk))
    start = (
        "setup_start_anyway" if problems else "setup_go_on" if len(todo) < len(plan.steps) else "setup_start"
    )
    return [
        Row(
            Content.styled(f" {glyphs.AFTER} ", "$quiet").join(steps) + Content.styled(f"\n{disk}", "$quiet")
        ),
        _do("start", say(start)),
    ]


def step_title(step: Step, say: Strings) -> str:
    """ "merge and convert to f16", in the user's language."""
    kind = step.output.stem.rpartition("-")[2] if step.output else ""
    return say(f"setup_step_{step.work}", kind=kind)


# --- at work, and afterwards -------------------------------------------------------------------------------


def job_rows(job: SetupJob, seconds_left: float | None, say: Strings) -> list[Row]:
    """The steps, what each found, how far the one at work is, and what can be done about it."""
    rows = []
    at = job.at
    for index, step in enumerate(job.plan.steps):
        title = step_title(step, say)
        if job.is_done(step):
            line = Content.styled(f"{glyphs.CHECK} ", "$act") + Content.styled(title, "$quiet")
        elif index == at.index and job.running:
            line = Content.styled(f"{glyphs.DOT} ", "$now") + Content(title)
            line += Content("  ") + progress_content(job, seconds_left, say)
        elif index == at.index and job.state is JobState.FAILED:
            line = Content.styled(f"{glyphs.CROSS} ", "$loss") + Content(title)
        else:
            line = Content.styled(f"{glyphs.RING} {title}", "$quiet")
        rows.append(Row(line))
        rows += [Row(line) for line in finding_lines(job.findings.get(step.key, ()), say)]
    match job.state:
        case JobState.RUNNING:
            rows += [_do("back", say("setup_back")), _do("cancel", say("setup_cancel"))]
        case JobState.STOPPING:
            rows.append(Row(Content.styled(say("setup_stopping"), "$now")))
        case JobState.CANCELLED:
            rows += [Row(Content.styled(say("setup_cancelled"), "$now")), _do("again", say("setup_go_on"))]
        case JobState.FAILED:
            rows += [Row(_bad(job.error)), _do("again", say("setup_again"))]
    return rows


def progress_content(job: SetupJob, seconds_left: float | None, say: Strings, short: bool = False) -> Content:
    """A bar, the share, how long still, and unless it is to be `short`, amounts."""
    at = job.at
    share = min(at.done / at.total, 1.0) if at.total > 0 else 0.0
    cells = SHORT_BAR if short else BAR
    filled = round(share * cells)
    bar = Content.styled(glyphs.FULL * filled, "$now") + Content.styled(
        glyphs.EMPTY * (cells - filled), "$rule"
    )
    parts = [f"{100 * share:.0f} %"]
    if at.total and not short:
        parts.append(say("progress_of", done=size_text(at.done), total=size_text(at.total)))
    if seconds_left is not None and at.done < at.total:
        parts.append(say("progress_left", time=time_text(seconds_left, say)))
    return bar + Content(" " + "  ".join(parts))


def finding_lines(findings: Sequence[Finding], say: Strings) -> list[Content]:
    """What a step found; files of one kind share a line."""
    lines = []
    for key in ("published", "unlisted"):
        names = [finding.fields.get("name", "") for finding in findings if finding.key == key]
        if names:
            shown = ", ".join(map(clean, names[:NAMED])) + (", …" if len(names) > NAMED else "")
            lines.append(
                Content.styled(f"    {say(f'setup_find_{key}', n=len(names), names=shown)}", "$quiet")
            )
    for finding in findings:
        if finding.key not in ("published", "unlisted"):
            text = f"    {problem_text(finding, say)}"
            lines.append(Content.styled(text, "$now" if finding.bad else "$quiet"))
    return lines


def end_rows(plan: Plan, marked: set[int], freed: int, say: Strings) -> list[Row]:
    """The model that is ready; what is left over and may be deleted."""
    name = clean(plan.result.name)
    rows = [_do("open", say("setup_open", name=name))]
    left = [(i, leftover) for i, leftover in enumerate(plan.leftovers) if leftover.nbytes]
    if freed:
        rows.append(Row(Content.styled(say("setup_deleted", size=size_text(freed)), "$quiet")))
    if left:
        rows.append(Row(Content.styled(say("setup_leftovers", name=name), "$quiet")))
    for i, leftover in left:
        box = glyphs.MARKED if i in marked else glyphs.UNMARKED
        line = Content.styled(f"{box} ", "$now" if i in marked else "$quiet") + Content(_left(leftover, say))
        rows.append(Row(line + Content.styled(f"  {size_text(leftover.nbytes)}", "$quiet"), f"mark:{i}"))
    if marked:
        size = sum(plan.leftovers[i].nbytes for i in marked)
        rows.append(
            Row(
                Content.styled(f"{glyphs.AFTER} {say('setup_delete', size=size_text(size))}", "$loss"),
                "delete",
            )
        )
    rows.append(_do("close", say("setup_close")))
    return rows


def _left(leftover: Leftover, say: Strings) -> str:
    return say(f"setup_left_{leftover.kind}", name=clean(leftover.name))


def _do(id: str, text: str) -> Row:
    return Row(Content.styled(f"{glyphs.AFTER} {text}", "$act"), id)


def _bad(text: str) -> Content:
    return Content.styled(f"! {clean(text)}", "$now")
