"""Verifying: hashes and lists of them, what a file is, and which part of a model is wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.pipeline import diagnose, verify
from alpaca_tui.pipeline.containers import CONTAINERS
from alpaca_tui.pipeline.convert import ConvertOptions, convert
from alpaca_tui.pipeline.hashes import LORA, Published
from alpaca_tui.pipeline.merge import merge
from tests.checkpoints import (
    H,
    hf_weights,
    lora_weights,
    save_pth,
    save_tokenizer,
    write_hf,
    write_lora,
    write_meta,
)

GROWN = dataclasses.replace(H, n_vocab=311)


def check(*paths: Path, expect: str | None = None) -> list[verify.Checked]:
    return list(verify.verify(paths, expect))


def texts(found: verify.Checked) -> str:
    return " | ".join(finding.text for finding in found.findings)


def folder_texts(folder: Path, **published: Published) -> list[tuple[bool, str]]:
    files = {folder / name.replace("__", "."): p for name, p in published.items()}
    return [(f.bad, f.text) for f in diagnose.findings_in(folder, files, 1, lambda *progress: None)]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- hashes ------------------------------------------------------------------------------------------------


def test_published_and_unknown_files(kits: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"abc")
    path = kits / "tokenizers/chinese_alpaca.model"
    known, unknown = check(path, tmp_path / "notes.txt")
    assert known.good is True and known.published is not None
    assert known.published.text == "the tokenizer of Chinese-Alpaca"
    assert unknown.good is None and unknown.sha256 == sha256(b"abc")
    assert (unknown.size, unknown.what, unknown.findings) == (3, "", [])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("SHA256SUMS", "{hash}  ./7B/a.dat\n"),
        ("SHA256SUMS", "{hash} *7B/a.dat\r\n"),
        ("sha256sum.txt", "{HASH}  7B\\a.dat\n"),
        ("SHA256SUMS.txt", "SHA256 (7B/a.dat) = {hash}\n"),
        ("7B/a.dat.sha256", "{hash}  a.dat\n"),
        ("7B/SHA256SUMS", "# comment\n\n{hash}  a.dat\n"),
    ],
)
def test_lists_with_names(tmp_path: Path, name: str, line: str) -> None:
    folder = tmp_path / "7B"
    folder.mkdir()
    path = folder / "a.dat"
    path.write_bytes(b"weights")
    right, wrong = sha256(b"weights"), sha256(b"others")
    (tmp_path / name).write_text(line.format(hash=right, HASH=right.upper()))
    (found,) = check(path)
    assert found.listed == Path(name).name and found.findings == []
    (tmp_path / name).write_text(line.format(hash=wrong, HASH=wrong.upper()))
    (found,) = check(path)
    assert found.good is False and f"{Path(name).name} expects {wrong}" in texts(found)


def test_markdown_tables(tmp_path: Path) -> None:
    (tmp_path / "x.dat").write_bytes(b"weights")
    (tmp_path / "SHA256.md").write_text(
        f"# SHA256\n| Model | SHA256 |\n| --- | --- |\n"
        f"| Chinese-LLaMA-13B | {'0' * 64}<br/>{sha256(b'weights')} |\n"
    )
    (found,) = check(tmp_path)
    assert found.listed == "SHA256.md (Chinese-LLaMA-13B)" and found.good is True


@given(st.binary(max_size=400))
def test_any_list_is_read(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "SHA256SUMS"
    path.write_bytes(data + b"\n" + b"0" * 64 + b"  name\n")
    assert list(verify.read_list(path).by_path.values())[-1:] == ["0" * 64]


def test_expected_hashes(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(b"weights")
    right = sha256(b"weights")
    for good in (
        right,
        f" {right.upper()}\n",
        f"{right[:8]}...{right[-3:]}",
        f"{right[:6]}…{right[-2:]}",
        f"{right[:20]}...",
    ):
        assert [f.bad for f in check(path, expect=good)[0].findings] == [False]
    (found,) = check(path, expect=f"{right[:-1]}{'0' if right[-1] != '0' else '1'}")
    assert found.good is False and "does not match" in texts(found)
    for nonsense in ("", "abc", right + "0", right[:63], "g" * 64, "ab...cd", f"{right}..."):
        with pytest.raises(UserError, match="--expect takes a SHA256"):
            check(path, expect=nonsense)
    (tmp_path / "b.dat").touch()
    with pytest.raises(UserError, match="goes with one file, and 2 were named"):
        check(tmp_path, expect=right)


def test_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no files"):
        check(tmp_path)
    with pytest.raises(UserError, match="There is no file or folder"):
        check(tmp_path / "absent")
    (tmp_path / "7B").mkdir()
    for name in ("7B/b.bin", "a.txt", ".hidden", "7B/c.bin.part", "SHA256SUMS"):
        (tmp_path / name).write_bytes(b"x" * 10)
    seen: list[tuple[int, int]] = []
    found = list(verify.verify([tmp_path, tmp_path / "a.txt"], progress=lambda d, t, w: seen.append((d, t))))
    assert [c.path.relative_to(tmp_path).as_posix() for c in found] == ["7B/b.bin", "a.txt"]
    assert seen == [(10, 20), (20, 20)]


# --- what a file is ----------------------------------------------------------------------------------------


def test_every_kind_is_named(tmp_path: Path) -> None:
    write_meta(tmp_path / "7B")
    write_hf(tmp_path / "hf", kind="safetensors")
    write_lora(tmp_path / "lora", lora_weights(r=6, n_vocab=310), r=6)
    convert(tmp_path / "7B", tmp_path / "f16.gguf", ConvertOptions("f16", CONTAINERS["gguf"]))
    with zipfile.ZipFile(tmp_path / "lora.zip", "w") as archive:
        archive.writestr("chinese_alpaca_lora_7b/adapter_model.bin", b"x")
    expected = {
        "7B/consolidated.00.pth": "a checkpoint of Meta's layout: 21 tensors in f16, 2 layers, 300 tokens",
        "hf/model.safetensors": "weights of a Hugging Face folder: 23 tensors in f16, 300 tokens",
        "lora/adapter_model.bin": "a LoRA of rank 6: 30 tensors in f32, 310 tokens",
        "lora.zip": "a .zip file with a LoRA, to be unpacked",
        "f16.gguf": "a model: llama 46K f16, gguf v3, 300 tokens",
        "tokenizer.model": "a vocabulary of 300 tokens",
        "7B/params.json": "",
    }
    found = {name: diagnose.what_it_is(tmp_path / name) for name in expected}
    assert {name: what for name, (what, _) in found.items()} == expected
    assert all(findings == [] for _, findings in found.values())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("consolidated.00.pth", b"version https://git-lfs.github.com/spec/v1\n", "only a git-lfs pointer"),
        ("consolidated.00.pth", b"<!DOCTYPE html><html>", "web page"),
        ("pytorch_model.bin", b"\0" * 2000, "begins with zeros"),
        ("lora.zip", b"PK\3\4 cut", "no whole .zip file"),
        ("tokenizer.model", b"abc", "no tokenizer.model"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    (found,) = check(tmp_path / name)
    assert message in texts(found) and found.good is False and not found.whole


@given(cut=st.floats(0, 0.999), kind=st.sampled_from(["pth", "safetensors", "gguf"]))
def test_cut_downloads_are_found(
    cut_files: dict[str, bytes], tmp_path_factory, cut: float, kind: str
) -> None:
    data = cut_files[kind]
    path = tmp_path_factory.getbasetemp() / f"model.{kind}"
    path.write_bytes(data[: 1 + int(cut * (len(data) - 2))])
    _, findings = diagnose.what_it_is(path)
    assert len(findings) == 1 and findings[0].bad and "\n" not in findings[0].text


@pytest.fixture(scope="module")
def cut_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("cut")
    pth = write_meta(folder / "7B") / "consolidated.00.pth"
    safetensors = write_hf(folder / "hf", kind="safetensors") / "model.safetensors"
    convert(folder / "7B", folder / "m.gguf", ConvertOptions("f16", CONTAINERS["gguf"]))
    return {p.suffix[1:]: p.read_bytes() for p in (pth, safetensors, folder / "m.gguf")}


# --- which part of a model is wrong ------------------------------------------------------------------------


def test_a_model_that_is_right_needs_no_words(tmp_path: Path) -> None:
    assert folder_texts(write_meta(tmp_path / "7B")) == []
    assert folder_texts(write_lora(tmp_path / "lora", lora_weights(n_vocab=310), n_tokens=310)) == []


def test_tokenizers(tmp_path: Path) -> None:
    folder = write_meta(tmp_path / "7B")
    save_tokenizer(tmp_path, 299)
    ((bad, text),) = folder_texts(folder)
    assert bad and "tokenizer.model has 299 tokens and the model 300 tokens" in text
    (tmp_path / "added_tokens.json").write_text(json.dumps({"[PAD]": 299}))
    assert folder_texts(folder) == []
    for path in tmp_path.glob("*.*"):
        path.unlink()
    ((_, text),) = folder_texts(folder)
    assert "There is no tokenizer.model" in text


def test_shards(tmp_path: Path) -> None:
    folder = write_hf(tmp_path / "hf", files=3)
    (folder / "pytorch_model-00002-of-00003.bin").unlink()
    ((bad, text),) = folder_texts(folder)
    assert bad and "pytorch_model-00002-of-00003.bin is missing" in text


def test_loras(tmp_path: Path) -> None:
    folder = write_lora(tmp_path / "lora", lora_weights(n_vocab=310))
    ((bad, text),) = folder_texts(folder)
    assert bad and "tokenizer.model is missing: this LoRA has 310 tokens" in text
    save_tokenizer(folder, 311)
    ((bad, text),) = folder_texts(folder)
    assert bad and "they belong to different models" in text
    save_tokenizer(folder, 310)
    plus = Published("", LORA, "Chinese-Alpaca-Plus-7B")
    ((bad, text),) = folder_texts(folder, adapter_model__bin=plus)
    assert not bad and "is merged after Chinese-LLaMA-Plus-7B" in text


@pytest.fixture
def as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that counts as the published Chinese-Alpaca-7B: one written as its merge script writes it."""
    base = write_hf(tmp_path / "base", hf_weights(GROWN), GROWN)
    right = tmp_path / "right"
    done = merge(base, [write_lora(tmp_path / "lora", lora_weights(GROWN))], "pth", right)
    monkeypatch.setattr(diagnose, "SIZES", {32: "7B"})
    monkeypatch.setattr(diagnose, "VOCABULARIES", {311: "Chinese-Alpaca"})
    hashes = {"Chinese-Alpaca-7B": list(done.sha256.values()), "Chinese-Alpaca-Plus-7B": ["0" * 64]}
    monkeypatch.setattr(diagnose, "published_for", lambda kind, model: hashes.get(model, []))
    return right


