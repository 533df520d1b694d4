"""Safetensors files: what is read, and that headers are believed only as far as the file goes."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.files.safetensors import open_safetensors
from tests.checkpoints import save_safetensors

ARRAYS = {
    "a": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.array([1.5, -2.5], np.float16),
    "c": np.array([[0x3F80], [0xC000]], np.uint16),  # bf16 1, -2
}


def write(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def test_every_tensor_comes_as_it_was_saved(tmp_path: Path) -> None:
    with open_safetensors(save_safetensors(tmp_path / "m.safetensors", ARRAYS)) as checkpoint:
        assert list(checkpoint.tensors) == ["a", "b", "c"]
        for name, array in ARRAYS.items():
            assert np.array_equal(checkpoint.tensors[name].numpy(), array)
            assert not checkpoint.tensors[name].numpy().flags.owndata
        assert checkpoint.tensors["c"].f32().tolist() == [[1.0], [-2.0]]


def test_padding_metadata_and_scalars(tmp_path: Path) -> None:
    header = {"__metadata__": {"format": "pt"}} | entry(shape=(), offsets=(4, 8))
    raw = json.dumps(header).encode() + b"   "
    path = write(tmp_path / "m.safetensors", raw, struct.pack("<2f", 1, 2))
    with open_safetensors(path) as checkpoint:
        assert checkpoint.tensors["a"].numpy() == 2.0


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (entry(offsets=(0, 9)), "has 9 bytes"),
        (entry(shape=(3,), offsets=(0, 12)), "4 bytes are missing"),
        (entry(shape=(1 << 40, 1 << 40)), "has 8 bytes"),
        (entry(shape=(1 << 50,)), "described wrongly"),
        (entry(shape=(-2,)), "described wrongly"),
        (entry(shape=(1,) * 9), "described wrongly"),
        (entry(shape="x"), "described wrongly"),
        (entry(shape=(2.0,)), "described wrongly"),
        (entry(offsets=(0, 8, 8)), "described wrongly"),
        (entry(offsets=(8, 0)), "has -8 bytes"),
        (entry("F8_E4M3"), "F8_E4M3"),
        (entry(None), "None"),
        ({"a": 5}, "described wrongly"),
        ({}, "0 tensors"),
        ([], "no safetensors file"),
        (b"{" * 1000, "no JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON"),
        (b"hello", "no safetensors file"),
    ],
)
def test_what_disagrees_is_named(header: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="safetensors") as caught:
        open_safetensors(write(tmp_path / "m.safetensors", header, bytes(8)))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("length", "words"), [(1 << 62, "no safetensors"), (1 << 20, "its header"), (0, "no safe")]
)
def test_the_length_of_the_header_is_checked(length: int, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_safetensors(write(tmp_path / "m.safetensors", entry(), bytes(8), length))
    assert words in str(caught.value)


@given(data=st.data())
def test_damaged_files_end_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = save_safetensors(tmp_path_factory.mktemp("fuzz") / "m.safetensors", ARRAYS)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(1, len(raw))))])
    try:
        with open_safetensors(path) as checkpoint:
            assert sum(tensor.numpy().nbytes for tensor in checkpoint.tensors.values()) <= 3 * len(raw)
    except UserError as error:
        assert str(path) in str(error)
