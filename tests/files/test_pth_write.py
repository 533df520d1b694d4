"""Torch checkpoints written without torch: byte for byte those of torch.save, read back by our own reader.

The hashes are of files that torch 1.13.1 wrote of the same tensors.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.files import zip_write
from alpaca_tui.files.pth import open_pth
from alpaca_tui.files.pth_write import Entry, PthWriter, pickle_entries, pth_size
from alpaca_tui.files.zip_write import ZipWriter

Tensors = dict[str, tuple[str, np.ndarray]]  # name -> (dtype, values; bf16 as its bits)


def save(stem: str, tensors: Tensors) -> bytes:
    out = io.BytesIO()
    values = [array for _, array in tensors.values()]
    entries = [Entry(name, dtype, array.shape) for name, (dtype, array) in tensors.items()]
    writer = PthWriter(out, stem, entries)
    for index in writer.order:
        data = values[index].tobytes()
        writer.begin(index)
        for at in range(0, len(data), 1000):
            writer.write(data[at : at + 1000])
        writer.end()
    assert writer.finish() == len(out.getvalue()) == pth_size(stem, entries)
    return out.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def halves(shape: tuple[int, ...], seed: int) -> tuple[str, np.ndarray]:
    bits = (np.arange(np.prod(shape), dtype=np.int64) * 2654435761 + seed * 40503) >> 7 & 0x3BFF
    return "f16", bits.astype(np.uint16).view(np.float16).reshape(shape)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


MODEL: Tensors = {f"layers.{i}.w": halves((3, 5 + i % 7), i) for i in range(130)} | {
    "norm.weight": halves((16,), 777),
    "big": halves((300, 300), 778),
    "f32": ("f32", np.arange(8, dtype=np.float32)),
    "bf16": ("bf16", (floats(0, 1, 2, 3, 4, 5).view(np.uint32) >> 16).astype(np.uint16).reshape(1, 2, 3)),
}
ODD: Tensors = {
    "four": ("f32", np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)),
    "scalar": ("f32", np.array(2, np.float32)),
    "none": ("f16", np.zeros((0, 3), np.float16)),
    "中文": ("f16", np.ones(70000, np.float16)),
}


def many(n: int) -> Tensors:
    return {f"t{i}": ("f16", np.full(1, i % 7, np.float16)) for i in range(n)}


@pytest.mark.parametrize(
    ("stem", "tensors", "expected"),
    [
        ("consolidated.00", MODEL, "dca2515518919008d23f64e9541bf9785c199e56ce8c63511d3ec51b4bd5676d"),
        ("odd.x", ODD, "850463ea73bced0cb3bbce168bff5671b6b19679c709a28ec93987fdfcb1c53a"),
        (
            "one",
            {"one": ("f32", np.ones((2, 2), np.float32))},
            "a7c22cf75591fe93e1d78ddcf2577ad917a13d47ae4cb931e05785d37cc1ab24",
        ),
        ("many3", many(1000), "ff8400993797b371b769e5b2e38400266d32790e2b3457ae89562e0db81ecd9c"),
        ("many", many(1001), "c30ac1af09b23ff27e0e6d6706b13eadb6cda09d3e8c0c449b51b7cb52d8561d"),
        ("many2", many(2002), "887db167aa041e3b38797128aba6d5ca0166644d7338eb399196714f231e88ed"),
    ],
)
def test_torch_writes_the_same(stem: str, tensors: Tensors, expected: str) -> None:
    assert sha256(save(stem, tensors)) == expected


def test_beyond_4_gib_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member above 4 GiB (zeros), and one that begins there. The zeros are neither made nor read."""
    entries = [Entry("a", "f16", (5,)), Entry("huge", "f16", (134217734, 16)), Entry("after", "f16", (7, 3))]
    zeros = memoryview(mmap.mmap(-1, entries[1].nbytes))
    crc32 = zlib.crc32
    monkeypatch.setattr(
        zip_write.zlib, "crc32", lambda data, crc: 0x813A83B5 if data is zeros else crc32(data, crc)
    )
    out = bytearray()

    class Sink:
        def write(self, data: bytes | memoryview) -> None:
            if data is not zeros:
                out.extend(data)

    writer = PthWriter(Sink(), "big113", entries)
    one = np.ones(1, np.float16).tobytes()
    for index in writer.order:
        writer.begin(index)
        writer.write(zeros if index == 1 else one * entries[index].size)
        writer.end()
    assert writer.finish() == pth_size("big113", entries) == 4294968786
    assert sha256(bytes(out)) == "e34a814fce2e4dcfa690e83d85d919a3abd6a466c9428730f3de366a22a2f36e"


def test_a_torch_file_of_today_rebuilt(kits: Path) -> None:
    """Member by member: the archive's layout is still the same, and so is the description of the tensors."""
    path = kits / "lora/merged/7B/consolidated.00.pth"
    out = io.BytesIO()
    writer = ZipWriter(out, "consolidated.00")
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            data = archive.read(member)
            writer.add(member.filename.removeprefix("consolidated.00/"), data)
        description = archive.read("consolidated.00/data.pkl")
    writer.finish()
    assert out.getvalue() == path.read_bytes()
    with open_pth(path) as checkpoint:
        tensors = checkpoint.tensors.values()
        assert pickle_entries([Entry(t.name, t.dtype, t.shape) for t in tensors]) == description


@given(
    st.lists(
        st.tuples(st.sampled_from(["f16", "f32", "bf16"]), st.lists(st.integers(0, 70), max_size=4)),
        min_size=1,
        max_size=12,
    )
)
def test_our_reader_reads_it(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[str, list[int]]]
) -> None:
    rng = np.random.default_rng(1)
    dtypes = {"f16": np.float16, "f32": np.float32, "bf16": np.uint16}
    tensors: Tensors = {}
    for i, (dtype, shape) in enumerate(kinds):
        shape = [n % 7 for n in shape] if len(shape) > 2 else shape
        tensors[f"layers.{i}"] = dtype, rng.integers(0, 999, shape).astype(dtypes[dtype])
    path = tmp_path_factory.getbasetemp() / "x.pth"
    data = save("x", tensors)
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        offsets = [info.header_offset for info in archive.infolist()]
    for offset in offsets:
        name, extra = (int.from_bytes(data[offset + at : offset + at + 2], "little") for at in (26, 28))
        assert (offset + 30 + name + extra) % 64 == 0
    with open_pth(path) as checkpoint:
        assert list(checkpoint.tensors) == list(tensors)
        for name, (dtype, values) in tensors.items():
            found = checkpoint.tensors[name]
            assert (found.dtype, found.shape) == (dtype, values.shape)
            assert np.array_equal(found.numpy(), values)


@pytest.mark.parametrize("data", [b"12", b"12345"])
def test_what_has_the_wrong_size(data: bytes) -> None:
    writer = PthWriter(io.BytesIO(), "x", [Entry("a", "f32", (1,))])
    writer.begin(0)
    writer.write(data)
    with pytest.raises(ValueError, match=f"has {len(data)} bytes instead of 4"):
        writer.end()
