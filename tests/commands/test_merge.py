"""`alpaca-tui merge`: what it prints, the original script's flags, mistakes, and Ctrl+C."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alpaca_tui import cli
from alpaca_tui.commands import merge
from alpaca_tui.pipeline import hashes
from tests.checkpoints import H, hf_weights, lora_weights, write_hf, write_lora


def run(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> tuple[str, str]:
    assert cli.main(["merge", *map(str, argv)]) == code
    return capsys.readouterr()


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path, Path]:
    base = write_hf(tmp_path / "base")
    first = write_lora(tmp_path / "first", lora_weights(n_vocab=310), n_tokens=310)
    return base, first, write_lora(tmp_path / "second", lora_weights(seed=2, n_vocab=311), n_tokens=311)


def test_words(
    models: tuple[Path, Path, Path], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, first, second = models
    out, err = run(
        capsys, "--base_model", base, "--lora_model", f"{first}, {second}", "--output_dir", tmp_path / "o"
    )
    assert err == ""
    lines = out.splitlines()
    assert lines[:3] == [
        f"Base model: {base}",
        "Vocabulary of the base model: 300",
        f"LoRA: {first} (14 matrices, scaling 4), extends the vocabulary to 310",
    ]
    assert lines[4].startswith(f"Wrote {tmp_path / 'o' / 'consolidated.00.pth'} (")
    sha256 = lines[5].split()[-1]
    assert lines[-1] == f"Next: alpaca-tui convert {tmp_path / 'o'}"
    monkeypatch.setitem(
        hashes.PUBLISHED, sha256, hashes.Published(sha256, hashes.MERGED, "Chinese-Alpaca-7B")
    )
    out, _ = run(
        capsys, "--base-model", base, "--lora-model", f"{first},{second}", "--output-dir", tmp_path / "o"
    )
    assert f"  SHA256 {sha256}: the merged checkpoint of Chinese-Alpaca-7B, as published\n" in out


def test_the_scripts_other_flags_are_taken(models: tuple[Path, Path, Path], tmp_path: Path, capsys) -> None:
    base, first, _ = models
    out, _ = run(
        capsys, "--base_model", base, "--lora_model", first, "--output_type", "gguf",
        "--output_dir", tmp_path / "o",
        "--offload_dir", tmp_path, "--model_size", "7B", "--verbose", "-t", "1",
    )  # fmt: skip
    assert out.splitlines()[-1] == f"Next: alpaca-tui quantize {tmp_path / 'o/ggml-model-f16.gguf'} q4_0"


@pytest.mark.parametrize(
    "name", ["merge_llama_with_chinese_lora.py", "scripts/merge_llama_with_chinese_lora_low_mem.py"]
)
def test_the_scripts_own_names(name: str) -> None:
    assert cli.split_verb([name, "--base_model", "x"]) == ("merge", ["--base_model", "x"])


def test_mistakes(models: tuple[Path, Path, Path], tmp_path: Path, capsys) -> None:
    base, first, second = models
    for argv, message in (
        ([], "Name the folder of the original model"),
        (["--base_model", base], "Name the folder of the LoRA"),
        (["--base_model", base, "--lora_model", ", "], "Name the folder of the LoRA"),
        (["--base_model", base, "--lora_model", first, "--output_type", "onnx"], "no output type 'onnx'"),
        (
            ["--base_model", base, "--lora_model", f"{second},{first}"],
            "in the order in which they were trained",
        ),
        (
            ["--base_model", base, "--lora_model", first, "--output_dir", base / "config.json"],
            "cannot be made",
        ),
    ):
        _, err = run(capsys, *argv, code=2)
        assert message in err and err.count("\n") == 1


def test_warnings(tmp_path: Path, capsys) -> None:
    base = write_hf(tmp_path / "base")
    weights = lora_weights(modules=["mlp.up_proj"])
    weights["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"][0, 0] = float("nan")
    lora = write_lora(tmp_path / "lora", weights)
    out, _ = run(capsys, "--base_model", base, "--lora_model", lora, "--output_dir", tmp_path / "o")
    assert "Warning: blk.1.ffn_up.weight has 32 values that are NaN and 0 that are infinite.\n" in out


def test_the_output_types_in_the_help_are_those_there_are() -> None:
    from alpaca_tui.pipeline.merge import OUTPUT_TYPES

    assert merge._OUTPUT_TYPES == OUTPUT_TYPES


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")
def test_ctrl_c(tmp_path: Path) -> None:
    """In the middle of the work: the partial file goes, and no stack trace comes."""
    wide = dataclasses.replace(H, n_vocab=300, n_ff=96 << 10)
    base = write_hf(tmp_path / "base", hf_weights(wide), wide)
    lora = write_lora(tmp_path / "lora", lora_weights(wide))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "alpaca_tui", "merge", "--base_model", str(base), "--lora_model", str(lora),
         "--output_dir", str(out), "-t", "1"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)  # fmt: skip
    end = time.monotonic() + 20
    while not (out.is_dir() and any(out.iterdir())) and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")
    assert list(out.iterdir()) == []
