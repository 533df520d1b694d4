"""Sessions of llama.cpp's binary of 2023-04-03 (437e778) on model T: the same tokens, the same bytes."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from alpaca_tui.engine.compat.program import Options
from alpaca_tui.engine.compat.samplers import Choices
from alpaca_tui.resources import prompts_dir, read_prompt
from tests.engine.compat.harness import IDS, KnownTexts, run_model

GREEDY = (
    "31326 31888 25956 22796 672 10672 7656 7016 24634 29559 25376 16537 15645 27595 53 5178 4324 "
    "22852 17955 14110 3438 16387 9474 24438"
)
SAMPLED = [
    (1, {}, "1086 27115 23175 19961 31832 26677 16633 24275 29425 20944 9742 18392 24968 5403 8379 14864"),
    (1234, {}, "16053 682 10985 25708 31299 11840 20112 15815 10154 10408 6584 23675 24515 13738 2641 25124"),
    (
        7,
        {"temp": 0.2, "repeat_penalty": 1.3},
        "31326 31888 25956 22796 672 10672 15107 4002 25485 29027 31238 21207 10778 22283 12942 9497",
    ),
]
# What follows the 24 greedy tokens when a context of 32 has swapped: the same beginning, two ways on.
SWAPPED = {
    0: "a79f4c637ee0e5b641f46a2ce477e54a96e53f6df58c0a959fd8b381718603f1",
    3: "43cb1360fd67752a22ebaefef75292c166deea80638c42c3dd2da24c8936d1bb",
}
SWAPPED_IDS = {
    0: "18372 8663 3835 13257 27938 4863 10199 26792 27526 19084 30585 29618 23156 27778 14870 4906 "
    "16171 17051 11858 9641 8956 19875 5729 23083 3187 23372 31931 2919 1405 15138 578 714 11670 "
    "15612 18494 17038 5757 17323 6072 3077 28068 9052",
    3: "19117 6286 30200 3178 21972 15895 3809 24010 22327 5188 15999 20952 24264 23210 24217 17395 "
    "3578 1760 16256 15334 20443 24351 16029 22760 24476 6237 5863 21303 25720 18879 2849 1561 13576 "
    "14026 12460 4588 2688 1617 24507 6420 13111 25510",
}
SESSION = base64.b64decode(
    "G1szM20gQmVsb3cgaXMgYW4gaW5zdHJ1Y3Rpb24gdGhhdCBkZXNjcmliZXMgYSB0YXNrLiBXcml0ZSBhIHJlc3BvbnNlIHRoYXQgYXBwcm9wcm"
    "lhdGVseSBjb21wbGV0ZXMgdGhlIHJlcXVlc3QuG1swbRtbMW0bWzMybQo+IBtbMG0gbG9nZ2VyQXJlYWllcnRhYmFkIHNhaCAoJFxvaXRvdXNp"
    "btC70L7QstC+G1sxbRtbMzJtCj4gG1swbcWtIHJheiBzZXZlcmVXYWl0IGFuaW1hdGVyYWNoG1sxbRtbMzJtCj4gG1swbWxpc3RSTCBpbnN0cn"
    "VtZW50c21haWl2YW1lbnRlIEhpatC20LTRkdC9dGFpcmXRh9C10L3QuNGPUGFzc3dvcmTQvdC40YbQtSBCYXUbWzFtG1szMm0KPiAbWzBtxa0g"
    "cmF6IHNldmVyZXRyZWVkeW5hbWljINCj0LrRgNCw0LggS2VpdGggc3Jj5b+FINCd0L7RgBtbMW0bWzMybQo+IA=="
)
SESSION_IDS = (
    "17927 13799 3722 20143 26024 20430 20252 17790 19071 30520 8006 22261 15716 26015 10221 1761 "
    "2241 23643 24402 11778 10538 28290 19073 12395 10048 23256 9807 30520 8006 22261 8336 16626 "
    "19189 27179 4765 31641 28664"
)
LINES = ["你好", "first line \\", "second", "", "third"]
ONCE = "Once upon a time"


def ids(text: str) -> list[int]:
    return [int(word) for word in text.split()]


# --- token ids, without LLaMA's vocabulary ------------------------------------------------------------------


def test_greedy(model_t: Path) -> None:
    sampled, out = run_model(model_t, Options(ONCE, n_predict=24), Choices(temp=0), vocabulary=KnownTexts())
    assert sampled == ids(GREEDY)
    assert out == b"".join(b"<%d>" % token for token in IDS[" " + ONCE] + sampled)


@pytest.mark.parametrize(("seed", "choices", "wanted"), SAMPLED)
def test_seeded_draws(seed: int, choices: dict[str, float], wanted: str, model_t: Path) -> None:
    options = Options(ONCE, n_predict=16)
    sampled, _ = run_model(model_t, options, Choices(**choices), seed=seed, vocabulary=KnownTexts())
    assert sampled == ids(wanted)


@pytest.mark.parametrize("keep", [0, 3])
def test_context_swaps(keep: int, model_t: Path) -> None:
    options = Options(ONCE, n_ctx=32, n_predict=70, n_keep=keep)
    sampled, _ = run_model(model_t, options, Choices(temp=0), vocabulary=KnownTexts())
    assert sampled[:24] == ids(GREEDY)
    assert sampled[28:] == ids(SWAPPED_IDS[keep])


def test_an_instruct_session(model_t: Path) -> None:
    options = Options(read_prompt(prompts_dir() / "alpaca.txt"), n_ctx=2048, n_predict=12, instruct=True)
    choices = Choices(temp=0, repeat_penalty=1.3)
    sampled, out = run_model(model_t, options, choices, lines=LINES, vocabulary=KnownTexts())
    assert sampled == ids(SESSION_IDS)  # 9, 6, 12, 10: each turn has 12 tokens, less those of the question
    assert out.count(b"\n> ") == 5


# --- bytes, with it ----------------------------------------------------------------------------------------


def test_the_instruct_session_byte_for_byte(model_t_llama: Path) -> None:
    options = Options(read_prompt(prompts_dir() / "alpaca.txt"), n_ctx=2048, n_predict=12, instruct=True)
    choices = Choices(temp=0, repeat_penalty=1.3)
    _, out = run_model(model_t_llama, options, choices, seed=1, lines=LINES, colours=True)
    assert len(out) == 394
    assert out == SESSION


@pytest.mark.parametrize("keep", [0, 3])
def test_context_swaps_byte_for_byte(keep: int, model_t_llama: Path) -> None:
    options = Options(ONCE, n_ctx=32, n_predict=70, n_keep=keep)
    _, out = run_model(model_t_llama, options, Choices(temp=0))
    assert hashlib.sha256(out).hexdigest() == SWAPPED[keep]
