"""The command line: verbs, flags, exit codes, and one sentence for whatever is wrong with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alpaca_tui import __version__, cli
from alpaca_tui.chat.settings import SETTINGS, Settings
from alpaca_tui.commands import chat, flags
from alpaca_tui.commands.wanted import Mode, wanted_from
from alpaca_tui.errors import UserError


def parse(*argv: str, verb: str = "chat") -> Any:
    parser = cli.parser_for(verb)
    chat.add_arguments(parser)
    return parser.parse(argv)


def sentence(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What is said about a command line that is wrong: exit code 2, one line, nothing on stdout."""
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("alpaca-tui: ")
    assert err.endswith("\n") and err.count("\n") == 1
    return err.removeprefix("alpaca-tui: ").strip()


# --- help and version --------------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"alpaca-tui {__version__}\n"


@pytest.mark.parametrize("verb", ["", *cli.VERBS])
def test_help_names_every_verb_and_flag(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*verb.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: alpaca-tui")
    if verb in ("", "main"):
        for setting in SETTINGS:
            assert setting.flags[-1] in out
    if not verb:
        assert all(f"\n  {name} " in out for name in cli.VERBS)
    assert all(len(line) <= 100 for line in out.splitlines())


def test_python_dash_m_is_the_program() -> None:
    done = subprocess.run([sys.executable, "-m", "alpaca_tui", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"alpaca-tui {__version__}\n")


# --- flags -------------------------------------------------------------------------------------------------


def test_the_tutorials_command_line() -> None:
    line = (
        "-m zh-models/7B/ggml-model-q4_0.bin --color -f ./prompts/alpaca.txt -ins -c 2048 --temp 0.2 -n 256"
        " --repeat_penalty 1.3 --top_k 10000 --top_p 0.5 -b 8 -t 4 --seed 42"
    )
    args = parse(*line.split())
    settings, explicit = flags.settings_from(args)
    assert args.model == Path("zh-models/7B/ggml-model-q4_0.bin")
    given = {
        "temp": 0.2,
        "top_k": 10000,
        "top_p": 0.5,
        "repeat_penalty": 1.3,
        "n_predict": 256,
        "seed": 42,
        "n_batch": 8,
        "n_threads": 4,
        "n_ctx": 2048,
    }
    assert settings.as_dict() == Settings().as_dict() | given
    assert explicit == set(given)
    args.color, args.compat = None, None
    wanted = wanted_from(args)
    assert (wanted.mode, wanted.model) == (Mode.CHAT, Path("zh-models/7B/ggml-model-q4_0.bin"))
    assert wanted.prompt.startswith("Below is an instruction")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.key)
def test_every_spelling_sets_its_setting(setting: Any) -> None:
    value = setting.kind(setting.low)
    spellings = {*setting.flags}
    spellings |= {"--" + flag[2:].replace("-", "_") for flag in spellings if flag.startswith("--")}
    for flag in spellings:
        settings, explicit = flags.settings_from(parse(flag, str(value)))
        assert settings[setting.key] == value
        assert explicit == {setting.key}


def test_minus_one_is_a_value_and_nothing_given_is_nothing_explicit() -> None:
    settings, explicit = flags.settings_from(parse("-n", "-1", "--seed=-1"))
    assert (settings["n_predict"], settings["seed"], explicit) == (-1, -1, {"n_predict", "seed"})
    assert flags.settings_from(parse())[1] == frozenset()


def test_no_lookup_reaches_the_load() -> None:
    for argv, wanted in (([], True), (["--no-lookup"], False), (["--no_lookup"], False)):
        args = parse(*argv)
        settings, explicit = flags.settings_from(args)
        assert settings.load_options().lookup is wanted
        assert flags.load_options(args, settings).lookup is wanted
        assert explicit == frozenset()


def test_eps_and_tokenizer(tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.model"
    tokenizer.write_bytes(b"x")
    args = parse("-eps", "5e-6", "--tokenizer", str(tokenizer), "-c", "64")
    options = flags.load_options(args, flags.settings_from(args)[0])
    assert (options.norm_eps, options.tokenizer, options.n_ctx) == (5e-6, tokenizer, 64)
    with pytest.raises(UserError, match="eps takes a number"):
        parse("--rms-norm-eps", "nan")


# --- what is wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--tmp 3", "There is no flag --tmp; did you mean --temp?"),
        ("--repeat_penality 1.3", "There is no flag --repeat_penality; did you mean --repeat-penalty?"),
        ("--xyzzy", "There is no flag --xyzzy; alpaca-tui --help lists those there are."),
        ("main --prompt-file=x", "There is no flag --prompt-file; did you mean --prompt?"),
        ("--top_k 3x", "--top-k takes a whole number from 0 to 1,000,000, not '3x'."),
        ("--top_p=-5", "--top-p takes a number from 0 to 1, not '-5'."),
        ("--temp nan", "--temp takes a number from 0 to 5, not 'nan'."),
        ("-c 3", "-c takes a whole number from 8 to 1,048,576, or 0, not '3'."),
        ("-t", "-t/--threads needs a value after it; alpaca-tui --help tells more."),
        ("mian", "There is no command 'mian'; did you mean 'main'?"),
        (
            "xyzzy",
            f"There is no command 'xyzzy'; the commands are {', '.join(cli.VERBS)}; without one, the chat",
        ),
        ("no/such.gguf", "There is no file 'no/such.gguf'; name the model file by its full path."),
        ("-m a.bin b.bin", "Two models were given, 'a.bin' and 'b.bin'; name one."),
        ("a.bin b.bin", "'b.bin' is one argument too many; alpaca-tui --help lists what there is."),
        ("-f no-such.txt", "There is no prompt file 'no-such.txt'; those that ship"),
        (
            "--tokenizer no.model",
            "There is no file 'no.model'; name the tokenizer.model file by its full path.",
        ),
        ("main -m no.gguf -p x", "There is no file 'no.gguf'; name the model file by its full path."),
    ],
)
def test_one_sentence_says_what_is_wrong(
    line: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence(capsys, *line.split()).startswith(said)


def test_a_flag_is_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no flag --temperatur;" in sentence(capsys, "--temperatur", "1")


def test_a_mistyped_file_name_gets_the_nearest_beside_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "ggml-model-q4_0.bin").write_bytes(b"x")
    said = sentence(capsys, "-m", str(tmp_path / "ggml-model-q4.bin"))
    assert "did you mean" in said and "ggml-model-q4_0.bin" in said


