"""Kill the real program at any moment: what was typed and written until a second before is there again."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from alpaca_tui.chat.conversation import Conversation
from alpaca_tui.chat.store import chats
from alpaca_tui.chat.store.archive import FILE_NAME, connect
from tests.program.parrot import SENTENCE
from tests.program.terminal import CTRL_Q, ENTER, Terminal

LOST_SECONDS = 1.0
ARGUMENTS = ("-c", "2048", "-n", "-1", "--temp", "0", "--lang", "en")


def program(parrot: Path, home: Path, size: tuple[int, int] = (24, 80)) -> Terminal:
    return Terminal(["-m", str(parrot), *ARGUMENTS], home, size)


def saved(home: Path) -> list[Conversation]:
    """What the file has, newest first."""
    connection = connect(home / "data" / "alpaca-tui" / FILE_NAME)
    loaded = [chats.load(connection, chat.id) for chat in chats.summaries(connection)]
    connection.close()
    return [chat[0] for chat in loaded if chat is not None]


def kill(terminal: Terminal) -> None:
    terminal.child.kill(signal.SIGKILL)
    terminal.child.wait()


def test_a_reply_is_there_but_for_its_last_second(parrot: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    for round_number in range(3):
        question = f"问题 {round_number}"
        with program(parrot, tmp_path, (12, 60)) as terminal:  # little to draw: the model is fast
            terminal.wait("ready")
            terminal.send("\x0e")  # Ctrl+N: a new chat, whatever the start went on with
            terminal.send(question + ENTER)
            terminal.wait("writing")
            seen: list[tuple[float, int]] = []
            end = time.monotonic() + rng.uniform(0.05, 2.2)
            while time.monotonic() < end:
                terminal.read(0.02)
                seen.append((time.monotonic(), terminal.text.count(SENTENCE[:3])))
            kill(terminal)
            killed = time.monotonic()
        chat = saved(tmp_path)[0]
        assert chat.path()[0].text == question
        before = [count for when, count in seen if when < killed - LOST_SECONDS]
        assert chat.path()[1].text.count(SENTENCE[:3]) >= max(before, default=0)
    with program(parrot, tmp_path) as terminal:  # the start goes on with what was cut off
        terminal.wait(lambda text: "ready" in text and "Stopped." in text and "F6" in text)
        terminal.send(CTRL_Q)
        assert terminal.exit_code() == 0


def test_what_was_typed_is_there_but_for_the_last_second(parrot: Path, tmp_path: Path) -> None:
    typed = "an unsent thought 还没有发送"
    with program(parrot, tmp_path) as terminal:
        terminal.wait("ready")
        terminal.send("first" + ENTER)
        terminal.wait("writing")
        terminal.send("queued 排队" + ENTER)
        terminal.wait("Waiting: queued")
        terminal.send(typed)
        terminal.wait(lambda text: "还没有发送" in text)
        time.sleep(LOST_SECONDS)
        terminal.read()
        terminal.send(" and more")
        kill(terminal)
    chat = saved(tmp_path)[0]
    assert chat.draft.startswith(typed) and chat.waiting == ["queued 排队"]
    with program(parrot, tmp_path) as terminal:
        terminal.wait(lambda text: typed in text and "Held back: queued 排队" in text)
        terminal.send(CTRL_Q)
        assert terminal.exit_code() == 0


def test_two_programs_at_once(parrot: Path, tmp_path: Path) -> None:
    with program(parrot, tmp_path) as one, program(parrot, tmp_path) as two:
        for terminal, question in ((one, "from one"), (two, "from two")):
            terminal.wait("ready")
            terminal.send(question + ENTER)
            terminal.wait("writing")
        for terminal in (one, two):
            terminal.send("\x1b")
            terminal.wait("Stopped.")
            terminal.send(CTRL_Q)
            assert terminal.exit_code() == 0
    assert {chat.path()[0].text for chat in saved(tmp_path)} == {"from one", "from two"}
    assert all(chat.path()[1].text.startswith(SENTENCE[:3]) for chat in saved(tmp_path))
