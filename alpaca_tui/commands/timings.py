"""The numbers at the end, as llama.cpp printed them in April and in August 2023."""

from __future__ import annotations

from dataclasses import dataclass

from alpaca_tui.engine.protocol import Stats


@dataclass
class Timings:
    """Seconds, and how many tokens they went to. `eval` counts evaluations of one token, or of a reply."""

    load: float = 0.0
    total: float = 0.0
    sample: float = 0.0
    n_sample: int = 0
    prompt: float = 0.0
    n_prompt: int = 0
    eval: float = 0.0
    n_eval: int = 0

    def add(self, stats: Stats) -> None:
        """The numbers of one reply. Its first token comes out of the prompt's evaluation."""
        self.sample += stats.sample_seconds
        self.n_sample += stats.generated_tokens
        self.prompt += stats.prompt_seconds
        end = stats.prompt_tokens
        if not stats.generated_tokens:  # it may have been stopped on the way
            end = min(end, max(stats.n_past, stats.reused_tokens))
        self.n_prompt += end - stats.reused_tokens
        self.eval += stats.generate_seconds - stats.sample_seconds
        self.n_eval += max(stats.generated_tokens - 1, 0)

    def text(self, april: bool = False) -> str:
        """An empty line and five lines of numbers. April has no speeds, and calls everything a run."""
        rows = [
            ("sample", self.sample, self.n_sample, "runs"),
            ("prompt eval", self.prompt, self.n_prompt, "tokens"),
            ("eval", self.eval, self.n_eval, "runs"),
        ]
        lines = ["", _line("load", self.load)]
        for name, seconds, n, unit in rows:
            each = 1000 * seconds / max(n, 1)
            what = "token" if unit == "tokens" or not april else "run"
            speed = "" if april else f", {n / seconds if seconds > 0 else 0.0:8.2f} tokens per second"
            lines.append(f"{_line(name, seconds)} / {n:5d} {unit:6} ({each:8.2f} ms per {what}{speed})")
        return "\n".join([*lines, _line("total", self.total)])


def _line(name: str, seconds: float) -> str:
    return f"llama_print_timings: {name + ' time':>16} = {1000 * seconds:8.2f} ms"
