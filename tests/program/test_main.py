"""`alpaca-tui main` as a program: in a terminal, in a pipe, and with -p."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.program.parrot import SENTENCE
from tests.program.terminal import CTRL_C, CTRL_D, ENTER, WAIT_SECONDS, Terminal, environment


def in_pipe(
    arguments: list[str], home: Path, text: str = "", **env: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "alpaca_tui", "main", *arguments],
        input=text.encode("utf-8"),
        capture_output=True,
        cwd=home,
        env=environment(home, **env),
        timeout=WAIT_SECONDS,
    )


# --- in a pipe ---------------------------------------------------------------------------------------------


TIMINGS = ["load time", "sample time", "prompt eval time", "eval time", "total time"]


def timings_only(err: bytes) -> bool:
    """Is nothing on stderr but the numbers at the end?"""
    head, *lines = err.decode("utf-8").splitlines()
    names = [line.removeprefix("llama_print_timings:").partition("=")[0].strip() for line in lines]
    return head == "" and names == TIMINGS


def test_a_text_and_how_it_goes_on_to_stdout_and_nothing_else(parrot: Path, tmp_path: Path) -> None:
    done = in_pipe(["-m", str(parrot), "-c", "512", "-n", "17", "-p", "你好\\n"], tmp_path)
    assert done.returncode == 0 and timings_only(done.stderr)
    assert done.stdout.decode("utf-8") == f"你好\n{SENTENCE}羊驼说：\n"
    arguments = ["--no-display-prompt", "--no-perf", "--no-escape", "-p", "你\n"]
    done = in_pipe(["-m", str(parrot), "-c", "512", "-n", "17", *arguments], tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("utf-8") == SENTENCE + "羊驼说：\n"


def test_one_answer_to_stdout_and_nothing_else(parrot: Path, tmp_path: Path) -> None:
    done = in_pipe(["-m", str(parrot), "-c", "512", "-n", "17", "-st", "-p", "你好"], tmp_path)
    assert done.returncode == 0 and timings_only(done.stderr)
    assert done.stdout.decode("utf-8") == SENTENCE + "羊驼说：\n"


def test_piped_lines_are_answered_in_utf8_under_any_locale(parrot: Path, tmp_path: Path) -> None:
    arguments = ["-m", str(parrot), "-c", "512", "-n", "13", "-ins"]
    done = in_pipe(arguments, tmp_path, "你好\n再见\n", LC_ALL="C", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0 and timings_only(done.stderr)
    assert done.stdout.decode("utf-8") == f"{SENTENCE}\n" * 2


def test_a_text_ends_where_the_context_does_if_it_may_not_shift(parrot: Path, tmp_path: Path) -> None:
    for flags in (["--no-context-shift", "-n", "-1"], ["-n", "-2"]):
        done = in_pipe(["-m", str(parrot), "-c", "100", *flags, "-p", "x\\n"], tmp_path)
        assert done.returncode == 0
        text = done.stdout.decode("utf-8")
        assert text.startswith("x\n" + SENTENCE * 3) and len(text) < 150
        assert "context" in done.stderr.decode("utf-8")


def test_a_text_goes_on_past_the_context(parrot: Path, tmp_path: Path) -> None:
    done = in_pipe(["-m", str(parrot), "-c", "64", "-n", "170", "--keep", "3", "-p", "x\\n"], tmp_path)
    assert done.returncode == 0
    assert done.stdout.decode("utf-8") == "x\n" + SENTENCE * 13 + "羊\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.gguf", b"", "empty"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "picture"),
        ("consolidated.00.pth", b"PK\x03\x04" + bytes(100), "pth"),
        ("short.gguf", b"GGUF\x03\0\0\0", "short.gguf"),
    ],
)
def test_a_file_that_is_no_model_gets_one_sentence(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    done = in_pipe(["-m", name, "-p", "x"], tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    err = done.stderr.decode("utf-8")
    assert err.startswith("alpaca-tui: ") and err.count("\n") == 1
    assert said in err.lower()


def test_a_message_too_long_for_the_context_gets_one_sentence(parrot: Path, tmp_path: Path) -> None:
    for flags in (["-p", "x" * 500], ["-st", "-p", "x" * 500]):
        done = in_pipe(["-m", str(parrot), "-c", "200", "--no-perf", *flags], tmp_path)
        assert done.returncode == 2
        err = done.stderr.decode("utf-8")
        assert "-c" in err and "tokens too long" in err and err.count("\n") == 1


def at_prompt(text: str) -> bool:
    return text.rstrip().endswith("\n>")


# --- in a terminal -----------------------------------------------------------------------------------------


def test_a_conversation_in_chinese(parrot: Path, tmp_path: Path) -> None:
    with Terminal(["main", "-m", str(parrot), "-c", "512", "-n", "13"], tmp_path, LC_ALL="C") as terminal:
        terminal.wait("Parrot")
        terminal.wait(at_prompt)
        terminal.send("你好吗\x7f" + ENTER)  # Backspace takes a whole character away
        terminal.wait(lambda text: f"> 你好\n{SENTENCE}\n" in text)
        terminal.wait("an empty line goes on")
        terminal.send("one\\" + ENTER + "two" + ENTER)
        terminal.wait(lambda text: text.count(SENTENCE) == 2)
        terminal.wait(at_prompt)
        terminal.send(CTRL_D)
        assert terminal.exit_code() == 0


def test_ctrl_c_stops_a_reply_and_then_the_program(parrot: Path, tmp_path: Path) -> None:
    with Terminal(["main", "-m", str(parrot), "-c", "100000", "-n", "-1"], tmp_path) as terminal:
        terminal.wait(at_prompt)
        terminal.send("说" + ENTER)
        terminal.wait(lambda text: text.count("alpaca") > 20)
        terminal.send(CTRL_C)
        terminal.wait("(stopped", seconds=5)
        terminal.wait(at_prompt)
        before = terminal.text
        assert not terminal.read(0.3) or terminal.text == before  # nothing more comes
        terminal.send(CTRL_C)
        assert terminal.exit_code() == 130


def test_what_is_typed_during_a_reply_waits_for_the_prompt(parrot: Path, tmp_path: Path) -> None:
    with Terminal(["main", "-m", str(parrot), "-c", "512", "-n", "400"], tmp_path) as terminal:
        terminal.wait(at_prompt)
        terminal.send("说" + ENTER)
        terminal.wait("alpaca")
        terminal.send("再说" + ENTER + CTRL_D)
        terminal.wait(lambda text: text.count("an empty line goes on") == 1)
        assert "再说" not in terminal.text.partition("an empty line")[0]
        terminal.wait(lambda text: "> 再说\n" in text)
        terminal.wait(lambda text: text.count("an empty line goes on") == 2)
        assert terminal.exit_code() == 0  # Ctrl+D came with it


def test_colours_are_there_when_asked_for(parrot: Path, tmp_path: Path) -> None:
    arguments = ["main", "--color", "-m", str(parrot), "-c", "512", "-n", "3"]
    with Terminal(arguments, tmp_path) as terminal:
        terminal.wait(at_prompt)
        terminal.send("hi" + ENTER)
        terminal.wait("羊驼说")
        line = next(y for y, text in enumerate(terminal.screen.display) if text.startswith("> hi"))
        assert terminal.screen.buffer[line][2].fg == "green"
        reply = next(y for y, text in enumerate(terminal.screen.display) if text.startswith("羊驼说"))
        assert terminal.screen.buffer[reply][0].fg == "default"
