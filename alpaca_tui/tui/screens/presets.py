"""Presets: applied, saved under a name, deleted and brought back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from alpaca_tui.chat.presets import MAX_NAME, Preset
from alpaca_tui.errors import UserError
from alpaca_tui.tui.screens.pick import Pick, PickScreen
from alpaca_tui.tui.strings import Strings


class PresetScreen(PickScreen):
    """`save(name)` stores the settings in force, `delete(name)` takes a preset of the user's out and
    `restore(preset)` puts it back; each returns the presets there are then, or raises UserError.
    """

    DEFAULT_CSS = """
    #preset-name {
        margin: 1 0 0 0; border: none; height: 1; padding: 0 1; background: $panel; color: $ink;
        display: none;
        &:focus { border: none; }
    }
    PresetScreen.naming #preset-name { display: block; }
    #preset-note { color: $now; height: auto; display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "save", show=False, id="preset_save"),
        Binding("delete,d", "delete", show=False, id="preset_delete"),
        Binding("u", "restore", show=False, id="preset_restore"),
    ]

    def __init__(
        self,
        strings: Strings,
        presets: Sequence[Preset],
        current: str,
        save: Callable[[str], Sequence[Preset]],
        delete: Callable[[str], Sequence[Preset]],
        restore: Callable[[Preset], Sequence[Preset]],
    ) -> None:
        self._strings = strings
        self._presets = list(presets)
        self._save, self._delete, self._restore = save, delete, restore
        self._deleted: Preset | None = None
        super().__init__(strings("presets_title"), self._as_picks(), current, strings("presets_keys"))

    def _as_picks(self) -> list[Pick]:
        language = self._strings.language
        return [Pick(p.name, p.title(language), p.about(language)) for p in self._presets]

    def compose_more(self) -> ComposeResult:
        yield Input(
            id="preset-name",
            placeholder=self._strings("presets_name"),
            max_length=MAX_NAME,
            compact=True,
            select_on_focus=False,
        )
        yield Static("", id="preset-note", markup=False)

    def _note(self, text: str) -> None:
        note = self.query_one("#preset-note", Static)
        note.display = bool(text)
        note.update(text)

    def _take(self, change: Callable[[], Sequence[Preset]], at: str) -> bool:
        """Makes a change; shows what there is then, or why it was refused."""
        try:
            self._presets = list(change())
        except UserError as error:
            self._note(str(error))
            return False
        self.picks = self._as_picks()
        self.list.clear_options()
        self.list.add_options(self.options())
        names = [pick.key for pick in self.picks]
        self.list.highlighted = names.index(at) if at in names else 0
        self._note("")
        return True

    def action_save(self) -> None:
        """Asks for the name."""
        self.add_class("naming")
        field = self.query_one(Input)
        at = self._preset()
        field.value = at.name if at is not None and at.own else ""
        field.cursor_position = len(field.value)
        field.focus()

    @on(Input.Submitted)
    def _named(self, event: Input.Submitted) -> None:
        event.stop()
        name = event.value.strip()
        if self._take(lambda: self._save(name), name):
            self.current = name
            self._end_naming()
            self._note(self._strings("presets_saved", name=name))

    def _end_naming(self) -> None:
        self.remove_class("naming")
        self.list.focus()

    def _preset(self) -> Preset | None:
        pick = self.highlighted
        return next((p for p in self._presets if pick and p.name == pick.key), None)

    def action_delete(self) -> None:
        preset = self._preset()
        if preset is None or not preset.own:
            self._note(self._strings("presets_ships"))
        elif self._take(lambda: self._delete(preset.name), ""):
            self._deleted = preset
            self._note(self._strings("presets_deleted", name=preset.name))

    def action_restore(self) -> None:
        """Brings back what was deleted last."""
        preset = self._deleted
        if preset is not None and self._take(lambda: self._restore(preset), preset.name):
            self._deleted = None

    def action_cancel(self) -> None:
        if self.has_class("naming"):
            self._end_naming()
            self._note("")
        else:
            self.dismiss(None)
