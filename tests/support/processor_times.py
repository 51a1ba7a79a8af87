"""Processor time of tests and fixtures: pytest --processor-times FILE writes a table, the dearest first.

The time is that of the pytest process and of the processes that it waited for, jobs of tests.support.forkserver too.
The fork server itself, and the pytest process before its collection, are in no line.
"""

from __future__ import annotations

import resource
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

_NAME = "processor_times"


def _seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class ProcessorTimes:
    """Sums of seconds and counts by kind (test, file, fixture, collection) and name, of all workers."""

    def __init__(self, path: str):
        self.path = path
        self.sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0])

    def _measure(self, *names: tuple[str, str]) -> Generator[None, Any, Any]:
        start = _seconds()
        try:
            return (yield)
        finally:
            for name in names:
                self._add(name, _seconds() - start, 1)

    def _add(self, name: tuple[str, str], seconds: float, count: float) -> None:
        self.sums[name][0] += seconds
        self.sums[name][1] += count

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, Any, Any]:
        return (yield from self._measure(("collection", "")))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self._measure(("file", item.nodeid.partition("::")[0]), ("total", "")))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self._measure(("test", item.nodeid)))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        return (yield from self._measure(("fixture", f"{fixturedef.baseid}::{fixturedef.argname}")))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for *name, seconds, count in getattr(node, "workeroutput", {}).get(_NAME, []):
            self._add(tuple(name), seconds, count)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        rows = sorted(((*name, *sums) for name, sums in self.sums.items()), key=lambda row: -row[2])
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_NAME] = rows
        else:
            lines = [f"{seconds:.2f}\t{count:.0f}\t{kind}\t{name!r}\n" for kind, name, seconds, count in rows]
            Path(self.path).write_text("".join(lines))
