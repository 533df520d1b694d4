"""Prefill and decode speed beside llama.cpp on the same file, in one run.

    python -m benchmarks.speed MODEL.gguf --peer PYTHON [-t 2] [-p 512] [-n 32] [-r 5]

PYTHON: the interpreter of an environment with llama-cpp-python (built for this machine, as pip does). Both
engines are loaded in processes of their own and take turns, so that a drift of the machine's speed meets
both; what counts is the median of the rounds' ratios. After each of our turns the machine's limits are
measured (`alpaca_tui/engine/limits.py`): a prompt's products are given as a share of what the instruction for
them does (integers, or f32), the weights that decoding reads as a share of what reading memory alone does.

`--path avx2` or `--path plain` makes this machine one of less: Numba is told to compile for it, and the
kernels' assembly is searched for what it must not have. (A llama.cpp for the same is built with
"-DGGML_NATIVE=OFF -DGGML_AVX512=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON".)
`--beside PATH` sets this engine on another path in the place of llama.cpp.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 16
PATHS = ("avx2", "plain")
NATIVE = "native"
LIMITS = {"prefill": "products", "decode": "memory bandwidth"}


def tokens(n: int) -> list[int]:
    """The same pseudo-random tokens for both."""
    state, result = 12345, []
    for _ in range(n):
        state = (state * 1664525 + 1013904223) % 2**32
        result.append(300 + state % 31000)
    return result


Evaluate = Callable[[Sequence[int], int], None]  # tokens, their first position


def ours(path: str, n_ctx: int, threads: int) -> tuple[Evaluate, str]:
    from alpaca_tui.engine.model import Model
    from alpaca_tui.files.model_file import open_model
    from alpaca_tui.kernels import target

    model = Model(open_model(Path(path)), n_ctx=n_ctx, n_threads=threads)

    def evaluate(ids: Sequence[int], position: int) -> None:
        model.eval(ids, position, 1)

    return evaluate, f"kernels for {target.path().value}, {widest_registers()} registers at most"


def shares(path: str, threads: int, n_prompt: int, speed: dict[str, float]) -> dict[str, float]:
    """What each speed (tokens/s) is of this machine's limit at the moment; none where there is no limit."""
    from alpaca_tui.engine import limits
    from alpaca_tui.files.model_file import open_model
    from alpaca_tui.pipeline.bench import facts_of

    with open_model(Path(path)) as file:
        facts = facts_of(file)
    result = {"decode": speed["decode"] * facts.bytes_read / limits.bandwidth(threads)}
    peak = (limits.dot_peak if facts.integer else limits.fma_peak)(threads)
    if peak:
        products = facts.layer_products + facts.output_products / n_prompt
        result["prefill"] = speed["prefill"] * products / peak
    return result


def widest_registers() -> str:
    """Of x86, in the machine code of the kernel that most time goes to."""
    from alpaca_tui.kernels import matmul, registry  # noqa: F401 - registers the kernels

    code = registry.assembly("matmul_q4_0")
    return next((name for name in ("zmm", "ymm", "xmm") if re.search(rf"%{name}\d", code)), "other")


def peer(path: str, n_ctx: int, threads: int) -> tuple[Evaluate, str]:
    import llama_cpp  # type: ignore[import-not-found]

    model = llama_cpp.Llama(
        path, n_ctx=n_ctx, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False
    )

    def evaluate(ids: Sequence[int], position: int) -> None:
        if position == 0:
            model.reset()
        model.eval(ids)

    return evaluate, llama_cpp.llama_print_system_info().decode().strip()


def serve(which: str, path: str, threads: int, n_prompt: int, n_decode: int) -> None:
    """A child process: loads, says so, then measures once for every line on stdin."""
    load = {"ours": ours, "peer": peer}[which]
    evaluate, info = load(path, n_prompt + n_decode + WARM_UP, threads)
    prompt, more = tokens(n_prompt), tokens(n_decode)
    evaluate(prompt[:WARM_UP], 0)
    print(json.dumps({"info": info}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        evaluate(prompt, 0)
        middle = time.perf_counter()
        for i, token in enumerate(more):
            evaluate([token], n_prompt + i)
        end = time.perf_counter()
        speed = {"prefill": n_prompt / (middle - start), "decode": n_decode / (end - middle)}
        of_limit = shares(path, threads, n_prompt, speed) if which == "ours" else {}
        print(json.dumps({"speed": speed, "shares": of_limit}), flush=True)


def forced(path: str) -> dict[str, str]:
    """What Numba is told in its environment, to compile for a lesser machine."""
    from tests.test_paths import lesser

    if path == NATIVE:
        return {}
    if path not in lesser():
        raise SystemExit(f"This machine has no more than {path} anyway, or less.")
    return lesser()[path]


class Child:
    """A process that measures. `path`: of this engine, else what the machine has."""

    def __init__(self, python: str, which: str, options: argparse.Namespace, path: str = NATIVE):
        command = [python, __file__, "--serve", which, options.model, "-t", str(options.threads)]
        command += ["-p", str(options.prompt), "-n", str(options.decode)]
        self.process = subprocess.Popen(
            command,
            env=os.environ | forced(path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.info = str(self.read()["info"])
        if path in PATHS and (f"for {path}" not in self.info or "zmm" in self.info):
            raise SystemExit(f"Not the path that was asked for: {self.info}")

    def read(self) -> dict[str, Any]:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit("A measuring process ended early; run it by hand to see why.")

    def measure(self) -> tuple[dict[str, float], dict[str, float]]:
        """Tokens/s of each test, and what that is of the machine's limit where it has been measured."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        result = self.read()
        return result["speed"], result["shares"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--peer", default=sys.executable, metavar="PYTHON")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-p", "--prompt", type=int, default=512)
    parser.add_argument("-n", "--decode", type=int, default=32)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("--path", choices=PATHS, default=NATIVE, help="of our kernels; default: the best")
    parser.add_argument("--beside", choices=(*PATHS, NATIVE), help="our own kernels on this path as the peer")
    parser.add_argument("--serve", choices=("ours", "peer"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.model, options.threads, options.prompt, options.decode)
        return
    if options.beside:
        beside, name = Child(sys.executable, "ours", options, options.beside), f"our {options.beside} path"
    else:
        beside, name = Child(options.peer, "peer", options), "llama.cpp"
    children = {"ours": Child(sys.executable, "ours", options, options.path), "peer": beside}
    for which, child in children.items():
        print(f"{which}: {child.info}")
    rounds, of_limit = [], []
    for i in range(options.rounds):
        order = list(children) if i % 2 == 0 else list(children)[::-1]
        measured = {which: children[which].measure() for which in order}
        result = {which: speed for which, (speed, _) in measured.items()}
        rounds.append(result)
        of_limit.append(measured["ours"][1])
        print(
            "  ".join(
                f"{test}: {result['ours'][test]:6.1f} / {result['peer'][test]:6.1f} tokens/s"
                for test in ("prefill", "decode")
            )
        )
    for test in ("prefill", "decode"):
        ratios = sorted(r["ours"][test] / r["peer"][test] for r in rounds)
        print(
            f"{test}: {statistics.median(ratios):.2f} times {name} (rounds from {ratios[0]:.2f} to "
            f"{ratios[-1]:.2f}), {options.threads} threads"
        )
        if all(test in share for share in of_limit):
            share = statistics.median(share[test] for share in of_limit)
            print(f"    {share:.0%} of this machine's {LIMITS[test]}")


if __name__ == "__main__":
    if __package__ is None or __package__ == "":
        sys.path.insert(0, str(ROOT))
    main()
