"""The tutorials of 2023 from download to chat, typed as they print them, each tool behind `alpaca-tui`."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program.terminal import WAIT_SECONDS, environment

# alpaca.txt is looked up among the prompts that ship with the program
CHAT = (
    "./main -m zh-models/7B/ggml-model-q4_0.bin --color -f ./prompts/alpaca.txt -ins -c 2048 --temp 0.2 "
    "-n 256 --repeat_penalty 1.3"
)
QUANTIZE = "./quantize ./zh-models/7B/ggml-model-f16.bin ./zh-models/7B/ggml-model-q4_0.bin"


class Shell:
    """A folder, and commands typed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def type(self, line: str, text: str = "") -> str:
        """stdout of `alpaca-tui LINE`, which must end well; `text` is its input."""
        done = subprocess.run(
            [sys.executable, "-m", "alpaca_tui", *shlex.split(line)],
            input=text.encode(),
            capture_output=True,
            cwd=self.folder,
            env=environment(self.folder),
            timeout=WAIT_SECONDS,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def sha256(self, name: str) -> str:
        return hashlib.sha256((self.folder / "zh-models/7B" / name).read_bytes()).hexdigest()

    def copy(self, kit: Path, *names: str) -> None:
        for name in names:
            target = self.folder / "zh-models" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kit / name, target)

    def chat(self) -> None:
        """Two lines to the chat of the tutorials: two replies, and nothing else on stdout."""
        assert len(self.type(CHAT, "你好\n再见\n").split()) > 1


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def sums(kit: Path) -> dict[str, str]:
    lines = (kit / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


DOWNLOADS = ("tokenizer.model", "7B/consolidated.00.pth", "7B/params.json")


def test_the_first_tutorial(shell: Shell, kits: Path) -> None:
    kit = kits / "alpaca"
    shell.copy(kit, *DOWNLOADS)
    shell.type("convert-pth-to-ggml.py zh-models/7B/ 1")
    shell.type(f"{QUANTIZE} 2")
    expected = sums(kit)
    assert shell.sha256("ggml-model-f16.bin") == expected["ggjt-v1/ggml-model-f16.bin"]
    assert shell.sha256("ggml-model-q4_0.bin") == expected["ggjt-v1/ggml-model-q4_0.bin"]
    shell.chat()


def test_the_second_tutorial(shell: Shell, kits: Path) -> None:
    kit = kits / "convert-py"
    shell.copy(kit, *DOWNLOADS)
    shell.type("convert.py zh-models/7B/")
    shell.type(f"{QUANTIZE} 2")
    assert {shell.sha256(f"ggml-model-{kind}.bin") for kind in ("f16", "q4_0")} <= set(sums(kit).values())
    shell.chat()


def test_from_llama_and_two_loras(shell: Shell, kits: Path) -> None:
    loras = ",".join(str(kits / f"lora/chinese-{name}-plus-lora") for name in ("llama", "alpaca"))
    shell.type(
        f"scripts/merge_llama_with_chinese_lora.py --base_model {kits}/lora/base --lora_model {loras} "
        "--output_type pth --output_dir zh-models/7B"
    )
    shell.type("convert.py zh-models/7B/")
    shell.type(f"{QUANTIZE} 3")  # "the last argument may be 3"
    shell.chat()


def test_a_file_of_march_2023_is_migrated(shell: Shell, kits: Path) -> None:
    kit = kits / "legacy"
    shell.copy(kit, "tokenizer.model")
    (shell.folder / "zh-models/7B").mkdir()
    shutil.copyfile(kit / "ggml/ggml-model-q4_0.bin", shell.folder / "zh-models/7B/old.bin")
    shell.type("migrate-ggml-2023-03-30-pr613.py zh-models/7B/old.bin zh-models/7B/ggml-model-q4_0.bin")
    shell.chat()
