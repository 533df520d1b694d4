"""The steps of a plan, carried out in a thread of their own: how far they are, and how to stop them."""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from alpaca_tui.chat.workshop import Finding, Plan, Step
from alpaca_tui.errors import UserError

LEAVE_SECONDS = 10.0  # that an end of the program waits for a step to clean up after itself

_log = logging.getLogger(__name__)


class JobState(enum.Enum):
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class At:
    """Where the work is: bytes `done` of `total` of the step `index` of the plan, at `what`."""

    index: int
    done: int = 0
    total: int = 0
    what: str = ""


class _Cancelled(Exception):  # noqa: N818 - no error
    """Ends a step from within its report of progress."""


class SetupJob:
    """Runs what is still to do of `plan`. Everything may be read from any thread at any time.

    `findings` of each step that is done, by its key; `error` is why it failed, in one sentence.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state = JobState.RUNNING
        self.at = At(0)
        self.error = ""
        self.findings: dict[str, Sequence[Finding]] = {}
        self.done_before = frozenset(step.key for step in plan.steps) - {step.key for step in plan.todo}
        self._stop = threading.Event()
        # a step that writes must come to its clean-up, but a program that is left must not hang on it
        self._thread = threading.Thread(target=self._run, name="setup", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def running(self) -> bool:
        return self.state in (JobState.RUNNING, JobState.STOPPING)

    @property
    def step(self) -> Step:
        """The one at work, or the last one."""
        return self.plan.steps[self.at.index]

    def is_done(self, step: Step) -> bool:
        return step.key in self.findings or step.key in self.done_before

    def cancel(self) -> None:
        """Stops at the next report of progress; `state` tells when that was. What is done stays."""
        if self.state is JobState.RUNNING:
            self.state = JobState.STOPPING
        self._stop.set()

    def close(self) -> None:
        """Cancels, and waits for the step to clean up."""
        self.cancel()
        self._thread.join(LEAVE_SECONDS)

    def _run(self) -> None:
        try:
            todo = {step.key for step in self.plan.todo}
            for index, step in enumerate(self.plan.steps):
                if step.key in todo:
                    self.at = At(index)
                    self._check()
                    self.findings[step.key] = step.run(self._progress)
            self.state = JobState.DONE
        except _Cancelled:
            self.state = JobState.CANCELLED
        except UserError as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(f"{error.filename}: {error.strerror}." if error.filename else f"{error}.")
        except Exception as error:  # whatever it is, the chat goes on
            _log.exception("setup failed")
            self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, why: str) -> None:
        self.error = why
        self.state = JobState.FAILED

    def _progress(self, done: int, total: int, what: str) -> None:
        self.at = At(self.at.index, done, total, what)
        self._check()

    def _check(self) -> None:
        if self._stop.is_set():
            raise _Cancelled
