"""Quantising beside llama.cpp on the same f16 file, in one run: speed, memory, and whether the files agree.

    python -m benchmarks.synthetic 1b f16 1b-f16.gguf
    python -m benchmarks.quantize 1b-f16.gguf --peer PYTHON [-t 2] [-r 3] [--types q4_0,q8_0]

PYTHON: the interpreter of an environment with llama-cpp-python. Each conversion runs in a process of its own;
the two take turns, so that a drift of the machine's speed meets both; what counts is the median of the
rounds' ratios. Timed is the call alone, writing included, without starting Python; ours has its kernels
compiled beforehand. Memory is RssAnon at its highest, from /proc (Linux).
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.merge_memory import POLL_SECONDS, rss_anon

NUMBERS = {"q4_0": 2, "q4_1": 3, "q5_0": 8, "q5_1": 9, "q8_0": 7, "q6_K": 18}


def ours(source: str, output: str, kind: str, threads: int) -> float:
    from alpaca_tui.pipeline.quantize import quantize

    begin = time.perf_counter()
    quantize(Path(source), kind, Path(output), n_threads=threads)
    return time.perf_counter() - begin


def peer(source: str, output: str, kind: str, threads: int) -> float:
    import ctypes

    import llama_cpp  # type: ignore[import-not-found]

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = NUMBERS[kind], threads
    begin = time.perf_counter()
    if llama_cpp.llama_model_quantize(source.encode(), output.encode(), ctypes.byref(params)):
        raise SystemExit("llama.cpp could not quantise the file")
    return time.perf_counter() - begin


def run(python: str, who: str, source: Path, output: Path, kind: str, threads: int) -> tuple[float, int]:
    """Seconds, and bytes of anonymous memory at most."""
    command = [
        python,
        "-m",
        "benchmarks.quantize",
        "--worker",
        who,
        str(source),
        str(output),
        kind,
        str(threads),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    highest = 0
    while process.poll() is None:
        highest = max(highest, rss_anon(process.pid))
        time.sleep(POLL_SECONDS)
    assert process.stdout
    out = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {out}")
    return float(out.split()[-1]), highest


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    if "--worker" in sys.argv:
        who, source, output, kind, threads = sys.argv[sys.argv.index("--worker") + 1 :]
        print((ours if who == "ours" else peer)(source, output, kind, int(threads)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--peer", required=True)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("--types", default=",".join(NUMBERS))
    parser.add_argument("--folder", type=Path, help="where the files go (default: that of the model)")
    args = parser.parse_args()
    size = args.model.stat().st_size
    print(f"{args.model.name}, {size / 1e9:.1f} GB, {args.threads} threads; seconds are medians")
    print("type   ours      llama.cpp  faster  memory  llama.cpp's  same bytes")
    with tempfile.TemporaryDirectory(dir=args.folder or args.model.parent) as name:
        a, b = Path(name) / "ours.gguf", Path(name) / "peer.gguf"
        for kind in args.types.split(","):
            run(
                sys.executable, "ours", args.model, a, kind, args.threads
            )  # compiles, and fills the page cache
            rounds = [
                (
                    run(sys.executable, "ours", args.model, a, kind, args.threads),
                    run(args.peer, "peer", args.model, b, kind, args.threads),
                )
                for _ in range(args.rounds)
            ]
            mine, theirs = (statistics.median(r[i][0] for r in rounds) for i in (0, 1))
            ratio = statistics.median(r[1][0] / r[0][0] for r in rounds)
            memory = [max(r[i][1] for r in rounds) / 2**20 for i in (0, 1)]
            same = "yes" if digest(a) == digest(b) else "NO"
            print(
                f"{kind:5}  {mine:6.2f} s  {theirs:7.2f} s  {ratio:5.2f}x  {memory[0]:4.0f} MiB"
                f"  {memory[1]:6.0f} MiB     {same}",
                flush=True,
            )


if __name__ == "__main__":
    main()
