"""Answers for requests that wait."""

from __future__ import annotations

import asyncio
from typing import Any


def resolve(future: asyncio.Future[Any], answer: Any) -> None:
    """Set the answer of a future, or the exception that the answer is, unless its request waits no longer."""
    if future.done():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
