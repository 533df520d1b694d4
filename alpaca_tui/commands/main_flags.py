"""The flags of llama.cpp's `main` that are no settings: of April 2023, of August 2023, and today's names.

One table, from which the parser, --help and the test of all flags are made. What a flag means is worked out
in `commands.wanted`; what has no meaning here stands in `commands.no_meaning`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaca_tui.chat.formats import FORMATS
from alpaca_tui.chat.sampler_text import parse_logit_bias, parse_samplers
from alpaca_tui.commands import values
from alpaca_tui.commands.flags import both_spellings
from alpaca_tui.engine.protocol import CACHE_TYPES, ROPE_SCALINGS

DATES = ("2023-04", "2023-08")
COLOURS = ("on", "off", "auto")


@dataclass(frozen=True)
class Flag:
    """A flag. `kind` turns its value into what is stored; None: a switch, which stores `const`.

    `optional`: the value may be left out, and is `const` then. `plain`: it means something in the plain
    terminal only. `names` are all spellings but those that differ in - and _.
    """

    dest: str
    names: tuple[str, ...]
    kind: Callable[[str], Any] | None
    help: str
    metavar: str | None = None
    const: Any = True
    optional: bool = False
    repeated: bool = False
    plain: bool = False


def _text(text: str) -> str:
    return text


def _one_of(flag: str, choices: Sequence[str]) -> Callable[[str], str]:
    return lambda text: values.one_of(flag, choices, text)


def _number(flag: str, low: float, high: float) -> Callable[[str], float]:
    return lambda text: values.number(flag, low, high, text)


def _whole(flag: str, low: int, high: int) -> Callable[[str], int]:
    return lambda text: values.whole(flag, low, high, text)


CACHE_NAMES = (*CACHE_TYPES, "f32", "bf16")
GROUPS: dict[str, tuple[Flag, ...]] = {
    "prompt": (
        Flag("parts", ("-p", "--prompt"), values.prompt_text, "text to continue; with -ins, the instruction",
             "TEXT", repeated=True),
        Flag("parts", ("-f", "--file"), values.prompt_file,
             "a file with that text; shipped ones by name (default with -ins: prompts/alpaca.txt)", "FILE",
             repeated=True),
        Flag("parts", ("-bf", "--binary-file"), values.prompt_bytes, "the same, to its last newline", "FILE",
             repeated=True),
        Flag("escape", ("-e", "--escape"), None, "\\n, \\t, \\\", \\xE4 in texts; on, except for -f files"),
        Flag("escape", ("--no-escape",), None, "take texts as they stand", const=False),
        Flag("random_prompt", ("--random-prompt",), None, "begin with one of ten words"),
        Flag("system", ("-sys", "--system-prompt"), _text, "the instruction of a chat", "TEXT"),
        Flag("in_prefix", ("--in-prefix",), _text, "text before each of your messages", "TEXT"),
        Flag("in_suffix", ("--in-suffix",), _text, "text behind each of your messages", "TEXT"),
        Flag("in_prefix_bos", ("--in-prefix-bos",), None, "BOS before that"),
        Flag("reverse", ("-r", "--reverse-prompt"), _text, "where the model writes this, it is your turn "
             "(repeatable)", "TEXT", repeated=True),
        Flag("display_prompt", ("--display-prompt",), None, "show the text that is continued (default)",
             plain=True),
        Flag("display_prompt", ("--no-display-prompt",), None, "only what is new", const=False, plain=True),
        Flag("verbose_prompt", ("--verbose-prompt",), None, "show the prompt's tokens first", plain=True),
    ),
    "interaction": (
        Flag("instruct", ("-ins", "--instruct"), None, "chat in the Alpaca format"),
        Flag("conversation", ("-cnv", "--conversation"), None, "chat; -p is your first message"),
        Flag("conversation", ("-no-cnv", "--no-conversation"), None, "continue text", const=False),
        Flag("single_turn", ("-st", "--single-turn"), None, "answer the message of -p, and end", plain=True),
        Flag("template", ("--chat-template",), _one_of("--chat-template", tuple(FORMATS)),
             f"the chat's format: {', '.join(FORMATS)} (default: alpaca)", "NAME"),
        Flag("interactive", ("-i", "--interactive", "--interactive-start"), None,
             "take turns in a text; -r says when it is yours"),
        Flag("interactive_first", ("-if", "--interactive-first"), None, "the same, and you begin"),
        Flag("multiline", ("-mli", "--multiline-input"), None, "Enter begins a new line, \\ and Enter send",
             plain=True),
        Flag("simple_io", ("--simple-io",), None, "no line editor", plain=True),
        Flag("color", ("-co", "--color"), _one_of("--color", COLOURS),
             "on, off or auto: where there is a terminal (default); alone: on", "WHEN", const="on",
             optional=True),
        Flag("compat", ("--compat",), _one_of("--compat", DATES),
             f"be llama.cpp's main of {' or '.join(DATES)}, to the byte", "DATE",
             plain=True),
        Flag("perf", ("--perf",), None, "timings at the end, on stderr (default)", plain=True),
        Flag("perf", ("--no-perf",), None, "no timings", const=False, plain=True),
    ),
    "sampling": (
        Flag("ignore_eos", ("--ignore-eos",), None, "never let the model end its reply"),
        Flag("logit_bias", ("-l", "--logit-bias"), parse_logit_bias,
             "make a token more or less likely: 29871+1, 2-inf (repeatable)", "ID(+/-)N", repeated=True),
        Flag("penalize_nl", ("--penalize-nl",), None, "the penalties count for line ends, too (default)"),
        Flag("penalize_nl", ("--no-penalize-nl",), None, "they leave line ends alone", const=False),
        Flag("samplers", ("--samplers",), parse_samplers, "which, in their order, separated by ;", "NAMES"),
        Flag("samplers", ("--sampling-seq", "--sampler-seq"), values.sampler_letters, "the same in letters: "
             "edskfypmxt", "LETTERS"),
        Flag("breakers", ("--dry-sequence-breaker",), _text, "where DRY begins anew; none: nowhere "
             "(repeatable)", "TEXT", repeated=True),
        Flag("grammar", ("--grammar",), _text, "GBNF that the reply follows", "GBNF"),
        Flag("grammar_file", ("--grammar-file",), Path, "the same from a file", "FILE"),
        Flag("json_schema", ("-j", "--json-schema"), _text, "JSON Schema that it follows; {}: any object",
             "SCHEMA"),
        Flag("json_schema_file", ("-jf", "--json-schema-file"), Path, "the same from a file", "FILE"),
        Flag("cfg_scale", ("--cfg-scale",), _number("--cfg-scale", 1, 100),
             "how far to lead away from the negative prompt; 1: off", "X"),
        Flag("negative", ("--cfg-negative-prompt",), _text, "what to lead away from", "TEXT"),
        Flag("negative_file", ("--cfg-negative-prompt-file",), Path, "the same from a file", "FILE"),
    ),
    "context": (
        Flag("keep", ("--keep",), _whole("--keep", -1, 1_048_576),
             "tokens of the prompt that stay when the context is full; -1: all (default: 0)", "N"),
        Flag("shift", ("--context-shift",), None, "then drop the older half (default)"),
        Flag("shift", ("--no-context-shift",), None, "then stop", const=False),
        Flag("cache", ("--prompt-cache", "--session"), Path, "keep what was evaluated in FILE", "FILE"),
        Flag("cache_all", ("--prompt-cache-all",), None, "of the replies, too"),
        Flag("cache_ro", ("--prompt-cache-ro",), None, "only read it"),
        Flag("cache_k", ("-ctk", "--cache-type-k", "--cache-type"), _one_of("--cache-type", CACHE_NAMES),
             f"numbers of the context: {' or '.join(CACHE_TYPES)}", "TYPE"),
        Flag("cache_v", ("-ctv", "--cache-type-v"), _one_of("--cache-type-v", CACHE_NAMES), "the same",
             "TYPE"),
        Flag("mlock", ("--mlock",), None, "keep the model from being swapped out", plain=True),
    ),
    "changes to the model": (
        Flag("loras", ("--lora",), values.lora, "a LoRA to apply (repeatable)", "FILE", repeated=True),
        Flag("loras", ("--lora-scaled",), values.lora_scaled, "the same with a factor: FILE:0.5", "FILE:X",
             repeated=True),
        Flag("lora_base", ("--lora-base",), Path, "the f16 model that LoRAs are added to", "FILE"),
        Flag("rope_freq_base", ("--rope-freq-base",), _number("--rope-freq-base", 1, 1e9), "its base", "X"),
        Flag("rope_freq_scale", ("--rope-freq-scale",), _number("--rope-freq-scale", 1e-4, 100),
             "positions are multiplied by it: 0.5 for twice the context", "X"),
        Flag("rope_scale", ("--rope-scale",), _number("--rope-scale", 0.01, 1e4), "the inverse of that", "X"),
        Flag("rope_scaling", ("--rope-scaling",), _one_of("--rope-scaling", ROPE_SCALINGS),
             ", ".join(ROPE_SCALINGS), "NAME"),
        Flag("yarn_orig_ctx", ("--yarn-orig-ctx",), _whole("--yarn-orig-ctx", 1, 1_048_576),
             "YaRN: the context it was trained with", "N"),
        Flag("yarn_ext_factor", ("--yarn-ext-factor",), _number("--yarn-ext-factor", -1, 1),
             "YaRN: share of extrapolation", "X"),
        Flag("yarn_attn_factor", ("--yarn-attn-factor",), _number("--yarn-attn-factor", 0.01, 100),
             "YaRN: magnitude of attention", "X"),
        Flag("yarn_beta_fast", ("--yarn-beta-fast",), _number("--yarn-beta-fast", 0.01, 1e4),
             "YaRN: turns from which on a dimension stays", "X"),
        Flag("yarn_beta_slow", ("--yarn-beta-slow",), _number("--yarn-beta-slow", 0.01, 1e4),
             "YaRN: turns up to which it is interpolated", "X"),
    ),
    "measuring": (
        Flag("perplexity", ("--perplexity",), None, "measure the text of -f, as `alpaca-tui perplexity` does",
             plain=True),
        Flag("chunks", ("--chunks",), _whole("--chunks", -1, 1 << 30), "windows of it; -1: all", "N",
             plain=True),
    ),
}  # fmt: skip
FLAGS = tuple(flag for flags in GROUPS.values() for flag in flags)


def add_main_flags(parser: argparse.ArgumentParser, full_screen: bool = False) -> None:
    """All of the table, each flag in both spellings; what was not given is None.

    In the --help of the full screen those are left out that mean something in the plain terminal only.
    """
    for title, flags in GROUPS.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            shown = not (full_screen and flag.plain)
            words = flag.help.replace("%", "%%") if shown else argparse.SUPPRESS
            keywords: dict[str, Any] = {"dest": flag.dest, "help": words}
            if flag.kind is None:
                keywords |= {"action": "store_const", "const": flag.const}
            else:
                keywords |= {"type": flag.kind, "metavar": flag.metavar}
                if flag.repeated:
                    keywords["action"] = "append"
                if flag.optional:
                    keywords |= {"nargs": "?", "const": flag.const}
            both_spellings(group, flag.names, **keywords)


def plain_only(args: argparse.Namespace) -> Iterator[str]:
    """One line for each flag of the plain terminal's that was given to the full screen."""
    names = {flag.dest: flag.names[-1] for flag in reversed(FLAGS) if flag.plain}
    for dest, name in names.items():
        if getattr(args, dest) is not None:
            yield f"{name} means something in the plain terminal only: alpaca-tui main."
