"""The twins against bytes that other programs wrote: sha256 of golden data D, and ggml's own layouts."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from alpaca_tui.files.blocks import FORMATS, by_ggml_type, type_name


def golden_data() -> np.ndarray:
    """f32 [8, 4096]: a linear congruential generator, blocks scaled by 2^-(b % 7), three special blocks."""
    x, states = 12345, []
    for _ in range(8 * 4096):
        x = (1664525 * x + 1013904223) % 2**32
        states.append(x)
    values = ((np.array(states, np.int64) >> 8) - 2**23) / 2**23
    blocks = values.astype(np.float32).reshape(-1, 32)
    blocks *= (2.0 ** -(np.arange(len(blocks)) % 7)).astype(np.float32)[:, None]
    blocks[3], blocks[5], blocks[9] = 0.0, 0.25, -0.25
    return blocks.reshape(8, 4096)


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    d = golden_data()
    assert hashlib.sha256(d.tobytes()).hexdigest().startswith("c6312b09017c0499")
    return d


# Written by llama.cpp 437e778 (q4_*_v1) and libggml-base 0.25.3 (today's); the others by rule.
GOLDEN = {
    "q4_0_v1": "f9cf312e73c4c05abdcf7b27ee8a28424c93cc022413a6181cbf3c86334cd2c2",
    "q4_1_v1": "2625909ecf7d4adb6df4e98d5010d384915e0d0b520e8306bbfa1ffdcce15502",
    "q4_0_v2": "3913684532476355fd86bbeee8464f17eb03849341935f2da98379140af2c0c1",
    "q4_1_v2": "3943d284888b0d0551c6787b80e9af8a19376c7bb85f722cb8373af237af6b09",
    "q5_0_v1": "db8243a0741d0277cd9533c19b4245e64cf7bd2a3769b56d92f34f03990cd6f4",
    "q5_1_v1": "07bbc42b2228f14718ca40e3540633bca1fec480eec966420dcc734542545c09",
    "q8_0_v1": "9af49c374b500cfbc6f9c5dacdbe4661c7c787c75c62dc0923c9be90a94421b3",
    "q4_0": "8d08f98363e5908fd505bde8902db37516d7c481f68bb34498b7d007b314159d",
    "q4_1": "f6dab02c8d7410e2c3b0c24fc32beb49703dc71ca344d8540aa250fabee7b3c7",
    "q5_0": "59dd7d1a685f83312464d098acabd73fa5198e48893f49da347354b2202db20d",
    "q5_1": "71409e8ec96d0d9c17218c2888b6dfdd6f9a3080a0e1cd9c9f1517f90ebcc120",
    "q8_0": "ff3e767e956375302cc1de25258997c0ef6103aea1d43b55a5ebd3ed0bcd8957",
    "q6_K": "483552dacb8c5c58695bc4fa12f2366e31f5018e779c4c6720c39da9c01f714c",
}
GOLDEN_F16 = {
    "q4_0_v1": "46fbb5bbfa4c5877f191ea6621b7943b427152b3a6fa6778c5161baac936f713",
    "q4_1_v1": "c834ea8e05cb5b632cad7cbbcf1403b1fa0719d00ae8eaa1af2ceed5654aade4",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_bytes(name: str, data: np.ndarray) -> None:
    out = FORMATS[name].quantize(data)
    assert out.shape == (8, FORMATS[name].row_bytes(4096))
    assert hashlib.sha256(out.tobytes()).hexdigest() == GOLDEN[name]


@pytest.mark.parametrize("name", GOLDEN_F16)
def test_golden_bytes_of_f16_input(name: str, data: np.ndarray) -> None:
    out = FORMATS[name].quantize(data.astype(np.float16).astype(np.float32))
    assert hashlib.sha256(out.tobytes()).hexdigest() == GOLDEN_F16[name]


def test_zero_block_keeps_the_sign_that_ggml_writes() -> None:
    zeros = np.zeros((1, 32), np.float32)
    assert FORMATS["q4_0"].quantize(zeros).tobytes() == b"\x00\x80" + b"\x88" * 16
    assert FORMATS["q4_0_v1"].quantize(zeros).tobytes() == b"\x00" * 4 + b"\x88" * 16
    assert FORMATS["q6_K"].quantize(np.zeros((1, 256), np.float32)).tobytes() == bytes(210)


def test_old_unit_vector() -> None:
    """llama.cpp of 2023-04-03, tests/test-quantize.c: the numbers 1 .. 32."""
    x = np.arange(1, 33, dtype=np.float32)[None]
    out = FORMATS["q4_0_v1"].quantize(x)[0]
    assert out[:4].view("<f4")[0] == np.float32(32 / 7)
    expected = np.round(x[0] / np.float32(32 / 7)).astype(int) + 8
    assert [int(q) for b in out[4:] for q in (b & 15, b >> 4)] == expected.tolist()


TOLERANCE = {"f32": 0.0, "f16": 2**-11, "bf16": 2**-8, "q4": 1 / 7, "q5": 1 / 15, "q8": 1 / 120, "q6": 1 / 15}


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_error(name: str, data: np.ndarray) -> None:
    fmt = FORMATS[name]
    back = fmt.dequantize(fmt.quantize(data))
    assert back.shape == data.shape and back.dtype == np.float32
    largest = np.abs(data.reshape(-1, max(32, fmt.block))).max(axis=1).repeat(max(32, fmt.block))
    limit = TOLERANCE[name if name in TOLERANCE else name[:2]]
    assert (np.abs(back - data).ravel() <= limit * largest + 1e-9).all()


def halves(k: int) -> tuple[int, int]:
    return k % 16, k // 16


def pairs(k: int) -> tuple[int, int]:
    return k // 2, k % 2


# name -> (type of the scale, has a minimum, has fifth bits, offset of a level, byte and half of element k)
LAYOUTS = {
    "q4_0": ("<f2", False, False, 8, halves),
    "q4_1": ("<f2", True, False, 0, halves),
    "q5_0": ("<f2", False, True, 16, halves),
    "q5_1": ("<f2", True, True, 0, halves),
    "q4_0_v1": ("<f4", False, False, 8, pairs),
    "q4_1_v1": ("<f4", True, False, 0, pairs),
    "q5_0_v1": ("<f2", False, True, 16, pairs),
    "q5_1_v1": ("<f2", True, True, 0, pairs),
    "q4_0_v2": ("<f4", False, False, 8, halves),
    "q4_1_v2": ("<f4", True, False, 0, halves),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_nibble_layout_by_element(name: str) -> None:
    """Each element from the words of the layout, one at a time, for random bytes."""
    dtype, has_min, has_fifth, offset, place = LAYOUTS[name]
    raw = np.random.default_rng(5).integers(0, 256, FORMATS[name].nbytes, np.uint8)
    size = np.dtype(dtype).itemsize
    head = np.array([-0.11, 0.77][: 1 + has_min], dtype)
    raw[: head.nbytes] = np.frombuffer(head.tobytes(), np.uint8)
    at = size * (1 + has_min)
    bits = int.from_bytes(raw[at : at + 4].tobytes(), "little") if has_fifth else 0
    at += 4 * has_fifth
    got = FORMATS[name].dequantize(raw[None])[0]
    for k in range(32):
        byte, half = place(k)
        q = (int(raw[at + byte]) >> (4 * half) & 15) | (bits >> k & 1) << 4
        low = np.float32(head[1]) if has_min else np.float32(0)
        assert got[k] == np.float32(q - offset) * np.float32(head[0]) + low


def test_q6_k_layout_by_element() -> None:
    raw = np.random.default_rng(5).integers(0, 256, 210, np.uint8)
    raw[208:] = np.frombuffer(np.float16(0.37).tobytes(), np.uint8)
    got = FORMATS["q6_K"].dequantize(raw[None])[0]
    for e in range(256):
        h, k, lane = e // 128, e // 32 % 4, e % 32
        low = int(raw[64 * h + 32 * (k & 1) + lane]) >> (4 if k >= 2 else 0) & 15
        high = int(raw[128 + 32 * h + lane]) >> (2 * k) & 3
        scale = int(raw[192 + e // 16].view(np.int8))
        step = np.float32(np.float16(0.37)) * np.float32(scale)
        assert got[e] == step * np.float32((low | high << 4) - 32)


finite = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([n for n in FORMATS if FORMATS[n].block == 32]), st.integers(0, 3), st.data())
def test_blocks_do_not_touch_each_other(name: str, rows: int, data: st.DataObject) -> None:
    fmt = FORMATS[name]
    x = data.draw(hnp.arrays(np.float32, (rows, 64), elements=finite))
    whole = fmt.quantize(x)
    assert whole.shape == (rows, fmt.row_bytes(64))
    np.testing.assert_array_equal(whole[:, : fmt.nbytes], fmt.quantize(x[:, :32]))
    np.testing.assert_array_equal(fmt.dequantize(whole)[:, 32:], fmt.dequantize(whole[:, fmt.nbytes :]))


def test_bf16_rounds_to_even_and_keeps_nan() -> None:
    x = np.array([[1.0, 1.00390625, 1.01171875, np.inf, -np.inf, np.nan]], np.float32)
    back = FORMATS["bf16"].dequantize(FORMATS["bf16"].quantize(x))[0]
    assert back[:5].tolist() == [1.0, 1.0, 1.015625, np.inf, -np.inf] and np.isnan(back[5])


def test_numbers_by_era() -> None:
    assert [by_ggml_type(2, era).name for era in (1, 2, 3)] == ["q4_0_v1", "q4_0_v2", "q4_0"]
    assert [by_ggml_type(6, era).name for era in (1, 2, 3)] == ["q5_0_v1", "q5_0", "q5_0"]
    assert by_ggml_type(14).name == "q6_K" and by_ggml_type(14, 2) is None and by_ggml_type(12) is None
    assert (type_name(12), type_name(30), type_name(99)) == ("q4_K", "bf16", "type 99")


def test_widths_are_checked() -> None:
    with pytest.raises(ValueError, match="blocks"):
        FORMATS["q4_0"].quantize(np.zeros((1, 33), np.float32))
    with pytest.raises(ValueError, match="blocks"):
        FORMATS["q4_0"].dequantize(np.zeros((1, 17), np.uint8))
    with pytest.raises(ValueError, match="blocks"):
        FORMATS["q6_K"].row_bytes(128)
