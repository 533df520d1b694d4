"""Draws the loss of a run: `python -m tools.guide.curve build/guide/loss.csv docs/images/guide-loss.svg`.

loss.csv has a row for every 50 steps: the step, the seconds so far, the mean loss on the tokens that count,
and the learning rate.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 34, 40
LINE, GRID, TEXT = "#2f6f8f", "#d8d8d8", "#444444"


def read(path: Path) -> list[tuple[int, float]]:
    """(step, loss); of a step that was done twice, the second time."""
    with path.open(newline="") as file:
        found = {int(row[0]): float(row[2]) for row in csv.reader(file)}
    return sorted(found.items())


def svg(points: list[tuple[int, float]], title: str) -> str:
    """Loss over steps, the loss on a logarithmic scale."""
    last = max(step for step, _ in points)
    low = math.floor(math.log2(min(loss for _, loss in points)))
    high = math.ceil(math.log2(max(loss for _, loss in points)))

    def place(step: float, loss: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log2(loss)) / (high - low)
        return round(x, 1), round(y, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" fill="{TEXT}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{title}</text>',
    ]
    for power in range(low, high + 1):
        _, y = place(0, 2.0**power)
        parts.append(f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{2.0**power:g}</text>')
    apart = 10 ** math.floor(math.log10(last)) // 2 or 1
    for step in range(0, last + 1, apart):
        x, y = place(step, 2.0**low)
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{step:,}</text>')
    line = " ".join(f"{x},{y}" for x, y in (place(*point) for point in points))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">steps</text></svg>')
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("losses", type=Path, help="loss.csv of a run")
    parser.add_argument("picture", type=Path, help="the SVG file to write")
    parser.add_argument("--title", default="Loss per counted token, mean of 50 steps")
    args = parser.parse_args()
    args.picture.write_text(svg(read(args.losses), args.title), encoding="utf-8")


if __name__ == "__main__":
    main()
