"""Fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.model_t import write_model_t

# Two cores that others use too: a slow example is no failure.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


@pytest.fixture(scope="session")
def kits() -> Path:
    """The folder of files that other programs made, named by ALPACA_TUI_KITS; skips without it."""
    folder = os.environ.get("ALPACA_TUI_KITS")
    if not folder:
        pytest.skip("ALPACA_TUI_KITS does not name the folder of kits")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"ALPACA_TUI_KITS = {folder} is no folder")
    return path


@pytest.fixture(scope="session")
def model_t(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model T (30 MB, ggjt v1 f16) with the placeholder vocabulary: the same weights and logits."""
    return write_model_t(tmp_path_factory.mktemp("model_t") / "T-f16.bin")


@pytest.fixture(scope="session")
def model_t_llama(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model T with LLaMA's vocabulary, byte for byte the file of the golden runs; needs the kits."""
    folder = tmp_path_factory.mktemp("model_t_llama")
    return write_model_t(folder / "T-f16.bin", kits / "tokenizers/llama.model")
