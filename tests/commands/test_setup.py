"""`alpaca-tui setup`: the questions on the command line, their defaults, and the way from kits to a chat."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import pytest

from alpaca_tui import cli
from alpaca_tui.commands.setup import Questions
from alpaca_tui.errors import UserError
from tests.checkpoints import lora_weights, write_hf, write_lora, write_meta


def run(
    capsys, monkeypatch: pytest.MonkeyPatch, *argv: object, answers: str = "", code: int = 0
) -> tuple[str, str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
    assert cli.main(["setup", "-t", "1", *map(str, argv)]) == code
    return capsys.readouterr()


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "zh models"
    write_meta(folder / "LLaMA/7B")
    write_lora(folder / "lora", lora_weights())
    return folder


def test_defaults(downloads: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = run(capsys, monkeypatch, downloads, "--yes")
    assert err == ""
    assert out.startswith(f"Found a LLaMA model (2 layers) in {downloads / 'LLaMA/7B'} (")
    assert "  2  merge and convert to f16 (writes " in out and "Quantise to q4_0 ...\n" in out
    assert out.endswith(f"Now chat with it:\n  alpaca-tui -m '{downloads / 'ggml-model-q4_0.gguf'}'\n")
    assert (downloads / "LLaMA/7B/consolidated.00.pth").exists()  # no default deletes
    again, _ = run(capsys, monkeypatch, downloads, "--yes")
    assert "Start" not in again and "..." not in again and again.endswith(out.splitlines()[-1] + "\n")


def test_questions(downloads: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = run(capsys, monkeypatch, downloads, answers="2\n\nq9\nq8_0\n\ny\nmaybe\nn\n\n")
    assert "Please answer with numbers from 1 to 1, separated by commas, or 0 for none." in out
    assert "Please answer with one of q4_0, q4_1," in out and "Please answer y or n." in out
    assert "of memory are free here" in out
    assert "Delete the model in f16 (" in out and "Deleted, " in out
    names = sorted(path.name for path in downloads.glob("ggml-model*"))
    assert names == ["ggml-model-q8_0.gguf"]
    out, _ = run(capsys, monkeypatch, downloads, "--type", "f16", answers="0\nn\n", code=1)
    assert out.endswith("Start? [Y/n] ")
    _, err = run(capsys, monkeypatch, downloads, answers="", code=2)
    assert "There was no answer" in err


def test_what_is_missing(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = run(capsys, monkeypatch, tmp_path, code=1)
    assert out.startswith(f"! {tmp_path} holds no model; put the original LLaMA")
    write_hf(tmp_path / "base")
    (tmp_path / "x.crdownload").touch()
    out, _ = run(capsys, monkeypatch, tmp_path, "-y", code=1)
    assert "! " in out and "is an unfinished download" in out
    out, _ = run(capsys, monkeypatch, tmp_path, "--type", "q4_0", answers="y\n\n\n\n")
    assert "Now chat with it" in out
    shutil.rmtree(tmp_path / "base")
    out, _ = run(capsys, monkeypatch, tmp_path)
    assert "There is a finished model already." in out
    assert str(tmp_path / "ggml-model-q4_0.gguf") in out
    _, err = run(capsys, monkeypatch, tmp_path / "absent", code=2)
    assert "There is no folder" in err


def test_several_models(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    write_hf(tmp_path / "a")
    write_hf(tmp_path / "b")
    out, _ = run(capsys, monkeypatch, tmp_path, "--type", "f16", answers="3\n1,2\n2\n\n\n\n")
    assert "numbers from 1 to 2" in out and "Please name one." in out and "Now chat with it" in out


def test_the_kit(kits: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """From downloads in the layout of Chinese-LLaMA-Alpaca to a model that answers."""
    shutil.copytree(kits / "lora", tmp_path / "lora", ignore=shutil.ignore_patterns("merged"))
    for path in [tmp_path / "lora", *(tmp_path / "lora").rglob("*")]:
        path.chmod(0o755)
    out, _ = run(capsys, monkeypatch, tmp_path / "lora", "--yes")
    assert "Found the LoRA chinese-llama-plus-lora (Chinese-LLaMA)" in out
    assert "Merge and convert to f16 ..." in out
    model = tmp_path / "lora/ggml-model-q4_0.gguf"
    assert cli.main(["main", "-m", str(model), "-p", "你好", "-n", "4", "--temp", "0", "-t", "1"]) == 0


def test_answers(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Questions(True).numbers("Which?", 3, [2, 1]) == [2, 1]
    assert Questions(True).numbers("Which?", 3, []) == []
    assert Questions(True).yes_or_no("Delete?", default=False) is False
    monkeypatch.setattr(sys, "stdin", io.StringIO("4\n3 1\n0\n\n是\n"))
    ask = Questions(False)
    assert ask.numbers("Which?", 3, [1]) == [3, 1]
    assert ask.numbers("Which?", 3, [1]) == []
    assert ask.line("Which?", "2") == "2"
    assert ask.yes_or_no("Delete?", default=False) is True
    with pytest.raises(UserError, match="There was no answer"):
        ask.line("Which?", "1")
