"""Requests that wait are answered together: a call of a signature costs about the same for one row as for eight.

Nothing waits for company. Whatever has gathered while the threads were busy goes into the next call, so a lone request
is answered at once, and under load the batches grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from serving.errors import Refusal
from serving.models.model import Model

# Their answers are min(k, n) wide whatever the rows, so rows of several requests can share a call with one k.
TOGETHER = {
    "serving_default", "recommend", "recommend_from_history", "audience",
    "similar_items", "similar_items_dot", "similar_visitors", "similar_visitors_dot",
}  # fmt: skip

Outputs = dict[str, np.ndarray]
_Key = tuple[Any, ...]


@dataclass
class _Job:
    model: Model
    signature: str
    inputs: dict[str, np.ndarray]
    rows: int
    finish: Callable[[Outputs], Any]
    future: asyncio.Future


class Batcher:
    """Runs signatures in threads; belongs to one event loop."""

    def __init__(self, threads: int, max_rows: int, observe: Callable[[int], None] = lambda rows: None):
        """Args:
        threads: calls at once.
        max_rows: of one call, unless a request alone has more.
        observe: is told the rows of each call.
        """
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="predict")
        self._free, self._max_rows, self._observe = threads, max_rows, observe
        self._waiting: dict[_Key, deque[_Job]] = {}  # the key that has waited longest comes first

    async def ask(
        self,
        model: Model,
        signature: str,
        inputs: dict[str, np.ndarray],
        rows: int,
        finish: Callable[[Outputs], Any] = lambda outputs: outputs,
    ) -> Any:
        """What `finish` makes, in the thread, of the outputs. Cancelled while it waits, it costs nothing more.

        Raises:
            Refusal: the model refuses the inputs.
        """
        job = _Job(model, signature, inputs, rows, finish, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(_key(job), deque()).append(job)
        self._start()
        return await job.future

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        while self._free and (jobs := self._next()):
            self._free -= 1
            running = asyncio.get_running_loop().run_in_executor(self._executor, _run, jobs)
            running.add_done_callback(partial(self._done, jobs))

    def _next(self) -> list[_Job]:
        jobs: list[_Job] = []
        while self._waiting and not jobs:
            key, queue = next(iter(self._waiting.items()))
            del self._waiting[key]
            rows = 0
            while queue and (not jobs or rows + queue[0].rows <= self._max_rows):
                job = queue.popleft()
                if not job.future.done():  # its caller may have gone
                    jobs.append(job)
                    rows += job.rows
            if queue:
                self._waiting[key] = queue
            if jobs:
                self._observe(rows)
        return jobs

    def _done(self, jobs: list[_Job], done: asyncio.Future) -> None:
        self._free += 1
        self._start()
        failed = done.exception() if not done.cancelled() else Refusal(503, "the server is shutting down")
        for job, answer in zip(jobs, [failed] * len(jobs) if failed else done.result(), strict=True):
            if job.future.done():
                continue
            if isinstance(answer, BaseException):
                job.future.set_exception(answer)
            else:
                job.future.set_result(answer)


def _key(job: _Job) -> _Key:
    k = job.inputs.get("k")
    if job.signature in TOGETHER and k is not None and k.ndim == 0:
        return job.model, job.signature, int(k)
    return (id(job),)


def _run(jobs: list[_Job]) -> list[Any]:
    """What each job gets, or the exception that it ends with."""
    if len(jobs) == 1:
        return [_alone(jobs[0])]
    first = jobs[0]
    joined = {name: _joined([job.inputs[name] for job in jobs]) for name in first.inputs}
    try:
        outputs = first.model.run(first.signature, joined)
    except Refusal:
        return [_alone(job) for job in jobs]  # one of them spoils it for all
    ends = np.cumsum([job.rows for job in jobs])
    return [
        job.finish({name: value[end - job.rows : end] for name, value in outputs.items()})
        for job, end in zip(jobs, ends, strict=True)
    ]


def _alone(job: _Job) -> Any:
    try:
        return job.finish(job.model.run(job.signature, job.inputs))
    except Refusal as refusal:
        return refusal


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Rows of several requests one below the other; histories of different lengths are filled up with empty ids."""
    if parts[0].ndim == 0:
        return parts[0]
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    whole = np.full((sum(map(len, parts)), width), b"" if parts[0].dtype == object else 0, parts[0].dtype)
    start = 0
    for part in parts:
        whole[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return whole
