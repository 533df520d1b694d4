"""What a file is by its first bytes, and how to say so when it is no model."""

from __future__ import annotations

import codecs
import stat
import struct
from pathlib import Path

from alpaca_tui.errors import UserError

HEAD = 512  # bytes looked at

_MODEL_WORDS = "this program reads GGUF files and the ggml, ggmf and ggjt .bin files of 2023"
_CONVERT = "convert it to GGUF or ggjt first and open the result"

# (first bytes, what the file is, what to do)
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a PyTorch checkpoint or a zip archive, not a converted model", _CONVERT),
    (b"\x80\x02", "a Python pickle (an old PyTorch checkpoint), not a converted model", _CONVERT),
    (b"\x89PNG", "a picture (PNG), not a model", "give the model file"),
    (b"\xff\xd8\xff", "a picture (JPEG), not a model", "give the model file"),
    (b"GIF8", "a picture (GIF), not a model", "give the model file"),
    (b"%PDF", "a PDF document, not a model", "give the model file"),
    (b"\x1f\x8b", "a gzip archive", "unpack it and open the model inside"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it and open the model inside"),
    (b"Rar!", "a RAR archive", "unpack it and open the model inside"),
    (b"\xfd7zXZ", "an xz archive", "unpack it and open the model inside"),
    (b"(\xb5/\xfd", "a Zstandard archive", "unpack it and open the model inside"),
    (b"algg", "a LoRA adapter (ggla), not a whole model", "name it with --lora, and its base model with -m"),
    (b"ALPSTATE", "a saved context of this program, not a model", "give the model file"),
    (b"nsgg", "a saved llama.cpp session (ggsn), not a model", "give the model file"),
    (
        b"version https://git-lfs",
        "only a git-lfs pointer, not the model itself",
        "fetch the model with `git lfs pull` or download it from the site",
    ),
)


def check_path(path: Path) -> int:
    """The size of the file in bytes. Raises UserError when there is no readable file with contents."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the path of the model.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"{path} is a folder; give the model file itself{_example(path)}.")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is no regular file; give the model file.")
    if status.st_size == 0:
        raise UserError(f"{path} is empty; download or copy it again.")
    return status.st_size


def _example(folder: Path) -> str:
    try:
        found = sorted(p.name for p in folder.iterdir() if p.suffix in (".gguf", ".bin") and p.is_file())
    except OSError:
        return ""
    return f", for example {folder / found[0]}" if found else ""


def refusal(path: Path, head: bytes) -> UserError:
    """Why a file that begins with `head` and has no model's magic cannot be opened."""
    for magic, kind, advice in _KINDS:
        if head.startswith(magic):
            return UserError(f"{path} is {kind}; {advice}.")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return UserError(f"{path} is a picture (WebP), not a model; give the model file.")
    if len(head) > 8 and struct.unpack_from("<Q", head)[0] < 1 << 30 and head[8:9] == b"{":
        return UserError(f"{path} is a safetensors checkpoint, not a converted model; {_CONVERT}.")
    if head[:1] == b"\n" and head[2:3] == b"\n" and len(head) > 16:
        return UserError(
            f"{path} looks like a tokenizer.model, a vocabulary without weights; give the model file, and "
            "this one with --tokenizer if the model needs it."
        )
    if not head.strip(b"\0"):
        return UserError(f"{path} begins with zeros only, an unfinished download perhaps; download it again.")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:16].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return UserError(
            f"{path} is a web page, not a model; download the file itself instead of the page about it."
        )
    if _is_text(head):
        return UserError(f"{path} is a text file, not a model; give the model file.")
    return UserError(
        f"{path} is not a model that this program knows (it begins with {head[:4]!r}); {_MODEL_WORDS}."
    )


def _is_text(head: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(head, len(head) < HEAD)  # the last character of a longer file may be cut
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\t\r\n\f" for c in text)
