"""Making a model from downloads in the chat: choosing, working behind it, stopping, and what comes after."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from alpaca_tui.chat.setup_job import JobState
from alpaca_tui.tui.screens.setup import SetupScreen
from tests.tui.helpers import Chat, chat
from tests.tui.scripted_engine import Script
from tests.tui.scripted_workshop import Said, ScriptedWorkshop, Seen, Thing, empty_folder, usual_folder


@asynccontextmanager
async def setup(
    folder: Path,
    workshop: ScriptedWorkshop | None = None,
    size: tuple[int, int] = (100, 40),
    language: str = "en",
    script: Script | None = None,
) -> AsyncIterator[tuple[Chat, ScriptedWorkshop]]:
    """The chat with the setup screen open and a folder looked at."""
    workshop = workshop or ScriptedWorkshop()
    async with chat(script, size=size, language=language) as c:
        c.app.workshop = workshop
        await c.press("f9")
        screen(c).query_one(Input).value = str(folder)
        await c.press("enter")
        await c.until(lambda: bool(ids(c)))
        yield c, workshop
        for step in workshop.steps.values():
            step.go.set()
        c.app.close_setup()


def screen(c: Chat) -> SetupScreen:
    assert isinstance(c.app.screen, SetupScreen)
    return c.app.screen


def ids(c: Chat) -> list[str]:
    return [row.id for row in screen(c)._shown if row.id]


async def choose(c: Chat, id: str) -> None:
    """Presses Enter on the row."""
    await c.until(lambda: id in ids(c))
    rows = screen(c).query_one(OptionList)
    rows.highlighted = [row.id for row in screen(c)._shown].index(id)
    rows.focus()
    await c.press("enter")


async def planned(c: Chat, workshop: ScriptedWorkshop, n: int) -> None:
    await c.until(lambda: len(workshop.plans) >= n and not screen(c)._planning)


async def start(c: Chat, workshop: ScriptedWorkshop) -> None:
    await planned(c, workshop, 1)
    await choose(c, "start")
    await c.until(lambda: workshop.steps["downloads"].begun.is_set())


async def finish(c: Chat, workshop: ScriptedWorkshop) -> None:
    for step in workshop.steps.values():
        step.go.set()
    await c.until(lambda: c.app.setup_job is not None and not c.app.setup_job.running)


# --- choosing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_what_is_there_and_what_it_takes(tmp_path: Path, size: tuple[int, int]) -> None:
    async with setup(tmp_path, size=size) as (c, workshop):
        await planned(c, workshop, 1)
        await c.until(lambda: "start" in ids(c))
        text = c.text()
        for word in ("LLaMA-7B", "LLaMA/7B", "1 chinese-llama-plus", "2 chinese-alpaca-plus", "Start"):
            assert word in text
        assert re.search(r"● q4_0 +3\.9 GiB +5\.1 GiB", text) and "○ f16 " in text
        assert "verify the downloads › merge and convert to f16 › verify the weights" in text
        assert "Writes 16.8 GiB." in text and "on the disk" in text
        await c.press("enter")  # Start has the highlight
        assert c.app.setup_job is not None and workshop.plans[-1][2] == "q4_0"


async def test_choices_change_the_plan(tmp_path: Path) -> None:
    async with setup(tmp_path) as (c, workshop):
        await planned(c, workshop, 1)
        await choose(c, "kind:q8_0")
        await planned(c, workshop, 2)
        await choose(c, "lora:0")
        await planned(c, workshop, 3)
        await choose(c, "lora:0")
        await planned(c, workshop, 4)
        names = ["chinese-llama-plus-lora-7b", "chinese-alpaca-plus-lora-7b"]
        assert workshop.plans == [
            ("LLaMA-7B", names, "q4_0"),
            ("LLaMA-7B", names, "q8_0"),
            ("LLaMA-7B", names[1:], "q8_0"),
            ("LLaMA-7B", names[::-1], "q8_0"),
        ]
        assert "quantise to q8_0" in c.text() and "2 chinese-llama" in c.text()


async def test_of_several_models_one_is_chosen(tmp_path: Path) -> None:
    def two(folder: Path) -> Seen:
        seen = usual_folder(folder)
        seen.models.append(Thing("Chinese-Alpaca-7B", folder / "merged", 13, is_base=False))
        return seen

    async with setup(tmp_path, ScriptedWorkshop(two)) as (c, workshop):
        await planned(c, workshop, 1)
        await choose(c, "model:1")
        await planned(c, workshop, 2)
        assert workshop.plans[-1][0] == "Chinese-Alpaca-7B"
        assert "● Chinese-Alpaca-7B" in c.text() and "lora:0" not in ids(c)


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "holds no model; put the original LLaMA"), ("zh", "里没有模型；请把原版 LLaMA")],
)
async def test_what_is_missing_is_said_in_both_languages(tmp_path: Path, language: str, words: str) -> None:
    async with setup(tmp_path, ScriptedWorkshop(empty_folder), language=language) as (c, _):
        text = "".join(c.text().replace("▎", "").split())
        assert "".join(words.split()) in text and "x.pth is damaged." in c.text()
        assert ids(c) == ["again"]


async def test_a_wrong_choice_and_a_wrong_folder_are_said_in_place(tmp_path: Path) -> None:
    workshop = ScriptedWorkshop()
    workshop.trouble = "The disk is full."
    async with setup(tmp_path, workshop) as (c, _):
        await c.until(lambda: "The disk is full." in c.text())
        assert "start" not in ids(c)
        field = screen(c).query_one(Input)
        field.focus()
        for path, why in ((f"{tmp_path}/nowhere", "There is no folder"), ("", "Name a folder.")):
            field.value = path
            await c.press("enter")
            assert why in c.text()


async def test_tab_completes_folders_and_goes_on_to_the_list(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    async with setup(tmp_path) as (c, _):
        field = screen(c).query_one(Input)
        field.focus()
        field.value = f"{tmp_path}/mo"
        await c.press("tab")
        assert field.value == f"{tmp_path}/models/"
        await c.press("tab")
        assert screen(c).query_one(OptionList).has_focus
        await c.press("tab")
        assert field.has_focus
        await c.press("down")
        assert screen(c).query_one(OptionList).has_focus


async def test_a_model_that_was_made_before_is_opened(tmp_path: Path) -> None:
    made = tmp_path / "ggml-model-q4_0.gguf"
    made.write_bytes(b"GGUF")
    workshop = ScriptedWorkshop(lambda folder: Seen(folder, [], [], made=[made]))
    async with setup(tmp_path, workshop) as (c, _):
        await choose(c, f"made:{made}")
        await c.finish()
        assert c.engine.loads[-1][0] == made and not c.app.modal_open


# --- the work ----------------------------------------------------------------------------------------------


async def test_the_chat_stays_usable_while_it_works(tmp_path: Path) -> None:
    async with setup(tmp_path, script=Script(replies=["An answer."])) as (c, workshop):
        await start(c, workshop)
        await c.until(lambda: "50 %" in c.text() and "6.0 GiB of 12.0 GiB" in c.text())
        await c.press("escape")
        assert not c.app.modal_open and c.app.prompt.has_focus
        await c.until(lambda: "verify the downloads" in c.text())
        await c.ask("hello")
        assert "An answer." in c.text()
        workshop.steps["downloads"].go.set()
        await c.until(lambda: "merge and convert to f16" in c.text())
        await c.press("f9")
        await c.until(lambda: "3 as published: a, b, …" in c.text())
        await finish(c, workshop)
        await c.until(lambda: "Open ggml-model-q4_0.gguf in the chat" in c.text())
        assert "x.weight is odd." in c.text()
        await c.press("enter")
        await c.finish()
        assert c.engine.loads[-1][0] == tmp_path / "ggml-model-q4_0.gguf"
        assert not c.app.modal_open and "ggml-model-q4_0.gguf is ready" not in c.text()


async def test_the_end_is_told_in_the_chat(tmp_path: Path) -> None:
    async with setup(tmp_path, language="zh") as (c, workshop):
        await start(c, workshop)
        await c.press("escape")
        await finish(c, workshop)
        await c.until(lambda: "ggml-model-q4_0.gguf 已经做好。" in c.text())
        await c.press("f9")
        await choose(c, "close")
        assert not c.app.modal_open and "已经做好" not in c.text() and c.app.setup_job is None


async def test_cancelling_and_going_on(tmp_path: Path) -> None:
    async with setup(tmp_path) as (c, workshop):
        await start(c, workshop)
        workshop.steps["downloads"].go.set()
        await c.until(lambda: workshop.steps["f16"].begun.is_set())
        await choose(c, "cancel")
        job = c.app.setup_job
        assert job is not None
        await c.until(lambda: job.state is JobState.CANCELLED)
        await c.until(lambda: "Cancelled. What is done stays." in c.text())
        assert not workshop.steps["f16"].done
        await choose(c, "again")
        await c.until(lambda: "✓ verify the downloads" in c.text() and "start" in ids(c))
        assert "Go on from there" in c.text()
        await choose(c, "start")
        await finish(c, workshop)
        assert c.app.setup_job is not job and all(step.done for step in workshop.steps.values())


async def test_a_step_that_fails_says_why(tmp_path: Path) -> None:
    async with setup(tmp_path) as (c, workshop):
        await start(c, workshop)
        workshop.steps["downloads"].error = "a.pth is damaged."
        await c.press("escape")
        await finish(c, workshop)
        await c.until(lambda: "✗ a.pth is damaged." in c.text())
        await c.press("f9")
        await c.until(lambda: "! a.pth is damaged." in c.text())
        assert "again" in ids(c) and "open" not in ids(c)


async def test_leaving_the_program_stops_the_work(tmp_path: Path) -> None:
    async with setup(tmp_path) as (c, workshop):
        await start(c, workshop)
        job = c.app.setup_job
        assert job is not None
        c.app.close_setup()
        assert job.state is JobState.CANCELLED and not workshop.steps["downloads"].done


# --- afterwards --------------------------------------------------------------------------------------------


async def test_nothing_is_deleted_that_was_not_marked(tmp_path: Path) -> None:
    async with setup(tmp_path) as (c, workshop):
        await start(c, workshop)
        await finish(c, workshop)
        await choose(c, "mark:0")
        assert "■ the model in f16  12.9 GiB" in c.text() and "delete" in ids(c)
        await choose(c, "mark:0")
        assert "delete" not in ids(c)
        await choose(c, "mark:1")
        await choose(c, "mark:2")
        assert "Delete what is marked, 13.6 GiB, for good" in c.text() and workshop.deleted == []
        await choose(c, "delete")
        assert workshop.deleted == ["LLaMA-7B", "chinese-llama-plus-lora-7b"]
        assert "Deleted; 13.6 GiB are free again." in c.text() and "delete" not in ids(c)
        assert "mark:0" in ids(c) and "mark:1" not in ids(c)


async def test_what_cannot_be_deleted_is_said(tmp_path: Path) -> None:
    def locked(folder: Path) -> Seen:
        return Seen(folder, [Thing("locked-7B", folder, 13)], [])

    async with setup(tmp_path, ScriptedWorkshop(locked)) as (c, workshop):
        await start(c, workshop)
        await finish(c, workshop)
        await choose(c, "mark:1")
        await choose(c, "delete")
        assert "locked-7B could not be deleted: in use." in c.text() and workshop.deleted == []


async def test_the_model_is_not_opened_while_another_answers(tmp_path: Path) -> None:
    async with setup(tmp_path, script=Script(rate=1, replies=["word " * 9])) as (c, workshop):
        await start(c, workshop)
        await c.press("escape")
        await c.send("hello")
        await finish(c, workshop)
        await c.press("f9")
        await choose(c, "open")
        assert "Esc stops it" in c.text() and len(c.engine.loads) == 1


# --- ways to it --------------------------------------------------------------------------------------------


async def test_it_is_reached_from_the_palette_the_model_dialog_and_by_key(tmp_path: Path) -> None:
    async with chat(size=(100, 40)) as c:
        c.app.workshop = ScriptedWorkshop()
        assert any("downloads" in command.title for command in c.app.get_system_commands(c.app.main))
        await c.press("ctrl+o")
        await c.press("f9")
        assert isinstance(c.app.screen, SetupScreen)
        await c.press("f9")
        assert not c.app.modal_open
        await c.press("f1", "f9")
        assert not isinstance(c.app.screen, SetupScreen)  # help is open


async def test_a_folder_typed_into_the_model_dialog_is_taken_over(tmp_path: Path) -> None:
    async with chat(size=(100, 40)) as c:
        c.app.workshop = ScriptedWorkshop()
        await c.press("ctrl+o")
        c.app.screen.query_one(Input).value = str(tmp_path)
        await c.press("f9")
        await c.until(lambda: "start" in ids(c))
        assert screen(c).query_one(Input).value == str(tmp_path)


async def test_the_slash_command_takes_a_folder(tmp_path: Path) -> None:
    async with chat(size=(100, 40)) as c:
        c.app.workshop = ScriptedWorkshop()
        c.app.with_setup(str(tmp_path))
        await c.until(lambda: "start" in ids(c))
        c.app.screen.dismiss()
        await c.settle()
        c.app.with_setup(f"{tmp_path}/nowhere")
        await c.until(lambda: "There is no folder" in c.text())


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_empty_state_shows_the_way(size: tuple[int, int]) -> None:
    async with chat(Script(guide=True), model=None, size=size) as c:
        c.app.workshop = ScriptedWorkshop()
        assert "F9 Make one from downloaded weights" in c.text()
        row = c.row_of("F9 Make one")
        await c.pilot.click(offset=(c.lines()[row].index("F9"), row))
        assert isinstance(c.app.screen, SetupScreen)


async def test_after_deleting_the_model_can_be_opened_by_enter(tmp_path: Path) -> None:
    async with setup(tmp_path) as (c, workshop):
        await start(c, workshop)
        await finish(c, workshop)
        await choose(c, "mark:0")
        await choose(c, "delete")
        await c.press("enter")
        await c.finish()
        assert c.engine.loads[-1][0] == tmp_path / "ggml-model-q4_0.gguf"


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_line_over_the_prompt_is_one_row(tmp_path: Path, language: str) -> None:
    async with setup(tmp_path, language=language, size=(80, 24)) as (c, workshop):
        await start(c, workshop)
        workshop.steps["downloads"].go.set()
        await c.until(lambda: workshop.steps["f16"].begun.is_set())
        await c.press("escape")
        job = c.app.setup_job
        assert job is not None
        c.app.setup_line.show(job, 754.0)
        await c.settle()
        assert c.app.setup_line.size.height == 1 and "50 %" in c.text()


async def test_names_cannot_reach_the_terminal_as_they_are(tmp_path: Path) -> None:
    name = "evil\x1b[31m\udcff"

    def evil(folder: Path) -> Seen:
        problems = [Said(f"{name} is damaged."), Said("", True, "no_tokenizer", {"folder": name})]
        return Seen(folder, [Thing(name, folder / name, 13)], [], problems)

    workshop = ScriptedWorkshop(evil)
    workshop.trouble = f"{name} is too large."
    async with setup(tmp_path, workshop) as (c, _):
        await c.until(lambda: "is too large." in c.text())
        assert "\x1b" not in c.text() and "evil␛[31m� is damaged." in c.text().encode().decode()
        screen(c).note(workshop.trouble)
        await c.settle()
        assert c.text().encode()
