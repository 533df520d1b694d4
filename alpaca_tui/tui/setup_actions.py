"""Making a model from downloads, as the application holds it: the job goes on while its screen is closed."""

from __future__ import annotations

from pathlib import Path

from textual import on
from textual.timer import Timer

from alpaca_tui.chat.setup_job import SetupJob
from alpaca_tui.chat.workshop import Workshop
from alpaca_tui.tui.base import BaseApp
from alpaca_tui.tui.eta import TimeLeft
from alpaca_tui.tui.screens.open_model import OpenModelScreen
from alpaca_tui.tui.screens.setup import SetupScreen
from alpaca_tui.tui.widgets.setup_line import SetupLine

LOOK_SECONDS = 0.25  # between looks at a job


class SetupActions(BaseApp, inherit_bindings=False):
    workshop: Workshop | None  # None: there is nobody to do the work
    setup_line: SetupLine
    setup_job: SetupJob | None = None
    _setup_folder: Path | None = None
    _setup_timer: Timer | None = None

    def action_setup(self, folder: str = "") -> None:
        """Opens the screen, and closes it."""
        if isinstance(self.screen, SetupScreen):
            self.screen.dismiss()
            return
        if isinstance(self.screen, OpenModelScreen):
            folder = folder or self.screen.folder
            self.screen.dismiss()
        elif self.modal_open:
            return
        if self.workshop is not None:
            begin = Path(folder) if folder else self._setup_folder
            self.push_screen(SetupScreen(self.strings, self.workshop, self.setup_job, begin))

    def with_setup(self, folder: str) -> None:
        """`/setup FOLDER`."""
        self.action_setup(folder)

    @on(SetupScreen.Start)
    def _start_setup(self, event: SetupScreen.Start) -> None:
        self.setup_job = SetupJob(event.plan)
        self._setup_folder = event.plan.folder
        self._setup_time = TimeLeft()
        self._setup_timer = self._setup_timer or self.set_interval(LOOK_SECONDS, self._look_at_setup)
        self.setup_job.start()
        self._look_at_setup()

    def _look_at_setup(self) -> None:
        job = self.setup_job
        if job is None:
            return
        running = job.running  # before the rest is read, so that the end is shown as it is
        self._setup_time.update(job.at.index, job.at.done, job.at.total)
        seconds = self._setup_time.seconds
        if isinstance(self.screen, SetupScreen) and self.screen.is_there:
            self.screen.show_job(job, seconds)
        self.setup_line.show(job, seconds)
        if not running and self._setup_timer is not None:
            self._setup_timer.stop()
            self._setup_timer = None

    @on(SetupScreen.Cancel)
    def _cancel_setup(self) -> None:
        if self.setup_job is not None:
            self.setup_job.cancel()
            self._look_at_setup()

    @on(SetupScreen.Forget)
    def _forget_setup(self) -> None:
        if self.setup_job is not None and not self.setup_job.running:
            self.setup_job = None
            self.setup_line.show(None)

    @on(SetupScreen.Open)
    def _open_made(self, event: SetupScreen.Open) -> None:
        screen = self.screen
        if not self.session.load(event.path):
            if isinstance(screen, SetupScreen):
                screen.note(self.strings("open_busy"))
        else:
            if self.session.loading:
                self.notice.clear_kept()
            self._forget_setup()
            if isinstance(screen, SetupScreen):
                screen.dismiss()
        self.pump()

    def close_setup(self) -> None:
        """On the way out: a step at work stops, and takes its half file away."""
        if self.setup_job is not None:
            self.setup_job.close()
