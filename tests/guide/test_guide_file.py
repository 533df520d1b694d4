"""The file that ships is what the program's own commands make of the guide's checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

from alpaca_tui import cli
from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.model_file import open_model
from alpaca_tui.files.sentencepiece_proto import write_bpe_proto
from alpaca_tui.files.tensors import name_2023
from alpaca_tui.resources import guide_model
from tests.checkpoints import save_pth


def take_apart(folder: Path) -> None:
    """What `python -m tools.guide.pack` writes, but from the file that ships: q8_0 loses nothing twice."""
    with open_model(guide_model()) as model:
        weights = {}
        for name, tensor in model.tensors.items():
            values = FORMATS[tensor.format.name].dequantize(model.rows(name, 0, tensor.rows))
            weights[name_2023(name)] = values.reshape(tensor.shape)
        weights["output.weight"] = weights["tok_embeddings.weight"]
        h, vocab = model.hparams, model.vocab
        said = {key: text for key, text in model.metadata.items() if key.startswith("general.")}
    assert vocab is not None and vocab.scores is not None
    save_pth(folder / "consolidated.00.pth", weights)
    params = {"dim": h.n_embd, "n_heads": h.n_head, "n_layers": h.n_layer, "norm_eps": h.norm_eps}
    (folder / "params.json").write_text(json.dumps(params))
    numbers = {"unk": vocab.unk, "bos": vocab.bos, "eos": vocab.eos}
    proto = write_bpe_proto(vocab.pieces, vocab.scores, vocab.types, **numbers, byte_fallback=True)
    dummy_prefix = b"\x1a\x02\x18\x01"  # normalizer_spec.add_dummy_prefix = true, as the guide's own says
    (folder / "tokenizer.model").write_bytes(proto + dummy_prefix)
    metadata = {key: text for key, text in said.items() if isinstance(text, str | list)}
    del metadata["general.architecture"]
    (folder / "metadata.json").write_text(json.dumps(metadata))


def test_convert_and_quantize_make_it_again(tmp_path: Path) -> None:
    take_apart(tmp_path)
    f32, out = str(tmp_path / "guide-f32.gguf"), str(tmp_path / "guide.gguf")
    flags = ["--container", "gguf", "--metadata", str(tmp_path / "metadata.json"), "-c", "1024"]
    assert cli.main(["convert", str(tmp_path), *flags, "--outfile", f32]) == 0
    assert cli.main(["quantize", f32, out, "q8_0"]) == 0
    assert Path(out).read_bytes() == guide_model().read_bytes()
