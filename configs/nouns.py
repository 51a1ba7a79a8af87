"""Numbers of things in messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 file` and `1,234 files`; the plural ends in s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
