"""Errors of the server. No message repeats an id that came with a request."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - an answer to the caller, not a fault of the server
    """An answer other than 200: its HTTP status, and as reason the one line that the caller gets."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


class UnusableError(Exception):
    """A version of a model that cannot be served; the message names the cause."""
