"""The pictures of README, taken of the real program with the bundled model.

    python -m tools.screenshots BROWSER        writes docs/images/chat.png and chat.zh-CN.png

BROWSER: a Chromium-like browser, which turns Textual's SVG into PNG; its fonts must know Chinese.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import re
import subprocess
from pathlib import Path

from rich.cells import cell_len

from alpaca_tui.chat.settings import Settings
from alpaca_tui.engine.protocol import EngineState
from alpaca_tui.engine.worker import EngineWorker
from alpaca_tui.resources import find_prompt
from alpaca_tui.tui.app import AlpacaApp

IMAGES = Path(__file__).resolve().parent.parent / "docs/images"
SIZE = (112, 32)
TALKS = {
    "chat": ("en", ["How do I open a model?", "What does temperature mean?", "How do I stop a reply?"]),
    "chat.zh-CN": ("zh", ["怎么打开模型？", "什么是量化？", "怎么停止生成？"]),
}
FONTS = '"DejaVu Sans Mono", "Noto Sans Mono CJK SC", monospace'


TEXT = re.compile(r'textLength="[\d.]+"([^>]*)>([^<]*)</text>')
CELL = 12.2  # units a terminal's column is wide in the SVG


def _as_wide_as_its_cells(match: re.Match[str]) -> str:
    """Rich counts characters where Chinese ones take two columns each."""
    width = cell_len(html.unescape(match[2])) * CELL
    return f'textLength="{width:.1f}"{match[1]}>{match[2]}</text>'


async def picture(name: str, language: str, questions: list[str]) -> Path:
    """Asks the questions in a headless terminal and saves the screen."""
    engine = EngineWorker()
    instruction = find_prompt("prompts/alpaca.txt").read_text(encoding="utf-8").removesuffix("\n")
    app = AlpacaApp(lambda: engine, None, Settings(seed=7), instruction, language)
    async with app.run_test(size=SIZE) as pilot:
        for question in [None, *questions]:
            if question:
                app.query_one("#prompt").text = question  # type: ignore[attr-defined]
                await pilot.press("enter")
                await pilot.pause(0.5)
            while engine.state is not EngineState.IDLE:
                await pilot.pause(0.2)
            await pilot.pause(0.5)
        svg = app.export_screenshot(title="alpaca-tui")
    # the fonts that Textual names would be fetched from elsewhere
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", FONTS)
    svg = TEXT.sub(_as_wide_as_its_cells, svg)
    path = IMAGES / f"{name}.svg"
    IMAGES.mkdir(parents=True, exist_ok=True)
    path.write_text(svg, encoding="utf-8")
    return path


def to_png(svg: Path, browser: str) -> None:
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.read_text(encoding="utf-8"))
    assert box
    width, height = float(box[1]), float(box[2])
    png = svg.with_suffix(".png")
    page = svg.with_suffix(".html")
    page.write_text(f'<body style="margin:0"><img src="{svg.name}" width="{width:.0f}">', encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--window-size={width:.0f},{height:.0f}", f"--screenshot={png}", str(page)]
    subprocess.run(command, check=True, capture_output=True)
    page.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("browser")
    options = parser.parse_args()
    for name, (language, questions) in TALKS.items():
        path = asyncio.run(picture(name, language, questions))
        to_png(path, options.browser)
        path.unlink()


if __name__ == "__main__":
    main()