def test_the_same_weights_in_another_layout(as_published: Path, tmp_path: Path) -> None:
    text = "The weights are those published as Chinese-Alpaca-7B; only the layout of the file is another one."
    same = [(False, text)]
    with diagnose.open_pth(as_published / "consolidated.00.pth") as checkpoint:
        weights = {t.name: t.numpy().copy() for t in checkpoint.tensors.values()}
    other_order = dict(sorted(weights.items()))
    save_pth(as_published / "consolidated.00.pth", other_order)
    assert folder_texts(as_published) == same
    save_pth(as_published / "consolidated.00.pth", {n: a.astype(np.float32) for n, a in weights.items()})
    assert folder_texts(as_published) == same
    for name in ("ggjt-v1", "gguf"):
        path = tmp_path / f"m{CONTAINERS[name].suffix}"
        convert(as_published, path, ConvertOptions("f16", CONTAINERS[name]))
        found = list(diagnose.model_file_findings(path, 1, lambda *progress: None))
        assert [(f.bad, f.text) for f in found] == same
    merge(tmp_path / "base", [tmp_path / "lora"], "huggingface", tmp_path / "hf")
    save_tokenizer(tmp_path / "hf", 311)
    assert folder_texts(tmp_path / "hf") == same


def test_other_weights(as_published: Path) -> None:
    with diagnose.open_pth(as_published / "consolidated.00.pth") as checkpoint:
        weights = {t.name: t.numpy().copy() for t in checkpoint.tensors.values()}
    weights["norm.weight"][3] += 1
    save_pth(as_published / "consolidated.00.pth", weights)
    ((bad, text),) = folder_texts(as_published)
    assert bad and text.startswith(
        "The weights are not those published as Chinese-Alpaca-7B or Chinese-Alpaca-Plus-7B"
    )
    save_pth(as_published / "consolidated.00.pth", {n: a.astype(np.float32) for n, a in weights.items()})
    ((bad, text),) = folder_texts(as_published)
    assert bad and "held as f32, and the published ones as f16" in text


def test_published_shards_are_not_looked_at_again(as_published: Path) -> None:
    found = folder_texts(as_published, consolidated__00__pth=Published("", "merged checkpoint", "x"))
    assert found == []
