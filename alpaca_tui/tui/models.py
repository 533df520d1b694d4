"""Which model: the list to choose from, the heads that were read, and what was opened last."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from textual import on

from alpaca_tui import resources, system
from alpaca_tui.chat.config import Config
from alpaca_tui.chat.model_places import Found, find_models, places
from alpaca_tui.chat.remembered import Remembered
from alpaca_tui.engine.protocol import ModelHead
from alpaca_tui.errors import UserError
from alpaca_tui.tui.base import BaseApp
from alpaca_tui.tui.screens.open_model import OpenModelScreen

HeadKey = tuple[Path, int, float, int | float]


class Models(BaseApp, inherit_bindings=False):
    remembered: Remembered
    trouble_at_start = ""  # what could not be as the config has it
    _heads: dict[HeadKey, ModelHead | UserError]

    def action_open_model(self) -> None:
        if self.modal_open:
            return
        session = self.session
        free = system.available_memory()
        if free is not None and session.model is not None:
            free += session.model.memory  # is given back before another model is read
        now = session.model_path.absolute() if session.model is not None and session.model_path else None
        self.push_screen(
            OpenModelScreen(self.strings, self._find, self._describe, free, now, session.load_error)
        )

    @on(OpenModelScreen.Chosen)
    def _chosen(self, event: OpenModelScreen.Chosen) -> None:
        if not self.session.load(event.path) and isinstance(self.screen, OpenModelScreen):
            self.screen.refused(self.strings("open_busy"))
        elif self.session.loading:
            self.notice.clear_kept()
        self.pump()

    def model_opened(self) -> None:
        """A model is ready: it is the first of the list next time."""
        model, path = self.session.model, self.session.model_path
        if model is not None and path is not None:
            self.remembered.opened(path, model.guide)

    def _find(self) -> Sequence[Found]:
        """In a thread."""
        folders = places(os.environ, Path("~").expanduser(), Path.cwd())
        return find_models(folders, self.remembered.models, guide_or_none())

    def _describe(self, found: Found) -> ModelHead:
        """In a thread. A head is read once, as long as the file and the context stay the same."""
        key = (found.path, found.size, found.modified, self.session.settings["n_ctx"])
        if key not in self._heads:
            try:
                self._heads[key] = self.session.describe(found.path)
            except UserError as error:
                self._heads[key] = error
        head = self._heads[key]
        if isinstance(head, UserError):
            raise head
        return head


def guide_or_none() -> Path | None:
    try:
        return resources.guide_model()
    except UserError:
        return None


def model_at_start(config: Config, remembered: Remembered) -> tuple[Path | None, Path | None]:
    """(the model to open, None for the guide; one that is no longer there) where no flag names one."""
    wanted = config["model"]
    if wanted == "guide":
        return None, None
    if wanted == "last":
        last = remembered.last
        if last is None or last.guide:
            return None, None
        path = last.path
    else:
        path = Path(wanted).expanduser()
    try:
        return (path, None) if path.is_file() else (None, path)
    except OSError:
        return None, path
