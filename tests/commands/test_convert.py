"""`alpaca-tui convert`, by all its names, as the tutorials type it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui import cli
from alpaca_tui.files.model_file import open_model
from tests.checkpoints import hf_weights, write_hf, write_meta
from tests.ggml_writer import write_small


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ok(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[str, str]:
    """stdout and stderr of a command that succeeds."""
    code = cli.main([str(word) for word in argv])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out, err


def complaint(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The one sentence of a command that is refused."""
    assert cli.main([str(word) for word in argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("alpaca-tui: ") and err.count("\n") == 1
    return err


def test_the_tutorials_words(
    kits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both tutorials' steps, typed as they print them, from the folder that they say."""
    sums = dict(
        line.split()[::-1] for line in (kits / "alpaca/SHA256SUMS").read_text().splitlines() if "v1" in line
    )
    (tmp_path / "zh-models/7B").mkdir(parents=True)
    shutil.copy(kits / "alpaca/tokenizer.model", tmp_path / "zh-models")
    for name in ("consolidated.00.pth", "params.json"):
        shutil.copy(kits / "alpaca/7B" / name, tmp_path / "zh-models/7B")
    monkeypatch.chdir(tmp_path)
    f16, q4_0 = Path("zh-models/7B/ggml-model-f16.bin"), Path("zh-models/7B/ggml-model-q4_0.bin")
    out, _ = ok(capsys, *["convert-pth-to-ggml.py", "zh-models/7B/", "1"])
    assert out.startswith(f"Wrote {f16}, 16.9 MB, in ")
    assert sha256(f16) == sums["ggjt-v1/ggml-model-f16.bin"]
    ok(capsys, *["quantize", "./zh-models/7B/ggml-model-f16.bin", "./zh-models/7B/ggml-model-q4_0.bin", "2"])
    assert sha256(q4_0) == sums["ggjt-v1/ggml-model-q4_0.bin"]
    f16.unlink()
    ok(capsys, *["convert.py", "zh-models/7B/"])
    assert f16.stat().st_size == 16_903_744 and sha256(f16) != sums["ggjt-v1/ggml-model-f16.bin"]


def test_the_number_decides_the_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_meta(tmp_path / "7B")
    for argv, kind, first in (
        (("convert", folder, "1"), "f16", "layers.0.attention.wq"),
        (("convert-pth-to-ggml.py", folder, "0"), "f32", "layers.0.attention.wq"),
        (("convert", folder), "f16", "norm"),
        (("convert.py", folder), "f16", "norm"),
    ):
        ok(capsys, *argv)
        raw = (folder / f"ggml-model-{kind}.bin").read_bytes()
        second = sorted((raw.index(name), name) for name in (b"layers.0.attention.wq.weight", b"norm.weight"))
        assert second[0][1].decode().startswith(first)
        (folder / f"ggml-model-{kind}.bin").unlink()


def test_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_hf(tmp_path / "hf")
    out = tmp_path / "out.gguf"
    argv = [
        "convert",
        folder,
        "--outtype",
        "Q8_0",
        "--outfile",
        out,
        "--model_name",
        "llama",
        "--threads",
        "2",
    ]
    ok(capsys, *argv, "--container", "gguf", "--ctx_size", "4096", "-eps", "1e-5")
    with open_model(out) as model:
        assert (model.name, model.main_format, model.hparams.n_ctx_train) == ("llama", "q8_0", 4096)
    (tmp_path / "hf/tokenizer.model").rename(tmp_path / "elsewhere.model")
    ok(capsys, "convert", folder, "--vocab_dir", tmp_path / "elsewhere.model")


def test_what_is_said_about_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bf16 = {
        name: (a.view(np.uint32) >> 16).astype(np.uint16) for name, a in hf_weights(dtype=np.float32).items()
    }
    out, _ = ok(capsys, "convert", write_hf(tmp_path / "hf", bf16))
    assert "bf16, which became f32; --outtype f16" in out
    source = write_small(tmp_path / "old.bin", "ggjt", 1, "q4_0_v1")
    out, _ = ok(capsys, "convert", source, "--container", "gguf", "--outfile", tmp_path / "new.gguf")
    assert "keep their levels" in out
    out, _ = ok(
        capsys, "convert", source, "--container", "ggjt-v3", "-eps", "1e-5", "--outfile", tmp_path / "3.bin"
    )
    assert "norm_eps is 1e-05" in out and "-eps 1e-05" in out


def test_dump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_meta(tmp_path / "7B")
    (tmp_path / "tokenizer.model").unlink()
    out, _ = ok(capsys, "convert", folder, "--dump")
    lines = out.splitlines()
    assert lines[0] == str(folder / "consolidated.00.pth")
    assert lines[1].startswith(
        "params: n_vocab:300 n_embd:32 n_mult:32 n_head:4 n_head_kv:4 n_layer:2 n_ff:96"
    )
    assert "blk.1.ffn_down.weight: shape=[32, 96] type=f16" in lines
    assert not list(folder.glob("*.bin"))


def test_a_vocabulary_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_meta(tmp_path / "7B")
    out, _ = ok(capsys, "convert-pth-to-ggml.py", folder, "1", "1")
    assert out.startswith(f"Wrote {folder / 'ggml-vocab.bin'}, ")
    assert "needs --outfile" in complaint(capsys, "convert.py", folder, "--vocab-only")
    ok(capsys, "convert.py", folder, "--vocab-only", "--outfile", tmp_path / "v.bin")
    assert (tmp_path / "v.bin").is_file()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["2"], "0 (f32) or 1 (f16), not '2'"),
        (["1", "5"], "1 for the vocabulary only"),
        (["1", "--outtype", "f16"], "leave one of them out"),
        (["--outtype", "q9"], "There is no --outtype 'q9'"),
        (["--container", "zip"], "There is no container 'zip'"),
        (["--container", "ggjt-v1", "--outtype", "q8_0"], "ggjt-v1 files never held q8_0"),
        (["--threads", "0x"], "whole number from 1"),
        (["--threads", "1000"], "whole number from 1"),
        (["-c", "3"], "-c takes"),
        (["--outfile", "/no/such/folder/x.bin"], "There is no folder"),
        (["--nonsense"], "There is no flag --nonsense"),
    ],
)
def test_bad_words(argv: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in complaint(capsys, "convert", write_meta(tmp_path / "7B"), *argv)


def test_the_input_is_never_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_small(tmp_path / "ggml-model-f16.bin", "ggjt", 1)
    before = sha256(source)
    assert "is the file that is read" in complaint(capsys, "convert", source, "--outtype", "f16")
    assert sha256(source) == before


def test_odd_values_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = hf_weights(dtype=np.float32)
    weights["lm_head.weight"][3, 4:7] = (1e6, np.nan, np.inf)
    _, err = ok(capsys, "convert", write_hf(tmp_path / "hf", weights), "--outtype", "f16")
    assert "the tensor output.weight holds 1 NaN and 1 infinite values" in err
    assert "1 values of the tensor output.weight are beyond the range of f16" in err


def test_metadata(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, said = write_meta(tmp_path / "7B"), tmp_path / "metadata.json"
    texts = {"general.name": "Guide", "general.license": "MIT", "general.languages": ["en", "zh"]}
    said.write_text(json.dumps({**texts, "general.description": "Ein Führer"}), encoding="utf-8")
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    ok(capsys, "convert", folder, "--container", "gguf", "--metadata", said, "--outfile", first)
    ok(capsys, "quantize", first, second, "q8_0")
    for path in (first, second):
        with open_model(path) as model:
            assert texts.items() <= model.metadata.items() and model.name == "Guide"
            assert model.metadata["general.description"] == "Ein Führer"
    said.write_text(json.dumps({"general.license": "CC0", "general.author": "me"}), encoding="utf-8")
    ok(capsys, "convert", second, "--metadata", said, "--model-name", "New", "--outfile", tmp_path / "3.gguf",
       "--container", "gguf")  # fmt: skip
    with open_model(tmp_path / "3.gguf") as model:
        found = {key: model.metadata[f"general.{key}"] for key in ("name", "license", "author", "languages")}
        assert found == {"name": "New", "license": "CC0", "author": "me", "languages": ["en", "zh"]}
    assert "give --container gguf" in complaint(capsys, "convert", folder, "--metadata", said)
    for wrong in ('{"llama.block_count": "3"}', '{"general.architecture": "x"}', '{"general.name": 7}', "[]"):
        said.write_text(wrong)
        complaint(capsys, "convert", folder, "--container", "gguf", "--metadata", said)
