"""The pipeline as the chat's workshop; imported, NumPy and all, when it is first asked for something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from alpaca_tui.chat import workshop
from alpaca_tui.system import usable_cores

if TYPE_CHECKING:
    from alpaca_tui.pipeline import setup
    from alpaca_tui.pipeline.survey import LoraFound, Model, Survey


class PipelineWorkshop:
    """chat.workshop.Workshop. What it gets is what it gave: hence the casts."""

    def look(self, folder: Path) -> workshop.Found:
        from alpaca_tui.pipeline.survey import survey

        return survey(folder)

    def usual_loras(self, found: workshop.Found, model: workshop.Base) -> Sequence[workshop.Download]:
        return cast("Survey", found).usual_loras(cast("Model", model))

    def choices(self, model: workshop.Base, loras: Sequence[workshop.Download]) -> Sequence[workshop.Choice]:
        from alpaca_tui.pipeline.setup import choices

        return choices(cast("Model", model), cast("Sequence[LoraFound]", loras))

    def plan(
        self, folder: Path, model: workshop.Base, loras: Sequence[workshop.Download], kind: str
    ) -> workshop.Plan:
        from alpaca_tui.pipeline.setup import make_plan

        chosen = cast("Sequence[LoraFound]", loras)
        return make_plan(folder, cast("Model", model), chosen, kind, usable_cores())

    def delete(self, leftover: workshop.Leftover) -> int:
        from alpaca_tui.pipeline.setup import delete

        return delete(cast("setup.Leftover", leftover))
