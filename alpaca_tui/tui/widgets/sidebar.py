"""The settings, made from the one table; below them what the one in focus does and allows, and when."""

from __future__ import annotations

from collections.abc import Iterator

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from alpaca_tui.chat.presets import Preset, in_force
from alpaca_tui.chat.schema import APPLIES, Setting
from alpaca_tui.chat.session import ChatSession
from alpaca_tui.chat.settings import BY_KEY, SETTINGS
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.action_row import ActionRow
from alpaca_tui.tui.widgets.setting_row import Apply, SettingRow, range_text


class Sidebar(Vertical):
    """`refresh_values` after settings changed elsewhere; `reload_note` says what waits for a reload."""

    DEFAULT_CSS = """
    Sidebar {
        width: 42;
        background: $surface;
        border-left: wide $rule;
        padding: 1 1 0 1;
        #sidebar-title { color: $quiet; text-style: bold; padding: 0 1; margin: 0 0 1 0; height: 1; }
        #sidebar-rows { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
        .gap { height: 1; }
        .advanced { display: none; }
        &.unfolded .advanced { display: block; }
        #sidebar-foot { dock: bottom; height: auto; background: $surface; padding: 0 0 1 0; }
        #sidebar-help { padding: 1 1 0 1; height: auto; color: $quiet; }
        #sidebar-reload { padding: 1 1 0 1; height: auto; color: $act; pointer: pointer; }
    }
    """

    def __init__(self, session: ChatSession, apply: Apply, strings: Strings) -> None:
        super().__init__(id="sidebar")
        self._session = session
        self._apply = apply
        self._strings = strings
        self.presets: list[Preset] = []

    def compose(self) -> ComposeResult:
        yield Static(self._strings("sidebar_title"), id="sidebar-title", markup=False)
        with VerticalScroll(id="sidebar-rows", can_focus=False):
            yield from self._rows()
        with Vertical(id="sidebar-foot"):
            yield Static("", id="sidebar-reload")
            yield Static("", id="sidebar-help")

    def _rows(self) -> Iterator[Widget]:
        yield ActionRow("preset", self._strings)
        yield ActionRow("prompt", self._strings)
        yield Static("", classes="gap")
        for setting in SETTINGS:
            if setting.per_chat and not setting.advanced:
                yield self._row(setting)
        yield ActionRow("more", self._strings)
        for setting in SETTINGS:
            if setting.advanced:
                yield self._row(setting)
        yield Static("", classes="gap")
        for setting in SETTINGS:
            if not setting.per_chat:
                yield self._row(setting)
        yield ActionRow("reset", self._strings)

    def _row(self, setting: Setting) -> SettingRow:
        settings = self._session.settings
        row = SettingRow(setting, settings[setting.key], self._apply, self._strings)
        row.changed = settings.changed(setting.key)
        row.set_class(setting.advanced, "advanced")
        return row

    def on_mount(self) -> None:
        self.refresh_values()
        self._help(None)

    def say_anew(self) -> None:
        """Everything in the language that the strings have now."""
        self.query_one("#sidebar-title", Static).update(self._strings("sidebar_title"))
        for row in self.query(".sidebar-row"):
            row.refresh()
        self._marks()
        focused = self.screen.focused
        self._help(focused if isinstance(focused, SettingRow) else None)

    @property
    def rows(self) -> list[SettingRow]:
        return list(self.query(SettingRow))

    def row(self, key: str) -> SettingRow:
        return self.query_one(f"#setting-{key}", SettingRow)

    def action(self, name: str) -> ActionRow:
        return self.query_one(f"#row-{name}", ActionRow)

    def unfold(self, unfolded: bool) -> None:
        """Shows or hides the settings that few need."""
        self.set_class(unfolded, "unfolded")
        self._fold_label()

    def _fold_label(self) -> None:
        settings = self._session.settings
        changed = sum(1 for s in SETTINGS if s.advanced and settings.changed(s.key))
        row = self.action("more")
        row.value = self._strings("row_more_changed", count=changed) if changed else " "
        sign = glyphs.FOLD_OPEN if self.has_class("unfolded") else glyphs.FOLDED
        row.sign = sign

    def refresh_values(self) -> None:
        settings = self._session.settings
        for row in self.rows:
            key = row.setting.key
            row.value = settings[key]
            row.changed = settings.changed(key)
        self._marks()

    def _marks(self) -> None:
        """What is said of all settings together."""
        say = self._strings
        preset = in_force(self.presets, self._session.settings)
        self.action(
            "preset"
        ).value = f"{preset.title(say.language) if preset else say('preset_own')} {glyphs.PICK}"
        name = self._session.prompt_name.removesuffix(".txt") or say("prompt_edited")
        self.action("prompt").value = f"{name} {glyphs.PICK}"
        self._fold_label()
        self.reload_note()

    def reload_note(self) -> None:
        note = self.query_one("#sidebar-reload", Static)
        note.display = self._session.needs_reload
        self.row("n_ctx").waits_for_reload = note.display
        if note.display:
            value = BY_KEY["n_ctx"].text(self._session.settings["n_ctx"], self._strings.language)
            text = self._strings("sidebar_reload", value=value)
            note.update(Content.from_markup(f"[@click=app.reload]{glyphs.RELOAD} $text[/]", text=text))

    @on(SettingRow.Looked)
    def _looked(self, event: SettingRow.Looked) -> None:
        event.stop()
        row, settings = event.row, self._session.settings
        row.changed = settings.changed(row.setting.key)
        self._marks()
        if row.has_focus or row.error:
            self._help(row)

    @on(ActionRow.Looked)
    def _action_looked(self, event: ActionRow.Looked) -> None:
        event.stop()
        self.query_one("#sidebar-help", Static).update(Content(event.row.about))

    @on(ActionRow.Pressed, "#row-more")
    def _fold(self, event: ActionRow.Pressed) -> None:
        event.stop()
        self.unfold(not self.has_class("unfolded"))

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
            Content.styled(setting.help.of(say.language), "$ink"),
            Content(range_text(setting, say)),
            Content.styled(APPLIES[setting.applies].of(say.language), "$now"),
        ]
