"""Torch checkpoints read without torch: both layouts, every shape of tensor, and nothing that runs."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.files.pth import open_pth
from alpaca_tui.files.unpickle import MAX_STEPS
from tests import torch_files as t
from tests.torch_files import Evil

ARRAYS = {
    "a": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.array([1.5, -2.5], np.float16),
    "c": np.array([[0x3F80, 0xC000]], np.uint16),  # bf16 1, -2
    "n": np.array(7, np.int64),
}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_pth(path)
    return str(caught.value)


# --- what is read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [t.save, t.save_legacy])
def test_every_tensor_comes_as_it_was_saved(save: Any, tmp_path: Path) -> None:
    with open_pth(save(tmp_path / "m.pth", ARRAYS)) as checkpoint:
        assert list(checkpoint.tensors) == list(ARRAYS)
        for name, array in ARRAYS.items():
            stored = checkpoint.tensors[name]
            assert stored.shape == array.shape
            assert np.array_equal(stored.numpy(), array)
        assert [x.dtype for x in checkpoint.tensors.values()] == ["f32", "f16", "bf16", "i64"]
        assert checkpoint.tensors["c"].f32().tolist() == [[1.0, -2.0]]
        assert checkpoint.tensors["a"].rows(1, 2).tolist() == [[4.0, 5.0, 6.0, 7.0]]


def test_tensors_are_views_of_the_file(tmp_path: Path) -> None:
    with open_pth(t.save(tmp_path / "m.pth", {"a": np.ones((64, 1024), np.float32)})) as checkpoint:
        view = checkpoint.tensors["a"].numpy()
        assert not view.flags.owndata and not view.flags.writeable
        checkpoint.tensors["a"].release()
        assert view.sum() == 64 * 1024


def test_strides_and_offsets_into_a_shared_storage(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32)
    shared = t.storage("FloatStorage", "0", 24)
    entries = {
        "transposed": t.tensor(shared, (4, 6), (1, 4)),
        "part": t.tensor(shared, (2, 3), (6, 2), offset=5),
        "empty": t.tensor(shared, (0, 3)),
    }
    path = t.save_zip(tmp_path / "m.pth", t.mapping(entries), {"0": values.tobytes()})
    with open_pth(path) as checkpoint:
        found = {name: x.numpy() for name, x in checkpoint.tensors.items()}
        assert np.array_equal(found["transposed"], values.reshape(6, 4).T)
        assert np.array_equal(found["part"], [[5, 7, 9], [11, 13, 15]])
        assert found["empty"].shape == (0, 3)
        assert checkpoint.tensors["transposed"].f32(1, 3).tolist() == values.reshape(6, 4).T[1:3].tolist()


def test_parameters_state_dicts_with_attributes_and_other_wrappings(tmp_path: Path) -> None:
    inner = t.tensor(t.storage("HalfStorage", "0", 2), (2,))
    hooks = t.name("collections", "OrderedDict") + b")R"
    parameter = t.name("torch._utils", "_rebuild_parameter") + b"(" + inner + b"\x88" + hooks + b"tR"
    function = t.name("torch._utils", "_rebuild_tensor_v2")
    args = inner[len(function) : -1]
    typed = (
        t.name("torch._tensor", "_rebuild_from_type_v2") + b"(" + function
        + t.name("torch.nn.parameter", "Parameter") + args + b"}tR"
    )  # fmt: skip
    state = (
        b"\x80\x02" + t.name("collections", "OrderedDict") + b")R(" + t.text("p") + parameter
        + t.text("t") + typed + b"u}" + t.text("_metadata") + hooks + b"sb"
    )  # fmt: skip
    wrapped = b"\x80\x02}" + t.text("model") + state[2:] + b"s."
    for data in (state + b".", wrapped):
        path = t.save_zip(tmp_path / "m.pth", data, {"0": np.array([1, 2], np.float16).tobytes()})
        with open_pth(path) as checkpoint:
            assert {name: x.numpy().tolist() for name, x in checkpoint.tensors.items()} == {
                "p": [1, 2], "t": [1, 2],
            }  # fmt: skip


def test_zip64_and_a_comment_at_the_end(tmp_path: Path) -> None:
    path = t.save(tmp_path / "m.pth", ARRAYS)
    raw = path.read_bytes()
    end = raw.rindex(b"PK\5\6")
    _, _, _, _, count, size, start, _ = struct.unpack_from("<4s4H2IH", raw, end)
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 3) + b"end"
    path.write_bytes(raw[:end] + record + locator + tail)
    with open_pth(path) as checkpoint:
        assert np.array_equal(checkpoint.tensors["a"].numpy(), ARRAYS["a"])


def test_big_endian_files_say_so(tmp_path: Path) -> None:
    import zipfile

    path = t.save(tmp_path / "m.pth", {"a": np.array([1, 2], np.float32).astype(">f4").view(np.float32)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", b"big")
    with open_pth(path) as checkpoint:
        assert checkpoint.tensors["a"].f32().tolist() == [1.0, 2.0]


def test_the_kits_are_what_torch_reads_there(kits: Path) -> None:
    with open_pth(kits / "legacy/7B/consolidated.00.pth") as checkpoint:
        assert len(checkpoint.tensors) == 292
        assert checkpoint.tensors["tok_embeddings.weight"].shape == (2000, 64)
        assert np.isfinite(checkpoint.tensors["layers.31.feed_forward.w2.weight"].f32()).all()


# --- what runs nothing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (os.system, ("touch hacked",)),
        (builtins.eval, ("1",)),
        (builtins.exec, ("1",)),
        (builtins.getattr, (1, "real")),
        (subprocess.Popen, (["true"],)),
        (np.frombuffer, (b"",)),
        (bytearray, (1,)),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_calls_something_is_refused_by_its_name(
    function: Any, args: tuple[Any, ...], protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"x": Evil(function, *args)}, protocol)
    message = refusal(t.save_zip(tmp_path / "m.pth", data, {}))
    assert function.__name__ in message and "nothing of it was run" in message
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    "asked",
    ["torch.load", "torch._utils._rebuild_qtensor", "torch.nn.Linear", "os.system", "torch.EvilStorage"],
)
def test_names_outside_of_the_table_are_refused_even_unused(asked: str, tmp_path: Path) -> None:
    module, _, what = asked.rpartition(".")
    path = t.save_zip(tmp_path / "m.pth", b"\x80\x02" + t.name(module, what) + b".", {})
    assert asked in refusal(path)


def test_objects_of_classes_are_not_made(tmp_path: Path) -> None:
    data = b"\x80\x02" + t.name("collections", "OrderedDict") + b")\x81."  # NEWOBJ
    assert "collections.OrderedDict" in refusal(t.save_zip(tmp_path / "m.pth", data, {}))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02" + b"]" * (MAX_STEPS + 1),  # an endless stack
        b"\x80\x02Nr\xff\xff\xff\x7f0Nr\xfe\xff\xff\x7f.",  # far places of the memo
        b"\x80\x02X\xff\xff\xff\x7f",  # a text of 2 GB
        b"\x80\x02\x8b\xff\xff\xff\x7f",  # a number of 2 GB
        b"\x80\x02" + b"(" * 1000 + b"t" * 1000 + b".",
        b"\x80\x02(" + b"N" * 1000 + b"l" + b"q\x00" + t.name("collections", "OrderedDict") + b"h\x00\x85R.",
        b"\x80\x02" + b")" + b"\x85" * 100_000 + b".",  # a tuple in a tuple, 100,000 deep
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns.",  # the same as a key
        b"\x80\x02}h\x07.", b"\x80\x02R.", b"\x80\x02t.", b"\x80\x02}u.", b"\x80\x02}Nb.", b"\x80\x02\xff",
        b"\x80\x02(KAQ.", b"c" + b"a" * 1000, b"", b"\x80\x02}", b"\x80\x02N.", b"\x80\x02NNs.",
    ],
)  # fmt: skip
def test_bombs_and_broken_pickles_end_in_a_sentence(data: bytes, tmp_path: Path) -> None:
    path = t.save_zip(tmp_path / "m.pth", data, {})
    tracemalloc.start()
    try:
        refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 120 << 20
    finally:
        tracemalloc.stop()


# --- what disagrees with the file --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (t.tensor(t.storage("FloatStorage", "0", 4), (2, 3)), "larger than its weights"),
        (t.tensor(t.storage("FloatStorage", "0", 4), (2,), (3,), offset=1), "larger than its weights"),
        (t.tensor(t.storage("FloatStorage", "0", 4), (1 << 40,), (0,)), "larger than its weights"),
        (t.tensor(t.storage("FloatStorage", "0", 400), (4,)), "lack 1,584 bytes"),
        (t.tensor(t.storage("FloatStorage", "9", 4), (4,)), "storage '9' is missing"),
        (t.tensor(t.storage("FloatStorage", "0", -4), (4,)), "described wrongly"),
        (t.tensor(t.storage("FloatStorage", "0", 4), (4,), offset=-1), "described wrongly"),
        (t.tensor(t.storage("FloatStorage", "0", 4), (-4,), (1,)), "described wrongly"),
        (t.tensor(t.storage("FloatStorage", "0", 4), (4,), (1, 1)), "described wrongly"),
        (t.tensor(t.storage("FloatStorage", "0", 4), (1,) * 9), "described wrongly"),
        (t.number(5), "no tensors"),
    ],
)
def test_sizes_that_disagree_are_named(described: bytes, words: str, tmp_path: Path) -> None:
    path = t.save_zip(tmp_path / "m.pth", t.mapping({"a": described}), {"0": bytes(16)})
    assert words in refusal(path)


def test_two_descriptions_of_one_storage_must_agree(tmp_path: Path) -> None:
    entries = {
        "a": t.tensor(t.storage("FloatStorage", "0", 4), (4,)),
        "b": t.tensor(t.storage("HalfStorage", "0", 8), (8,)),
    }
    path = t.save_zip(tmp_path / "m.pth", t.mapping(entries), {"0": bytes(16)})
    assert "described twice" in refusal(path)


def test_other_zip_files_are_told_apart(tmp_path: Path) -> None:
    import zipfile

    path = t.save(tmp_path / "m.pth", ARRAYS, compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "hello")
    assert "no PyTorch checkpoint" in refusal(path)
    path.write_bytes(b"GGUF" + bytes(100))
    assert "no PyTorch checkpoint" in refusal(path)
    path.write_bytes(pickle.dumps([1, 2], 2))
    assert "no PyTorch checkpoint" in refusal(path)


@pytest.mark.parametrize("save", [t.save, t.save_legacy])
@given(data=st.data())
def test_damaged_files_end_in_a_sentence(
    save: Any, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = save(tmp_path_factory.mktemp("fuzz") / "m.pth", ARRAYS)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(raw)), st.integers(1, len(raw))))
    path.write_bytes(raw[:cut])
    try:
        with open_pth(path) as checkpoint:
            for tensor in checkpoint.tensors.values():
                assert tensor.numpy().nbytes <= len(raw)
                tensor.f32() if tensor.dtype != "i64" else tensor.numpy().sum()
    except UserError as error:
        assert str(path) in str(error)
