"""The pictures of the plain terminal, taken of the real program with the bundled model.

    python -m tools.screenshots_plain BROWSER     writes docs/images/plain.png and plain.zh-CN.png

Needs a Unix terminal, and a browser as `tools.screenshots` does.
"""

from __future__ import annotations

import argparse
import io
import re
import tempfile
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tests.program.terminal import CTRL_D, ENTER, Terminal
from tools.screenshots import FONTS, IMAGES, TEXT, _as_wide_as_its_cells, to_png

SIZE = (20, 118)
TALKS = {
    "plain": ["How do I open a model?", "How do I stop a reply?"],
    "plain.zh-CN": ["怎么打开模型？", "怎么停止生成？"],
}
FLAGS = ["main", "-ins", "--temp", "0.2", "--color", "-s", "7"]


def talk(questions: list[str]) -> Terminal:
    """The terminal as it is at the end of the conversation."""
    with tempfile.TemporaryDirectory() as home, Terminal(FLAGS, Path(home), SIZE) as terminal:
        for question in questions:
            terminal.wait(lambda text: text.rstrip().endswith("\n>"))
            terminal.send(question + ENTER)
            terminal.wait(question)
        terminal.wait(lambda text: text.rstrip().endswith("\n>"))
        terminal.send(CTRL_D)
        terminal.exit_code()
    return terminal


def row(terminal: Terminal, y: int) -> Text:
    def style(char: pyte.screens.Char) -> Style:
        colour = {"default": None, "brown": "yellow"}.get(char.fg, char.fg.replace("bright", "bright_"))
        if re.fullmatch("[0-9a-f]{6}", char.fg):
            colour = f"#{char.fg}"
        return Style(color=colour, bold=char.bold)

    cells = [terminal.screen.buffer[y][x] for x in range(SIZE[1])]
    line = Text()
    for look, chars in groupby(cells, style):
        line.append("".join(char.data for char in chars), look)
    return line


def picture(name: str, questions: list[str]) -> Path:
    terminal = talk(questions)
    console = Console(width=SIZE[1], record=True, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ alpaca-tui " + " ".join(FLAGS)))
    last = max(y for y in range(SIZE[0]) if terminal.line(y).strip())
    for y in range(last + 1):
        console.print(row(terminal, y))
    svg = console.export_svg(title="alpaca-tui main", clear=True)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", FONTS)
    svg = TEXT.sub(_as_wide_as_its_cells, svg)
    path = IMAGES / f"{name}.svg"
    path.write_text(svg, encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("browser")
    options = parser.parse_args()
    for name, questions in TALKS.items():
        path = picture(name, questions)
        to_png(path, options.browser)
        path.unlink()


if __name__ == "__main__":
    main()
