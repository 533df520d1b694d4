"""What every screen looks like in Chinese, at three sizes: `looks` says how."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.looks import FOLDER, check, same_paths, stand_still
from tests.tui.scenes import SCENES


@same_paths
@pytest.mark.parametrize("name", SCENES)
async def test_it_looks_as_it_did(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_still(tmp_path, monkeypatch)
    await check(name, "zh", tmp_path)


def test_each_file_has_its_scene() -> None:
    assert {path.stem for path in (FOLDER / "zh").iterdir()} == set(SCENES)
