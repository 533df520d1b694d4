"""The numbers at the end, in the words of llama.cpp of April and of August 2023."""

from __future__ import annotations

from alpaca_tui.commands.timings import Timings
from alpaca_tui.engine.protocol import Stats

TIMINGS = Timings(
    load=1.5, total=61.25, sample=0.004, n_sample=40, prompt=2.0, n_prompt=11, eval=4.0, n_eval=39
)


def test_august() -> None:
    assert TIMINGS.text() == (
        "\n"
        "llama_print_timings:        load time =  1500.00 ms\n"
        "llama_print_timings:      sample time =     4.00 ms /    40 runs   "
        "(    0.10 ms per token, 10000.00 tokens per second)\n"
        "llama_print_timings: prompt eval time =  2000.00 ms /    11 tokens "
        "(  181.82 ms per token,     5.50 tokens per second)\n"
        "llama_print_timings:        eval time =  4000.00 ms /    39 runs   "
        "(  102.56 ms per token,     9.75 tokens per second)\n"
        "llama_print_timings:       total time = 61250.00 ms"
    )


def test_april() -> None:
    lines = TIMINGS.text(april=True).splitlines()
    assert lines[2:5] == [
        "llama_print_timings:      sample time =     4.00 ms /    40 runs   (    0.10 ms per run)",
        "llama_print_timings: prompt eval time =  2000.00 ms /    11 tokens (  181.82 ms per token)",
        "llama_print_timings:        eval time =  4000.00 ms /    39 runs   (  102.56 ms per run)",
    ]


def test_nothing_done_is_no_division_by_zero() -> None:
    assert "(    0.00 ms per token,     0.00 tokens per second)" in Timings().text()


def test_a_prompt_that_was_stopped_counts_as_far_as_it_came() -> None:
    timings = Timings()
    timings.add(Stats(prompt_tokens=100, reused_tokens=10, n_past=42, prompt_seconds=1.0))
    assert timings.n_prompt == 32
    timings.add(Stats(prompt_tokens=100, reused_tokens=10, n_past=180, generated_tokens=80))
    assert timings.n_prompt == 32 + 90
