"""Models are found where programs put them, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alpaca_tui import system
from alpaca_tui.chat import model_places
from alpaca_tui.chat.model_places import find_models, places
from alpaca_tui.chat.remembered import Opened


def put(path: Path, data: bytes = b"GGUF", modified: float = 1e9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (modified, modified))
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(system, "data_dir", lambda: tmp_path / "data")
    monkeypatch.setattr(model_places, "LEVELS_UP", 2)  # not into the folder that all tests share
    return tmp_path / "home"


def names(home: Path, working: Path, environ: dict[str, str] | None = None) -> set[str]:
    return {found.path.name for found in find_models(places(environ or {}, home, working), [])}


def test_every_usual_place(home: Path, tmp_path: Path) -> None:
    working = tmp_path / "work" / "deep" / "er"
    put(working / "here.gguf")
    put(working / "models" / "7B" / "ggml-model-q4_0.bin", b"tjgg\3\0\0\0")
    put(tmp_path / "work" / "zh-models" / "7B" / "above.gguf")
    put(tmp_path / "data" / "models" / "ours.gguf")
    put(home / ".cache/llama.cpp" / "llama-cpp.gguf")
    put(home / ".lmstudio/models/someone/some-GGUF" / "studio.gguf")
    blob = put(home / ".cache/huggingface/hub/models--a--b/blobs/0123abcd")
    link = home / ".cache/huggingface/hub/models--a--b/snapshots/c0ffee/hub.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    assert names(home, working) == {
        "here.gguf", "ggml-model-q4_0.bin", "above.gguf", "ours.gguf", "llama-cpp.gguf", "studio.gguf",
        "hub.gguf",
    }  # fmt: skip


def test_the_environment_moves_the_caches(home: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "l.gguf")
    put(tmp_path / "hf" / "hub" / "models--a--b" / "snapshots" / "c" / "h.gguf")
    environ = {"LLAMA_CACHE": str(tmp_path / "elsewhere"), "HF_HOME": str(tmp_path / "hf")}
    assert names(home, tmp_path / "w", environ) == {"l.gguf", "h.gguf"}
    assert names(home, tmp_path / "w", {"HF_HUB_CACHE": str(tmp_path / "hf" / "hub")}) == {"h.gguf"}


def test_what_is_no_model_is_left_out(home: Path, tmp_path: Path) -> None:
    models = tmp_path / "a" / "b" / "models"
    put(models / "a-00001-of-00003.gguf")
    for name in ("a-00002-of-00003.gguf", "mmproj-x.gguf", ".hidden.gguf", "notes.txt"):
        put(models / name)
    put(models / "pytorch_model.bin", b"PK\3\4")
    put(models / "empty.gguf", b"")
    (models / "folder.gguf").mkdir()
    (models / "broken-link.gguf").symlink_to(models / "nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(models / "pipe.gguf")
        os.mkfifo(models / "pipe.bin")
    assert names(home, tmp_path / "a" / "b") == {"a-00001-of-00003.gguf"}


def test_a_model_is_there_once_and_the_last_opened_first(home: Path, tmp_path: Path) -> None:
    working = tmp_path / "a" / "b"
    old = put(working / "models" / "old.gguf", modified=1e9)
    new = put(working / "models" / "new.gguf", modified=1.5e9)
    used = put(tmp_path / "far" / "used.gguf")
    guide = put(tmp_path / "guide.gguf.d" / "guide.gguf", modified=1.6e9)
    (working / "models" / "same.gguf").symlink_to(used)
    recent = [Opened(used, 50.0), Opened(tmp_path / "gone.gguf", 60.0)]
    found = find_models(places({}, home, working), recent, guide)
    assert [f.path for f in found] == [used, new, old, guide]
    assert found[0].opened == 50.0 and found[-1].guide


def test_a_folder_without_end_is_left_in_time(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_places, "MAX_ENTRIES", 50)
    for i in range(100):
        put(tmp_path / "models" / f"{i:03}.gguf")
    assert 0 < len(names(home, tmp_path)) <= 50
    deep = tmp_path / "w" / "models" / "a" / "b" / "c"
    put(deep / "in.gguf")
    put(deep / "d" / "too-deep.gguf")
    (deep / "loop").symlink_to(tmp_path / "w")
    assert "too-deep.gguf" not in names(home, tmp_path / "w")
