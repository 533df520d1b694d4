"""What the model is told before the conversation: the prompt library, edited in place, and the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from alpaca_tui.chat.formats import FORMATS, PromptFormat
from alpaca_tui.chat.prompt_library import PromptFile, PromptLibrary, format_for
from alpaca_tui.errors import UserError
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.screens.dialog import Dialog
from alpaca_tui.tui.strings import Strings

FORMAT_NAMES = {"alpaca": "Alpaca", "llama2": "Llama 2, Alpaca-2", "vicuna": "Vicuna"}
AROUND = 9


@dataclass(frozen=True)
class Instruction:
    """`name` of the file it came from; empty where it is nobody's but this chat's."""

    text: str
    name: str
    prompt_format: PromptFormat


class PromptScreen(Dialog[Instruction]):
    """Returns what is to be used; None after Esc. `edit` shows a text in the user's editor."""

    DEFAULT_CSS = """
    PromptScreen { align: center middle; background: $ground 70%; }
    #prompts-box {
        width: 108; max-width: 96%; height: 34; max-height: 96%;
        background: $surface; border-left: wide $act; padding: 1 2;
    }
    #prompts-title { text-style: bold; height: 1; }
    #prompts-format { height: 1; color: $quiet; margin: 0 0 1 0; pointer: pointer; }
    #prompts-main { height: 1fr; }
    #prompts-list {
        width: 26; height: 1fr; border: none; background: $surface; padding: 0; margin: 0 2 0 0;
        scrollbar-size-vertical: 1;
        &:focus { border: none; }
    }
    #prompts-text {
        width: 1fr; height: 1fr; border: none; padding: 0 1; background: $panel; color: $ink;
        scrollbar-size-vertical: 1;
        &:focus { border: none; }
    }
    #prompts-name {
        margin: 1 0 0 0; border: none; height: 1; padding: 0 1; background: $panel; color: $ink;
        display: none;
        &:focus { border: none; }
    }
    PromptScreen.naming #prompts-name { display: block; }
    #prompts-note { color: $now; height: auto; max-height: 2; display: none; }
    #prompts-keys { color: $quiet; height: auto; margin: 1 0 0 0; }
    PromptScreen.low #prompts-box { padding: 0 2; }
    PromptScreen.low #prompts-keys, PromptScreen.low #prompts-format { margin: 0; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", show=False, id="prompts_back"),
        Binding("tab", "switch", show=False, priority=True, id="prompts_switch"),
        Binding("ctrl+s", "save", show=False, priority=True, id="prompts_save"),
        Binding("ctrl+g", "editor", show=False, priority=True, id="prompts_editor"),
        Binding("n", "new", show=False, id="prompts_new"),
        Binding("d,delete", "delete", show=False, id="prompts_delete"),
        Binding("u", "restore", show=False, id="prompts_restore"),
        Binding("f", "format", show=False, id="prompts_format"),
        Binding("v", "raw", show=False, id="prompts_raw"),
        Binding("e", "switch", show=False, id="prompts_edit"),
        Binding("k", "keep", show=False, id="prompts_keep"),
    ]

    class Raw(Message):
        """The whole prompt is to be shown as the model is given it, with this instruction."""

        def __init__(self, instruction: Instruction) -> None:
            super().__init__()
            self.instruction = instruction

    class Kept(Message):
        """This instruction is to be that of new chats."""

        def __init__(self, instruction: Instruction) -> None:
            super().__init__()
            self.instruction = instruction

    def __init__(
        self, strings: Strings, library: PromptLibrary, now: Instruction, edit: Callable[[str], str]
    ) -> None:
        super().__init__()
        self._strings = strings
        self._library = library
        self._now = now
        self._edit = edit
        self._format = now.prompt_format
        self._prompts: list[PromptFile] = []
        self._shown = now.name  # the name of the file whose text is in the editor
        self._file_text = now.text  # what that file says
        self._deleted: tuple[str, str] | None = None

    def compose(self) -> ComposeResult:
        say = self._strings
        with Vertical(id="prompts-box"):
            yield Static(say("prompts_title"), id="prompts-title", markup=False)
            yield Static("", id="prompts-format")
            with Horizontal(id="prompts-main"):
                yield OptionList(id="prompts-list", markup=False, compact=True)
                yield TextArea(
                    self._now.text,
                    id="prompts-text",
                    soft_wrap=True,
                    show_line_numbers=False,
                    tab_behavior="focus",
                    highlight_cursor_line=False,
                )
            yield Input(id="prompts-name", placeholder=say("prompts_name"), compact=True, max_length=64)
            yield Static("", id="prompts-note", markup=False)
            yield Static(say("prompts_keys"), id="prompts-keys", markup=False)

    def on_mount(self) -> None:
        self._text.cursor_blink = False
        self._fill(self._now.name, show=False)
        self._list.focus()
        self._show_format()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < 30, "low")

    @property
    def _list(self) -> OptionList:
        return self.query_one("#prompts-list", OptionList)

    @property
    def _text(self) -> TextArea:
        return self.query_one("#prompts-text", TextArea)

    @property
    def instruction(self) -> Instruction:
        """As it stands in the editor now."""
        text = self._text.text.rstrip("\n")
        return Instruction(text, self._shown if text == self._file_text else "", self._format)

    # --- the list ------------------------------------------------------------------------------------------

    def _fill(self, at: str, show: bool = True) -> None:
        """Reads the library anew, and marks `at`."""
        self._prompts = self._library.all()
        self._list.clear_options()
        for prompt in self._prompts:
            mark = f"{glyphs.DOT} " if prompt.name == self._now.name else "  "
            title = Content.styled(mark, "$act") + Content(prompt.name.removesuffix(".txt"))
            own = Content.styled(f"  {self._strings('prompts_own')}", "$quiet") if prompt.own else Content("")
            self._list.add_option(Option(title + own))
        names = [prompt.name for prompt in self._prompts]
        with self.prevent(OptionList.OptionHighlighted):
            if at in names:
                self._list.highlighted = names.index(at)
        if show:
            self._show_prompt()

    @property
    def _prompt(self) -> PromptFile | None:
        at = self._list.highlighted
        return self._prompts[at] if at is not None and at < len(self._prompts) else None

    @on(OptionList.OptionHighlighted)
    def _show_prompt(self) -> None:
        """The text of the highlighted one. What was edited and not saved is kept for Ctrl+Z."""
        prompt = self._prompt
        if prompt is None or prompt.name == self._shown:
            return
        try:
            text = prompt.read()
        except UserError as error:
            self._note(str(error))
            return
        self._note("")
        self._shown, self._file_text = prompt.name, text
        self._put(text)
        self._format = format_for(prompt.name, self._format)
        self._show_format()

    def _put(self, text: str) -> None:
        self._text.replace(text, (0, 0), self._text.document.end)
        self._text.move_cursor((0, 0))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self.instruction)

    # --- what can be done ----------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are commands in the list only."""
        if action in ("new", "delete", "restore", "format", "raw", "keep"):
            return self._list.has_focus
        return True

    def action_switch(self) -> None:
        (self._text if self._list.has_focus else self._list).focus()

    def action_back(self) -> None:
        """From the name or the text to the list; from there, out, leaving everything as it is."""
        if self.has_class("naming"):
            self.remove_class("naming")
            self._list.focus()
        elif self._text.has_focus:
            self._list.focus()
        else:
            self.dismiss(None)

    def action_save(self) -> None:
        """Under its own name if it is the user's, else asks for one."""
        prompt = self._prompt
        if prompt is not None and prompt.own and prompt.name == self._shown:
            self._save(prompt.name)
        else:
            self._ask_name(self._shown.removesuffix(".txt"))

    def _ask_name(self, name: str) -> None:
        self.add_class("naming")
        field = self.query_one(Input)
        field.value = name
        field.cursor_position = len(name)
        field.focus()

    @on(Input.Submitted)
    def _named(self, event: Input.Submitted) -> None:
        event.stop()
        self._save(event.value)

    def _save(self, name: str) -> None:
        try:
            saved = self._library.save(name, self._text.text.rstrip("\n"))
        except UserError as error:
            self._note(str(error))
            return
        self.remove_class("naming")
        self._shown, self._file_text = saved.name, self._text.text.rstrip("\n")
        self._fill(saved.name, show=False)
        self._list.focus()
        self._note(self._strings("prompts_saved", path=saved.path))

    def action_new(self) -> None:
        self._shown, self._file_text = "", ""
        self._put("")
        self._text.focus()
        self._note(self._strings("prompts_new"))

    def action_delete(self) -> None:
        prompt = self._prompt
        if prompt is None:
            return
        try:
            self._deleted = (prompt.name, self._library.delete(prompt))
        except UserError as error:
            self._note(str(error))
            return
        self._fill("", show=False)
        self._list.highlighted = 0
        self._show_prompt()
        self._note(self._strings("prompts_deleted", name=prompt.name))

    def action_restore(self) -> None:
        """Brings back what was deleted last."""
        if self._deleted is not None:
            name, text = self._deleted
            self._deleted = None
            self._library.save(name, text)
            self._fill(name)

    def action_format(self) -> None:
        """The next format."""
        keys = list(FORMATS)
        self._format = FORMATS[keys[(keys.index(self._format.key) + 1) % len(keys)]]
        self._show_format()

    @on(events.Click, "#prompts-format")
    def _format_clicked(self) -> None:
        self.action_format()

    def _show_format(self) -> None:
        name = FORMAT_NAMES.get(self._format.key, self._format.key)
        text = Content(f"{self._strings('prompts_format')} ") + Content.styled(
            f"{name} {glyphs.PICK}", "$act"
        )
        self.query_one("#prompts-format", Static).update(text)

    def action_editor(self) -> None:
        try:
            self._put(self._edit(self._text.text))
        except UserError as error:
            self._note(str(error))

    def action_raw(self) -> None:
        self.post_message(self.Raw(self.instruction))

    def action_keep(self) -> None:
        if self.instruction.name:
            self.post_message(self.Kept(self.instruction))
            self._note(self._strings("prompts_kept", name=self.instruction.name))
        else:
            self._note(self._strings("prompts_save_first"))

    def _note(self, text: str) -> None:
        note = self.query_one("#prompts-note", Static)
        note.display = bool(text)
        note.update(text)
