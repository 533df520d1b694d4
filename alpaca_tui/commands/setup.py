"""`alpaca-tui setup`: from a folder of downloads to a model that chats, one question after the other."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_tui.chat.settings import BY_KEY
from alpaca_tui.commands.progress import Bar, size
from alpaca_tui.errors import UserError

if TYPE_CHECKING:
    from alpaca_tui.pipeline.setup import Choice, Plan
    from alpaca_tui.pipeline.survey import LoraFound, Model, Survey

OK, INCOMPLETE = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder with what you downloaded")
    parser.add_argument("-y", "--yes", action="store_true", help="ask nothing, and take every default")
    parser.add_argument("--type", metavar="TYPE", help="q4_0, q4_1, q5_0, q5_1, q8_0 or f16 (default: asks)")
    threads = BY_KEY["n_threads"]
    parser.add_argument(
        *threads.flags,
        dest="n_threads",
        metavar="N",
        type=threads.parse,
        default=0,
        help="threads; 0: as many as there are cores (default: 0)",
    )


def run(args: argparse.Namespace) -> int:
    from alpaca_tui.pipeline.setup import make_plan
    from alpaca_tui.pipeline.survey import survey
    from alpaca_tui.system import usable_cores

    ask = Questions(args.yes)
    found = survey(args.folder)
    _show_survey(found)
    if not found.models:
        return _finished(found)
    if found.problems and not ask.yes_or_no("Go on without that?", default=False):
        return INCOMPLETE
    model = _choose_model(found, ask)
    loras = _choose_loras(found, model, ask)
    kind = args.type or _choose_kind(model, loras, ask)
    plan = make_plan(args.folder, model, loras, kind, args.n_threads or usable_cores())
    if plan.todo:
        _show_plan(plan)
        if not ask.yes_or_no("Start?", default=True):
            return INCOMPLETE
        _carry_out(plan)
    _offer_to_delete(plan, ask)
    _show_command(plan.result)
    return OK


class Questions:
    """Plain questions on the terminal; an empty line takes the default, and `--yes` takes all of them."""

    def __init__(self, take_defaults: bool) -> None:
        self._take_defaults = take_defaults

    def line(self, question: str, default: str) -> str:
        """An answer, or the default, which is shown in brackets."""
        if self._take_defaults:
            return default
        print(f"{question} [{default}] ", end="", flush=True)
        answer = sys.stdin.readline()
        if not answer:
            print()
            raise UserError("There was no answer; run it in a terminal, or with --yes to take every default.")
        return answer.strip() or default

    def yes_or_no(self, question: str, default: bool) -> bool:
        shown = "Y/n" if default else "y/N"
        while True:
            answer = self.line(question, shown)
            if answer == shown:
                return default
            if answer.lower() in ("y", "yes", "是"):
                return True
            if answer.lower() in ("n", "no", "否"):
                return False
            print("Please answer y or n.")

    def numbers(self, question: str, n: int, default: Sequence[int]) -> list[int]:
        """Numbers from 1 to `n`, in the order in which they were given; "0" is none."""
        while True:
            answer = self.line(question, ",".join(map(str, default)) or "0")
            parts = answer.replace(",", " ").split()
            if all(part.isdigit() and int(part) <= n for part in parts):
                return [int(part) for part in parts if int(part)]
            print(f"Please answer with numbers from 1 to {n}, separated by commas, or 0 for none.")


# --- what is there, and what to make of it -----------------------------------------------------------------


def _show_survey(found: Survey) -> None:
    for model in found.models:
        print(f"Found {model.name} in {model.folder} ({size(model.nbytes)})")
    for lora in found.loras:
        print(f"Found the LoRA {lora.name} in {lora.folder} ({size(lora.nbytes)})")
    for problem in found.problems:
        print(f"! {problem.text}")


def _finished(found: Survey) -> int:
    """Where there is nothing to start from, there may be what an earlier run has made."""
    if not found.made:
        return INCOMPLETE
    print("There is a finished model already.")
    _show_command(found.made[0])
    return OK


def _choose_model(found: Survey, ask: Questions) -> Model:
    usual = found.usual_model
    assert usual is not None  # there are models
    if len(found.models) == 1:
        return usual
    for i, model in enumerate(found.models, 1):
        print(f"  {i}  {model.name} in {model.folder}")
    while True:
        chosen = ask.numbers("Which model?", len(found.models), [found.models.index(usual) + 1])
        if len(chosen) == 1:
            return found.models[chosen[0] - 1]
        print("Please name one.")


def _choose_loras(found: Survey, model: Model, ask: Questions) -> list[LoraFound]:
    if not found.loras or not model.is_base:
        return []
    usual = found.usual_loras(model)
    for i, lora in enumerate(found.loras, 1):
        print(f"  {i}  {lora.name} ({size(lora.nbytes)})")
    default = [found.loras.index(lora) + 1 for lora in usual]
    chosen = ask.numbers("Which LoRAs are to be merged, in which order?", len(found.loras), default)
    return [found.loras[i - 1] for i in dict.fromkeys(chosen)]


def _choose_kind(model: Model, loras: Sequence[LoraFound], ask: Questions) -> str:
    from alpaca_tui.pipeline.setup import DEFAULT_KIND, choices
    from alpaca_tui.system import available_memory

    free = available_memory()
    table = choices(model, loras)
    print("Type      file       memory of a chat")
    for choice in table:
        print(f"  {choice.kind:6}  {size(choice.nbytes):>9}  {size(choice.memory):>9}{_fits(choice, free)}")
    if free is not None:
        print(f"({size(free)} of memory are free here.)")
    kinds = [choice.kind for choice in table]
    while True:
        kind = ask.line("Which type?", DEFAULT_KIND)
        if kind in kinds:
            return kind
        print(f"Please answer with one of {', '.join(kinds)}.")


def _fits(choice: Choice, free: int | None) -> str:
    return "  more than is free" if free is not None and choice.memory > free else ""


# --- doing it ----------------------------------------------------------------------------------------------


def _show_plan(plan: Plan) -> None:
    todo = plan.todo
    for i, step in enumerate(plan.steps, 1):
        state = f"writes {size(step.nbytes)}" if step.nbytes else "reads only"
        print(f"  {i}  {step.title} ({state if step in todo else 'done already'})")
    free = shutil.disk_usage(plan.folder).free
    print(f"This takes {size(plan.nbytes)} of disk; {size(free)} are free.")


def _carry_out(plan: Plan) -> None:
    """Runs the steps. Ctrl+C ends the program; what is done stays, and is not done again the next time."""
    for step in plan.todo:
        print(f"{step.title[0].upper()}{step.title[1:]} ...", flush=True)
        with Bar() as bar:
            findings = step.run(bar)
        for finding in findings:
            print(f"  {'! ' if finding.bad else ''}{finding.text}")


def _offer_to_delete(plan: Plan, ask: Questions) -> None:
    from alpaca_tui.pipeline.setup import delete

    left = [leftover for leftover in plan.leftovers if leftover.nbytes]
    if left:
        print(f"The chat needs {plan.result} only.")
    for leftover in left:
        if ask.yes_or_no(f"Delete {leftover.title} ({size(leftover.nbytes)})?", default=False):
            print(f"Deleted, {size(delete(leftover))} are free again.")


def _show_command(path: Path) -> None:
    print(f"Now chat with it:\n  alpaca-tui -m {shlex.quote(str(path))}")
