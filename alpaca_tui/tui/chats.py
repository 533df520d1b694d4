"""Conversations as the application holds them: saved as they change, opened, edited, exported."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from textual import on
from textual.timer import Timer
from textual.widgets import TextArea

from alpaca_tui.chat import rescue
from alpaca_tui.chat.conversation import Conversation, Message, Role
from alpaca_tui.chat.read_export import read_chats
from alpaca_tui.chat.recorder import Recorder
from alpaca_tui.chat.store import chats, search
from alpaca_tui.chat.store.archive import Archive
from alpaca_tui.chat.store.chats import Summary
from alpaca_tui.chat.store.saving import Place
from alpaca_tui.chat.store.trouble import StoreTroubleError, Trouble
from alpaca_tui.chat.transfer import export, file_name, free_path
from alpaca_tui.errors import UserError
from alpaca_tui.tui.base import BaseApp
from alpaca_tui.tui.screens.ask import AskScreen
from alpaca_tui.tui.screens.chats import ChatsScreen, trouble_text
from alpaca_tui.tui.widgets.notice import first_line

SAVE_TICK = 0.2  # seconds between looks at what is to be saved, as long as there is something
TROUBLE_SECONDS = 12.0
EDITING = "editing"  # in a conversation's choices: the id of the message in the prompt, and the text so far


class ChatActions(BaseApp, inherit_bindings=False):
    archive: Archive
    recorder: Recorder
    newest: Sequence[Summary] = ()
    _save_timer: Timer | None = None
    _trouble_told: Trouble | None = None  # what the user was told that keeps conversations from being saved
    _editing: Message | None = None
    _put_aside = ""  # the draft, while a message is edited in the prompt

    # --- the start -----------------------------------------------------------------------------------------

    def begin_chats(self) -> None:
        """Takes up what was left unfinished, and offers the newest chats."""
        self._save_timer = self.set_interval(SAVE_TICK, self.save_chats, pause=True)
        self.run_worker(self._begin_chats(), exit_on_error=False)

    async def _begin_chats(self) -> None:
        begin = self.archive.run(chats.begin, lambda: self.archive.first)
        try:
            beginning = await asyncio.wrap_future(begin)
        except StoreTroubleError as trouble:
            self._tell_trouble(trouble)
            return
        if self.archive.trouble is not None:
            self._tell_trouble(self.archive.trouble)
        self.history.begin_with(beginning.questions)
        self.newest = beginning.newest
        untouched = not self.session.conversation.path() and not self.session.queue and not self.prompt.text
        if beginning.unfinished is not None and untouched:
            self._show_chat(*beginning.unfinished)
            self.notice.flash(self.strings("chats_unfinished"))
        self.welcome()
        while await asyncio.wrap_future(self.archive.run(search.catch_up)):
            pass  # after an update of the program: in small pieces, so that nothing else waits

    # --- saving --------------------------------------------------------------------------------------------

    def save_chats(self) -> None:
        """Called again and again as long as something is unsaved."""
        self._note_draft()
        self.recorder.tick()
        self.watch_saving()

    def watch_saving(self) -> None:
        if self._save_timer is not None:
            if self.recorder.idle:
                self._save_timer.pause()
            else:
                self._save_timer.resume()
        trouble = self.recorder.trouble
        if trouble is not None:
            self._tell_trouble(trouble)
        elif self._trouble_told is not None and self.archive.trouble is None:
            self._trouble_told = None
            self.notice.flash(self.strings("trouble_over"))
            self.show_title()

    def _tell_trouble(self, trouble: StoreTroubleError) -> None:
        """Says once that conversations are not saved, and why."""
        if self._trouble_told is not trouble.kind:
            self._trouble_told = trouble.kind
            text = f"{trouble_text(trouble, self.strings)} {self.strings('trouble_go_on')}"
            self.notice.flash(text, TROUBLE_SECONDS)
            self.show_title()

    @property
    def unsaved(self) -> bool:
        """Is the chat in memory only?"""
        return self._trouble_told is not None

    @on(TextArea.Changed, "#prompt")
    def _draft_changed(self) -> None:
        self.recorder.head(self.session.conversation)
        self.watch_saving()

    def _note_draft(self) -> None:
        conversation, text = self.session.conversation, self.prompt.text
        if self._editing is None:
            conversation.draft = text
        else:
            conversation.draft = self._put_aside
            conversation.choices[EDITING] = {"id": self._editing.id, "text": text}

    def end_chats(self) -> str:
        """The end of the program. Returns what is to be said of what could not be saved."""
        return rescue.close(self.recorder)

    # --- opening -------------------------------------------------------------------------------------------

    def action_chats(self) -> None:
        """Opens the list, and closes it."""
        if isinstance(self.screen, ChatsScreen):
            self.screen.dismiss()
        elif not self.modal_open:
            self._leave_edit()
            self._note_draft()
            self.recorder.commit()
            key = self.session.conversation.key
            self.push_screen(ChatsScreen(self.strings, self.archive, key, Path.cwd()))

    @on(ChatsScreen.Open)
    async def _open_listed(self, event: ChatsScreen.Open) -> None:
        if event.chat is None:
            self.action_new_chat()
        else:
            await self.action_open_chat(event.chat)

    async def action_open_chat(self, chat: int) -> None:
        """Goes on with a chat, by its id in the file."""
        loaded = await self._load_chat(chat)
        if loaded is None or loaded[0].key == self.session.conversation.key:
            return
        self._leave_edit()
        self._note_draft()
        self.recorder.head(self.session.conversation)
        self._show_chat(*loaded)

    async def action_last_chat(self) -> None:
        """Goes on with the newest chat that is not open."""
        key = self.session.conversation.key
        try:
            newest = await asyncio.wrap_future(self.archive.run(chats.newest_but, key))
        except StoreTroubleError as trouble:
            self.notice.flash(trouble_text(trouble, self.strings))
            return
        if newest is None:
            self.notice.flash(self.strings("chats_empty"))
        else:
            await self.action_open_chat(newest)

    async def _load_chat(self, chat: int) -> tuple[Conversation, Place | None] | None:
        """A chat, from memory where it is newer there; None, and a notice, where it is gone."""
        try:
            loaded = await asyncio.wrap_future(self.archive.run(chats.load, chat))
        except StoreTroubleError as trouble:
            self.notice.flash(trouble_text(trouble, self.strings))
            return None
        if loaded is None:
            self.notice.flash(self.strings("chats_gone"))
            return None
        held = self.session.held(loaded[0].key)
        return (held, None) if held is not None else loaded

    def _show_chat(self, conversation: Conversation, place: Place | None) -> None:
        if place is not None:
            self.recorder.opened(conversation, place)
        self.session.open_chat(conversation)
        self.prompt.replace_text(conversation.draft)
        self.prompt.history.clear()
        editing = conversation.choices.get(EDITING)
        if isinstance(editing, dict) and int(editing.get("id") or 0) in conversation:
            self._edit(conversation[int(editing["id"])], str(editing.get("text", "")))
        self.main.set_focus(self.prompt)
        self.pump()

    def action_new_chat(self) -> None:
        """The draft comes along; what waits to be sent stays where it was typed."""
        self._leave_edit()
        self.session.conversation.draft = ""
        self.recorder.head(self.session.conversation)
        for text in self.session.new_chat():
            self.history.add(text)
        self.main.set_focus(self.prompt)
        self.recorder.head(self.session.conversation)
        self.pump()
        self.run_worker(self._offer_newest(), exit_on_error=False)

    async def _offer_newest(self) -> None:
        self.newest = await asyncio.wrap_future(self.archive.run(chats.newest))
        self.welcome()

    # --- done in the list ----------------------------------------------------------------------------------

    @on(ChatsScreen.Renamed)
    def _renamed_listed(self, event: ChatsScreen.Renamed) -> None:
        if event.key == self.session.conversation.key:
            self.session.conversation.title = event.title
            self.show_title()

    @on(ChatsScreen.Deleted)
    def _deleted_listed(self, event: ChatsScreen.Deleted) -> None:
        """A chat that was open when it was deleted makes room for a new one."""
        if event.key == self.session.conversation.key:
            self.prompt.replace_text("")
            self.session.new_chat()
            self.pump()

    @on(ChatsScreen.Export)
    async def _export_listed(self, event: ChatsScreen.Export) -> None:
        loaded = await self._load_chat(event.chat)
        if loaded is not None:
            note = self._write_chat(loaded[0], event.path)
            if isinstance(self.screen, ChatsScreen):
                self.screen.note(note)

    def _write_chat(self, conversation: Conversation, name: str) -> str:
        """Exports a conversation. Returns what is to be said of it."""
        say = self.strings
        try:
            path = Path(name.strip()).expanduser().absolute()
            export(conversation, path, say("you"), say("assistant"))
        except (UserError, OSError, RuntimeError, ValueError) as error:
            return str(error)
        return say("chats_exported", path=path)

    # --- the open conversation -----------------------------------------------------------------------------

    def action_rename_chat(self) -> None:
        conversation = self.session.conversation

        async def rename(title: str | None) -> None:
            if title is not None:
                await self.with_rename_chat(title)

        self._ask_line("chats_new_title", conversation.title, rename)

    async def with_rename_chat(self, title: str) -> None:
        conversation = self.session.conversation
        conversation.title = " ".join(title.split())
        self.show_title()
        if self.recorder.commit():
            await asyncio.wrap_future(
                self.archive.run(chats.rename_key, conversation.key, conversation.title)
            )

    def action_export_chat(self) -> None:
        """Asks for the file; its suffix is the format."""
        conversation = self.session.conversation
        if not conversation.path():
            self.notice.flash(self.strings("nothing_to_export"))
            return
        title = conversation.title or first_line(conversation.first_question)
        path = free_path(Path.cwd() / file_name(title, ".md"))

        async def write(name: str | None) -> None:
            if name is not None:
                self.with_export_chat(name)

        self._ask_line("chats_export_to", str(path), write, formats=".md, .json, .txt")

    def with_export_chat(self, name: str) -> None:
        self.notice.flash(self._write_chat(self.session.conversation, name), TROUBLE_SECONDS)

    def action_import_chats(self) -> None:
        async def read(name: str | None) -> None:
            if name is not None:
                await self.with_import_chats(name)

        self._ask_line("chats_import_from", "", read)

    async def with_import_chats(self, name: str) -> None:
        try:
            found = await asyncio.to_thread(read_chats, Path(name.strip()).expanduser())
            for conversation in found:
                chat = await asyncio.wrap_future(self.archive.run(chats.add, conversation))
        except (UserError, RuntimeError) as error:
            self.notice.flash(str(error), TROUBLE_SECONDS)
            return
        except StoreTroubleError as trouble:
            self.notice.flash(trouble_text(trouble, self.strings), TROUBLE_SECONDS)
            return
        self.notice.flash(self.strings("chats_imported", count=len(found)))
        if len(found) == 1:
            await self.action_open_chat(chat)

    def _ask_line(self, label: str, value: str, then: AskScreen.Then, **fields: object) -> None:
        if not self.modal_open:
            self.push_screen(AskScreen(self.strings(label, **fields), value, self.strings), then)

    # --- editing -------------------------------------------------------------------------------------------

    def action_edit_message(self, message_id: int) -> None:
        """Takes a message into the prompt; Enter makes another version of it, Esc leaves it as it is."""
        if self.session.busy:
            self.cannot("busy_now")
            return
        self._leave_edit()
        message = self.session.conversation[message_id]
        self._edit(message, message.text)

    def _edit(self, message: Message, text: str) -> None:
        self._editing, self._put_aside = message, self.prompt.text
        self.prompt.replace_text(text)
        self.main.set_focus(self.prompt)
        key = "editing_question" if message.role is Role.USER else "editing_reply"
        self.notice.keep("", self.strings(key))

    def action_edit_last(self) -> None:
        """Takes the last question into the prompt."""
        questions = [m for m in self.session.conversation.path() if m.role is Role.USER]
        if questions:
            self.action_edit_message(questions[-1].id)
        else:
            self.notice.flash(self.strings("nothing_to_edit"))

    @property
    def editing(self) -> bool:
        """Is a message being edited in the prompt?"""
        return self._editing is not None

    def sent_edit(self, text: str) -> bool:
        """Takes what was sent as the new version of the message that is edited. False if none is."""
        message = self._editing
        if message is None:
            return False
        changed = text.strip() and text != message.text
        if changed and self.session.busy:
            self.prompt.replace_text(text)
            self.cannot("busy_now")
            return True
        self._leave_edit()
        if changed:
            self.session.edit(message, text)
        self.pump()
        return True

    def cancel_edit(self) -> bool:
        """Back to the draft. False if no message is edited."""
        if self._editing is None:
            return False
        self.history.add(self.prompt.text)
        self._leave_edit()
        return True

    def _leave_edit(self) -> None:
        if self._editing is not None:
            self._editing = None
            self.session.conversation.choices.pop(EDITING, None)
            self.prompt.replace_text(self._put_aside)
            self._put_aside = ""
            self.notice.clear_kept()
            self.recorder.head(self.session.conversation)

    def action_branch(self, message_id: int) -> None:
        """Goes on in a new chat, from this message."""
        if self.session.branch(self.session.conversation[message_id]):
            self.notice.flash(self.strings("branched"))
        else:
            self.cannot("busy_now")
        self.pump()

    def action_branch_here(self) -> None:
        last = self.session.conversation.last
        if last is not None:
            self.action_branch(last.id)

    def action_delete_message(self, message_id: int) -> None:
        """Takes out a message and what follows it."""
        if self.session.remove(self.session.conversation[message_id]):
            self.notice.flash(self.strings("message_deleted"))
        else:
            self.cannot("busy_now")
        self.pump()

    def action_delete_last(self) -> None:
        """Takes out the last question and its reply."""
        questions = [m for m in self.session.conversation.path() if m.role is Role.USER]
        if questions:
            self.action_delete_message(questions[-1].id)

    def action_undo_delete(self) -> None:
        if self.session.undo_remove():
            self.notice.flash(self.strings("message_undeleted"))
        else:
            self.cannot("nothing_to_undo")
        self.pump()
