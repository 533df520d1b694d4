"""`main --compat` as it is typed: the bytes on stdout, the words on stderr, Ctrl+C."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alpaca_tui.chat.settings import Settings
from alpaca_tui.commands.compat import Console, banner, seed_of, talk
from alpaca_tui.commands.terminal import Terminal
from alpaca_tui.engine.compat.program import APRIL, AUGUST, Options, Program
from tests.commands.scripted import press_ctrl_c
from tests.engine.compat.harness import EndOfScriptError, KnownTexts, Scripted
from tests.engine.compat.test_golden import SESSION
from tests.engine.compat.test_program import TEXTS

ROOT = Path(__file__).resolve().parent.parent.parent


def program(arguments: str, typed: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "alpaca_tui", "main", *arguments.split()],
        input=typed.encode(),
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )


def test_the_golden_session_as_it_was_typed(model_t_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "T.bin").symlink_to(model_t_llama)
    typed = "你好\nfirst line \\\nsecond\n\nthird\n"
    flags = "-s 1 --color -f prompts/alpaca.txt -ins -c 2048 --temp 0 -n 12 --repeat_penalty 1.3"
    done = program(f"--compat 2023-04 -m T.bin {flags}", typed, tmp_path)
    assert (done.returncode, done.stdout) == (0, SESSION)
    err = done.stderr.decode()
    assert err.startswith(
        "main: seed = 1\nmain: interactive mode on.\nReverse prompt: '### Instruction:\n\n'\n"
    )
    assert (
        "temp = 0.000000, top_k = 40, top_p = 0.950000, repeat_last_n = 64, repeat_penalty = 1.300000" in err
    )
    assert "generate: n_ctx = 2048, n_batch = 8, n_predict = 12, n_keep = 21\n\n\n" in err
    assert "timings" not in err  # it left without a word where input ended


def test_a_text_and_its_timings(model_t_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "T.bin").symlink_to(model_t_llama)
    done = program("--compat 2023-04 -m T.bin --n_parts 1 -s 42 -p Once -n 3 --temp 0", "", tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(b" Once")
    err = done.stderr.decode()
    assert "(--n_parts has no effect: the parts of a file are counted when it is read.)" in err
    assert "sample time =" in err and "/     3 runs   (" in err and "tokens per second" not in err
    done = program("--compat 2023-08 -m T.bin -c 16 -s 42 -p Once -n -2 --temp 0", "", tmp_path)
    assert done.returncode == 0
    assert "main: context full, stopping generation" in done.stderr.decode()
    assert "tokens per second" in done.stderr.decode()
    done = program("--compat 2023-08 -m T.bin -c 8 -p Once,upon,a,time,there,was", "", tmp_path)
    assert done.returncode == 2
    assert "too many for a context of 8; shorten it, or give a larger one with -c." in done.stderr.decode()


def test_a_prompt_cache_of_august(model_t_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "T.bin").symlink_to(model_t_llama)
    flags = "--compat 2023-08 -m T.bin --prompt-cache c.bin -s 1 -c 64 -n 4 --temp 0 -p Once,upon,a,time"
    first, second = program(flags, "", tmp_path), program(flags, "", tmp_path)
    assert first.returncode == second.returncode == 0 and first.stdout == second.stdout
    assert "main: session file does not exist, will create" in first.stderr.decode()
    assert "main: session file has exact match for prompt!" in second.stderr.decode()
    assert "/     0 tokens" in second.stderr.decode()  # its last token is an evaluation of one
    done = program(flags.replace("-c 64", "-c 8 -ins"), "", tmp_path)
    assert done.returncode == 2 and "too many for a context of 8" in done.stderr.decode()
    done = program(f"{flags} --prompt-cache-all -ins", "", tmp_path)
    assert done.returncode == 2 and "keeps no replies of a conversation" in done.stderr.decode()


def test_guidance_of_august(model_t_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "T.bin").symlink_to(model_t_llama)
    flags = "--compat 2023-08 -m T.bin -s 1 -c 64 -n 4 --temp 0 -p Once,upon,a,time --cfg-negative-prompt "
    plain, same, other = (
        program(f"{flags} {more}", "", tmp_path).stdout
        for more in ("x", "Once,upon,a,time --cfg-scale 3", "No --cfg-scale 3")
    )
    assert plain == same != other  # nothing leads away from the prompt itself


def test_seeds() -> None:
    assert seed_of("2023-04", 7) == seed_of("2023-08", 7) == 7
    assert seed_of("2023-08", 0) == 0
    assert seed_of("2023-04", 0) > 1_600_000_000 and seed_of("2023-08", -1) > 1_600_000_000


# --- Ctrl+C ------------------------------------------------------------------------------------------------


class Pressing(Scripted):
    """Ctrl+C comes while the second token is sampled."""

    def sample(self, logits: Any, last: Any) -> int:
        if len(self.tokens) == 4:
            press_ctrl_c()
        return super().sample(logits, last)


def scene(rules: Any, typed: str, **options: Any) -> tuple[Program, Terminal, io.BytesIO]:
    out = io.BytesIO()
    terminal = Terminal(io.StringIO(typed), io.TextIOWrapper(out, "utf-8"), io.StringIO(), color="on")
    model = Pressing([5, 6, 7, 8, 9])
    options = {"prompt": "go", "n_ctx": 64, "interactive": True, "n_predict": 2, **options}
    console = Console(terminal, slash=rules.slash)
    return Program(rules, Options(**options), model, KnownTexts(TEXTS), model, console), terminal, out


def test_ctrl_c_in_a_text_gives_the_turn_to_the_user() -> None:
    run, terminal, out = scene(APRIL, "hi\n", n_predict=9)
    with pytest.raises(EndOfScriptError):
        talk(run, terminal, april=True)
    assert out.getvalue() == b"\x1b[33m<50>\x1b[0m<5>\n<6>\x1b[1m\x1b[32m\x1b[0m<7><8><9>"


@pytest.mark.parametrize(("april", "code"), [(True, None), (False, 130)])
def test_a_second_ctrl_c_ends_the_program(april: bool, code: int | None) -> None:
    run, terminal, out = scene(APRIL if april else AUGUST, "", interactive_first=True)

    class Source(io.StringIO):
        def readline(self, *args: Any) -> str:  # type: ignore[override]
            press_ctrl_c()
            return ""

    terminal.source = Source()
    if april:
        with pytest.raises(KeyboardInterrupt):
            talk(run, terminal, april=True)
    else:
        assert talk(run, terminal, april=False) == code
    assert out.getvalue().endswith(b"\n")


# --- the console -------------------------------------------------------------------------------------------


class Typing(Terminal):
    """Messages as the line editor gives them."""

    def __init__(self, *messages: str, multiline: bool = False) -> None:
        super().__init__(io.StringIO(), io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO())
        self.messages, self.multiline = list(messages), multiline
        self.prompts: list[str] = []

    def read_message(self, prompt: str = "> ", **options: Any) -> str | None:
        self.prompts.append(prompt)
        return self.messages.pop(0) if self.messages else None


def test_a_message_of_several_lines_comes_as_lines_that_go_on() -> None:
    terminal = Typing("one\ntwo", "three")
    console = Console(terminal, slash=True)
    console.write(b"text\n> ")
    assert [console.read_line() for _ in range(4)] == ["one\\", "two", "three", None]
    assert terminal.prompts == ["> ", "", ""]
    console = Console(Typing("one\ntwo", "three/", multiline=True), slash=True)
    assert [console.read_line() for _ in range(4)] == ["one", "two\\", "three/", None]


def test_the_banner_of_august() -> None:
    run, _, _ = scene(AUGUST, "", in_prefix="Q:", antiprompts=("A:",), n_keep=-1)
    lines = list(banner("2023-08", run, Settings(mirostat=2)))
    assert lines[:3] == ["main: interactive mode on.", "Reverse prompt: 'A:'", "Input prefix: 'Q:'"]
    assert lines[3].startswith(
        "sampling: repeat_last_n = 64, repeat_penalty = 1.100000, presence_penalty = 0."
    )
    assert "mirostat = 2, mirostat_lr = 0.100000, mirostat_ent = 5.000000" in lines[3]
    assert lines[4] == "generate: n_ctx = 64, n_batch = 8, n_predict = 2, n_keep = 2\n\n"
    assert " - To return control without starting a new line, end your input with '/'." in lines
