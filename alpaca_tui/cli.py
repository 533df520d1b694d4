"""The command line: a verb per module of commands/, the chat where no verb is given.

Nothing here or above the verb's own `run` imports Textual, NumPy or Numba: `--help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from alpaca_tui import __version__
from alpaca_tui.commands.flags import Parser, nearest
from alpaca_tui.errors import UserError
from alpaca_tui.system import restart_in_utf8, set_utf8_console

# verb -> (what stands after it in the usage line, what it does)
VERBS = {
    "main": ("[-m MODEL] [flags]", "llama.cpp's main in the plain terminal: chats, texts, pipes, scripts"),
    "convert": (
        "MODEL [1] [flags]",
        "a model file from a checkpoint (.pth, .bin, .safetensors) or an old one",
    ),
    "quantize": ("IN [OUT] TYPE [THREADS]", "a model file with smaller weights, as llama.cpp quantises"),
    "setup": ("DIR [--yes]", "from downloaded weights to a model that chats, step by step"),
    "verify": ("FILE|DIR... [--expect HASH]", "check files against published SHA256, and say what is wrong"),
    "merge": ("--base_model DIR --lora_model DIR[,DIR]", "make one model of a base and its LoRAs"),
    "perplexity": ("-m MODEL -f TEXT [-c N]", "how well a model predicts a text; how far it is from another"),
    "bench": (
        "[-m MODEL] [-t 1,2] [-o md]",
        "how fast a model runs here, and how near that is to the limits",
    ),
    "inspect": ("FILE [-c N]", "what is in a model file, and the memory it will need"),
    "export": ("[WORD...] [--all] [-o FILE|DIR]", "chats of the full screen as Markdown, JSON or text"),
    "import": ("FILE...", "chats from the JSON that export wrote"),
}
MODULES = {"export": "chats_export", "import": "chats_import"}  # of commands/, where not named as the verb
# The tools of 2023 by their own names, as the tutorials type them.
ALIASES = {
    "convert.py": "convert",
    "convert-pth-to-ggml.py": "convert",
    "merge_llama_with_chinese_lora.py": "merge",
    "merge_llama_with_chinese_lora_low_mem.py": "merge",
}
# This one took IN OUT, and made the container of the day of what had been converted before.
MIGRATE, MIGRATED = "migrate-ggml-2023-03-30-pr613.py", ("--container", "ggjt-v1", "--outfile")
OK, BAD_USE, INTERRUPTED, BROKEN_PIPE = 0, 2, 130, 141
# NumPy's own threads: the few products that it makes (LoRAs) are thin, and made in threads of ours already.
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

DESCRIPTION = """\
A full-screen chat with a LLaMA or Alpaca model, on this computer's own CPU.
Without a model, a tiny one that ships with the program answers questions about it.
"""
EPILOG = """\
Long flags can be written with - or _ (--top-k, --top_k). Examples:
  alpaca-tui
  alpaca-tui -m zh-models/7B/ggml-model-q4_0.bin -f prompts/alpaca.txt -c 2048 --temp 0.2 -n 256
  alpaca-tui main -m zh-models/7B/ggml-model-q4_0.bin -p "Once upon a time" > story.txt
"""


def run() -> NoReturn:
    """The program. Leaves with 0; 2 after one sentence about what was wrong; 130 after Ctrl+C."""
    restart_in_utf8()
    set_utf8_console()
    for name in BLAS_THREADS:
        os.environ.setdefault(name, "1")
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # one more, on the way out, ends it without a word
    except BrokenPipeError:  # `alpaca-tui main | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Runs the command that `argv` (without the program's name) asks for, and returns its exit code."""
    try:
        verb, rest = split_verb(argv)
        parser = parser_for(verb)
        command = importlib.import_module(f"alpaca_tui.commands.{MODULES.get(verb, verb)}")
        command.add_arguments(parser)
        return int(command.run(parser.parse(rest)))
    except UserError as error:
        message = str(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"{error.filename}: {error.strerror}." if error.filename else f"{error}."
    except MemoryError:
        message = "There is not enough memory for this; a smaller model or a smaller -c needs less."
    except SystemExit as leave:  # argparse after --help and --version
        return int(leave.code or OK)
    print(f"alpaca-tui: {message}", file=sys.stderr)
    return BAD_USE


def split_verb(argv: Sequence[str]) -> tuple[str, list[str]]:
    """(module of commands/, its arguments). A first word that is no verb is a model file, or a mistake."""
    rest = list(argv)
    if not rest or rest[0].startswith("-"):
        return "chat", rest
    name = Path(rest[0]).name
    if name == MIGRATE and len(rest) == 3:
        return "convert", [rest[1], *MIGRATED, rest[2]]
    word = ALIASES.get(name, name if rest[0] == f"./{name}" and name in VERBS else rest[0])
    if word in VERBS:
        return word, rest[1:]
    if Path(word).exists() or Path(word).name != word or Path(word).suffix:
        return "chat", rest
    hint = nearest(word, VERBS)
    known = ", ".join(VERBS)
    raise UserError(
        f"There is no command {word!r}; "
        + (f"did you mean {hint!r}?" if hint else f"the commands are {known}; without one, the chat opens.")
    )


def parser_for(verb: str) -> Parser:
    """An empty parser for a verb, with the usage line, the words around its flags, -h and --version."""
    if verb == "chat":
        usage = ["%(prog)s [MODEL] [flags]"]
        usage += [f"%(prog)s {name} {arguments}" for name, (arguments, _) in VERBS.items()]
        width = max(map(len, VERBS)) + 2
        verbs = "".join(f"  {name:{width}}{does}\n" for name, (_, does) in VERBS.items())
        parser = Parser(
            prog="alpaca-tui",
            usage="\n       ".join(usage),
            description=f"{DESCRIPTION}\ncommands (alpaca-tui COMMAND --help tells more):\n{verbs}",
            epilog=EPILOG,
        )
    else:
        arguments, does = VERBS[verb]
        parser = Parser(
            prog=f"alpaca-tui {verb}",
            usage=f"%(prog)s {arguments}",
            description=f"{does[0].upper()}{does[1:]}.",
        )
    parser.add_argument("--version", action="version", version=f"alpaca-tui {__version__}")
    return parser
