"""The application: what is on the screen, and how news from the session gets there.

Neither NumPy nor Numba is imported here: the engine is made after the first paint. `actions.Actions` has what
keys, commands and clicks do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from alpaca_tui import resources
from alpaca_tui.chat import changes
from alpaca_tui.chat.config import Config
from alpaca_tui.chat.formats import ALPACA, PromptFormat
from alpaca_tui.chat.history import PromptHistory
from alpaca_tui.chat.recorder import Recorder
from alpaca_tui.chat.remembered import Remembered
from alpaca_tui.chat.session import ChatSession
from alpaca_tui.chat.settings import Settings
from alpaca_tui.chat.store.archive import Archive
from alpaca_tui.chat.workshop import Workshop
from alpaca_tui.engine.protocol import ChatEngine
from alpaca_tui.errors import UserError
from alpaca_tui.tui import glyphs, patches, themes, tidy
from alpaca_tui.tui.actions import WIDE, Actions
from alpaca_tui.tui.chats import ChatActions
from alpaca_tui.tui.eta import TimeLeft
from alpaca_tui.tui.face import Face
from alpaca_tui.tui.keymap import APP, KeyMap, bindings
from alpaca_tui.tui.ladder import Ladder
from alpaca_tui.tui.meter import Meter
from alpaca_tui.tui.models import Models
from alpaca_tui.tui.prompting import Prompting
from alpaca_tui.tui.reading import Reading
from alpaca_tui.tui.screens.open_model import OpenModelScreen
from alpaca_tui.tui.setup_actions import SetupActions
from alpaca_tui.tui.slash import SlashActions
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.tailoring import PROBLEM_SECONDS, Tailoring
from alpaca_tui.tui.terminals import terminal
from alpaca_tui.tui.waiting import Waiting
from alpaca_tui.tui.widgets.completion_list import CompletionList
from alpaca_tui.tui.widgets.find_bar import FindBar
from alpaca_tui.tui.widgets.notice import Notice, QueueView
from alpaca_tui.tui.widgets.prompt import Prompt
from alpaca_tui.tui.widgets.setting_row import SettingRow
from alpaca_tui.tui.widgets.setup_line import SetupLine
from alpaca_tui.tui.widgets.sidebar import Sidebar
from alpaca_tui.tui.widgets.status import StatusBar
from alpaca_tui.tui.widgets.transcript import Transcript
from alpaca_tui.tui.widgets.welcome import Welcome

TICK = 1 / 20  # seconds between looks at the engine while it works
TICK_TYPING = 1 / 10  # while the user types: an input method's window must not flicker
EARLY = 0.05  # seconds less, where a key is painted anyway
TYPING = 0.4  # seconds after a key in which the user counts as typing
STATUS_SECONDS = 0.25  # between changes of the numbers in the status line
MIN_SIZE = (40, 10)
TALL = 30  # rows from which on there is room for air and a title


class AlpacaApp(
    SlashActions,
    Reading,
    ChatActions,
    Prompting,
    Actions,
    Models,
    Tailoring,
    SetupActions,
    Waiting,
    Face,
    tidy.Tidy,
    inherit_bindings=False,
):
    """`model` None: the guide that ships with the program. `explicit`: setting keys given by the user."""

    CSS_PATH = "app.tcss"
    BINDINGS = bindings(APP)
    TITLE = "alpaca-tui"
    PAUSE_GC_ON_SCROLL = True
    AUTO_FOCUS = "#prompt"

    def __init__(
        self,
        engine_factory: Callable[[], ChatEngine],
        model: Path | None,
        settings: Settings,
        instruction: str,
        language: str | None = None,
        explicit: frozenset[str] = frozenset(),
        *,
        norm_eps: float | None = None,
        tokenizer: Path | None = None,
        workshop: Workshop | None = None,
        archive: Archive | None = None,
        config: Config | None = None,
        remembered: Remembered | None = None,
        prompt_name: str = "alpaca.txt",
        prompt_format: PromptFormat = ALPACA,
    ) -> None:
        patches.apply()
        super().__init__()
        self.strings = Strings(language)
        self.archive = archive or Archive(None)
        self.recorder = Recorder(self.archive)
        self.session = ChatSession(
            settings,
            instruction,
            explicit=explicit,
            prompt_format=prompt_format,
            prompt_name=prompt_name,
            recorder=self.recorder,
        )
        self.history = PromptHistory()
        self.ladder = Ladder()
        self._engine_factory = engine_factory
        self.wanted_model = model
        self._norm_eps = norm_eps
        self._tokenizer = tokenizer
        self.workshop = workshop
        self.time_left, self.meter = TimeLeft(), Meter()
        self._timer: Timer | None = None
        self._next_tick = 0.0
        self._next_status = 0.0
        self.keys, self.terminal = KeyMap(), terminal()
        glyphs.use_few(self.terminal.few_signs)
        self.remembered = remembered or Remembered()
        self._heads = {}
        self.take_config(config or Config(), language)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.fallbacks(self.current_theme.to_color_system().generate())

    def get_default_screen(self) -> Screen[None]:
        return patches.AttachedScreen(id="_default")

    # --- the screen ----------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        say = self.strings
        self.welcome_page = Welcome()
        self.transcript = Transcript(say)
        self.sidebar = Sidebar(self.session, self.change_setting, say)
        self.setup_line = SetupLine(say)
        self.queue_view, self.notice, self.prompt = QueueView(say), Notice(), Prompt(self.history)
        self.completion_list, self.find_bar = CompletionList(), FindBar(say)
        self.prompt.first = self.completion_key
        self.prompt.guarded, self.prompt.brackets = not self.is_headless, self.terminal.brackets
        self.status_bar = StatusBar(say)
        self.title_line = Static("", id="title", markup=False)
        self._too_small = Static("", id="too-small", markup=False)
        yield self._too_small
        yield self.title_line
        with Horizontal(id="main"):
            yield self.welcome_page
            yield self.transcript
            self.more_line = Static(Content(say("more_below")), id="more")
            yield self.more_line
            yield self.sidebar
        with Vertical(id="bottom"):
            yield self.setup_line
            yield self.queue_view
            yield self.notice
            yield self.find_bar
            yield self.completion_list
            yield self.prompt
        yield self.status_bar

    def on_mount(self) -> None:
        self.main.set_focus(self.prompt)
        self._timer = self.set_interval(TICK, self._tick, pause=True)
        self.prompt.with_key = self._tick_with_key
        self.begin_chats()
        path = self.wanted_model
        try:
            path = path or resources.guide_model()
        except UserError as error:
            self.session.no_engine(str(error))
        else:
            self.session.start(path, self._norm_eps, self._tokenizer)
        self.pump()
        self.show_title()
        self.welcome()
        self.start_tailoring()
        self.begin_capture_print(self)
        self.introduce()
        if self.trouble_at_start:
            self.notice.flash(self.trouble_at_start, PROBLEM_SECONDS)
        self.call_after_refresh(self._start_engine)

    def _start_engine(self) -> None:
        try:
            self.session.attach(self._engine_factory())
        except UserError as error:
            self.session.no_engine(str(error))
        self.pump()

    @on(events.Resize)
    def _resized(self, event: events.Resize) -> None:
        width, height = event.size
        small = width < MIN_SIZE[0] or height < MIN_SIZE[1]
        main = self.main
        main.set_class(small, "too-small")
        main.set_class(width < WIDE, "narrow")
        main.set_class(height >= TALL, "tall")
        self.say_too_small(width, height)
        self.fit_sidebar(width)
        if not small and main.focused is None:  # a hidden widget loses the focus
            self.call_after_refresh(main.set_focus, self.prompt)
        self.show_prompt_hint()
        self.show_status()

    def say_too_small(self, width: int, height: int) -> None:
        self._too_small.update(self.strings("too_small", width=width, height=height))

    def say_all(self) -> None:
        self.more_line.update(Content(self.strings("more_below")))
        self.say_too_small(*self.size)
        self.show_title()
        self.show_prompt_hint()
        self.welcome()
        self.status_bar.refresh()

    def on_key(self, event: events.Key) -> None:
        """What is typed goes into the prompt when nothing has the focus."""
        if self.focused is None and not self.modal_open and event.is_printable and event.character:
            self.main.set_focus(self.prompt)
            self.prompt.insert(event.character)

    # --- news ----------------------------------------------------------------------------------------------

    def _tick_with_key(self) -> None:
        if self.session.busy:
            self._tick(EARLY)

    def _tick(self, early: float = 0.0) -> None:
        now = time.monotonic()
        if now < self._next_tick - early:
            return
        typing = now - self.prompt.last_key < TYPING
        self.pump()
        cost = time.monotonic() - now
        self._next_tick = now + max(TICK_TYPING if typing else 0.0, 2 * cost)

    def pump(self) -> None:
        """Takes in what happened, shows it, and lets the timer run only as long as there is work."""
        for change in self.session.pump():
            self._show(change)
        now = time.monotonic()
        if now >= self._next_status or not self.session.busy:
            self._next_status = now + STATUS_SECONDS
            self.show_status()
        if self._timer is not None:
            if self.session.busy:
                self._timer.resume()
            else:
                self._timer.pause()
        self.tidy_later(self.session.busy)
        self.watch_saving()

    def _show(self, change: changes.Change) -> None:
        session, transcript = self.session, self.transcript
        match change:
            case changes.ReplyText(message):
                transcript.grown(message)
            case changes.MessageAdded(message):
                self._show_talk(True)
                transcript.add(message, session.conversation)
                self.show_title()
            case changes.MessageChanged(message):
                transcript.changed(message)
                self.reply_ended(message)
            case changes.PathChanged():
                self._show_talk(bool(len(session.conversation)))
                transcript.show_path(session.conversation)
                transcript.mark_memory(session.memory_start)
                self.show_title()
                self.welcome()
            case changes.MemoryBegins(question_id):
                transcript.mark_memory(question_id)
            case changes.QueueChanged():
                self.queue_view.show(session.queue, session.queue_held or not session.busy)
            case changes.ProgressSeen(progress):
                self.time_left.update(progress.state, progress.done, progress.total)
                if isinstance(self.screen, OpenModelScreen) and self.screen.waiting:
                    self.screen.dismiss()
            case changes.ModelReady() | changes.LoadRefused() | changes.LoadCancelled():
                self._load_ended(change)
            case changes.StateSeen():
                self._next_status = 0.0
                self.show_prompt_hint()
            case changes.SettingsChanged():
                self.sidebar.refresh_values()

    def _show_talk(self, talk: bool) -> None:
        """The conversation or, without one, the welcome. (A class would restyle the whole screen.)"""
        self.transcript.display, self.welcome_page.display = talk, not talk

    def _load_ended(self, change: changes.ModelReady | changes.LoadRefused | changes.LoadCancelled) -> None:
        say, dialog = self.strings, self.screen if isinstance(self.screen, OpenModelScreen) else None
        match change:
            case changes.ModelReady():
                self.notice.clear_kept()
                self.model_opened()
                if dialog and dialog.waiting:
                    dialog.dismiss()
            case changes.LoadRefused(reason):
                if dialog:
                    dialog.refused(reason)
                self.notice.keep(reason, self.load_hint())
            case changes.LoadCancelled():
                self.notice.keep("", Content(f"{say('stop_load')} ") + self.load_hint())
        self.sidebar.refresh_values()
        self.show_title()
        self.show_prompt_hint()
        self.welcome()

    # --- what the widgets report ---------------------------------------------------------------------------

    @on(Prompt.Scroll)
    def _scroll(self, event: Prompt.Scroll) -> None:
        transcript = self.transcript
        match event.where:
            case "page_up":
                transcript.page(-1)
            case "page_down":
                transcript.page(1)
            case "start":
                transcript.to_start()
            case _:
                transcript.to_end()

    @on(Transcript.AtEnd)
    def _at_end(self, event: Transcript.AtEnd) -> None:
        self.more_line.display = not event.at_end

    @on(events.Click, "#more")
    def _more(self) -> None:
        self.transcript.to_end()

    @on(Prompt.Version)
    def _version(self, event: Prompt.Version) -> None:
        self.action_version_of_last(event.step)

    @on(Prompt.Quit)
    async def _quit(self) -> None:
        await self.action_quit()

    @on(SettingRow.Confirmed)
    def _reload_confirmed(self) -> None:
        self.action_reload()
