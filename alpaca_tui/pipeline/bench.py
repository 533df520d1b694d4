"""How fast a model evaluates prompts and decodes tokens here, and how near that is to the computer's limits.

The tests are llama-bench's: `pp512` evaluates 512 random tokens from an empty context, `tg128` evaluates 128
one by one; neither counts sampling or tokenizing. A round that is not counted goes before.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_tui.pipeline.in_thread import interruptible

if TYPE_CHECKING:
    from alpaca_tui.engine.model import Model
    from alpaca_tui.files.model_file import ModelFile

OnProgress = Callable[[int, int, str], None]  # tokens done, of how many, what is being measured
FLOATS = {"f32", "f16", "bf16"}
WARM_UP_TOKENS = 4  # of a test that decodes


@dataclass(frozen=True)
class Workload:
    """So many tokens at once (`decode` False) or one by one."""

    n_tokens: int
    decode: bool

    @property
    def name(self) -> str:
        return f"{'tg' if self.decode else 'pp'}{self.n_tokens}"


@dataclass(frozen=True)
class Facts:
    """What was measured. Sizes are bytes; products are of a weight and an activation."""

    path: Path
    kind: str  # "llama 7B q4_0"
    size: int  # of all tensors in the file
    n_params: int
    bytes_read: int  # for each token that is decoded: the weights, as the kernels hold them
    layer_products: int  # for each token
    output_products: int  # for each batch whose logits are wanted
    integer: bool  # most products are of small integers
    cpu: str
    kernels: str  # the instruction set that they are compiled for


@dataclass(frozen=True)
class Limits:
    """The computer's, for a number of threads: bytes/s, and products/s where there is an instruction.

    The products are of small integers or of f32, as most of the model's are.
    """

    bandwidth: float
    peak: float | None


@dataclass(frozen=True)
class Result:
    """One test with one number of threads; `seconds` of each round."""

    facts: Facts
    workload: Workload
    n_threads: int
    n_batch: int
    seconds: tuple[float, ...]
    limits: Limits
    time: datetime

    @property
    def speeds(self) -> list[float]:
        """Tokens per second of each round."""
        return [self.workload.n_tokens / s for s in self.seconds]

    @property
    def speed(self) -> float:
        return statistics.fmean(self.speeds)

    @property
    def deviation(self) -> float:
        """Standard deviation of the rounds' speeds; 0 for one round."""
        return statistics.stdev(self.speeds) if len(self.seconds) > 1 else 0.0

    @property
    def bytes_per_second(self) -> float | None:
        """Of weights read while decoding."""
        return self.speed * self.facts.bytes_read if self.workload.decode else None

    @property
    def bandwidth_share(self) -> float | None:
        read = self.bytes_per_second
        return None if read is None else read / self.limits.bandwidth

    @property
    def products_per_second(self) -> float | None:
        """While a prompt is evaluated."""
        if self.workload.decode:
            return None
        n = self.workload.n_tokens
        return self.speed / n * (n * self.facts.layer_products + self.facts.output_products)

    @property
    def peak_share(self) -> float | None:
        products, peak = self.products_per_second, self.limits.peak
        return products / peak if products and peak else None


def bench(
    path: Path,
    workloads: Sequence[Workload],
    n_threads: Sequence[int],
    rounds: int,
    n_batch: int,
    *,
    on_load: Callable[[str, int, int, str], None] | None = None,
    on_progress: OnProgress = lambda done, total, what: None,
) -> Iterator[Result]:
    """Measures every workload with every number of threads, each result as it comes.

    Raises UserError where the model cannot be loaded. Ctrl+C ends a measurement at once.
    """
    from alpaca_tui.engine.memory import check_memory
    from alpaca_tui.engine.model import Model
    from alpaca_tui.files.model_file import open_model

    file = open_model(path, need_vocab=False)
    try:
        n_ctx = max(w.n_tokens for w in workloads)
        n_batch = min(n_batch, n_ctx)
        check_memory(file, n_ctx, n_batch)
        facts = facts_of(file)
        model = Model(file, n_ctx=n_ctx, n_threads=n_threads[0], n_batch=n_batch, on_progress=on_load)
    except BaseException:
        file.close()
        raise
    pool = ThreadPoolExecutor(1)
    try:
        total = (rounds + 1) * len(n_threads) * sum(w.n_tokens for w in workloads)
        clock = _Stopwatch(model, pool, total, on_progress)
        for n in n_threads:
            model.set_threads(n)
            limits = clock.limits(n, facts.integer)
            for workload in workloads:
                begin = datetime.now(UTC)
                seconds = clock.measure(workload, n, rounds)
                yield Result(facts, workload, n, n_batch, seconds, limits, begin)
    finally:
        pool.shutdown()
        model.close()


