"""Every screen of the chat over the scripted engine: what is given, and what a person does to get there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from textual.widgets import Input, OptionList

from alpaca_tui.chat.store import chats
from alpaca_tui.chat.store.archive import Archive
from tests.chat.store.test_saving import talk
from tests.tui.helpers import Chat
from tests.tui.samples import CHINESE, MIXED
from tests.tui.scripted_engine import Script
from tests.tui.scripted_workshop import ScriptedWorkshop, usual_folder

Act = Callable[[Chat, Path], Awaitable[None]]
TALKS = (
    ("How is the weather?", "Sunny."),
    ("天气怎么样？", "晴，最高气温 25 度。"),
    ("Write a poem about a llama", "A llama by the sea"),
)


@dataclass(frozen=True)
class Scene:
    act: Act
    script: Script
    talks: tuple[tuple[str, str], ...] = ()
    loaded: bool = True


SCENES: dict[str, Scene] = {}


def scene(
    script: Script | None = None, talks: tuple[tuple[str, str], ...] = (), loaded: bool = True
) -> Callable[[Act], Act]:
    """Adds the function to the scenes, with what it is given."""

    def add(act: Act) -> Act:
        SCENES[act.__name__] = Scene(act, script or Script(replies=[MIXED, CHINESE]), talks, loaded)
        return act

    return add


def archive(folder: Path, talks: tuple[tuple[str, str], ...]) -> Archive:
    made = Archive(folder)
    for pair in talks:
        made.run(chats.add, talk(pair)).result()
    return made


async def ask(c: Chat, text: str) -> None:
    c.app.session.submit(text)
    await c.finish()
    await c.pilot.pause(0.05)  # a dialog over it shows what was drawn last


@scene(Script(guide=True), TALKS)
async def welcome(c: Chat, folder: Path) -> None:
    await c.until(lambda: len(c.app.newest) == len(TALKS))


@scene(Script(load_seconds=10), loaded=False)
async def loading(c: Chat, folder: Path) -> None:
    await c.advance(4)
    await c.type("typed meanwhile")


@scene(Script(load_error="scripted-7B.gguf is cut off: 3.9 GiB are there, 4.2 GiB are needed."))
async def load_failed(c: Chat, folder: Path) -> None:
    await c.type("kept")


@scene()
async def talked(c: Chat, folder: Path) -> None:
    await ask(c, "What must I do?")


@scene(Script(replies=[MIXED], rate=20))
async def streaming(c: Chat, folder: Path) -> None:
    c.app.session.submit("What must I do?")
    await c.advance(3)
    c.app.session.submit("And then? 然后呢？")
    await c.type("a draft")


@scene(Script(replies=[CHINESE], rate=20, cut=1))
async def stopped(c: Chat, folder: Path) -> None:
    await ask(c, "first")
    await ask(c, "second")
    await c.press("ctrl+r")
    await c.advance(1)
    await c.press("escape")
    await c.finish()


@scene()
async def reading(c: Chat, folder: Path) -> None:
    await ask(c, "one")
    await ask(c, "two")
    await c.press("shift+tab", "k", "k")


@scene(Script(replies=["A llama. [b]Llamas[/b] are not alpacas."]))
async def finding(c: Chat, folder: Path) -> None:
    await ask(c, "What is a llama?")
    await c.press("ctrl+f")
    await c.type("llama")


@scene()
async def editing(c: Chat, folder: Path) -> None:
    await ask(c, "What must I do?")
    await c.press("shift+tab", "k", "e")


@scene()
async def slash(c: Chat, folder: Path) -> None:
    await c.type("/re")


@scene()
async def settings(c: Chat, folder: Path) -> None:
    if not c.app.main.has_class("with-sidebar"):
        await c.press("f4")
    c.app.main.set_focus(c.app.sidebar.rows[0])
    await c.press("right", "down", "enter")
    await c.type("9")


@scene(talks=TALKS)
async def chat_list(c: Chat, folder: Path) -> None:
    await c.press("ctrl+s")
    await c.until(lambda: "Write a poem" in c.text())


@scene(talks=TALKS)
async def chat_list_filtered(c: Chat, folder: Path) -> None:
    await c.press("ctrl+s")
    await c.until(lambda: "Write a poem" in c.text())
    await c.type("气温")
    await c.until(lambda: "Write a poem" not in c.text() and "25" in c.text())


@scene()
async def rename(c: Chat, folder: Path) -> None:
    await ask(c, "What must I do?")
    c.app.action_rename_chat()
    await c.settle()


@scene()
async def open_model(c: Chat, folder: Path) -> None:
    await c.press("f2")
    await c.until(lambda: "broken" in c.text() and "4.3 GiB" in c.text())


@scene()
async def prompts(c: Chat, folder: Path) -> None:
    c.app.action_prompts()
    await c.settle()


@scene()
async def raw_prompt(c: Chat, folder: Path) -> None:
    await ask(c, "What must I do?")
    c.app.action_raw_prompt()
    await c.until(lambda: "<s>" in c.text())


@scene()
async def presets(c: Chat, folder: Path) -> None:
    c.app.action_presets()
    await c.settle()


@scene()
async def setup(c: Chat, folder: Path) -> None:
    (folder / "downloads").mkdir()
    c.app.workshop = ScriptedWorkshop(usual_folder)
    await c.press("f9")
    c.app.screen.query_one(Input).value = "downloads"
    await c.press("enter")
    await c.until(lambda: c.app.screen.query_one(OptionList).option_count > 3)


@scene()
async def help_page(c: Chat, folder: Path) -> None:
    await c.press("f1")


@scene()
async def palette(c: Chat, folder: Path) -> None:
    await c.press("ctrl+p")
    await c.until(lambda: c.app.screen.query_one(OptionList).option_count > 3)


@scene(Script(guide=True))
async def first_run(c: Chat, folder: Path) -> None:
    c.app.action_first_run()
    await c.settle()


@scene()
async def activity(c: Chat, folder: Path) -> None:
    await ask(c, "What must I do?")
    await c.press("f8")


@scene()
async def help_on_settings(c: Chat, folder: Path) -> None:
    await settings(c, folder)
    await c.press("escape", "f1")
