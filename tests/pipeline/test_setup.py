"""The guided path: what a folder holds and lacks, steps that are done once, and nothing half done."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from alpaca_tui.pipeline import setup as st
from alpaca_tui.pipeline import survey as sv
from alpaca_tui.pipeline.digests import compare, tensor_digests
from alpaca_tui.pipeline.find import open_source
from alpaca_tui.pipeline.hashes import PUBLISHED, Published
from alpaca_tui.pipeline.merge import open_for_merge
from alpaca_tui.pipeline.quantize import quantize
from alpaca_tui.pipeline.survey import survey
from tests.checkpoints import H, hf_weights, lora_weights, save_tokenizer, write_hf, write_lora, write_meta

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def small_vocabularies(monkeypatch: pytest.MonkeyPatch) -> None:
    """310 tokens stand for Chinese-LLaMA's, 311 for Chinese-Alpaca's, 300 for LLaMA's."""
    names = {300: "LLaMA", 310: "Chinese-LLaMA", 311: "Chinese-Alpaca"}
    monkeypatch.setattr(sv, "VOCABULARIES", names)
    monkeypatch.setattr(sv, "SIZES", {32: "7B"})
    monkeypatch.setattr(sv, "CHINESE_LLAMA_TOKENS", 310)
    monkeypatch.setattr(sv, "CHINESE_ALPACA_TOKENS", 311)


def lora(folder: Path, n_vocab: int, seed: int = 1) -> Path:
    return write_lora(folder, lora_weights(n_vocab=n_vocab, seed=seed), n_tokens=n_vocab)


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "zh-models"
    write_meta(folder / "LLaMA/7B")
    lora(folder / "chinese-llama-plus-lora-7b", 310)
    lora(folder / "chinese-alpaca-plus-lora-7b", 311, 2)
    return folder


def plan_for(folder: Path, kind: str = "q4_0") -> st.Plan:
    found = survey(folder)
    assert found.problems == []
    model = found.usual_model
    assert model is not None
    return st.make_plan(folder, model, found.usual_loras(model), kind, 1)


def carry_out(plan: st.Plan) -> list[str]:
    """The titles of the steps that it took."""
    todo = plan.todo
    for step in todo:
        step.run(lambda done, total, what: None)
    return [step.title for step in todo]


# --- what is there -----------------------------------------------------------------------------------------


def test_a_whole_folder(downloads: Path) -> None:
    found = survey(downloads)
    assert [(m.name, m.is_base, m.has_tokenizer) for m in found.models] == [("LLaMA-7B", True, True)]
    assert found.models[0].nbytes == (downloads / "LLaMA/7B/consolidated.00.pth").stat().st_size
    assert [each.n_vocab for each in found.loras] == [311, 310]
    assert [each.folder.name for each in found.usual_loras(found.models[0])] == [
        "chinese-llama-plus-lora-7b",
        "chinese-alpaca-plus-lora-7b",
    ]
    assert found.problems == []


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ({"chinese-alpaca-lora-7b": 311}, ["chinese-alpaca-lora-7b"]),
        ({"chinese-llama-lora-7b": 310}, ["chinese-llama-lora-7b"]),
        ({"chinese-alpaca-lora-7b": 311, "chinese-llama-lora-7b": 310}, ["chinese-alpaca-lora-7b"]),
        (
            {
                "chinese-alpaca-lora-7b": 311,
                "chinese-alpaca-pro-lora-7b": 311,
                "chinese-llama-plus-lora-7b": 310,
            },
            ["chinese-llama-plus-lora-7b", "chinese-alpaca-pro-lora-7b"],
        ),
        ({"english-lora": 300}, ["english-lora"]),
    ],
)
def test_the_usual_loras(tmp_path: Path, names: dict[str, int], chosen: list[str]) -> None:
    write_hf(tmp_path / "base")
    for name, n_vocab in names.items():
        lora(tmp_path / name, n_vocab)
    found = survey(tmp_path)
    assert [each.folder.name for each in found.usual_loras(found.models[0])] == chosen
    assert found.problems == []


def test_a_merged_model_wants_no_lora(tmp_path: Path, downloads: Path) -> None:
    merged = dataclasses.replace(H, n_vocab=311)
    write_hf(downloads / "merged", hf_weights(merged), merged)
    found = survey(downloads)
    models = {model.name: model for model in found.models}
    assert sorted(models) == ["Chinese-Alpaca-7B", "LLaMA-7B"]
    assert found.usual_model is models["LLaMA-7B"]
    assert found.usual_loras(models["Chinese-Alpaca-7B"]) == []
    shutil.rmtree(downloads / "LLaMA")
    (problem,) = survey(downloads).problems
    assert "LoRAs are merged into the original LLaMA, which is missing" in problem.text


# --- what is missing ---------------------------------------------------------------------------------------


