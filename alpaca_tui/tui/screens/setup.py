"""From downloaded weights to a model in the chat, step by step; closing it leaves the work going on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from alpaca_tui.chat.setup_job import JobState, SetupJob
from alpaca_tui.chat.workshop import Base, Choice, Found, Plan, Workshop
from alpaca_tui.errors import UserError
from alpaca_tui.system import available_memory
from alpaca_tui.tui.completion import PathSuggester, complete
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.screens.dialog import Dialog
from alpaca_tui.tui.screens.setup_rows import Choices, Row, choice_rows, end_rows, job_rows
from alpaca_tui.tui.strings import Strings

USUAL_KIND = "q4_0"
AROUND, AROUND_LOW = 11, 6  # rows of the dialog that are not the list
LOW = 30  # rows of a screen that has none to give away
T = TypeVar("T")


class SetupScreen(Dialog[None]):
    """Posts `Start`, `Cancel`, `Open` and `Forget`; the job is the application's, and outlives the screen."""

    DEFAULT_CSS = """
    SetupScreen { align: center middle; background: $ground 70%; }
    #setup-box {
        width: 100; max-width: 96%; height: auto; max-height: 96%;
        background: $surface; border-left: wide $act; padding: 1 2;
    }
    #setup-title { text-style: bold; height: 1; }
    #setup-label, #setup-keys { color: $quiet; height: auto; }
    #setup-folder {
        margin: 1 0; border: none; height: 1; padding: 0 1; background: $panel; color: $ink;
        &:focus { border: none; }
    }
    #setup-note { height: auto; color: $loss; display: none; }
    #setup-note.looking { color: $now; }
    #setup-rows {
        height: auto; border: none; background: $surface; padding: 0; margin: 0 0 1 0; display: none;
        scrollbar-size-vertical: 1;
        &:focus { border: none; background-tint: $foreground 0%; }
    }
    SetupScreen.low #setup-box { padding: 0 2; }
    SetupScreen.low #setup-folder, SetupScreen.low #setup-rows { margin: 0; }
    SetupScreen.low #setup-label { display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next", show=False, priority=True, id="setup_complete"),
        Binding("down", "rows", show=False),
        Binding("space", "select", show=False),
    ]

    class Start(Message):
        def __init__(self, plan: Plan) -> None:
            super().__init__()
            self.plan = plan

    class Cancel(Message):
        """The job is to stop."""

    class Open(Message):
        """The chat is to load this model."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    class Forget(Message):
        """What was made is dealt with; the next opening begins anew."""

    def __init__(
        self, strings: Strings, workshop: Workshop, job: SetupJob | None = None, folder: Path | None = None
    ) -> None:
        super().__init__()
        self._say = strings
        self._workshop = workshop
        self._job = job
        self._folder = job.plan.folder if job else folder
        self._choices: Choices | None = None
        self._shown: list[Row] = []
        self._seconds_left: float | None = None
        self._marked: set[int] = set()
        self._freed = 0
        self._planning = False  # what is shown of the plan is of earlier choices

    # --- the screen ----------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        say = self._say
        with Vertical(id="setup-box"):
            yield Static(say("setup_title"), id="setup-title", markup=False)
            yield Static(say("setup_label"), id="setup-label", markup=False)
            yield Input(
                str(self._folder or ""),
                id="setup-folder",
                placeholder=say("setup_placeholder"),
                suggester=PathSuggester(folders=True),
                compact=True,
            )
            yield Static("", id="setup-note", markup=False)
            yield OptionList(id="setup-rows", markup=False, compact=True)
            yield Static("", id="setup-keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._keys("setup_keys_folder")
        if self._job is not None:
            self.show_job(self._job, None)
        elif self._folder is not None:
            self._look(str(self._folder))

    def on_resize(self, event: events.Resize) -> None:
        low = event.size.height < LOW
        self.set_class(low, "low")
        rows = event.size.height * 96 // 100 - (AROUND_LOW if low else AROUND)
        self.query_one(OptionList).styles.max_height = max(rows, 3)

    def _keys(self, key: str) -> None:
        self.query_one("#setup-keys", Static).update(self._say(key))

    @property
    def is_there(self) -> bool:
        """Whether its widgets are: not before it is composed, and not when it is on its way out."""
        return bool(self.query("#setup-rows")) and bool(self.query("#setup-keys"))

    def note(self, text: str, looking: bool = False) -> None:
        note = self.query_one("#setup-note", Static)
        note.set_class(looking, "looking")
        note.display = bool(text)
        note.update(clean(text))

    def _show(self, rows: list[Row], to: str = "") -> None:
        """The rows; the highlighted one stays, unless `to` names another."""
        widget = self.query_one(OptionList)
        widget.display = bool(rows)
        if [row.id for row in rows] == [row.id for row in self._shown]:
            for index, (old, new) in enumerate(zip(self._shown, rows, strict=True)):
                if old.content != new.content:
                    widget.replace_option_prompt_at_index(index, new.content)
        else:
            at = widget.highlighted
            to = to or (self._shown[at].id if at is not None and at < len(self._shown) else "")
            widget.set_options([Option(row.content) for row in rows])
            ids = [row.id for row in rows]
            at_once = next((id for id in (to, "open") if id and id in ids), "")
            widget.highlighted = ids.index(at_once) if at_once else 0
        self._shown = rows

    # --- the folder ----------------------------------------------------------------------------------------

    def _in_thread(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Does what may take a while; what is wrong is said in the note. The newest work counts."""

        def run() -> None:
            worker = get_current_worker()
            try:
                show = partial(then, work())
            except UserError as error:
                show = partial(self.note, str(error))
            if not worker.is_cancelled:
                self.app.call_from_thread(lambda: show() if self.is_there else None)

        self.run_worker(run, thread=True, exclusive=True)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._job is None:
            self._look(event.value)

    def _look(self, text: str) -> None:
        text = text.strip().strip("\"'")  # terminals put quotes around what is dropped on them
        if not text:
            self.note(self._say("setup_empty"))
            return
        folder = Path(text).expanduser()
        if not folder.is_dir():
            self._show([])
            self.note(self._say("setup_no_folder", path=folder))
            return
        self._folder = folder
        self.note(self._say("setup_looking", path=folder), looking=True)
        self._in_thread(partial(self._workshop.look, folder), self._looked)

    def _looked(self, found: Found) -> None:
        self.note("")
        self._choices = choices = Choices(found, kind=USUAL_KIND, free_memory=available_memory())
        self._take(choices, found.usual_model)
        self._keys("setup_keys_choose")
        self.query_one(OptionList).focus()
        self._show(choice_rows(choices, self._say))
        self._plan("" if found.problems else "start")

    def _take(self, choices: Choices, model: Base | None) -> None:
        """A model, and the LoRAs that usually go into it."""
        choices.model, loras = model, list(choices.found.loras)
        usual = list(self._workshop.usual_loras(choices.found, model)) if model is not None else []
        choices.loras = usual
        choices.shelf = [*usual, *(lora for lora in loras if not any(lora is each for each in usual))]

    def _plan(self, to: str = "") -> None:
        """Works out what the choices take. It reads files, and so is done in a thread."""
        choices = self._choices
        if choices is None or choices.model is None:
            return
        model, loras, kind, folder = choices.model, list(choices.loras), choices.kind, choices.found.folder
        self._planning = True

        def work() -> tuple[Sequence[Choice], Plan | None, str, int | None]:
            table = self._workshop.choices(model, loras)
            try:
                free = shutil.disk_usage(folder).free
            except OSError:
                free = None
            try:
                return table, self._workshop.plan(folder, model, loras, kind), "", free
            except UserError as error:
                return table, None, str(error), free

        def then(result: tuple[Sequence[Choice], Plan | None, str, int | None]) -> None:
            self._planning = False
            choices.table, choices.plan, choices.trouble, choices.free_disk = result
            self._show(choice_rows(choices, self._say), to)

        self._in_thread(work, then)

    # --- the work ------------------------------------------------------------------------------------------

    def show_job(self, job: SetupJob, seconds_left: float | None) -> None:
        """How far it is; the application calls this while it works, and once when it ends."""
        began = self._job is not job
        self._job, self._seconds_left = job, seconds_left
        self.query_one("#setup-folder", Input).disabled = True
        rows = job_rows(job, seconds_left, self._say)
        if job.state is JobState.DONE:
            rows += end_rows(job.plan, self._marked, self._freed, self._say)
        to = "back" if began else "open" if job.state is JobState.DONE and not self._marked else ""
        self._show(rows, "" if any(row.id == "open" for row in self._shown) else to)
        self._keys("setup_keys_running" if job.running else "setup_keys_done")
        widget = self.query_one(OptionList)
        if not widget.has_focus:
            widget.focus()

    # --- what is pressed -----------------------------------------------------------------------------------

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        act, _, rest = self._shown[event.option_index].id.partition(":")
        choices, job = self._choices, self._job
        match act:
            case "model" if choices:
                self._take(choices, choices.found.models[int(rest)])
                self._chosen()
            case "lora" if choices:
                lora = choices.shelf[int(rest)]
                others = [each for each in choices.loras if each is not lora]
                choices.loras = others if len(others) < len(choices.loras) else [*others, lora]
                self._chosen()
            case "kind" if choices:
                choices.kind = rest
                self._chosen()
            case "start" if choices and choices.plan and not self._planning:
                self.post_message(self.Start(choices.plan))
            case "made":
                self.post_message(self.Open(Path(rest)))
            case "back" | "close":
                if job is not None and job.state is JobState.DONE:
                    self.post_message(self.Forget())
                self.dismiss()
            case "cancel":
                self.post_message(self.Cancel())
            case "again":
                self._begin_again()
            case "open" if job:
                self.post_message(self.Open(job.plan.result))
            case "mark" if job:
                self._marked ^= {int(rest)}
                self.show_job(job, None)
            case "delete" if job:
                self._delete(job)

    def _chosen(self) -> None:
        assert self._choices is not None
        self._show(choice_rows(self._choices, self._say))
        self._plan()

    def _begin_again(self) -> None:
        """The folder is looked at once more: what is done is shown as done."""
        self._job = None
        self.post_message(self.Forget())
        field = self.query_one("#setup-folder", Input)
        field.disabled = False
        self._look(field.value)

    def _delete(self, job: SetupJob) -> None:
        for index in sorted(self._marked):
            try:
                self._freed += self._workshop.delete(job.plan.leftovers[index])
            except UserError as error:
                self.note(str(error))
                break
        self._marked.clear()
        self.show_job(job, None)

    def action_next(self) -> None:
        """Tab completes the folder; where there is nothing to complete it goes on."""
        field, rows = self.query_one(Input), self.query_one(OptionList)
        if not field.has_focus:
            self.set_focus(field if not field.disabled else rows)
            return
        suggestion = complete(field.value, folders=True)
        if suggestion and suggestion != field.value:
            field.value = suggestion
            field.cursor_position = len(suggestion)
        elif rows.display:
            rows.focus()

    def action_rows(self) -> None:
        rows = self.query_one(OptionList)
        if rows.display:
            rows.focus()

    def action_select(self) -> None:
        self.query_one(OptionList).action_select()
