"""One line over the prompt while a model is made behind the chat: how far that is, and how it ended."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from alpaca_tui.chat.setup_job import JobState, SetupJob
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.screens.setup_rows import progress_content, step_title
from alpaca_tui.tui.strings import Strings


class SetupLine(Static):
    DEFAULT_CSS = """
    SetupLine {
        height: auto; max-height: 2; color: $ink; background: $surface; padding: 0 1 0 2; display: none;
    }
    """
    ALLOW_SELECT = False

    def __init__(self, strings: Strings) -> None:
        super().__init__("", id="setup-line", markup=False)
        self._strings = strings

    def show(self, job: SetupJob | None, seconds_left: float | None = None) -> None:
        self.display = job is not None
        if job is not None:
            self.update(setup_line(job, seconds_left, self._strings))


def setup_line(job: SetupJob, seconds_left: float | None, say: Strings) -> Content:
    """What a job is doing, or how it ended; a click opens its screen."""
    match job.state:
        case JobState.RUNNING:
            sign, colour, text = glyphs.DOT, "$now", f"{step_title(job.step, say)}  "
        case JobState.STOPPING:
            sign, colour, text = glyphs.DOT, "$now", say("setup_stopping")
        case JobState.DONE:
            sign, colour, text = glyphs.CHECK, "$act", say("setup_ready", name=clean(job.plan.result.name))
        case JobState.CANCELLED:
            sign, colour, text = glyphs.RING, "$quiet", say("setup_cancelled")
        case JobState.FAILED:
            sign, colour, text = glyphs.CROSS, "$loss", clean(job.error)
    link = Content.from_markup("  [$act @click=app.setup]F9[/] $text", text=say("setup_look"))
    line = Content.styled(f"{sign} ", colour) + Content(text)
    if job.state is JobState.RUNNING:
        line += progress_content(job, seconds_left, say, short=True)
    return line + link
