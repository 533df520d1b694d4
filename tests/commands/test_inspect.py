"""`alpaca-tui inspect`: what it prints, and what it says of a file that is no model."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui import cli
from tests.ggml_writer import write_small
from tests.gguf_writer import KV, write_llama


def output(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert cli.main(["inspect", *argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def words(out: str, name: str) -> str:
    """What stands after `name` in its line."""
    (line,) = [line for line in out.splitlines() if line.split() and line.split()[0] == name]
    return " ".join(line.split()[1:])


def test_gguf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = [KV("general.name", "str", "Tiny"), KV("llama.rope.scaling.type", "str", "linear"),
             KV("llama.rope.scaling.factor", "f32", 4.0)]  # fmt: skip
    out = output(capsys, str(write_llama(tmp_path / "m.gguf", "q4_1", extra=extra)))
    assert out.startswith(str(tmp_path / "m.gguf"))
    assert words(out, "model") == "Tiny (llama 103K q4_1, gguf v3)"
    assert words(out, "container") == "gguf version 3"
    assert words(out, "parameters") == "102,720 in 21 tensors"
    assert words(out, "context") == "128 tokens"
    assert words(out, "vocabulary") == "320 tokens" and "BOS 1, EOS 2" in out
    assert (words(out, "n_embd"), words(out, "n_head_kv"), words(out, "n_ff")) == ("64", "2", "96")
    assert (words(out, "norm_eps"), words(out, "rope_freq_scale")) == ("1e-05", "0.25")
    assert words(out, "q4_1") == "16 tensors 62.5 KiB" and words(out, "f32") == "5 tensors 1.2 KiB"
    assert "memory needed with -c 128" in out and words(out, "cache") == "32.0 KiB"


def test_2023_without_its_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = output(capsys, str(write_small(tmp_path / "m.bin", "ggml", 0, "q4_0_v1")), "-c", "512")
    assert words(out, "container") == "ggml, unversioned"
    assert words(out, "vocabulary") == "320 tokens (its tokenizer.model is missing)"
    assert words(out, "q4_0_v1").startswith("16 tensors")
    assert "memory needed with -c 512" in out and words(out, "cache") == "256.0 KiB"
    assert output(capsys, str(tmp_path / "m.bin"), "--ctx_size", "512") == out


@pytest.mark.parametrize(
    ("contents", "message"), [(b"", "empty"), (b"<html>", "web page"), (b"GGUF", "incomplete")]
)
def test_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str], contents: bytes, message: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(contents)
    assert cli.main(["inspect", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1


def test_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_llama(tmp_path / "m.gguf"))
    for argv, message in (
        (["-c", "3"], "-c takes"),
        ([], "required"),
        (["--top-k", "1"], "no flag --top-k"),
    ):
        assert cli.main(["inspect", *argv, *([path] if argv else [])]) == 2
        assert message in capsys.readouterr().err