def facts_of(file: ModelFile) -> Facts:
    from alpaca_tui.engine import limits
    from alpaca_tui.engine.memory import required_memory
    from alpaca_tui.system import cpu_name

    matrices = {t.name: t.size for t in file.tensors.values() if len(t.shape) == 2}
    embedding = matrices.pop("token_embd.weight")
    output = matrices.pop("output.weight", embedding)  # absent: the embedding is the output as well
    return Facts(
        path=file.path,
        kind=file.description.partition(",")[0],
        size=sum(tensor.nbytes for tensor in file.tensors.values()),
        n_params=file.n_params,
        bytes_read=required_memory(file.hparams, file.tensors, 1).weights,
        layer_products=sum(matrices.values()),
        output_products=output,
        integer=file.main_format not in FLOATS,
        cpu=cpu_name(),
        kernels=limits.instruction_set(),
    )


class _Stopwatch:
    """Runs measurements in a second thread and says how far they are."""

    def __init__(
        self, model: Model, pool: ThreadPoolExecutor, n_tokens: int, on_progress: OnProgress
    ) -> None:
        self._model, self._pool = model, pool
        self._on_progress, self._total = on_progress, n_tokens
        self._done = self._under_way = 0

    def limits(self, n_threads: int, integer: bool) -> Limits:
        from alpaca_tui.engine import limits

        stop = threading.Event()

        def job() -> Limits:
            peak = limits.dot_peak if integer else limits.fma_peak
            return Limits(limits.bandwidth(n_threads, stop.is_set), peak(n_threads, stop.is_set))

        self._on_progress(self._done, self._total, f"the limits with {_threads(n_threads)}")
        return interruptible(self._pool, job, stop.set)

    def measure(self, workload: Workload, n_threads: int, rounds: int) -> tuple[float, ...]:
        """Seconds of each round."""
        import numpy as np

        n = workload.n_tokens
        tokens = np.random.default_rng(0).integers(0, self._model.n_vocab, n).tolist()
        what = f"{workload.name} with {_threads(n_threads)}"

        def job(n_decoded: int = n) -> float:
            start = time.perf_counter()
            if workload.decode:
                for at in range(n_decoded):
                    self._eval(tokens[at : at + 1], at, 1)
            else:
                for at in range(0, n, self._model.n_batch):
                    chunk = tokens[at : at + self._model.n_batch]
                    self._eval(chunk, at, int(at + len(chunk) == n))
            return time.perf_counter() - start

        def tick() -> None:
            done = self._done + int(self._under_way * self._model.progress)
            self._on_progress(min(done, self._total), self._total, what)

        before = self._done
        interruptible(self._pool, lambda: job(min(n, WARM_UP_TOKENS)), self._model.request_stop, tick)
        self._done = before + n
        return tuple(interruptible(self._pool, job, self._model.request_stop, tick) for _ in range(rounds))

    def _eval(self, tokens: list[int], pos: int, n_logits: int) -> None:
        self._under_way = len(tokens)
        self._model.eval(tokens, pos, n_logits)
        self._under_way = 0
        self._done += len(tokens)


def _threads(n: int) -> str:
    return f"{n} thread{'s' * (n > 1)}"
