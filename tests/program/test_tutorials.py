"""The tutorials' command lines, word for word behind `alpaca-tui main`, in a terminal; and turns (-i)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.program.parrot import SENTENCE
from tests.program.terminal import CTRL_C, CTRL_D, ENTER, Terminal
from tests.program.test_main import TIMINGS, at_prompt

PASTE = "\x1b[200~{}\x1b[201~"
# The words of Chinese-LLaMA-Alpaca's README and of its examples.
INSTRUCT = [
    "-m zh-models/7B/ggml-model-q4_0.bin --color -f ./prompts/alpaca.txt -ins -c 2048 --temp 0.2 "
    "-n 256 --repeat_penalty 1.3",
    "-m zh-alpaca-models/7B/ggml-model-q4_0.bin --color -f prompts/alpaca.txt -ins -c 2048 --temp 0.2 -n 256 "
    "--repeat_penalty 1.3",
    "-m zh-models/7B/ggml-model-q4_0.bin --color -f ./prompts/alpaca.txt -ins -b 24 -c 2048 -n 512 -t 2 "
    "--temp 0.2 --top_k 40 --top_p 0.9 --repeat_penalty 1.3",
]


@pytest.fixture
def home(parrot: Path, tmp_path: Path) -> Path:
    """A folder in which the tutorials' models lie."""
    for folder in ("zh-models/7B", "zh-alpaca-models/7B", "models/7B"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("ggml-model-q4_0.bin", "ggml-model-q4_0.gguf"):
            (tmp_path / folder / name).symlink_to(parrot)
    return tmp_path


def ends_with_timings(terminal: Terminal) -> None:
    terminal.wait(lambda text: all(name in text for name in TIMINGS))


def quiet(terminal: Terminal) -> None:
    """Waits until nothing more is written."""
    before = -1
    while before < len(terminal.raw):
        before = len(terminal.raw)
        terminal.read(0.5)


@pytest.mark.parametrize("line", INSTRUCT)
def test_an_instruct_session(line: str, home: Path) -> None:
    with Terminal(["main", *line.split(), "-n", "26"], home) as terminal:
        terminal.wait(at_prompt)
        terminal.send("你好" + ENTER)
        terminal.wait(lambda text: f"> 你好\n{SENTENCE * 2}\n" in text)
        terminal.wait(at_prompt)
        terminal.send("first line \\" + ENTER + "第二行" + ENTER)
        terminal.wait(lambda text: text.count(SENTENCE) == 4)
        terminal.wait(at_prompt)
        terminal.send(ENTER)  # an empty line goes on with the reply
        terminal.wait(lambda text: text.count(SENTENCE) == 6)
        terminal.wait(at_prompt)
        terminal.send(CTRL_D)
        ends_with_timings(terminal)
        assert terminal.exit_code() == 0
        assert b";32;1m" in terminal.raw  # --color: what is typed is green


def test_pasted_lines_are_one_message(home: Path) -> None:
    with Terminal(["main", *INSTRUCT[0].split(), "-n", "13"], home) as terminal:
        terminal.wait(at_prompt)
        terminal.send(PASTE.format("def f():\n    return '羊驼'\n\nprint(f())") + ENTER)
        terminal.wait(lambda text: "print(f())" in text and text.count(SENTENCE) == 1)
        terminal.wait(at_prompt)
        terminal.read(0.3)
        assert terminal.text.count(SENTENCE) == 1
        terminal.send(CTRL_C)
        ends_with_timings(terminal)
        assert terminal.exit_code() == 130


@pytest.mark.parametrize(
    ("line", "you", "model"),
    [
        ("-m models/7B/ggml-model-q4_0.bin -n 256 --repeat_penalty 1.0 --color -i"
         " -f prompts/two-people-en.txt -r User:", "User:", "Hello!"),
        ("-m models/7B/ggml-model-q4_0.bin --color -i -f prompts/two-people-zh.txt -r 用户： --simple-io",
         "用户：", "早上好！"),
    ],
)  # fmt: skip
def test_two_people_in_one_text(line: str, you: str, model: str, home: Path) -> None:
    with Terminal(["main", *line.split(), "--interactive-first", "-n", "13"], home) as terminal:
        terminal.wait(lambda text: text.rstrip().endswith("\n" + you))
        quiet(terminal)
        terminal.send(model + ENTER)
        terminal.wait(lambda text: f"{you}{model}\n{SENTENCE}" in text)
        quiet(terminal)
        terminal.send(ENTER)
        terminal.wait(lambda text: text.count(SENTENCE) == 2)
        quiet(terminal)
        terminal.send(CTRL_D)
        ends_with_timings(terminal)
        assert terminal.exit_code() == 0


def test_ctrl_c_interjects_in_a_text_and_then_ends_it(home: Path) -> None:
    line = "-m models/7B/ggml-model-q4_0.bin -i -n -1 -c 4096 -p x\\n"
    with Terminal(["main", *line.split()], home) as terminal:
        terminal.wait(lambda text: text.count("alpaca") > 10)
        terminal.send(CTRL_C)
        quiet(terminal)
        terminal.send("你" + ENTER)
        terminal.wait(lambda text: "你\n羊驼说：" in text)
        terminal.send(CTRL_C)
        quiet(terminal)
        terminal.send(CTRL_C)
        ends_with_timings(terminal)
        assert terminal.exit_code() == 130


def test_the_program_of_april_in_a_terminal(home: Path) -> None:
    with Terminal(["main", "--compat", "2023-04", *INSTRUCT[0].split(), "--temp", "0"], home) as terminal:
        terminal.wait("== Running in interactive mode. ==")
        terminal.wait(at_prompt)
        terminal.send("你好" + ENTER)
        terminal.wait(lambda text: f"\n> 你好\n{SENTENCE}" in text)
        terminal.send(CTRL_C)
        terminal.wait(at_prompt)
        terminal.send(CTRL_C)
        assert terminal.exit_code() == 130


def test_a_locale_that_is_gbk(home: Path, tmp_path: Path) -> None:
    if shutil.which("localedef") is None:
        pytest.skip("no localedef to make a locale with")
    made = tmp_path / "zh_CN.GBK"
    subprocess.run(["localedef", "-f", "GBK", "-i", "zh_CN", str(made)], capture_output=True, check=False)
    variables = {"LOCPATH": str(tmp_path), "LC_ALL": "zh_CN.GBK", "PYTHONUTF8": "0"}
    with Terminal(["main", *INSTRUCT[0].split(), "-n", "13"], home, **variables) as terminal:
        terminal.wait(at_prompt)
        terminal.send("你好吗\x7f，羊驼" + ENTER)
        terminal.wait(lambda text: f"> 你好，羊驼\n{SENTENCE}\n" in text)
        terminal.wait(at_prompt)
        terminal.send(CTRL_D)
        assert terminal.exit_code() == 0
