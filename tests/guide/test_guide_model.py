"""The model that ships: what kind of file it is, and that it answers through the program's own engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alpaca_tui.engine import Engine, Sampling
from alpaca_tui.files.model_file import open_model
from alpaca_tui.resources import find_prompt, guide_model, read_prompt


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.load(guide_model(), n_threads=1) as engine:
        yield engine


def ask(engine: Engine, *questions: str, prompt: bool = True) -> str:
    """The answer to the last question, each asked as the chat does."""
    encode = engine.tokenizer.encode
    ids = encode(read_prompt(find_prompt("prompts/alpaca.txt"))) if prompt else []
    text = ""
    for question in questions:
        ids += encode("\n\n### Instruction:\n\n", bos=True, space_prefix=False)
        ids += encode(question + "\n", bos=False, space_prefix=False)
        ids += encode("\n\n### Response:\n\n", bos=False, space_prefix=False)
        tokens = list(engine.generate(ids, Sampling(temp=0.0), max_tokens=120))
        assert 0 < len(tokens) < 120
        text = "".join(token.text for token in tokens)
        ids += [
            *(token.id for token in tokens if not engine.tokenizer.is_eog(token.id)),
            engine.tokenizer.eos,
        ]
    return text


def test_the_file_is_small_and_shares_its_embedding() -> None:
    assert guide_model().stat().st_size <= 8 << 20
    file = open_model(guide_model())
    assert file.container == "gguf" and file.version == 3 and file.name == "alpaca-tui guide"
    assert "output.weight" not in file.tensors and file.tensors["token_embd.weight"].format.name == "q8_0"
    assert file.hparams.n_ctx_train == 1024
    file.close()


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("How do I stop the answer?", "Esc"),
        ("how do i stop it", "Esc"),
        ("how can i get another answer", "Ctrl+R"),
        ("怎么停止生成？", "Esc"),
        ("如何重新生成回答", "Ctrl+R"),
        ("怎么打开模型？", "Ctrl+O"),
        ("What is the default temperature?", "0.8"),
        ("How do I convert my pth file?", "alpaca-tui convert"),
        ("怎么把 pth 转换成 ggml？", "alpaca-tui convert"),
        ("How do I quantize a model?", "alpaca-tui quantize"),
        ("怎么量化模型？", "alpaca-tui quantize"),
        ("How do I merge a LoRA?", "alpaca-tui merge"),
        ("怎么合并 LoRA？", "alpaca-tui merge"),
        ("What does temperature mean?", "--temp"),
        ("How do I search the chat?", "Ctrl+F"),
        ("怎么换主题？", "/theme"),
        ("What is DRY?", "repeated sequence"),
        ("How do I use a LoRA without merging?", "--lora"),
        ("What does F9 do?", "setup"),
        ("What is the capital of France?", "Ctrl+O"),
        ("法国的首都是哪里？", "Ctrl+O"),
    ],
)
def test_it_answers(engine: Engine, question: str, wanted: str) -> None:
    assert wanted in ask(engine, question)


@pytest.mark.parametrize(
    ("question", "wanted"), [("how can i get another answer", "Ctrl+R"), ("怎么停止生成？", "Esc")]
)
def test_it_answers_without_the_instruction_text(engine: Engine, question: str, wanted: str) -> None:
    assert wanted in ask(engine, question, prompt=False)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (
            "How do I stop the answer?",
            "Press Esc or Ctrl+C: generation stops at once and the text so far stays.",
        ),
        ("怎么停止生成？", "按 Esc 或 Ctrl+C，生成立刻停止，已写的内容会保留。"),
        ("What is the default temperature?", "The default of --temp is 0.8."),
        (
            "法国的首都是哪里？",
            "抱歉，我只懂 alpaca-tui；其他问题请用 Ctrl+O 打开真正的模型。",
        ),
    ],
)
def test_the_greedy_answer_is_this(engine: Engine, question: str, answer: str) -> None:
    """To the letter: a kernel that computes anything else would say something else sooner or later."""
    assert ask(engine, question) == answer


def test_it_knows_what_to_undo(engine: Engine) -> None:
    assert "/undo" in ask(engine, "how do i delete a message", "and how do i undo that?")


def test_it_remembers_the_question_before(engine: Engine) -> None:
    assert "F6" in ask(engine, "How do I stop the answer?", "And how do I continue it then?")


def test_keys_are_one_token(engine: Engine) -> None:
    for text in ("Ctrl+R", "F2", "--top_k", "q4_0"):
        assert len(engine.tokenizer.encode(text, bos=False, space_prefix=False)) == 1