def problems(folder: Path) -> str:
    found = [problem.text for problem in survey(folder).problems]
    assert all(text.endswith(".") and "\n" not in text for text in found)
    return " ".join(found)


def test_missing_parts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no folder"):
        survey(tmp_path / "absent")
    assert "holds no model; put the original LLaMA" in problems(tmp_path)
    lora(tmp_path / "chinese-alpaca-plus-lora-7b", 311)
    assert "Beside the LoRA the original LLaMA" in problems(tmp_path)
    base = write_hf(tmp_path / "base", files=2)
    assert "builds on the LoRA Chinese-LLaMA-Plus of the same size, which is missing" in problems(tmp_path)
    lora(tmp_path / "chinese-llama-plus-lora-7b", 310)
    assert problems(tmp_path) == ""
    (tmp_path / "chinese-llama-plus-lora-7b/tokenizer.model").unlink()
    assert "tokenizer.model is missing: the LoRA there has 310 tokens" in problems(tmp_path)
    save_tokenizer(tmp_path / "chinese-llama-plus-lora-7b", 311)
    assert "they belong to different models" in problems(tmp_path)
    (base / "pytorch_model-00002-of-00002.bin").unlink()
    assert "pytorch_model-00002-of-00002.bin is missing" in problems(tmp_path)


def test_downloads_that_are_not_ready(tmp_path: Path) -> None:
    write_meta(tmp_path / "7B")
    (tmp_path / "consolidated.01.pth.crdownload").touch()
    assert "is an unfinished download" in problems(tmp_path)
    (tmp_path / "consolidated.01.pth.crdownload").unlink()
    with zipfile.ZipFile(tmp_path / "chinese_alpaca_lora_7b.zip", "w") as archive:
        archive.writestr("adapter_model.bin", b"x")
    assert "chinese_alpaca_lora_7b.zip holds a LoRA; unpack it into" in problems(tmp_path)
    lora(tmp_path / "chinese_alpaca_lora_7b", 311)
    assert problems(tmp_path) == ""
    (tmp_path / "tokenizer.model").unlink()
    assert problems(tmp_path) == ""  # the LoRA has one
    shutil.rmtree(tmp_path / "chinese_alpaca_lora_7b")
    (tmp_path / "chinese_alpaca_lora_7b.zip").unlink()
    assert "tokenizer.model is missing; put it into" in problems(tmp_path)


# --- the way -----------------------------------------------------------------------------------------------


def test_from_downloads_to_a_model(downloads: Path, tmp_path: Path) -> None:
    plan = plan_for(downloads)
    assert plan.nbytes == sum(step.nbytes for step in plan.steps) > 0
    assert carry_out(plan) == [
        "verify the downloads", "merge and convert to f16", "verify the weights", "quantise to q4_0",
    ]  # fmt: skip
    with open_model(plan.result) as model:
        assert model.main_format == "q4_0" and model.vocab is not None and len(model.vocab) == 311
    loras = [downloads / f"chinese-{name}-plus-lora-7b" for name in ("llama", "alpaca")]
    with open_for_merge(downloads / "LLaMA/7B", loras) as source:
        merged = tensor_digests(source)
    with open_source(downloads / "ggml-model-f16.gguf") as source:
        assert compare(merged, tensor_digests(source)).equal
    quantize(downloads / "ggml-model-f16.gguf", "q4_0", tmp_path / "again.gguf")
    assert plan.result.read_bytes() == (tmp_path / "again.gguf").read_bytes()


def test_what_is_done_is_not_done_again(downloads: Path) -> None:
    carry_out(plan_for(downloads))
    made = (downloads / "ggml-model-q4_0.gguf").stat().st_mtime_ns
    assert plan_for(downloads).todo == []
    assert plan_for(downloads).nbytes == 0
    assert carry_out(plan_for(downloads, "q8_0")) == ["quantise to q8_0"]
    (downloads / "ggml-model-f16.gguf").unlink()
    assert plan_for(downloads).todo == []  # the model is there, whatever it was made of
    assert (downloads / "ggml-model-q4_0.gguf").stat().st_mtime_ns == made
    assert carry_out(plan_for(downloads, "q5_1"))[0] == "merge and convert to f16"
    (downloads / ".alpaca-tui-setup.json").write_text("nonsense")
    assert len(plan_for(downloads).todo) == 4


def test_other_inputs_are_other_work(downloads: Path) -> None:
    carry_out(plan_for(downloads))
    lora(downloads / "chinese-alpaca-plus-lora-7b", 311, seed=5)
    assert len(plan_for(downloads).todo) == 4
    carry_out(plan_for(downloads))
    (downloads / "ggml-model-q4_0.gguf").write_bytes(b"GGUF, but not what was written")
    assert [step.title for step in plan_for(downloads).todo] == ["quantise to q4_0"]


