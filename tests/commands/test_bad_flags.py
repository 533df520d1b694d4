"""Command lines of `main` that cannot be meant: one sentence each, with the range or the contradiction."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui import cli
from alpaca_tui.commands import values
from alpaca_tui.errors import UserError


def sentence(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("alpaca-tui: ") and err.endswith((".\n", "?\n")) and err.count("\n") == 1
    return err.removeprefix("alpaca-tui: ").strip()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--keep -2", "--keep takes a whole number from -1 to 1,048,576, not '-2'."),
        ("-n -3", "-n takes a whole number from 1 to 1,000,000, or -1, not '-3'."),
        ("--mirostat 3", "--mirostat takes a whole number from 0 to 2, not '3'."),
        ("--cfg-scale 0.5", "--cfg-scale takes a number from 1 to 100, not '0.5'."),
        ("--rope-scaling cubic", "--rope-scaling takes none, linear or yarn, not 'cubic'."),
        ("--compat 2024-01", "--compat takes 2023-04 or 2023-08, not '2024-01'."),
        ("--color=pink", "--color takes on, off or auto, not 'pink'."),
        ("-ctk q4_0", "--cache-type takes f16, q8_0, f32 or bf16, not 'q4_0'."),
        ("-l 15043", "--logit-bias takes the number of a token"),
        ("-l x+1", "--logit-bias takes the number of a token"),
        ("--samplers top_q", "--samplers knows no 'top_q'"),
        ("--sampling-seq kq", "--sampling-seq knows no 'q'"),
        ("--lora-scaled x.gguf", "--lora-scaled takes a file, a colon and a factor"),
        ("--chat-template chatml", "--chat-template takes alpaca, llama2 or vicuna, not 'chatml'."),
        ("-r", "-r/--reverse-prompt needs a value after it"),
        ("-p -n 5", "-p/--prompt needs a value after it"),
        ("--in-prefixes x", "There is no flag --in-prefixes; did you mean --in-prefix?"),
        # contradictions
        ("--prompt-cache c --prompt-cache-all --prompt-cache-ro", "--prompt-cache-all writes the file and"),
        ("--prompt-cache-all", "--prompt-cache-all needs --prompt-cache FILE"),
        ("--prompt-cache-ro", "--prompt-cache-ro needs --prompt-cache FILE"),
        ("--grammar x -j {}", "A grammar and a JSON schema were given"),
        ("--grammar x --grammar-file y", "--grammar and --grammar-file are two grammars"),
        ("--rope-scale 2 --rope-freq-scale 0.5", "--rope-scale and --rope-freq-scale say the same"),
        ("-ins -cnv", "-ins and -cnv chat in two ways"),
        ("-ctk q8_0 -ctv f16", "Keys and values are kept in one format"),
        ("--lora-base x", "--lora-base needs --lora FILE"),
        ("-st", "--single-turn needs a message: -p TEXT."),
        ("--perplexity -ins -f x", "--perplexity measures a text and -ins chats"),
        ("--perplexity", "Name the text with -f FILE"),
        # files
        ("-f none.txt", "There is no prompt file 'none.txt'"),
        ("-f .", "The prompt file '.' is a folder"),
        ("-f gbk.txt", "The prompt file 'gbk.txt' is not UTF-8 text"),
        ("--grammar-file none.gbnf", "Cannot read the file 'none.gbnf' of --grammar-file: No such file"),
        ("--json-schema-file gbk.txt", "The file 'gbk.txt' of --json-schema-file is not UTF-8 text (byte 0)"),
        ("--lora none.bin", "There is no file 'none.bin'; name the LoRA file by its full path."),
        ("--grammar x", "The grammar is wrong in line 1, column 1: expected a rule"),
        ("--json-schema []", "The JSON schema at # should be an object."),
        # what --compat does not have
        ("--compat 2023-04 --in-suffix x", "--compat 2023-04 has no --in-suffix; leave one of the two out."),
        ("--compat 2023-08 -cnv", "--compat 2023-08 has no --conversation; leave one of the two out."),
        ("--compat 2023-04 --cfg-scale 2", "--compat 2023-04 has no --cfg-scale"),
        ("--compat 2023-04 --prompt-cache x", "--compat 2023-04 has no --prompt-cache"),
        ("--compat 2023-04 --tfs 0.5", "--compat 2023-04 has no --tfs"),
        ("--compat 2023-08 --min-p 0.1", "--compat 2023-08 has no --min-p"),
        ("--compat 2023-08 --samplers top_k", "--compat 2023-08 has no --samplers"),
    ],
)
def test_one_sentence(
    line: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gbk.txt").write_bytes("羊驼".encode("gbk"))
    assert sentence(capsys, "main", *line.split()).startswith(said)


@pytest.mark.parametrize("flag", ["--compat 2023-04", "--perplexity", "-st"])
def test_what_the_full_screen_has_no_place_for(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is for the plain terminal: alpaca-tui main" in sentence(capsys, *flag.split())


def test_an_unreadable_prompt_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match="Cannot read the file 'x' of -f: Permission denied"):
        values.read_text("-f", Path("x"))


def test_a_prompt_file_of_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    path.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(UserError, match="over 1 MiB"):
        values.read_text("-f", path)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (r"a\nb\tc\rd", "a\nb\tc\rd"),
        (r"\'\"\\n", "'\"\\n"),
        (r"\xE7\xBE\x8A\x41", "羊A"),
        (r"\xff", "\ufffd"),
        (r"\q \x4 \xzz end\ ".rstrip(), "\\q \\x4 \\xzz end\\"),
        ("你好", "你好"),
    ],
)
def test_escapes(text: str, meant: str) -> None:
    assert values.unescape(text) == meant
