"""Fixtures for tests of the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.engine.harness import Harness


@pytest.fixture
def harness() -> Iterator[Callable[..., Harness]]:
    """Makes harnesses, and closes their workers after the test."""
    made: list[Harness] = []

    def make(*args, **options) -> Harness:
        made.append(Harness(*args, **options))
        return made[-1]

    yield make
    for each in made:
        each.worker.close()