@pytest.mark.parametrize("at", ["verify the downloads", "merge and convert to f16", "quantise to q4_0"])
def test_an_interrupted_step_leaves_no_half_file(downloads: Path, at: str) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    before = sorted(path.name for path in downloads.iterdir())
    steps = plan_for(downloads).todo
    index = [step.title for step in steps].index(at)
    for step in steps[:index]:
        step.run(lambda done, total, what: None)
    with pytest.raises(KeyboardInterrupt):
        steps[index].run(interrupt)
    new = {path.name for path in downloads.iterdir()} - set(before)
    whole = {".alpaca-tui-setup.json", "tokenizer.model", "ggml-model-f16.gguf"}
    assert new <= whole and ("ggml-model-f16.gguf" in new) == (at == "quantise to q4_0")
    assert [step.title for step in plan_for(downloads).todo] == [step.title for step in steps[index:]]
    carry_out(plan_for(downloads))
    assert plan_for(downloads).todo == []


def test_without_loras(tmp_path: Path) -> None:
    write_meta(tmp_path / "7B")
    plan = plan_for(tmp_path, "f16")
    assert carry_out(plan) == ["verify the downloads", "convert to f16", "verify the weights"]
    assert plan.result == tmp_path / "ggml-model-f16.gguf"
    assert plan_for(tmp_path, "f16").todo == []


def test_little_disk(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {choice.kind: choice.nbytes for choice in st.choices(survey(downloads).models[0], [])}
    room = needed["f16"] + needed["q4_0"] // 2
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1 << 40, 0, room))
    plan = plan_for(downloads)
    assert [step.title for step in plan.steps] == [
        "verify the downloads", "verify the weights", "merge and convert to q4_0",
    ]  # fmt: skip
    carry_out(plan)
    assert not (downloads / "ggml-model-f16.gguf").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1 << 40, 0, 1 << 39))
    assert plan_for(downloads).todo == []
    at_once = tensor_bytes(plan.result)
    plan.result.unlink()
    carry_out(plan_for(downloads))
    assert (downloads / "ggml-model-f16.gguf").exists()
    assert at_once == tensor_bytes(plan.result)


def tensor_bytes(path: Path) -> dict[str, bytes]:
    with open_model(path) as model:
        return {name: model.rows(name, 0, t.rows).tobytes() for name, t in model.tensors.items()}


def test_no_disk_at_all(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1 << 40, 0, 1000))
    with pytest.raises(UserError, match=r"needs .* on the disk"):
        plan_for(downloads)
    assert not list(downloads.glob("ggml-model*"))


def test_loras_that_do_not_fit(downloads: Path) -> None:
    found = survey(downloads)
    model, loras = found.models[0], found.usual_loras(found.models[0])
    with pytest.raises(UserError, match="in the order in which they were trained"):
        st.make_plan(downloads, model, loras[::-1], "q4_0", 1)
    with pytest.raises(UserError, match="There is no type 'q2_K'"):
        st.make_plan(downloads, model, loras, "q2_K", 1)


def test_what_is_said_of_the_downloads(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = downloads / "LLaMA/7B/consolidated.00.pth"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, sha256, Published(sha256, "original checkpoint", "LLaMA-7B"))
    seen: list[int] = []
    findings = plan_for(downloads).steps[0].run(lambda done, total, what: seen.append(done * 100 // total))
    assert findings[0].text == f"{path} is the original checkpoint of LLaMA-7B, as published."
    assert findings[1].text.endswith("is not in the list of published files.") and not findings[1].bad
    assert seen[-1] == 100
    again = plan_for(downloads).steps[0].run(lambda *progress: pytest.fail("it is done already"))
    assert again == findings


def test_memory_and_size_of_each_choice(downloads: Path) -> None:
    found = survey(downloads)
    table = st.choices(found.models[0], found.loras)
    assert [choice.kind for choice in table] == list(st.KINDS)
    sizes = {choice.kind: choice.nbytes for choice in table}
    assert sizes["q4_0"] < sizes["q5_0"] < sizes["q8_0"] < sizes["f16"]
    plan = plan_for(downloads)
    carry_out(plan)
    assert 0 < sizes["q4_0"] - plan.result.stat().st_size < 5 << 20


def test_deleting(downloads: Path) -> None:
    plan = plan_for(downloads)
    carry_out(plan)
    titles = [leftover.title for leftover in plan.leftovers]
    assert titles[:2] == ["the model in f16", "the downloaded LLaMA-7B"] and len(titles) == 4
    sizes = [leftover.nbytes for leftover in plan.leftovers]
    assert [st.delete(leftover) for leftover in plan.leftovers[:2]] == sizes[:2]
    assert not (downloads / "ggml-model-f16.gguf").exists() and plan.result.exists()
    assert plan.leftovers[0].nbytes == 0
    with pytest.raises(UserError, match="could not be deleted"):
        st.delete(plan.leftovers[0])
