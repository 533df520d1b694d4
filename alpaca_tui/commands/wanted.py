"""What a command line asks for, worked out of its flags: how to talk, with which text, sampling and
loading.
"""

from __future__ import annotations

import argparse
import enum
import secrets
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from alpaca_tui.chat.formats import FORMATS, PromptFormat
from alpaca_tui.chat.settings import Settings
from alpaca_tui.commands import flags, values
from alpaca_tui.engine.protocol import CACHE_TYPES, PromptCache, RopeOptions, Segment, WhenFull
from alpaca_tui.errors import UserError
from alpaca_tui.resources import find_prompt, prompts_dir, read_prompt
from alpaca_tui.system import usable_cores

RANDOM_PROMPTS = ("So", "Once upon a time", "When", "The", "After", "If", "import", "He", "She", "They")


class Mode(enum.Enum):
    """How `main` talks."""

    CHAT = "chat"  # questions and answers, in a chat format
    ANSWER = "answer"  # one question, one answer
    TEXT = "text"  # a text that the model continues
    TURNS = "turns"  # the same, by turns with the user
    PERPLEXITY = "perplexity"


@dataclass
class Wanted:
    """`prompt`: the text to continue; in a chat the instruction. `message`: the one of `Mode.ANSWER`, or
    the first of a chat. `notices` are lines for the user.
    """

    mode: Mode
    model: Path | None
    settings: Settings
    prompt: str
    message: str | None = None
    format: PromptFormat = FORMATS["alpaca"]
    reverse: tuple[str, ...] = ()
    in_prefix: str = ""
    in_suffix: str = ""
    in_prefix_bos: bool = False
    keep: int = 0
    notices: list[str] = field(default_factory=list)

    @property
    def explicit(self) -> frozenset[str]:
        return frozenset(self.settings.chosen)


def wanted_from(args: argparse.Namespace) -> Wanted:
    """Raises UserError for flags that contradict each other, and for files that cannot be read."""
    check_together(args)
    settings, _ = flags.settings_from(args)
    mode = mode_of(args)
    escape, _ = escapes(args)
    wanted = Wanted(
        mode=mode,
        model=args.model,
        settings=settings,
        prompt="",
        format=FORMATS[args.template or "alpaca"],
        reverse=tuple(_unescaped(text, escape) for text in args.reverse or ()),
        in_prefix=_unescaped(args.in_prefix or "", escape),
        in_suffix=_unescaped(args.in_suffix or "", escape),
        in_prefix_bos=bool(args.in_prefix_bos),
        keep=args.keep or 0,
    )
    text = None if mode is Mode.PERPLEXITY else prompt_of(args)
    if args.instruct or mode in (Mode.TEXT, Mode.TURNS):
        wanted.prompt = text if text is not None else _default_prompt(wanted)
    elif mode is not Mode.PERPLEXITY:
        wanted.message = text
        system = args.system
        wanted.prompt = _default_prompt(wanted) if system is None else _unescaped(system, escape)
    if mode in (Mode.CHAT, Mode.ANSWER):
        _into_format(wanted)
    settings.other_sampling = sampling_of(args)
    settings.other_loading = loading_of(args, wanted.notices)
    wanted.notices += too_many_threads(settings)
    settings.other_request = request_of(args)
    if getattr(args, "n_predict", None) == values.UNTIL_FULL:
        settings.other_request["when_full"] = WhenFull.STOP
    if settings.other_sampling.get("cfg_scale", 1) > 1 and not settings.other_request.get("negative"):
        settings.other_request["negative"] = (Segment("", bos=True),)
    return wanted


def too_many_threads(settings: Settings) -> list[str]:
    """A line for the user where there are more threads than cores to run them."""
    n_threads, n_cores = settings["n_threads"], usable_cores()
    if n_threads <= n_cores:
        return []
    cores = f"{n_cores} core{'s' * (n_cores > 1)}"
    return [f"{n_threads} threads on {cores} wait for each other; -t {n_cores} is faster."]


