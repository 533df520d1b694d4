"""`alpaca-tui verify`: its words and exit codes, and that Ctrl+C ends it at once."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alpaca_tui import cli
from tests.checkpoints import lora_weights, write_hf, write_lora, write_meta


def run(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> str:
    assert cli.main(["verify", *map(str, argv)]) == code
    out, err = capsys.readouterr()
    return out if code != 2 else err


def test_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_meta(tmp_path / "7B")
    pth = folder / "consolidated.00.pth"
    right = hashlib.sha256(pth.read_bytes()).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{right}  7B/{pth.name}\n")
    out = run(capsys, folder)
    assert f"{pth} (" in out and f"  SHA256 {right}\n  ok: as SHA256SUMS says\n" in out
    assert out.endswith("1 as published or listed, 0 wrong, 1 not in any list\n")
    pth.write_bytes(pth.read_bytes()[:-500])
    out = run(capsys, folder, code=1)
    assert f"  WRONG: SHA256SUMS expects {right}" in out and "  WRONG: " in out
    assert out.endswith("0 as published or listed, 1 wrong, 1 not in any list\n")


def test_expect(kits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = kits / "tokenizers/chinese_alpaca.model"
    out = run(capsys, path, "--expect", "2d967e85...a2f8")
    assert "  ok: the tokenizer of Chinese-Alpaca, as published\n  note: matches 2d967e85...a2f8\n" in out
    out = run(
        capsys, path, "--expect", "e2676d4ca29ca1750f6ff203328d73b189321dc5776ceede037cbd36541d70c0", code=1
    )
    assert "WRONG: does not match e2676d4c" in out
    assert "--expect takes a SHA256" in run(capsys, path, "--expect", "x", code=2)


def test_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, meta = write_hf(tmp_path / "hf"), write_meta(tmp_path / "7B")
    out = run(capsys, base, "--tensors")
    assert "  blk.0.attn_q.weight  32x32  f16\n" in out and out.splitlines()[-1].endswith("  all weights")
    assert run(capsys, base, "--tensors") == out
    assert "the same weights: all 21 tensors" in run(capsys, base, "--against", meta)
    lora = write_lora(tmp_path / "lora", lora_weights())
    out = run(capsys, base, "--against", meta, "--lora_model", lora, code=1)
    assert "with its LoRAs: other weights: 14 tensors have other values" in out
    assert (
        cli.main(
            [
                "merge",
                "--base-model",
                str(meta),
                "--lora-model",
                str(lora),
                "--output-dir",
                str(tmp_path / "m"),
            ]
        )
        == 0
    )
    capsys.readouterr()
    assert "the same weights" in run(capsys, tmp_path / "m", "--against", base, "--lora-model", lora)
    assert "name one" in run(capsys, base, meta, "--tensors", code=2)
    assert "goes with --against" in run(capsys, base, "--tensors", "--lora_model", lora, code=2)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")
def test_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(200 << 30)  # a hole, of which no disk is taken
    process = subprocess.Popen(
        [sys.executable, "-m", "alpaca_tui", "verify", str(path)], stderr=subprocess.PIPE
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130 and err == b""
    assert time.monotonic() - begin < 3
