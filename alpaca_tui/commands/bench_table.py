"""The forms in which `alpaca-tui bench` gives its results: those of llama-bench, with what it does not say.

Columns and field names are llama-bench's (llama.cpp, tools/llama-bench). Beyond these: GB/s of weights read
while decoding, as a share of what the same threads read in one stream; GMAC/s while a prompt is evaluated (a
MAC is one weight times one activation, summed), as a share of what the instruction for it does at best.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from alpaca_tui import __version__

if TYPE_CHECKING:
    from alpaca_tui.pipeline.bench import Result

# name -> (width, < 0: aligned left; what stands there)
COLUMNS: dict[str, tuple[int, Callable[[Result], str]]] = {
    "model": (-30, lambda r: r.facts.kind),
    "size": (10, lambda r: _in_units(r.facts.size, {"GiB": 2**30, "MiB": 2**20})),
    "params": (10, lambda r: _in_units(r.facts.n_params, {"B": 10**9, "M": 10**6})),
    "threads": (7, lambda r: str(r.n_threads)),
    "test": (8, lambda r: r.workload.name),
    "t/s": (18, lambda r: f"{r.speed:.2f} ± {r.deviation:.2f}"),
    "GB/s": (6, lambda r: _number(r.bytes_per_second, 1e9)),
    "of bus": (6, lambda r: _share(r.bandwidth_share)),
    "GMAC/s": (6, lambda r: _number(r.products_per_second, 1e9)),
    "of peak": (7, lambda r: _share(r.peak_share)),
}


def markdown(results: Iterable[Result]) -> Iterator[str]:
    """A table, row by row; then the limits that its shares are of."""
    yield _row(list(COLUMNS))
    rules = ("-" * -width if width < 0 else "-" * (width - 1) + ":" for width, _ in COLUMNS.values())
    yield f"| {' | '.join(rules)} |\n"
    last: dict[int, Result] = {}
    for result in results:
        yield _row([text(result) for _, text in COLUMNS.values()])
        last[result.n_threads] = result
    yield "\n"
    for n, result in last.items():
        peak, numbers = result.limits.peak, "bytes" if result.facts.integer else "floats"
        yield (
            f"With {n} thread{'s' * (n > 1)}, memory is read at {result.limits.bandwidth / 1e9:.1f} GB/s"
            + (f", and {numbers} are multiplied at {peak / 1e9:.0f} GMAC/s" if peak else "")
            + f" ({result.facts.cpu}, {result.facts.kernels}).\n"
        )


def as_json(results: Iterable[Result]) -> Iterator[str]:
    """An array of objects."""
    before = "[\n"
    for result in results:
        fields = fields_of(result)
        fields["samples_ns"] = [round(1e9 * s) for s in result.seconds]
        fields["samples_ts"] = result.speeds
        lines = json.dumps(fields, indent=2, ensure_ascii=False).splitlines()
        yield before + "\n".join(f"  {line}" for line in lines)
        before = ",\n"
    yield "\n]\n"


def as_csv(results: Iterable[Result]) -> Iterator[str]:
    """A line of names, then a line a result."""
    for i, result in enumerate(results):
        fields = fields_of(result)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(fields), quoting=csv.QUOTE_ALL, lineterminator="\n")
        if i == 0:
            writer.writeheader()
        writer.writerow(fields)
        yield text.getvalue()


PRINTERS: dict[str, Callable[[Iterable[Result]], Iterator[str]]] = {
    "md": markdown,
    "json": as_json,
    "csv": as_csv,
}


def fields_of(result: Result) -> dict[str, Any]:
    """What JSON and CSV say of a result. Times are nanoseconds, sizes bytes; None: does not apply."""
    facts, work = result.facts, result.workload
    nanoseconds = [1e9 * s for s in result.seconds]
    mean = sum(nanoseconds) / len(nanoseconds)
    spread = sum((ns - mean) ** 2 for ns in nanoseconds) / max(len(nanoseconds) - 1, 1)
    return {
        "build_commit": f"alpaca-tui {__version__}",
        "cpu_info": facts.cpu,
        "backends": "CPU",
        "kernels": facts.kernels,
        "model_filename": str(facts.path),
        "model_type": facts.kind,
        "model_size": facts.size,
        "model_n_params": facts.n_params,
        "n_batch": result.n_batch,
        "n_ubatch": result.n_batch,
        "n_threads": result.n_threads,
        "type_k": "f16",
        "type_v": "f16",
        "n_prompt": 0 if work.decode else work.n_tokens,
        "n_gen": work.n_tokens if work.decode else 0,
        "test": work.name,
        "test_time": result.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "avg_ns": round(mean),
        "stddev_ns": round(spread**0.5),
        "avg_ts": result.speed,
        "stddev_ts": result.deviation,
        "weights_gb_per_s": _scaled(result.bytes_per_second),
        "bandwidth_gb_per_s": _scaled(result.limits.bandwidth),
        "bandwidth_share": result.bandwidth_share,
        "gmac_per_s": _scaled(result.products_per_second),
        "peak_gmac_per_s": _scaled(result.limits.peak),
        "peak_share": result.peak_share,
    }


def _row(cells: list[str]) -> str:
    widths = (width for width, _ in COLUMNS.values())
    padded = (
        cell.ljust(-width) if width < 0 else cell.rjust(width)
        for cell, width in zip(cells, widths, strict=True)
    )
    return f"| {' | '.join(padded)} |\n"


def _in_units(value: int, units: dict[str, int]) -> str:
    """In the first unit that it reaches, else in the last: "3.56 GiB"."""
    name, unit = next(((n, u) for n, u in units.items() if value >= u), list(units.items())[-1])
    return f"{value / unit:.2f} {name}"


def _scaled(value: float | None) -> float | None:
    return None if value is None else value / 1e9


def _number(value: float | None, unit: float) -> str:
    return "" if value is None else f"{value / unit:.1f}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
