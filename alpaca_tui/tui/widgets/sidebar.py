"""The settings, made from the one table; below them what the one in focus does and allows, and when."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from alpaca_tui.chat.session import ChatSession
from alpaca_tui.chat.settings import SETTINGS, Setting
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.setting_row import Apply, SettingRow, range_text, value_text

# The order on screen: how the reply is chosen, then how it is computed. None is a blank row.
ORDER = (
    "temp",
    "top_k",
    "top_p",
    "repeat_penalty",
    "repeat_last_n",
    "n_predict",
    "seed",
    None,
    "n_ctx",
    "n_threads",
    "n_batch",
)


class Sidebar(Vertical):
    """`refresh_values` after settings changed elsewhere; `reload_note` says what waits for a reload."""

    DEFAULT_CSS = """
    Sidebar {
        width: 42;
        background: $surface;
        border-left: wide $rule;
        padding: 1 1 0 1;
        #sidebar-title { color: $quiet; text-style: bold; padding: 0 1; margin: 0 0 1 0; height: 1; }
        #sidebar-rows { height: auto; max-height: 1fr; scrollbar-size-vertical: 1; }
        .gap { height: 1; }
        #sidebar-help { padding: 1 1 0 1; height: auto; color: $quiet; }
        #sidebar-reload { padding: 1 1 0 1; height: auto; color: $act; pointer: pointer; }
    }
    """

    def __init__(self, session: ChatSession, apply: Apply, strings: Strings) -> None:
        super().__init__(id="sidebar")
        self._session = session
        self._apply = apply
        self._strings = strings

    def compose(self) -> ComposeResult:
        say = self._strings
        by_key = {setting.key: setting for setting in SETTINGS}
        yield Static(say("sidebar_title"), id="sidebar-title", markup=False)
        with VerticalScroll(id="sidebar-rows", can_focus=False):
            for key in ORDER:
                if key is None:
                    yield Static("", classes="gap")
                else:
                    yield SettingRow(by_key[key], self._session.settings[key], self._apply, say)
        yield Static("", id="sidebar-reload")
        yield Static("", id="sidebar-help")

    def on_mount(self) -> None:
        self.reload_note()
        self._help(None)

    @property
    def rows(self) -> list[SettingRow]:
        return list(self.query(SettingRow))

    def row(self, key: str) -> SettingRow:
        return self.query_one(f"#setting-{key}", SettingRow)

    def refresh_values(self) -> None:
        for row in self.rows:
            row.value = self._session.settings[row.setting.key]
        self.reload_note()

    def reload_note(self) -> None:
        note = self.query_one("#sidebar-reload", Static)
        note.display = self._session.needs_reload
        self.row("n_ctx").waits_for_reload = note.display
        if note.display:
            setting = self.row("n_ctx").setting
            value = value_text(setting, self._session.settings["n_ctx"], self._strings)
            text = self._strings("sidebar_reload", value=value)
            note.update(Content.from_markup(f"[@click=app.reload]{glyphs.RELOAD} $text[/]", text=text))

    @on(SettingRow.Looked)
    def _looked(self, event: SettingRow.Looked) -> None:
        event.stop()
        self.reload_note()
        if event.row.has_focus or event.row.error:
            self._help(event.row)

    def _help(self, row: SettingRow | None) -> None:
        say = self._strings
        if row is None:
            content = Content(say("sidebar_keys"))
        elif row.error:
            content = Content.styled(row.error, "$loss")
        else:
            content = Content("\n").join([*self._about(row.setting), Content(say("sidebar_keys"))])
        self.query_one("#sidebar-help", Static).update(content)

    def _about(self, setting: Setting) -> list[Content]:
        say = self._strings
        return [
            Content.styled(say(f"help_{setting.key}"), "$ink"),
            Content(range_text(setting, say)),
            Content.styled(say(f"applies_{setting.applies.value}"), "$now"),
        ]
