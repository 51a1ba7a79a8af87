"""The errors that a command prints in one line, and the recognition of those that the machine causes."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterator, Sequence


class UserError(Exception):
    """A mistake in input, settings or paths that the user can correct.

    The message is one line: what is wrong, then what to do. The commands print it as
    `error: <message>` without a traceback and exit with `status`.
    """

    status = 2


class GateError(UserError):
    """A model or a dataset that misses a required quality: the command itself is right."""

    status = 3


class MachineError(UserError):
    """A full disk or exhausted memory: unlike a mistake in the settings, the same command may succeed later."""

    status = 1


def nearest(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean WORD?" for what somebody may have meant, "" if nothing is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


_EXTRAS = {  # the extra of setup.py that brings a module
    "fastapi": "serving",
    "httptools": "serving",
    "jinja2": "report",
    "optuna": "tuning",
    "prometheus_client": "nightly",
    "sklearn": "report",
    "sqlalchemy": "tuning",
    "starlette": "serving",
    "uvicorn": "serving",
    "uvloop": "serving",
}
_ADVICE = {
    errno.ENOSPC: "make room, and run the command again",
    errno.EDQUOT: "make room, and run the command again",
    errno.EFBIG: "the system limits the size of files (ulimit -f); raise it",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: "allow the user of this process to write there, or name another place",
    errno.EPERM: "allow the user of this process to write there, or name another place",
    errno.EIO: "the disk is at fault; see the system's log",
    errno.ELOOP: "a symbolic link leads back to itself; name another place",
    errno.ENOTDIR: "a file is in the place of a directory; name another place",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
_MEMORY = "out of memory: run the job on a larger machine, or on less data at once (docs/reliability.md)"
# Across processes and from C++ only text arrives: "[Errno 28] No space left on device: '/a'", "/a; No space left ...".
_ERRNO_OF_TEXT = {os.strerror(number): number for number in _ADVICE}
_PATH_AFTER, _PATH_BEFORE = r"{}: '([^']+)'", r"(\S+)[;:] {}"
_OUT_OF_MEMORY = re.compile(r"\bMemoryError\b|Cannot allocate memory|std::bad_alloc|\bOOM when allocating\b")


def recognise(error: BaseException, path: str | None = None) -> UserError | None:
    """Return the error to show a user if the machine caused `error`: a full disk, no permission, no memory, no package.

    The causes of `error` are searched and, last, its text; `path` is named if the error names no file. None is returned
    for any other error, whose traceback is more useful.
    """
    for cause in _causes(error):
        if isinstance(cause, MemoryError):
            return MachineError(_MEMORY)
        if isinstance(cause, OSError) and cause.errno in _ADVICE:
            return _disk_error(cause.errno, cause.filename or path)
        if isinstance(cause, ModuleNotFoundError) and (extra := _EXTRAS.get((cause.name or "").partition(".")[0])):
            command = f"pip install 'wals-recommender[{extra}]'"
            return UserError(f"{cause.name} is not installed; run {command}, or in a clone make with-{extra}")
    text = str(error)
    for description, number in _ERRNO_OF_TEXT.items():
        if description in text:
            patterns = (form.format(re.escape(description)) for form in (_PATH_AFTER, _PATH_BEFORE))
            match = next(filter(None, (re.search(pattern, text) for pattern in patterns)), None)
            return _disk_error(number, match.group(1) if match else path)
    return MachineError(_MEMORY) if _OUT_OF_MEMORY.search(text) else None


def _disk_error(number: int, path: object) -> MachineError:
    prefix = f"{os.fsdecode(path)}: " if isinstance(path, (str, bytes)) else ""
    return MachineError(f"{prefix}{os.strerror(number)}; {_ADVICE[number]}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