def test_a_folder_is_no_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "is a folder" in sentence(capsys, "-m", str(tmp_path))


def test_a_file_that_may_not_be_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "m.gguf"
    path.write_bytes(b"x")
    monkeypatch.setattr(Path, "open", refuse)
    assert (
        sentence(capsys, "-m", str(path)) == f"Cannot open the model file {str(path)!r}: Permission denied."
    )


def test_the_chat_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert "alpaca-tui main" in sentence(capsys)


def test_a_model_file_can_stand_without_dash_m(tmp_path: Path) -> None:
    assert cli.split_verb(["models/x.gguf", "-c", "9"]) == ("chat", ["models/x.gguf", "-c", "9"])
    (tmp_path / "plain").write_bytes(b"x")
    assert cli.split_verb([str(tmp_path / "plain")])[0] == "chat"
    assert cli.split_verb(["main", "-p", "x"]) == ("main", ["-p", "x"])
    assert cli.split_verb([]) == ("chat", [])
    assert cli.split_verb(["./main", "-p", "x"]) == ("main", ["-p", "x"])
    assert cli.split_verb(["./main.gguf"]) == ("chat", ["./main.gguf"])
    old = ["migrate-ggml-2023-03-30-pr613.py", "a.bin", "b.bin"]
    assert cli.split_verb(old) == ("convert", ["a.bin", "--container", "ggjt-v1", "--outfile", "b.bin"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/x/y"), "/x/y: No space left on device."),
        (MemoryError(), "not enough memory"),
        (UserError("Just so."), "Just so."),
    ],
)
def test_errors_of_a_command_are_one_sentence(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: Any) -> int:
        raise error

    monkeypatch.setattr(chat, "run", fail)
    assert said in sentence(capsys)


def test_ctrl_c_and_a_closed_pipe_have_their_own_exit_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(argv: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    monkeypatch.setattr(cli.signal, "signal", lambda *args: None)
    for name in cli.BLAS_THREADS:
        monkeypatch.setenv(name, "1")
    with pytest.raises(SystemExit, match="130"):
        cli.run()
    code = "import alpaca_tui.cli as c; c.main = lambda argv: print('x' * 100_000) or 0; c.run()"
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None and program.stderr is not None
    program.stdout.read(10)
    program.stdout.close()
    assert program.wait(10) == 141
    assert program.stderr.read() == b""
    program.stderr.close()
