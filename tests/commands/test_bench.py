"""`alpaca-tui bench`: its flags, its three forms of output, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from alpaca_tui import cli, system
from alpaca_tui.commands import bench as command
from alpaca_tui.commands.bench_table import COLUMNS, as_csv, as_json, fields_of, markdown
from alpaca_tui.engine import limits
from tests.gguf_writer import write_llama
from tests.pipeline.test_bench import RESULT

FIELDS_OF_LLAMA_BENCH = {
    "build_commit", "cpu_info", "backends", "model_filename", "model_type", "model_size", "model_n_params",
    "n_batch", "n_ubatch", "n_threads", "type_k", "type_v", "n_prompt", "n_gen", "test_time",
    "avg_ns", "stddev_ns", "avg_ts", "stddev_ts",
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "bandwidth", lambda n, stopped: 1e9 * n)
    monkeypatch.setattr(limits, "dot_peak", lambda n, stopped: 1e12)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("bench") / "small.gguf", "q8_0")


def run(capsys: pytest.CaptureFixture[str], *argv: Any, code: int = 0) -> tuple[str, str]:
    assert cli.main(["bench", *map(str, argv)]) == code
    return capsys.readouterr()


def test_markdown_rows() -> None:
    head, rule, row, blank, note = "".join(markdown([RESULT])).splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == list(COLUMNS)
    assert {"model", "size", "params", "threads", "test", "t/s"} <= set(COLUMNS)
    assert len(head) == len(rule) == len(row)
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "llama 1M q4_0", "1.91 MiB", "1.00 M", "2", "tg100", "75.00 ± 35.36", "0.0", "50 %", "", "",
    ]  # fmt: skip
    assert blank == ""
    assert note == (
        "With 2 threads, memory is read at 0.1 GB/s, and bytes are multiplied at 1 GMAC/s (a CPU, avx2)."
    )


def test_json_and_csv_have_llama_benchs_names() -> None:
    (first, second) = json.loads("".join(as_json([RESULT, RESULT])))
    assert first == second
    assert set(first) >= FIELDS_OF_LLAMA_BENCH | {"test", "samples_ns", "samples_ts"}
    assert (first["test"], first["n_prompt"], first["n_gen"]) == ("tg100", 0, 100)
    assert (first["avg_ns"], first["avg_ts"]) == (1_500_000_000, 75)
    assert first["stddev_ns"] == 707_106_781
    assert first["samples_ts"] == [100, 50]
    assert first["bandwidth_share"] == 0.5 and first["peak_share"] is None
    rows = list(csv.DictReader(io.StringIO("".join(as_csv([RESULT, RESULT])))))
    assert [list(row) for row in rows] == [list(fields_of(RESULT))] * 2
    assert rows[0]["avg_ts"] == "75.0" and rows[0]["peak_share"] == ""


def test_the_real_thing(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "-m", model, "-t", "1,2", "-p", 16, "-n", 4, "-r", 2, "-o", "json")
    results = json.loads(out)
    assert [(r["n_threads"], r["test"]) for r in results] == [
        (1, "pp16"), (1, "tg4"), (2, "pp16"), (2, "tg4"),
    ]  # fmt: skip
    assert all(r["avg_ts"] > 0 and len(r["samples_ns"]) == 2 for r in results)
    assert results[1]["bandwidth_gb_per_s"] == 1 and results[3]["bandwidth_gb_per_s"] == 2
    assert err == ""
    out, _ = run(capsys, "-m", model, "--n_prompt", 0, "--n-gen", 4, "-r", 1, "-b", 4)
    assert out.count("tg4") == 1 and "pp" not in out


def test_defaults(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(command, "guide_model", lambda: model)
    monkeypatch.setattr(system, "usable_cores", lambda: 3)
    monkeypatch.setattr("alpaca_tui.pipeline.bench.bench", lambda *args, **options: seen.extend(args) or [])
    run(capsys)
    path, workloads, threads, rounds, n_batch = seen
    assert (path, threads, rounds, n_batch) == (model, [3], 3, 512)
    assert [w.name for w in workloads] == ["pp512", "tg128"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-p 0 -n 0", "nothing to measure"),
        ("-t 1,65", "65 threads cannot be: it takes 1 to 64"),
        ("-t x", "-t takes whole numbers up to"),
        ("-t 1,", "-t takes whole numbers up to"),
        ("-p 99999999", "-p takes whole numbers up to 1,048,576"),
        ("-r 0", "-r takes a whole number from 1 to 100, not '0'."),
        ("-o xml", "argument -o/--output: invalid choice: 'xml'"),
        ("-m no.gguf", "There is no file 'no.gguf'"),
    ],
)
def test_mistakes(line: str, said: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = line.split() if "-m" in line else ["-m", str(model), *line.split()]
    out, err = run(capsys, *argv, code=2)
    assert out == "" and said.lower() in err.lower() and err.count("\n") == 1
