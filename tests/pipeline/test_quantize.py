"""Quantising: the bytes of the pinned tools, their rules, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.errors import UserError
from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.model_file import open_model
from alpaca_tui.pipeline.containers import CONTAINERS, container_named, parse_type
from alpaca_tui.pipeline.convert import ConvertOptions, convert
from alpaca_tui.pipeline.jobs import QuantizeOptions
from alpaca_tui.pipeline.quantize import quantize
from tests.files.test_blocks import golden_data
from tests.ggml_writer import write_ggml, write_small
from tests.gguf_writer import KV, write_llama
from tests.model_t import SHA256, write_model_t
from tests.small_model import small_hparams
from tests.wide_model import WIDE, write_wide_model

GGUF = CONTAINERS["gguf"]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def formats_of(path: Path) -> dict[str, str]:
    with open_model(path) as model:
        return {name: tensor.format.name for name, tensor in model.tensors.items()}


# --- the same bytes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ftype", "kind", "golden"),
    [
        (0, "q4_0", "81db5891bb42b610c1d70e20950175a0d46bc2c7b551de8ff622579b0bf76c5c"),
        (0, "q4_1", "71ce315ca841f78bc6f677142c55e27cc8a42075fe1820feb62d47b918e04823"),
        (1, "q4_0", "1e7af43f698e946a4f98eef38fc784a42c1061df4ad91796dded3638f0ec3604"),
        (1, "q4_1", "22f3ac2d2c971bcc05e845ca5951c95740f6c083097cbd20f7b43209018b0610"),
    ],
)
def test_a_file_of_two_tensors_as_the_quantiser_of_2023_04_03(
    ftype: int, kind: str, golden: str, tmp_path: Path
) -> None:
    data = golden_data()
    write_ggml(
        tmp_path / "in.bin", "ggjt", 1, (4, 4096, 256, 32, 1, 128, ftype),
        [b"tok%d" % i for i in range(4)], [-0.0, -1, -2, -3],
        [("norm.weight", data[0], 0, (4096,)),
         ("tok_embeddings.weight", data.astype([np.float32, np.float16][ftype]), ftype, (8, 4096))],
    )  # fmt: skip
    written = quantize(tmp_path / "in.bin", kind)
    assert written.path == tmp_path / f"ggml-model-{kind}.bin"
    assert sha256(written.path) == golden
    assert written.size == written.path.stat().st_size


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wide")
    model = write_wide_model(folder / "wide.bin")
    convert(model, folder / "wide.gguf", ConvertOptions(container=GGUF, name="wide"))
    return {"gguf": folder / "wide.gguf", "ggjt": model}


@pytest.mark.parametrize(("container", "kind"), WIDE)
def test_every_pair_of_container_and_type(
    container: str, kind: str, wide: dict[str, Path], tmp_path: Path
) -> None:
    target = CONTAINERS[container]
    quantize(wide[target.family], kind, tmp_path / "out", container=target, n_threads=2)
    assert sha256(tmp_path / "out") == WIDE[container, kind]


@pytest.mark.parametrize("kind", ["q4_0", "q4_1"])
def test_model_t_with_any_vocabulary(kind: str, model_t: Path, tmp_path: Path) -> None:
    expected = write_model_t(tmp_path / "expected.bin", fmt=f"{kind}_v1")  # by the twins
    quantize(model_t, kind, tmp_path / "out.bin", n_threads=2)
    assert sha256(tmp_path / "out.bin") == sha256(expected)


@pytest.mark.parametrize("kind", ["q4_0", "q4_1"])
def test_model_t_as_the_quantiser_of_2023_04_03(kind: str, model_t_llama: Path, tmp_path: Path) -> None:
    quantize(model_t_llama, kind, tmp_path / "out.bin", n_threads=2)
    assert sha256(tmp_path / "out.bin") == SHA256[f"{kind}_v1"]


# Of model T with LLaMA's vocabulary: the GGUF file of gguf-py, and what llama-quantize makes of it.
T_GGUF = {
    "f16": "a8c631f6916033339909acd822d090791f8dce4b3f5667ecc7d0c1e361dd90af",
    "q4_0": "49ff95a94da31ca7ba67ebb8ac8305cff285e69073ef25864c7ce3bcab2a4f98",
    "q4_1": "b3df219bb74d37e208ba43df38d2fd732585499b2f90b2e9f23b750fc0901f6c",
    "q5_0": "3da0fc3f5862a7b6cf8517441311d0437d918b6af05fe67d6eca5b77e779c660",
    "q5_1": "e88b224f29be36a5d54ff49b30ef7ea26c5a98811f089496b16d9030d76682b2",
    "q8_0": "7ac400a127aafa11e6c16d4d1e2b1431fff36268c8e578c57ef01e217d20195a",
}


def test_model_t_as_todays_quantiser(model_t_llama: Path, tmp_path: Path) -> None:
    gguf = tmp_path / "T.gguf"
    convert(model_t_llama, gguf, ConvertOptions(container=GGUF, name="tiny"), n_threads=2)
    assert sha256(gguf) == T_GGUF["f16"]
    for kind in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0"):
        assert sha256(quantize(gguf, kind, tmp_path / "out.gguf", n_threads=2).path) == T_GGUF[kind], kind


@pytest.mark.parametrize("container", ["ggml", "ggmf", "ggjt-v1", "ggjt-v2", "ggjt-v3"])
def test_the_kits(container: str, kits: Path, tmp_path: Path) -> None:
    lines = (kits / "legacy/SHA256SUMS").read_text().splitlines()
    sums = {name.removeprefix("./"): digest for digest, name in map(str.split, lines)}
    source = kits / "legacy/ggjt-v1/ggml-model-f16.bin"
    names = [name for name in sums if name.startswith(f"{container}/ggml-model-q")]
    assert names
    for name in names:
        kind = name.rpartition("model-")[2].removesuffix(".bin")
        quantize(source, kind, tmp_path / "out.bin", container=CONTAINERS[container])
        assert sha256(tmp_path / "out.bin") == sums[name], name


@pytest.mark.parametrize("n_threads", [1, 3, 16])
def test_threads_make_no_difference(n_threads: int, wide: dict[str, Path], tmp_path: Path) -> None:
    quantize(wide["ggjt"], "q4_0", tmp_path / "out", n_threads=n_threads)
    assert sha256(tmp_path / "out") == WIDE["ggjt-v1", "q4_0"]


# --- rules -------------------------------------------------------------------------------------------------


def test_gguf_keeps_its_metadata_and_order(tmp_path: Path) -> None:
    extra = [
        KV("general.file_type", "u32", 1),
        KV("general.alignment", "u32", 32),
        KV("split.count", "u16", 1),
        KV("my.list", "[f64]", [0.5, 2.0]),
        KV("general.quantization_version", "u32", 2),
        KV("my.flag", "bool", True),
    ]
    source = write_llama(tmp_path / "in.gguf", "f16", extra=extra)
    out = quantize(source, "q8_0").path
    assert out.name == "ggml-model-q8_0.gguf"
    with open_model(source) as a, open_model(out) as b:
        before, after = a.raw_metadata(), b.raw_metadata()
        dropped = {"general.file_type", "general.quantization_version", "general.alignment", "split.count"}
        kept = [key for key in before if key not in dropped]
        assert list(after) == [*kept, "general.quantization_version", "general.file_type"]
        assert all(after[key] == before[key] for key in kept)
        assert (b.metadata["general.quantization_version"], b.metadata["general.file_type"]) == (2, 7)
        order = sorted(b.tensors.values(), key=lambda t: t.parts[0].offset)
        assert [t.name for t in order[:5]] == [
            "output.weight", "output_norm.weight", "token_embd.weight",
            "blk.0.attn_k.weight", "blk.0.attn_norm.weight",
        ]  # fmt: skip


def test_fallbacks_of_gguf(tmp_path: Path) -> None:
    source = write_llama(tmp_path / "in.gguf", "f32", small_hparams(n_embd=48, n_head=4, n_ff=96))
    found = formats_of(quantize(source, "q4_0", tmp_path / "out.gguf").path)
    assert found["output.weight"] == found["token_embd.weight"] == found["blk.0.attn_q.weight"] == "f16"
    assert found["blk.0.ffn_down.weight"] == "q4_0"  # 96 columns
    source = write_llama(tmp_path / "in.gguf", "f16", small_hparams(n_embd=64))
    found = formats_of(quantize(source, "q6_K", tmp_path / "out.gguf").path)
    assert set(found.values()) == {"q8_0", "f32"}


def test_the_embedding_that_serves_as_output_gets_its_type(tmp_path: Path) -> None:
    h = small_hparams(n_vocab=320, n_embd=256, n_head=4, n_ff=320)
    source = write_llama(tmp_path / "in.gguf", "f16", h, tied=True)
    found = formats_of(quantize(source, "q4_0", tmp_path / "out.gguf").path)
    assert found["token_embd.weight"] == "q6_K" and "output.weight" not in found
    assert found["blk.0.ffn_gate.weight"] == "q4_0"


@pytest.mark.parametrize("container", ["ggjt-v3", "gguf"])
def test_options(container: str, wide: dict[str, Path], tmp_path: Path) -> None:
    target = CONTAINERS[container]
    for options, expected in (
        (QuantizeOptions(), "q6_K"),
        (QuantizeOptions(leave_output_tensor=True), "f16"),
        (QuantizeOptions(pure=True), "q4_1"),
    ):
        out = quantize(wide[target.family], "q4_1", tmp_path / "o", container=target, options=options).path
        found = formats_of(out)
        assert found["output.weight"] == expected and found["blk.0.attn_q.weight"] == "q4_1"


def test_requantising_has_to_be_asked_for(wide: dict[str, Path], tmp_path: Path) -> None:
    q8 = quantize(wide["gguf"], "q8_0", tmp_path / "q8.gguf").path
    with pytest.raises(UserError, match="quantised already \\(q8_0\\)"):
        quantize(q8, "q4_0", tmp_path / "q4.gguf")
    assert not (tmp_path / "q4.gguf").exists()
    found = formats_of(
        quantize(q8, "q4_0", tmp_path / "q4.gguf", options=QuantizeOptions(allow_requantize=True)).path
    )
    assert found["blk.0.attn_q.weight"] == "q4_0"
    same = quantize(q8, "q8_0", tmp_path / "again.gguf").path  # nothing to do: copied
    assert sha256(same) == sha256(q8)


def test_containers_change_with_the_type(tmp_path: Path) -> None:
    source = write_small(tmp_path / "in.bin", "ggjt", 1, "f16")
    for name in ("ggml", "ggmf", "ggjt-v2", "ggjt-v3"):
        out = quantize(source, "q4_0", tmp_path / "out.bin", container=CONTAINERS[name]).path
        with open_model(out, need_vocab=False) as model:
            assert (model.container, model.version) == (CONTAINERS[name].family, CONTAINERS[name].version)
            assert model.head_2023 and model.head_2023.numbers[6] == 2
    out = quantize(source, "q4_0", tmp_path / "out.gguf", container=GGUF).path
    with open_model(out) as model:
        assert model.metadata["general.file_type"] == 2


# --- what is refused ---------------------------------------------------------------------------------------


def test_pairs_that_no_tool_wrote(tmp_path: Path) -> None:
    source = write_small(tmp_path / "in.bin", "ggjt", 1, "f16")
    for name, kind in (("ggjt-v1", "q8_0"), ("ggml", "q5_0"), ("ggjt-v2", "q6_K")):
        with pytest.raises(UserError, match=rf"{name} files never held {kind}.*--container ggjt-v"):
            quantize(source, kind, tmp_path / "out.bin", container=CONTAINERS[name])


def test_columns_that_no_block_divides(tmp_path: Path) -> None:
    h = small_hparams(n_embd=48, n_head=4, n_head_kv=4)
    source = write_small(tmp_path / "in.bin", "ggjt", 1, "f16", h)
    with pytest.raises(UserError, match=r"token_embd.weight of the shape \(320, 48\) cannot be written"):
        quantize(source, "q4_0")
    with pytest.raises(UserError, match="cannot be written as q6_K"):
        quantize(write_small(tmp_path / "in.bin", "ggjt", 3, "f16"), "q6_K")
    assert [p.name for p in tmp_path.iterdir()] == ["in.bin"]


def test_what_is_no_model_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        quantize(tmp_path, "q4_0")
    with pytest.raises(UserError, match="does not exist"):
        quantize(tmp_path / "no.bin", "q4_0")
    source = write_small(tmp_path / "in.bin", "ggjt", 1, "f16")
    with pytest.raises(UserError, match="is the file that is read"):
        quantize(source, "q4_0", source)


def test_unversioned_files_need_scores_for_another_container(tmp_path: Path) -> None:
    source = write_small(tmp_path / "in.bin", "ggml", 0, "f16")
    quantize(source, "q4_0", tmp_path / "out.bin")
    with pytest.raises(UserError, match=r"token scores.*tokenizer\.model"):
        quantize(source, "q4_0", tmp_path / "out.bin", container=CONTAINERS["ggjt-v1"])


@pytest.mark.parametrize("container", ["ggjt-v1", "gguf"])
def test_values_that_are_no_numbers_are_counted(container: str, tmp_path: Path) -> None:
    source = write_small(tmp_path / "in.bin", "ggjt", 1, "f16")
    with open_model(source) as model:
        at = model.tensors["blk.1.ffn_up.weight"].parts[0].offset
    raw = bytearray(source.read_bytes())
    raw[at : at + 6] = np.array([np.nan, np.inf, -np.inf], np.float16).tobytes()
    source.write_bytes(raw)
    written = quantize(source, "q4_0", tmp_path / "out", container=CONTAINERS[container])
    (name,) = written.odd
    assert name == "blk.1.ffn_up.weight"
    assert (written.odd[name].n_nan, written.odd[name].n_inf) == (1, 2)


def test_types_by_number_and_name() -> None:
    words = ("2", "q4_0", "Q4_0", "18", "Q6_k", "0", "F16", "4", "q4", "bf16", "")
    assert [parse_type(word) for word in words] == [
        "q4_0", "q4_0", "q4_0", "q6_K", "q6_K", "f32", "f16", None, None, None, None,
    ]  # fmt: skip
    assert container_named("GGJT_v1").name == container_named("ggjtv1").name == "ggjt-v1"
    with pytest.raises(UserError, match="There is no container 'zip'"):
        container_named("zip")
    assert set(FORMATS) >= {fmt.name for c in CONTAINERS.values() for fmt in c.formats.values()}
