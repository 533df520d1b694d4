"""Files that are no models are refused in a sentence that says what they are."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from alpaca_tui.files.sentencepiece_proto import write_bpe_proto
from alpaca_tui.files.sniff import refusal
from tests.gguf_writer import write_llama

TOKENIZER = write_bpe_proto([b"<unk>", b"a"], [0.0, 0.0], [2, 1], unk=0, bos=-1, eos=-1, byte_fallback=False)
SAFETENSORS = struct.pack("<Q", 64) + b'{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'

KINDS = [
    (b"PK\x03\x04 archive/data.pkl", "PyTorch checkpoint or a zip archive"),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "Python pickle"),
    (SAFETENSORS, "safetensors checkpoint"),
    (b"\x89PNG\r\n\x1a\n....", "picture (PNG)"),
    (b"\xff\xd8\xff\xe0..JFIF", "picture (JPEG)"),
    (b"GIF89a......", "picture (GIF)"),
    (b"RIFF....WEBPVP8 ", "picture (WebP)"),
    (b"%PDF-1.7", "PDF"),
    (b"\x1f\x8b\x08....", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"\xfd7zXZ\0", "xz"),
    (b"(\xb5/\xfd....", "Zstandard"),
    (b"algg\x01\0\0\0", "LoRA adapter (ggla)"),
    (b"nsgg\x01\0\0\0", "session (ggsn)"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4212859520\n", "git-lfs pointer"),
    (b"<!DOCTYPE html>\n<html>", "web page"),
    (b"\xef\xbb\xbf  \n<HTML lang=en>", "web page"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "web page"),
    (TOKENIZER, "tokenizer.model"),
    (bytes(4096), "zeros only"),
    (b"Entry not found\n", "text file"),
    ("错误：未找到。".encode() * 60, "text file"),
    (b"\x01\x02\x03\x04 nonsense", "begins with b'\\x01\\x02\\x03\\x04'"),
    (b"ggml", "text file"),
    (b"x", "text file"),
    (b"\xff", "not a model that this program knows"),
]


@pytest.mark.parametrize(("contents", "kind"), KINDS)
def test_what_a_file_is(tmp_path: Path, contents: bytes, kind: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(contents)
    with pytest.raises(UserError) as caught:
        open_model(path)
    message = str(caught.value)
    assert kind in message and message.startswith(str(path)) and message.endswith(".") and "\n" not in message


def test_the_real_tokenizers_are_known(kits: Path) -> None:
    for path in sorted((kits / "tokenizers").glob("*.model")):
        with pytest.raises(UserError, match=r"looks like a tokenizer\.model"):
            open_model(path)


def test_a_real_checkpoint_is_known(kits: Path) -> None:
    with pytest.raises(UserError, match="PyTorch checkpoint"):
        open_model(kits / "legacy/7B/consolidated.00.pth")


def test_paths_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        open_model(tmp_path / "absent.gguf")
    with pytest.raises(UserError, match=r"does not exist|cannot be opened"):
        open_model(tmp_path / "absent" / "m.gguf")
    with pytest.raises(UserError, match=r"is a folder; give the model file itself\."):
        open_model(tmp_path)
    model = write_llama(tmp_path / "b.gguf")
    with pytest.raises(UserError, match=r"is a folder; .*, for example .*b\.gguf\."):
        open_model(tmp_path)
    with pytest.raises(UserError, match="cannot be opened"):
        open_model(f"{model}\0")
    with pytest.raises(UserError):
        open_model(model / "below")
    (tmp_path / "empty.bin").touch()
    with pytest.raises(UserError, match="is empty"):
        open_model(tmp_path / "empty.bin")


@pytest.mark.skipif(sys.platform == "win32", reason="has no FIFOs")
def test_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="no regular file"):
        open_model(tmp_path / "pipe")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user without all rights")
def test_unreadable(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "m.gguf")
    path.chmod(0)
    with pytest.raises(UserError, match="cannot be read: Permission denied"):
        open_model(path)


@given(st.binary(max_size=600))
def test_any_bytes_have_an_answer(head: bytes) -> None:
    assert str(refusal(Path("m.bin"), head)).startswith("m.bin ")
