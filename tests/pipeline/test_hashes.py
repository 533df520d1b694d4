"""The table of published hashes: well-formed, complete, and true of the files that are at hand."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from alpaca_tui.pipeline.hashes import HF, LORA, MERGED, META, PUBLISHED, needs_first, published_for


def test_well_formed() -> None:
    assert len(PUBLISHED) == 64
    assert [sha256 for sha256 in PUBLISHED if not re.fullmatch("[0-9a-f]{64}", sha256)] == []
    assert all(p.sha256 == sha256 for sha256, p in PUBLISHED.items())
    parts = {"7B": (1, 2, 1), "13B": (2, 3, 2), "33B": (4, 7, 4)}
    for size, counts in parts.items():
        for kind, model, n in zip(
            (META, HF, MERGED), ("LLaMA", "LLaMA", "Chinese-Alpaca"), counts, strict=True
        ):
            assert len(published_for(kind, f"{model}-{size}")) == n
    assert published_for(MERGED, "Chinese-Alpaca-Pro-7B") == []
    assert len(published_for(LORA, "Chinese-Alpaca-Pro-33B")) == 1


def test_the_tutorials_model() -> None:
    found = PUBLISHED["fbfccc91183169842aac8d093379f0a449b5a26c5ee7a298baf0d556f1499b90"]
    assert (found.model, found.file_name) == ("Chinese-Alpaca-7B", "consolidated.00.pth")
    assert found.text == "the merged checkpoint of Chinese-Alpaca-7B"
    second = PUBLISHED[published_for(HF, "LLaMA-7B")[1]]
    assert second.file_name == "pytorch_model-00002-of-00002.bin"
    assert second.text == "part 2 of 2 of the Hugging Face checkpoint of LLaMA-7B"


@pytest.mark.parametrize(
    ("file", "model"),
    [("llama", "LLaMA"), ("chinese_llama", "Chinese-LLaMA"), ("chinese_alpaca", "Chinese-Alpaca")],
)
def test_tokenizers(kits: Path, file: str, model: str) -> None:
    data = (kits / f"tokenizers/{file}.model").read_bytes()
    assert PUBLISHED[hashlib.sha256(data).hexdigest()].model == model


def test_what_plus_builds_on() -> None:
    assert needs_first("Chinese-Alpaca-Plus-7B") == "Chinese-LLaMA-Plus-7B"
    assert needs_first("Chinese-Alpaca-Pro-33B") == "Chinese-LLaMA-Plus-33B"
    assert needs_first("Chinese-Alpaca-7B") is None
    assert needs_first("Chinese-LLaMA-Plus-7B") is None
