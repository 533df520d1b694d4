"""`alpaca-tui perplexity`: what it prints, as text and as JSON, alone and beside another model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from alpaca_tui import cli
from tests.gguf_writer import write_llama

WORDS = "the lazy dog jumps over the quick brown fox and then some more " * 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("m") / "m.gguf", "f16")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(WORDS)
    return path


def run(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> tuple[str, str]:
    assert cli.main(["perplexity", "-t", "1", *map(str, argv)]) == code
    return capsys.readouterr()


def test_text(model: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "-m", model, "-f", text, "-c", 32, "-b", 8, "--chunks", 2)
    assert re.fullmatch(
        r"\[1\]\d+\.\d{4},\[2\](\d+\.\d{4}),\nFinal estimate: PPL = \1 \+/- \d+\.\d{5}\n", out
    )
    assert "2 windows of 32 tokens" in err


def test_json(model: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "-m", model, "-f", text, "--ctx_size", 32, "--json")
    facts = json.loads(out)
    assert facts["n_ctx"] == 32 and facts["n_scored"] == 15 * facts["n_chunks"]
    assert len(facts["running"]) == facts["n_chunks"] and facts["running"][-1] == facts["ppl"]
    assert facts["ppl_error"] > 0 and facts["text"] == str(text)


def test_two_models(model: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "base.bin"
    out, _ = run(capsys, "-m", model, "-f", text, "-c", 32, "--kl-divergence-base", base)
    ppl = float(out.split("PPL = ")[1].split()[0])
    out, _ = run(capsys, "-m", model, "--kl_divergence_base", base, "--kl-divergence")
    assert re.search(r"\[2\] PPL .* KLD -?0\.0000\d ± 0\.0000\d  same top 100\.00 ± 0\.00 %", out)
    for label in ("Mean PPL(Q) ", "Mean KLD ", "Maximum KLD ", "99.9%   KLD ", "Median  Δp ", "RMS Δp "):
        assert f"\n{label}" in out
    other = write_llama(tmp_path / "q4.gguf", "q4_0")
    out, _ = run(
        capsys, "-m", other, "--kl-divergence-base", base, "--kl-divergence", "--json", "--chunks", 2
    )
    facts = json.loads(out)
    assert facts["n_chunks"] == 2 and facts["n_ctx"] == 32
    assert 1e-4 < facts["kl_divergence"]["kld_mean"][0] < 1
    assert facts["kl_divergence"]["ppl_base"][0] == pytest.approx(ppl, rel=0.5)


def test_mistakes(model: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, message in (
        (["-m", model], "Name the text with -f"),
        (["-m", model, "-f", text], "a context of 512 takes at least 1,024"),
        (["-m", model, "-f", tmp_path / "no.txt", "-c", 32], "no.txt cannot be read"),
        (["-m", model, "--kl-divergence"], "--kl-divergence needs --kl-divergence-base"),
        (["-m", model, "--kl-divergence", "--kl-divergence-base", text], "holds no log-probabilities"),
        (["-m", model, "-f", text, "--chunks", "0"], "--chunks takes"),
    ):
        out, err = run(capsys, *argv, code=2)
        assert out == "" and message in err and err.count("\n") == 1
    base = tmp_path / "base.bin"
    run(capsys, "-m", model, "-f", text, "-c", 32, "--chunks", 1, "--kl-divergence-base", base)
    _, err = run(capsys, "-m", model, "-c", 64, "--kl-divergence", "--kl-divergence-base", base, code=2)
    assert "was made with -c 32" in err
