"""What the server cannot answer, and why. A reason never repeats an id that came with the request."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """An answer other than 200: its status, and the one line that the caller gets."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


class UnusableError(Exception):
    """A version of a model cannot be served; the message says why."""
