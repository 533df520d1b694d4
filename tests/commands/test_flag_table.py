"""All flags of `main`: of April 2023, of August 2023, and of today. Each is parsed, has a default, does
something.

The lists of spellings are those of the three programs' own parsers (llama.cpp at 437e778, at the version of
2023-08-15, and llama-completion); what is expected of each stands in the tables below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alpaca_tui.chat.settings import SETTINGS
from alpaca_tui.chat.settings_table import BY_KEY
from alpaca_tui.commands import chat, main
from alpaca_tui.commands.compat import DEFAULTS, settings_of
from alpaca_tui.commands.flags import Parser
from alpaca_tui.commands.main_flags import FLAGS
from alpaca_tui.commands.no_meaning import UNUSED, said_of
from alpaca_tui.commands.values import Part
from alpaca_tui.commands.wanted import Mode, Wanted, wanted_from
from alpaca_tui.engine.protocol import (
    Adapter,
    LoadOptions,
    PromptCache,
    RopeOptions,
    SamplingParams,
    Segment,
    WhenFull,
)

# flag -> a value that it takes; None: it takes none
APRIL = {
    "-h": None, "--help": None, "-i": None, "--interactive": None, "--interactive-start": None,
    "--interactive-first": None, "-ins": None, "--instruct": None, "-r": "User:",
    "--reverse-prompt": "User:", "--color": None, "-s": "1", "--seed": "1", "-t": "2", "--threads": "2",
    "-p": "x", "--prompt": "x", "-f": "alpaca.txt", "--file": "alpaca.txt", "--random-prompt": None,
    "--in-prefix": " ", "-n": "7", "--n_predict": "7", "--top_k": "5", "--top_p": "0.5",
    "--temp": "0.3", "--repeat_last_n": "32", "--repeat_penalty": "1.3", "-c": "64", "--ctx_size": "64",
    "-b": "16", "--batch_size": "16", "--keep": "-1", "--ignore-eos": None, "--memory_f32": None,
    "--n_parts": "1", "--mlock": None, "--mtest": None, "--verbose-prompt": None, "-m": "m.bin",
    "--model": "m.bin", "--perplexity": None, "--embedding": None,
}  # fmt: skip
AUGUST = {
    "--multiline-input": None, "-e": None, "--in-prefix-bos": None, "--in-suffix": "A:",
    "--n-predict": "-2", "--top-k": "5", "--top-p": "0.5", "--repeat-last-n": "-1",
    "--repeat-penalty": "1.3", "--presence-penalty": "0.5", "--frequency-penalty": "0.5",
    "--tfs": "0.9", "--typical": "0.9", "--mirostat": "2", "--mirostat-lr": "0.2",
    "--mirostat-ent": "4", "-l": "15043+1", "--logit-bias": "2-inf", "--no-penalize-nl": None,
    "--ctx-size": "64", "--batch-size": "16", "--memory-f32": None, "--no-mmap": None, "--numa": None,
    "--export": None, "--hellaswag": None, "--hellaswag-tasks": "10", "--chunks": "3",
    "--grammar": 'root ::= "x"', "--grammar-file": "{text}", "--cfg-negative-prompt": "no",
    "--cfg-negative-prompt-file": "{text}", "--cfg-scale": "2", "--rope-scale": "2",
    "--rope-freq-base": "20000", "--rope-freq-scale": "0.5", "-gqa": "8", "-eps": "1e-5",
    "--lora": "{text}", "--lora-base": "{text}", "--prompt-cache": "c.bin", "--prompt-cache-all": None,
    "--prompt-cache-ro": None, "--session": "c.bin", "-ngl": "33", "--n-gpu-layers": "33",
    "--gpu-layers": "33", "-ts": "3,1", "--tensor-split": "3,1", "-mg": "0", "--main-gpu": "0",
    "-lv": None, "--low-vram": None, "-mmq": None, "--mul-mat-q": None, "--simple-io": None,
}  # fmt: skip
TODAY = {
    "-mli": None, "-if": None, "-co": "auto", "-tb": "2", "--no-escape": None, "-bf": "{text}",
    "--predict": "7", "--temperature": "0.3", "--min-p": "0.1", "-ub": "64", "-ctk": "q8_0",
    "-ctv": "q8_0", "--cache-type-k": "f16", "--cache-type": "f16", "-lm": "mmap", "-fa": "on",
    "-dev": "none", "-sm": "none", "-j": "{}", "--json-schema": "{}", "--json-schema-file": "{text}",
    "--samplers": "top_k;temperature", "--sampling-seq": "kt", "--rope-scaling": "yarn",
    "--yarn-orig-ctx": "2048", "--yarn-ext-factor": "1", "--yarn-attn-factor": "1",
    "--yarn-beta-fast": "32", "--yarn-beta-slow": "1", "--lora-scaled": "{text}:0.5",
    "--context-shift": None, "--no-context-shift": None, "-cnv": None, "--conversation": None,
    "-no-cnv": None, "-st": None, "-sys": "Be brief.", "--jinja": None, "--chat-template": "llama2",
    "--display-prompt": None, "--no-display-prompt": None, "--warmup": None, "--no-warmup": None,
    "--no-perf": None, "--perf": None, "--top-n-sigma": "1", "--xtc-probability": "0.5",
    "--xtc-threshold": "0.1", "--dynatemp-range": "0.5", "--dynatemp-exp": "1",
    "--dry-multiplier": "0.8", "--dry-base": "1.75", "--dry-allowed-length": "2",
    "--dry-penalty-last-n": "64", "--dry-sequence-breaker": "none", "--compat": "2023-04",
    "--log-disable": None,
}  # fmt: skip
ALL = APRIL | AUGUST | TODAY


def parser_of(module: Any) -> Parser:
    parser = Parser("alpaca-tui", "", "")
    module.add_arguments(parser)
    return parser


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "file.txt"
    path.write_text("text\n")
    return path


def want(*argv: str) -> Wanted:
    return wanted_from(parser_of(main).parse(argv))


# --- parsed ------------------------------------------------------------------------------------------------


def spellings(flag: str) -> set[str]:
    return {flag, flag[:2] + flag[2:].replace("-", "_"), flag[:2] + flag[2:].replace("_", "-")}


@pytest.mark.parametrize("module", [main, chat], ids=["main", "full screen"])
@pytest.mark.parametrize("flag", [flag for flag in ALL if flag not in ("-h", "--help")])
def test_every_flag_of_every_time_is_known_in_both_spellings(flag: str, module: Any, text: Path) -> None:
    value = ALL[flag]
    parser = parser_of(module)
    for spelling in spellings(flag) if flag.startswith("--") else [flag]:
        value_given = [] if value is None else [value.replace("{text}", str(text))]
        args = parser.parse([spelling, *value_given, "-s", "3"])
        assert args.seed == 3


def test_every_flag_of_the_tables_is_named_in_the_lists_above() -> None:
    listed = set(ALL)
    missing = [flag.names for flag in FLAGS if not listed & set(flag.names)]
    assert missing == [("--penalize-nl",)]
    assert [setting.flags for setting in SETTINGS if not listed & set(setting.flags)] == []


# --- defaults ----------------------------------------------------------------------------------------------


def test_defaults_of_today_and_of_2023() -> None:
    now = want("-m", "x").settings
    assert (now["n_predict"], now["n_ctx"], now["n_batch"], now["repeat_penalty"]) == (512, 0, 512, 1.1)
    assert now.sampling() == SamplingParams()
    assert now.load_options() == LoadOptions()
    april = settings_of("2023-04", want("-m", "x").settings)
    assert [april[key] for key in ("n_predict", "n_ctx", "n_batch", "temp", "top_k", "top_p")] == [
        128, 512, 8, 0.8, 40, 0.95,
    ]  # fmt: skip
    august = settings_of("2023-08", want("-m", "x").settings)
    assert [august[key] for key in ("n_predict", "n_ctx", "n_batch")] == [-1, 512, 512]
    assert all(set(defaults) <= set(BY_KEY) for defaults in DEFAULTS.values())
    assert settings_of("2023-04", want("-m", "x", "-n", "9").settings)["n_predict"] == 9


# --- effects -----------------------------------------------------------------------------------------------

SAMPLING: list[tuple[str, dict[str, Any]]] = [
    ("--ignore-eos", {"ignore_eos": True}),
    ("-l 15043+1 --logit-bias 2-inf", {"logit_bias": ((15043, 1.0), (2, float("-inf")))}),
    ("--no-penalize-nl", {"penalize_nl": False}),
    ("--samplers top_k;temp", {"samplers": ("top_k", "temperature")}),
    ("--sampling-seq kmt", {"samplers": ("top_k", "min_p", "temperature")}),
    ("--dry-sequence-breaker none", {"dry_sequence_breakers": ()}),
    ("--dry-sequence-breaker \\n --dry-sequence-breaker ;", {"dry_sequence_breakers": ("\n", ";")}),
    ("--top_k -1", {"top_k": 0}),
    ("--grammar-file {grammar}", {"grammar": 'root ::= "x"\n'}),
    ("--json-schema-file {schema}", {"json_schema": "true\n"}),
    ("-j {}", {"json_schema": "{}"}),
    ("--cfg-scale 2", {"cfg_scale": 2.0}),
    ("--temp 0.3 --top_k 5 --top_p 0.5 --min_p 0.1", {"temp": 0.3, "top_k": 5, "top_p": 0.5, "min_p": 0.1}),
    ("--repeat_penalty 1.3 --repeat_last_n -1", {"repeat_penalty": 1.3, "repeat_last_n": -1}),
    ("--presence_penalty 0.5 --frequency_penalty 1", {"presence_penalty": 0.5, "frequency_penalty": 1.0}),
    ("--tfs 0.9 --typical 0.8", {"tfs_z": 0.9, "typical_p": 0.8}),
    ("--mirostat 2 --mirostat_lr 0.2", {"mirostat": 2, "mirostat_lr": 0.2}),
    ("--mirostat 1 --mirostat_ent 4", {"mirostat": 1, "mirostat_ent": 4.0}),
    ("-s 7", {"seed": 7}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), SAMPLING, ids=lambda value: str(value)[:20])
def test_sampling(line: str, fields: dict[str, Any], text: Path) -> None:
    for name, content in (("grammar", 'root ::= "x"\n'), ("schema", "true\n")):
        text.with_name(name).write_text(content)
        line = line.replace(f"{{{name}}}", str(text.with_name(name)))
    words = [word.replace("{text}", str(text)) for word in line.split()]
    sampling = want("-m", "x", *words).settings.sampling()
    assert sampling == SamplingParams(**fields)


LOADING: list[tuple[str, dict[str, Any]]] = [
    ("-t -1", {}),
    ("-c 64 -t 2 -b 16", {"n_ctx": 64, "n_threads": 2, "n_batch": 16}),
    ("-ctk q8_0", {"cache_type": "q8_0"}),
    ("-ctk q8_0 -ctv q8_0", {"cache_type": "q8_0"}),
    ("--cache_type q8_0", {"cache_type": "q8_0"}),
    ("--rope-freq-base 20000 --rope-freq-scale 0.5", {"rope": RopeOptions(freq_base=20000, freq_scale=0.5)}),
    ("--rope-scale 4", {"rope": RopeOptions(freq_scale=0.25)}),
    ("--rope-scaling yarn --yarn-orig-ctx 2048", {"rope": RopeOptions(scaling="yarn", yarn_orig_ctx=2048)}),
    ("--yarn-ext-factor 0", {"rope": RopeOptions(yarn_ext_factor=0.0)}),
    ("--no-lookup", {"lookup": False}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), LOADING, ids=lambda value: str(value)[:20])
def test_loading(line: str, fields: dict[str, Any]) -> None:
    assert want("-m", "x", *line.split()).settings.load_options() == LoadOptions(**fields)


def test_loras_in_their_order(text: Path) -> None:
    options = want("--lora", str(text), "--lora-scaled", f"{text}:0.5", "--lora-base", str(text)).settings
    assert options.load_options().loras == (Adapter(text), Adapter(text, 0.5))
    assert options.load_options().lora_base == text


REQUEST: list[tuple[str, dict[str, Any]]] = [
    ("--no-context-shift", {"when_full": WhenFull.STOP}),
    ("-n -2", {"when_full": WhenFull.STOP}),
    ("--context-shift", {}),
    ("--prompt-cache c", {"prompt_cache": PromptCache(Path("c"))}),
    ("--session c --prompt-cache-all", {"prompt_cache": PromptCache(Path("c"), whole=True)}),
    ("--prompt-cache c --prompt-cache-ro", {"prompt_cache": PromptCache(Path("c"), read_only=True)}),
    ("--cfg-negative-prompt a\\nb", {"negative": (Segment("a\nb", bos=True, space_prefix=True),)}),
    ("--cfg-scale 2", {"negative": (Segment("", bos=True),)}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), REQUEST, ids=lambda value: str(value)[:20])
def test_requests(line: str, fields: dict[str, Any]) -> None:
    wanted = want("-m", "x", *line.split())
    assert wanted.settings.other_request == fields
    assert wanted.settings["n_predict"] == (-1 if line == "-n -2" else 512)


TALK: list[tuple[str, Mode]] = [
    ("", Mode.CHAT),
    ("-m x", Mode.CHAT),
    ("-m x -ins", Mode.CHAT),
    ("-m x -i -ins", Mode.CHAT),
    ("-m x -cnv -p hi", Mode.CHAT),
    ("-m x -p hi", Mode.TEXT),
    ("-m x -f alpaca.txt", Mode.TEXT),
    ("-m x --random-prompt", Mode.TEXT),
    ("-m x -no-cnv", Mode.TEXT),
    ("-p hi", Mode.ANSWER),  # the guide only knows how to answer
    ("-no-cnv -p hi", Mode.TEXT),
    ("-m x -st -p hi", Mode.ANSWER),
    ("-m x -i", Mode.TURNS),
    ("-m x --interactive-first -p hi", Mode.TURNS),
    ("-m x -r User: -p hi", Mode.TEXT),
    ("-m x -r User: -i", Mode.TURNS),
    ("-m x --perplexity -f y", Mode.PERPLEXITY),
]


@pytest.mark.parametrize(("line", "mode"), TALK)
def test_how_it_talks(line: str, mode: Mode) -> None:
    assert want(*line.split()).mode is mode


@pytest.mark.parametrize("line", ["--numa distribute", "-fa on", "-co off", "--color"])
def test_a_value_that_may_be_left_out_is_taken_where_it_is_one(line: str) -> None:
    args = parser_of(chat).parse([*line.split(), "model.bin"])
    assert args.positional == Path("model.bin")
    assert args.color == {"-co off": "off", "--color": "on"}.get(line)


@pytest.mark.parametrize("unused", UNUSED, ids=lambda unused: unused.names[-1])
def test_what_means_nothing_is_said_in_one_line(unused: Any) -> None:
    for name in unused.names:
        args = parser_of(main).parse([name, *["0"] * (unused.values == 1)])
        (line,) = said_of(args)
        assert line == f"{name} has no effect: {unused.why}."


def test_prompts_add_up_as_they_did(text: Path) -> None:
    file = str(text)
    for words, prompt in (
        (["-p", "a\\nb"], "a\nb"),
        (["-p", "a\\nb", "--no-escape"], "a\\nb"),
        (["-f", file], "text"),
        (["-bf", file], "text\n"),
        (["-p", "a", "-f", file], "atext"),
        (["-f", file, "-p", "a"], "a"),
        (["-p", "-x"], "-x"),
        (["-p", "你好\\xF0\\x9F\\xA6\\x99"], "你好🦙"),
        (["--compat", "2023-08", "-p", "a\\n"], "a\\n"),
        (["--compat", "2023-08", "-e", "-p", "a\\n"], "a\n"),
    ):
        assert want("-m", "x", *words).prompt == prompt
    assert want("-m", "x", "-ins", "-p", "Be brief.").prompt == "Be brief."
    assert want("-m", "x", "-ins").prompt.startswith("Below is an instruction")
    assert want("-m", "x", "--chat-template", "vicuna").prompt.startswith("A chat between")
    asked = want("-m", "x", "-st", "-sys", "Rhyme.", "-p", "hi")
    assert (asked.prompt, asked.message) == ("Rhyme.", "hi")


def test_what_is_typed_stands_between_prefix_and_suffix() -> None:
    words = [
        "--in-prefix",
        " ",
        "--in-suffix",
        "A:",
        "--in-prefix-bos",
        "-r",
        "Q:",
        "-r",
        "Z:",
        "--keep",
        "-1",
    ]
    wanted = want("-m", "x", "-i", *words)
    assert (wanted.in_prefix, wanted.in_suffix, wanted.in_prefix_bos) == (" ", "A:", True)
    assert (wanted.reverse, wanted.keep) == (("Q:", "Z:"), -1)
    chat_format = want("-m", "x", "-ins", *words).format
    assert chat_format.before_question == "\n\n### Instruction:\n\n "
    assert chat_format.after_question == "\nA:"
    assert chat_format.stop == ("### Instruction:", "Q:", "Z:")


def test_parts_of_the_prompt_know_their_flags() -> None:
    args = parser_of(main).parse(["-f", "a", "-p", "b", "--binary_file", "c"])
    assert args.parts == [Part("-f", "a"), Part("-p", "b"), Part("-bf", "c")]


def test_more_threads_than_cores_are_slower_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpaca_tui.commands.wanted.usable_cores", lambda: 4)
    assert want("-m", "x", "-t", "4").notices == want("-m", "x").notices == []
    [notice] = want("-m", "x", "-t", "8").notices
    assert "8 threads on 4 cores" in notice and "-t 4" in notice