def mode_of(args: argparse.Namespace) -> Mode:
    """-ins and -cnv chat; -i takes turns; a prompt alone is continued; without one there is a chat.

    The guide only knows how to answer: without -m a prompt is a question to it.
    """
    if args.perplexity:
        return Mode.PERPLEXITY
    if args.single_turn:
        return Mode.ANSWER
    if args.instruct or args.conversation:
        return Mode.CHAT
    if args.interactive or args.interactive_first:
        return Mode.TURNS
    if args.parts or args.random_prompt:
        return Mode.TEXT if args.model is not None or args.conversation is False else Mode.ANSWER
    return Mode.TEXT if args.conversation is False else Mode.CHAT


def escapes(args: argparse.Namespace) -> tuple[bool, bool]:
    """Do \\n and the like mean something in flags, and in files? In 2023 nowhere but with -e."""
    return args.escape is True if args.compat else args.escape is not False, args.escape is True


def prompt_of(args: argparse.Namespace) -> str | None:
    """The texts of -p and -f, as `main` adds them up: -p begins anew, -f goes on. None: there is none."""
    text: str | None = None
    if args.random_prompt:
        text = secrets.choice(RANDOM_PROMPTS)
    for part in args.parts or ():
        if part.flag == "-p":
            text = _unescaped(part.value, escapes(args)[0])
        else:
            read = read_prompt(part.value) if part.flag == "-f" else _whole_file(part.value)
            text = (text or "") + _unescaped(read, escapes(args)[1])
    return text


def check_together(args: argparse.Namespace) -> None:
    """Raises UserError, in one sentence, where two flags cannot both be meant."""
    given = {name for name, value in vars(args).items() if value not in (None, ())}
    for one, other, sentence in (
        ("cache_all", "cache_ro", "--prompt-cache-all writes the file and --prompt-cache-ro never does"),
        ("grammar", "grammar_file", "--grammar and --grammar-file are two grammars"),
        ("json_schema", "json_schema_file", "--json-schema and --json-schema-file are two schemas"),
        ("negative", "negative_file", "--cfg-negative-prompt and its -file are two texts"),
        ("rope_scale", "rope_freq_scale", "--rope-scale and --rope-freq-scale say the same in two ways"),
        ("perplexity", "instruct", "--perplexity measures a text and -ins chats"),
        ("perplexity", "compat", "--perplexity measures a text and --compat is for talking"),
    ):
        if {one, other} <= given:
            raise UserError(f"{sentence}: give one of them.")
    grammars, schemas = {"grammar", "grammar_file"} & given, {"json_schema", "json_schema_file"} & given
    if grammars and schemas:
        raise UserError("A grammar and a JSON schema were given, and a reply follows one: leave one out.")
    for one, other, sentence in (
        ("cache_all", "cache", "--prompt-cache-all needs --prompt-cache FILE: where to write it"),
        ("cache_ro", "cache", "--prompt-cache-ro needs --prompt-cache FILE: what to read"),
        ("lora_base", "loras", "--lora-base needs --lora FILE: what to add to it"),
        ("single_turn", "parts", "--single-turn needs a message: -p TEXT"),
    ):
        if one in given and other not in given:
            raise UserError(f"{sentence}.")
    if args.instruct and args.conversation:
        raise UserError(
            "-ins and -cnv chat in two ways (-p is the instruction with -ins, the first message with -cnv): "
            "give one of them."
        )
    if args.cache_k and args.cache_v and args.cache_k != args.cache_v:
        raise UserError("Keys and values are kept in one format: give -ctk and -ctv the same.")


