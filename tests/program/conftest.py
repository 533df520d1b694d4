"""The tests of the whole program need a pseudo-terminal, and a model whose replies are known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # pexpect has no pseudo-terminal there


@pytest.fixture(scope="session")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.program.parrot import write_parrot

    return write_parrot(tmp_path_factory.mktemp("model") / "parrot.gguf")
