"""What a model file says of itself without being loaded, and the tokens of a prompt by their texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui.engine.describe import describe
from alpaca_tui.engine.prompt import prompt_tokens
from alpaca_tui.engine.protocol import GenerateRequest, LoadOptions, Segment
from alpaca_tui.engine.tokenizer import Tokenizer
from alpaca_tui.engine.worker import EngineWorker
from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from alpaca_tui.resources import guide_model


def test_the_guides_head() -> None:
    worker = EngineWorker()
    try:
        head = worker.describe(guide_model(), LoadOptions(n_ctx=256))
    finally:
        worker.close()
    with open_model(guide_model()) as file:
        assert (head.name, head.size_label) == (file.name, file.size_label)
        assert head.quantisation == file.main_format and head.container == "gguf v3"
    assert head.n_ctx == 256 and head.n_ctx_train >= 256
    assert 0 < head.memory < describe(guide_model(), LoadOptions()).memory


@pytest.mark.parametrize(
    "data", [b"", b"GGUF", b"GGUF\3\0\0\0" + b"\xff" * 64, b"tjgg\3\0\0\0" + b"\x7f" * 64, b"PK"]
)
def test_hostile_files_are_refused_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"bad\.gguf"):
        describe(path, LoadOptions())


def test_tokens_join_to_the_prompt_and_say_where_they_belong() -> None:
    with open_model(guide_model()) as file:
        assert file.vocab is not None
        tokenizer = Tokenizer(file.vocab)
    parts = [
        (Segment("Below is …", bos=True, space_prefix=True),),
        (Segment("\n### 问题 🦙:\n", bos=True), Segment("yes", eos=True)),
    ]
    tokens = prompt_tokens(tokenizer, parts)
    assert [t.part for t in tokens] == sorted(t.part for t in tokens) and {t.part for t in tokens} == {0, 1}
    assert tokens[0].special and tokens[0].text == "<s>" and tokens[-1].text == "</s>"
    data = b"".join(tokenizer.piece(t.id) for t in tokens)
    assert data.decode().replace(" ", "") == "Below is …\n### 问题 🦙:\nyes".replace(" ", "")
    llama = [t for t in tokens if t.special and t.text not in ("<s>", "</s>")]
    assert all(t.text.startswith("<") for t in llama)  # bytes of what the vocabulary has no piece for


def test_without_a_model_there_are_no_tokens() -> None:
    worker = EngineWorker()
    try:
        with pytest.raises(UserError, match="no model"):
            worker.prompt_tokens(GenerateRequest((Segment("x"),), ()))
    finally:
        worker.close()
