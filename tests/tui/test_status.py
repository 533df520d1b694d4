"""The status line: a pure function of what is so."""

from __future__ import annotations

import pytest

from alpaca_tui.engine.protocol import EngineState, Progress, Stats
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.status import Status, amounts, gauge, hints_for, size_text, status_line, time_text

EN, ZH = Strings("en"), Strings("zh")
BUSY = Status(
    state=EngineState.GENERATING,
    stats=Stats(
        prompt_tokens=100, prompt_seconds=2, generated_tokens=50, generate_seconds=4, n_past=812, n_ctx=2048
    ),
    memory=4_400_000_000,
    n_ctx=2048,
)


def test_it_says_state_speed_context_and_memory() -> None:
    line = status_line(BUSY, 120, EN).plain
    for part in (
        "● writing",
        "12.5 tok/s",
        "context ▓▓▓▓░░░░░░ 812/2048",
        "prompt 50/s",
        "4.1 GiB",
        "Esc stop",
    ):
        assert part in line
    assert "生成中" in status_line(BUSY, 120, ZH).plain


@pytest.mark.parametrize("width", range(10, 140, 7))
@pytest.mark.parametrize("say", [EN, ZH], ids=["en", "zh"])
def test_it_fits_any_width_and_the_state_comes_first(width: int, say: Strings) -> None:
    line = status_line(BUSY, width, say)
    assert line.cell_length <= width and line.plain.startswith("●")


def test_the_key_that_stops_is_there_even_when_it_is_narrow() -> None:
    assert "Esc stop" in status_line(BUSY, 30, EN).plain


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(EngineState.LOADING, 1 << 29, 1 << 30), ["Loading", "0.5 of 1.0 GiB"]),
        (Progress(EngineState.LOADING, 3 << 20, 4 << 20), ["3 of 4 MiB"]),
        (Progress(EngineState.COMPILING, 7, 23, "attention"), ["Compiling", "7 of 23", "attention"]),
        (Progress(EngineState.PREFILL, 256, 900), ["Reading the prompt", "256 of 900 tokens"]),
        (Progress(EngineState.LOADING, 0, 0), ["Loading", "0 of 0"]),
    ],
)
def test_progress(progress: Progress, words: list[str]) -> None:
    line = status_line(Status(state=progress.state, progress=progress, seconds_left=75.0), 140, EN).plain
    assert all(word in line for word in words)
    assert ("1 min 15 s left" in line) == (progress.done < progress.total)


@pytest.mark.parametrize("say", [EN, ZH], ids=["en", "zh"])
@pytest.mark.parametrize("state", [EngineState.LOADING, EngineState.COMPILING, EngineState.PREFILL])
def test_at_80_columns_the_estimate_is_there_and_the_key_that_stops(state: EngineState, say: Strings) -> None:
    waiting = Status(state=state, progress=Progress(state, 7, 23, "attention"), seconds_left=75.0)
    line = status_line(waiting, 78, say).plain
    assert time_text(75.0, say) in line and ("^C" in line or "Esc" in line)


def test_a_gauge_near_its_end_changes_colour() -> None:
    calm, full = gauge(100, 1000, EN), gauge(900, 1000, EN)
    assert "$act" in str(calm.spans[0].style) and "$now" in str(full.spans[0].style)
    assert gauge(5000, 1000, EN).plain.startswith("▓" * 10) and gauge(1, 1000, EN).plain.startswith("▓░")


def test_keys_fit_the_state() -> None:
    def first(**so: object) -> list[str]:
        status = Status(**so)  # type: ignore[arg-type]
        return [status.keys.short(name) for name, _, _ in hints_for(status)][:2]

    assert ("escape", "stop", "key_stop") in hints_for(BUSY)
    assert first(state=EngineState.IDLE, can_continue=True, talked=True) == ["F6", "^R"]
    assert first(state=EngineState.FAILED)[0] == "^O"
    assert first(state=EngineState.LOADING)[0] == "^C"
    assert first(state=EngineState.IDLE, reading=(1, 2)) == ["y", "c"]


def test_numbers_for_people() -> None:
    assert size_text(5 << 20) == "5 MiB" and size_text(3 << 30) == "3.0 GiB"
    assert time_text(0.2, EN) == "1 s" and time_text(59.2, EN) == "59 s" and time_text(61, ZH) == "1 分 01 秒"
    assert amounts(Progress(EngineState.LOADING, 5, 10)) == ("5", "10")
