"""`alpaca-tui quantize`: its words, its table, and what becomes of interrupted work."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui import cli
from alpaca_tui.files.model_file import open_model
from alpaca_tui.pipeline.convert_rows import RowConverter
from tests.commands.test_convert import complaint, ok
from tests.files.test_blocks import golden_data
from tests.ggml_writer import write_ggml, write_small
from tests.gguf_writer import write_llama

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_small(tmp_path / "ggml-model-f16.bin", "ggjt", 1)


# --- what is printed ---------------------------------------------------------------------------------------

# As the quantize of llama.cpp 437e778 prints it.
APRIL = """\
llama_model_quantize_internal: loading model from '{path}'
llama_model_quantize_internal: n_vocab = 4
llama_model_quantize_internal: n_ctx   = 512
llama_model_quantize_internal: n_embd  = 4096
llama_model_quantize_internal: n_mult  = 256
llama_model_quantize_internal: n_head  = 32
llama_model_quantize_internal: n_layer = 1
llama_model_quantize_internal: f16     = 1
                                     norm.weight - [ 4096,     1], type =    f32 size =    0.016 MB
                           tok_embeddings.weight - [ 4096,     8], type =    f16 quantizing .. \
size =     0.12 MB ->     0.02 MB | hist: {hist}
llama_model_quantize_internal: model size  =     0.14 MB
llama_model_quantize_internal: quant size  =     0.04 MB
llama_model_quantize_internal: hist: {hist}
"""
HIST = "0.000 0.052 0.069 0.068 0.069 0.072 0.067 0.068 0.072 0.072 0.067 0.071 0.069 0.068 0.068 0.048 "


def test_the_table_of_april_2023(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = golden_data()
    path = tmp_path / "in.bin"
    records = [
        ("norm.weight", data[0], 0, (4096,)),
        ("tok_embeddings.weight", data.astype(np.float16), 1, (8, 4096)),
    ]
    write_ggml(path, "ggjt", 1, (4, 4096, 256, 32, 1, 128, 1), [b"x"] * 4, [0.0] * 4, records)
    out, _ = ok(capsys, "quantize", path, "2")
    assert out.startswith(APRIL.format(path=path, hist=HIST))
    assert f"Wrote {tmp_path / 'ggml-model-q4_0.bin'}, 37.1 kB, in 0:0" in out
    assert "The weights take 45.1 kB less: 55 %." in out


@pytest.mark.parametrize(
    ("container", "lines"),
    [
        # as llama-cpp-python 0.1.50, 0.1.78 and 0.3.36 print it
        ("ggjt-v2", [
            "[   1/  21]                tok_embeddings.weight -       64 x   320, type =    f16, quantizing "
            ".. size =     0.04 MB ->     0.02 MB | hist: ",
            "[   2/  21]                          norm.weight -               64, type =    f32, size =    "
            "0.000 MB",
        ]),
        ("ggjt-v3", [
            "[   1/  21]                tok_embeddings.weight -       64 x   320, type =    f16, quantizing "
            "to q8_0 .. size =     0.04 MB ->     0.02 MB | hist: ",
        ]),
        ("gguf", [
            "[   1/  21] output.weight                        - [    64,    320,      1,      1], type =    "
            "f16, converting to q8_0 .. size =     0.04 MiB ->     0.02 MiB",
            "llama_model_quantize_impl: model size  =     0.21 MiB (16.05 BPW)",
        ]),
    ],
)  # fmt: skip
def test_the_tables_of_later_times(
    container: str, lines: list[str], source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = ok(capsys, "quantize", source, source.parent / "out", "7", "--container", container)
    printed = out.splitlines()
    for line in lines:
        assert any(p.startswith(line) for p in printed), (line, printed[:3])


# --- its words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["2"], "ggml-model-q4_0.bin"),
        (["q4_1"], "ggml-model-q4_1.bin"),
        (["out.bin", "Q4_0", "2"], "out.bin"),
        (["out.bin", "2", "--container", "ggjt-v3", "--pure"], "out.bin"),
        (["8", "1", "--container", "ggjt-v2"], "ggml-model-q5_0.bin"),
        (["q4_0", "--container", "gguf"], "ggml-model-q4_0.gguf"),
        (["q4_0", "--leave-output-tensor", "--allow-requantize"], "ggml-model-q4_0.bin"),
    ],
)
def test_the_order_of_words(
    words: list[str],
    name: str,
    source: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(source.parent)
    ok(capsys, "quantize", source, *words)
    assert (source.parent / name).is_file()


@pytest.mark.parametrize(
    ("words", "complains"),
    [
        ([], "say what to quantise to"),
        (["out.bin"], "'out.bin' is no type; say what"),
        (["out.bin", "q9"], "There is no type 'q9'"),
        (["2", "x"], "whole number from 1"),
        (["2", "4", "5"], "one argument too many"),
        (
            ["7"],
            "ggjt-v1 files never held q8_0, only f32, f16, q4_0, q4_1; write it with --container ggjt-v2",
        ),
        (["2", "--container", "tar"], "There is no container"),
    ],
)
def test_bad_words(
    words: list[str], complains: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complains in complaint(capsys, "quantize", source, *words)


def test_help_lists_the_types(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["quantize", "--help"]) == 0
    out = capsys.readouterr().out
    assert "18  q6_K" in out and "--leave-output-tensor" in out


# --- bad days ----------------------------------------------------------------------------------------------


def test_ctrl_c_leaves_nothing_behind(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: RowConverter, *arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RowConverter, "run", interrupted)
    monkeypatch.setattr("sys.argv", ["alpaca-tui", "quantize", str(source), "2"])
    monkeypatch.setattr("signal.signal", lambda *args: None)
    with pytest.raises(SystemExit) as left:
        cli.run()
    assert left.value.code == 130
    assert [p.name for p in source.parent.iterdir()] == [source.name]


def test_a_full_disk_is_noticed_before_any_work(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 10**12, 1000))
    assert "1.0 kB are free; make room" in complaint(capsys, "quantize", source, "2")
    assert [p.name for p in source.parent.iterdir()] == [source.name]


def test_odd_values_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_llama(tmp_path / "in.gguf", "f16")
    with open_model(source) as model:
        at = model.tensors["blk.0.attn_v.weight"].parts[0].offset
    raw = bytearray(source.read_bytes())
    raw[at : at + 4] = np.array([np.nan, np.nan], np.float16).tobytes()
    source.write_bytes(raw)
    _, err = ok(capsys, "quantize", source, "q8_0")
    assert "the tensor blk.0.attn_v.weight holds 2 NaN and 0 infinite values" in err
