"""What the screen says, drawn from what is so: status line, title, prompt, and the empty conversation."""

from __future__ import annotations

from pathlib import Path

from textual.content import Content
from textual.widgets import Static

from alpaca_tui import resources, system
from alpaca_tui.chat.conversation import Message, Role
from alpaca_tui.engine.protocol import EngineState
from alpaca_tui.errors import UserError
from alpaca_tui.tui.base import BaseApp
from alpaca_tui.tui.eta import TimeLeft
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.meter import Meter, outlook
from alpaca_tui.tui.widgets.notice import first_line
from alpaca_tui.tui.widgets.status import Status


class Face(BaseApp, inherit_bindings=False):
    time_left: TimeLeft
    meter: Meter
    _metered: Message | None = None  # the reply that the meter runs for
    title_line: Static
    wanted_model: Path | None  # as asked for at the start; None: the guide

    def show_status(self) -> None:
        session = self.session
        model, stats = session.model, session.stats
        n_ctx = model.n_ctx if model else 0
        if session.replying is not None:
            if session.replying is not self._metered:
                self._metered = session.replying
                self.meter.begin()
            self.meter.update(stats.generated_tokens)
        draft, n_predict = self.prompt.text, int(session.settings["n_predict"])
        self.status_bar.status = Status(
            keys=self.keys,
            speed=self.meter.speed if session.state is EngineState.GENERATING else 0.0,
            outlook=outlook(stats.n_past, n_ctx, draft, n_predict, session.replying is not None),
            reading=self._reading_at(),
            state=session.state,
            stats=stats,
            progress=session.progress,
            seconds_left=self.time_left.seconds,
            memory=(system.process_memory() or model.memory) if model else 0,
            n_ctx=n_ctx,
            model="" if self.main.has_class("tall") else self.model_name(),
            can_continue=session.can_continue,
            talked=bool(len(session.conversation)),
        )
        self.prompt.set_class(session.busy, "working")

    def _reading_at(self) -> tuple[int, int] | None:
        """The number of the message that keys act on, and how many there are; None while none is."""
        marked = self.transcript.marked if self.focused is self.transcript else None
        if marked is None:
            return None
        path = self.session.conversation.path()
        return next((i for i, message in enumerate(path, 1) if message is marked), len(path)), len(path)

    def model_name(self) -> str:
        model = self.session.model
        if model is not None:
            return self.strings("guide_name") if model.guide else clean(model.name)
        path = self.session.model_path
        return clean(path.stem) if path is not None and self.session.loading else ""

    def show_title(self) -> None:
        questions = [m for m in self.session.conversation.path() if m.role is Role.USER]
        title = self.session.conversation.title or (questions[0].text if questions else "")
        title = first_line(title, 50) or self.strings("new_chat")
        name = self.model_name()
        description = clean(self.session.model.description) if self.session.model else ""
        parts = [title, name, description] if description and description != name else [title, name]
        parts += [self.strings("not_saved")] if self.unsaved else []
        self.title_line.update(" · ".join(part for part in parts if part))

    def show_prompt_hint(self) -> None:
        session, say = self.session, self.strings
        if session.loading:
            key = "prompt_loading"
        elif session.model is None:
            key = "prompt_no_model"
        elif self.prompt.enter_sends:
            key = "prompt_placeholder" if self.size.width >= 70 else "prompt_placeholder_short"
        else:
            key = "prompt_newline" if self.size.width >= 70 else "prompt_newline_short"
        self.prompt.placeholder = Content(say(key, key=self.keys.shown("newline", 1)))

    def welcome(self) -> None:
        """Who answers, or is going to."""
        say, session, page = self.strings, self.session, self.welcome_page
        newest = [(chat.id, first_line(chat.title or chat.draft)) for chat in self.newest]
        page.show_newest(say("welcome_newest"), newest)
        model = session.model
        guide = (
            model.guide if model else self.wanted_model is None and session.model_path == self._guide_path()
        )
        kind = "guide" if guide else "model"
        examples = [say(f"example_{kind}_{i}") for i in (1, 2, 3)]
        if model is None and not session.loading:
            page.show(say("welcome_none"), real=self._setup_link())
        elif guide:
            page.show(
                say("welcome_guide_who"),
                say("welcome_guide_what"),
                Content(say("welcome_guide_real")) + Content("\n") + self._setup_link(),
                say("welcome_try"),
                examples,
            )
        elif model is None:
            page.show(say("welcome_loading", name=self.model_name()), "", "", say("welcome_try"), examples)
        else:
            what = say("welcome_model_what", description=clean(model.description))
            page.show(
                say("welcome_model_who", name=self.model_name()), what, "", say("welcome_try"), examples
            )

    def _setup_link(self) -> Content:
        return Content.from_markup("[$act @click=app.setup]F9[/] $text", text=self.strings("welcome_setup"))

    def _guide_path(self) -> Path | None:
        try:
            return resources.guide_model()
        except UserError:
            return None

    def load_hint(self) -> Content:
        say, path = self.strings, self.session.model_path
        parts = [Content.from_markup("[$act @click=app.open_model]$text[/]", text=say("load_failed_hint"))]
        if path is not None:
            text = say("reload_hint", name=path.name)
            parts.append(Content.from_markup("[$act @click=app.reload]$text[/]", text=text))
        return Content(" ").join(parts)
