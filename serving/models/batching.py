"""Batching: requests that wait share one call of a signature, which costs about the same for one row as for eight.

No request waits for others to come. A call takes all requests that arrived while the threads were busy, so a request
that is alone is answered at once, and batches grow with the load.

A call over a small table takes less time than to hand it over to a thread and back. It runs in the thread of the event
loop, with all requests that arrived at the same time.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ranking.compressed.search import LIMITS
from serving.errors import Refusal
from serving.futures import resolve
from serving.models.model import Model
from serving.models.signatures import FROM_PAIRS, Arrays, Call, K

# The answers of these signatures are min(k, n) wide whatever the rows, so requests with one k can share a call.
BATCHED_SIGNATURES = {
    "serving_default", "recommend", "recommend_from_history", FROM_PAIRS, "audience",
    "similar_items", "similar_items_dot", "similar_visitors", "similar_visitors_dot",
}  # fmt: skip

_SMALL = 1 << 20  # numbers of a table, such as 16,000 rows of 64
_QUICK = LIMITS.alone  # numbers that a call reads on one core, within a millisecond

_Key = tuple[Any, ...]
_Answers = list[Any]  # or exceptions


@dataclass
class _Job:
    model: Model
    call: Call
    finish: Callable[[Arrays], Any]
    future: asyncio.Future

    @property
    def reads(self) -> float:
        """Numbers of the model's tables that are read for a row."""
        return self.model.reads(self.call.signature)

    @property
    def is_wide(self) -> bool:
        """True if the call uses all cores."""
        return _SMALL < self.reads < math.inf


_Waiting = dict[_Key, deque[_Job]]  # the first key has waited longest


class Batcher:
    """Runs signatures in threads; it belongs to one event loop."""

    def __init__(self, threads: int, max_rows: int, observe: Callable[[int], None] = lambda rows: None):
        """Start the threads, as many as calls at once; a call that uses all cores runs alone.

        max_rows: most rows per call, unless one request has more. observe: called with the rows of each call.
        """
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="predict")
        self._free, self._max_rows, self._observe = threads, max_rows, observe
        self._is_busy = False  # a wide call runs: others would share its cores, and have rows that it could have
        self._waiting: _Waiting = {}
        self._waiting_for_loop: _Waiting = {}

    async def ask(self, model: Model, call: Call, finish: Callable[[Arrays], Any] = lambda outputs: outputs) -> Any:
        """Return `finish(outputs)`, which runs in the thread; raise Refusal if the model refuses the inputs.

        A call that is cancelled while it waits is not run.
        """
        loop = asyncio.get_running_loop()
        job = _Job(model, call, finish, loop.create_future())
        if _is_quick(job):
            if not self._waiting_for_loop:
                loop.call_soon(self._run_in_loop)
            self._waiting_for_loop.setdefault(_key(job), deque()).append(job)
        else:
            self._waiting.setdefault(_key(job), deque()).append(job)
            self._start()
        return await job.future

    def close(self) -> None:
        """Stop the threads without waiting for them."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _run_in_loop(self) -> None:
        """Run one call, and let others of the loop have their turn before the next one."""
        if jobs := self._next(self._waiting_for_loop, _QUICK):
            try:
                answers = _run(jobs)
            except Exception as error:
                answers = [error] * len(jobs)
            _deliver(jobs, answers)
        if self._waiting_for_loop:
            asyncio.get_running_loop().call_soon(self._run_in_loop)

    def _start(self) -> None:
        while self._free and not self._is_busy and (jobs := self._next(self._waiting)):
            self._free -= 1
            self._is_busy = jobs[0].is_wide
            running = asyncio.get_running_loop().run_in_executor(self._executor, _run, jobs)
            running.add_done_callback(partial(self._done, jobs))

    def _next(self, waiting: _Waiting, numbers: float = math.inf) -> list[_Job]:
        """Take the jobs of the next call off those that wait; numbers: of tables, that the call may read."""
        jobs: list[_Job] = []
        while waiting and not jobs:
            key, queue = next(iter(waiting.items()))
            del waiting[key]
            rows, most = 0, min(self._max_rows, numbers / max(queue[0].reads, 1))
            while queue and (not jobs or rows + queue[0].call.rows <= most):
                job = queue.popleft()
                if not job.future.done():  # the caller may have cancelled
                    jobs.append(job)
                    rows += job.call.rows
            if queue:
                waiting[key] = queue
            if jobs:
                self._observe(rows)
        return jobs

    def _done(self, jobs: list[_Job], done: asyncio.Future) -> None:
        self._free += 1
        self._is_busy = self._is_busy and not jobs[0].is_wide
        self._start()
        failed = done.exception() if not done.cancelled() else Refusal(503, "the server is shutting down")
        _deliver(jobs, [failed] * len(jobs) if failed else done.result())


def _is_quick(job: _Job) -> bool:
    """Return whether the event loop may run a job: one over a small table, without the work that limits can ask for."""
    return job.call.limits is None and job.reads <= _SMALL and job.reads * job.call.rows <= _QUICK


def _deliver(jobs: list[_Job], answers: _Answers) -> None:
    for job, answer in zip(jobs, answers, strict=True):
        resolve(job.future, answer)


def _key(job: _Job) -> _Key:
    k = job.call.inputs.get(K)
    if job.call.signature in BATCHED_SIGNATURES and k is not None and k.ndim == 0:
        return job.model, job.call.signature, int(k), job.call.limits
    return (id(job),)


def _run(jobs: list[_Job]) -> _Answers:
    """Run jobs as one call and return the answer or the exception of each."""
    if len(jobs) == 1:
        return [_run_alone(jobs[0])]
    model, first = jobs[0].model, jobs[0].call
    joined = {name: _concatenate([job.call.inputs[name] for job in jobs]) for name in first.inputs}
    try:
        outputs = model.run(first.signature, joined, first.limits)
    except Refusal:
        return [_run_alone(job) for job in jobs]  # only the job that caused it is refused
    ends = np.cumsum([job.call.rows for job in jobs])
    return [
        job.finish({name: value[end - job.call.rows : end] for name, value in outputs.items()})
        for job, end in zip(jobs, ends, strict=True)
    ]


def _run_alone(job: _Job) -> Any:
    try:
        return job.finish(job.model.run(job.call.signature, job.call.inputs, job.call.limits))
    except Refusal as refusal:
        return refusal


def _concatenate(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate the rows of several requests; short histories are padded with empty ids and zeros."""
    if parts[0].ndim == 0:
        return parts[0]
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    padded = np.full((sum(map(len, parts)), width), b"" if parts[0].dtype == object else 0, parts[0].dtype)
    start = 0
    for part in parts:
        padded[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return padded