def sampling_of(args: argparse.Namespace) -> dict[str, Any]:
    """Fields of `SamplingParams` that were given and are no settings."""
    out: dict[str, Any] = {}
    for name in ("ignore_eos", "penalize_nl", "samplers", "cfg_scale"):
        if getattr(args, name) is not None:
            out[name] = getattr(args, name)
    if args.logit_bias:
        out["logit_bias"] = tuple(args.logit_bias)
    if args.breakers:
        breakers = [values.unescape(text) for text in args.breakers if text != "none"]
        out["dry_sequence_breakers"] = tuple(breakers)
    grammar = _text_or_file(args.grammar, args.grammar_file, "--grammar-file")
    schema = _text_or_file(args.json_schema, args.json_schema_file, "--json-schema-file")
    if grammar or schema:
        _check_grammar(grammar, schema)
    return out | ({"grammar": grammar} if grammar else {}) | ({"json_schema": schema} if schema else {})


def loading_of(args: argparse.Namespace, notices: list[str]) -> dict[str, Any]:
    """Fields of `LoadOptions` that were given and are no settings."""
    out: dict[str, Any] = {}
    cache_type = args.cache_k or args.cache_v
    if cache_type in CACHE_TYPES:
        out["cache_type"] = cache_type
    elif cache_type is not None:
        notices.append(f"The context is kept in f16: {cache_type} is not computed here.")
    if args.loras:
        out["loras"] = tuple(args.loras)
        for adapter in args.loras:
            _there(adapter.path, "LoRA")
    if args.lora_base is not None:
        out["lora_base"] = flags.readable_file(args.lora_base, "base model file")
    names = {field.name for field in fields(RopeOptions)}
    given = {key: getattr(args, f"rope_{key}", None) or getattr(args, key, None) for key in names}
    if args.rope_scale is not None:
        given["freq_scale"] = 1 / args.rope_scale
    rope = {key: value for key, value in given.items() if value is not None}
    return out | ({"rope": RopeOptions(**rope)} if rope else {})


def request_of(args: argparse.Namespace) -> dict[str, Any]:
    """Fields of `GenerateRequest` that were given and are no settings."""
    out: dict[str, Any] = {}
    if args.shift is False:
        out["when_full"] = WhenFull.STOP
    if args.cache is not None:
        out["prompt_cache"] = PromptCache(args.cache, bool(args.cache_all), bool(args.cache_ro))
    negative = _text_or_file(args.negative, args.negative_file, "--cfg-negative-prompt-file")
    if negative:
        text = _unescaped(negative, escapes(args)[0])
        out["negative"] = (Segment(text, bos=True, space_prefix=True),)
    return out


def _check_grammar(grammar: str, schema: str) -> None:
    """Raises UserError where it is wrong: before a model is loaded for it."""
    from alpaca_tui.engine.grammar import gbnf
    from alpaca_tui.engine.grammar.automaton import Automaton
    from alpaca_tui.engine.grammar.schema import to_gbnf

    Automaton(*gbnf.parse(grammar or to_gbnf(schema), lambda token: 0))  # which tokens there are is not known


def _into_format(wanted: Wanted) -> None:
    """In a chat, -r ends replies, too, and what --in-prefix and --in-suffix say stands around the
    questions.
    """
    f = wanted.format
    wanted.format = replace(
        f,
        stop=(*f.stop, *wanted.reverse),
        before_question=f.before_question + wanted.in_prefix,
        after_question=f.after_question + wanted.in_suffix,
        first=None if f.first is None else f.first + wanted.in_prefix,
    )


def _default_prompt(wanted: Wanted) -> str:
    if wanted.mode in (Mode.TEXT, Mode.TURNS):
        return ""
    return read_prompt(prompts_dir() / wanted.format.prompt_file)


def _unescaped(text: str, escape: bool) -> str:
    return values.unescape(text) if escape else text


def _text_or_file(text: str | None, path: Path | None, flag: str) -> str:
    return values.read_text(flag, path) if path is not None else text or ""


def _whole_file(path: str) -> str:
    return values.read_text("--binary-file", find_prompt(path))


def _there(path: Path, what: str) -> None:
    if not path.is_dir():
        flags.readable_file(path, f"{what} file")
