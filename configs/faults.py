"""What a machine does to a job, in one line: a full or read-only disk, no permission, no memory left."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from configs.errors import MachineError

_TO_DO = {
    errno.ENOSPC: "make room, and run the command again",
    errno.EDQUOT: "make room, and run the command again",
    errno.EFBIG: "the system limits the size of files (ulimit -f); raise it",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: "give the user of this process the right to it, or name another place",
    errno.EPERM: "give the user of this process the right to it, or name another place",
    errno.EIO: "the disk is at fault; see the system's log",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
_MEMORY = "out of memory: give the job a larger machine, or less at once (docs/reliability.md)"
# Across processes and from C++ only text arrives: "[Errno 28] No space left on device: '/a'", "/a; No space left ...".
_TEXTS = {os.strerror(number): number for number in _TO_DO}
_PATH_BEHIND, _PATH_BEFORE = r"{}: '([^']+)'", r"(\S+)[;:] {}"
_OUT_OF_MEMORY = re.compile(r"\bMemoryError\b|Cannot allocate memory|std::bad_alloc|\bOOM when allocating\b")


def recognise(error: BaseException, place: str | None = None) -> MachineError | None:
    """The error for a user; None where it is something else, whose traceback tells more.

    place: what was being made, for the message where the error names no file.
    """
    said = _line(error, place)
    return None if said is None else MachineError(said)


def _line(error: BaseException, place: str | None) -> str | None:
    for cause in _causes(error):
        if isinstance(cause, MemoryError):
            return _MEMORY
        if isinstance(cause, OSError) and cause.errno in _TO_DO:
            return _of_disk(cause.errno, cause.filename or place)
    text = str(error)
    for said, number in _TEXTS.items():
        if said in text:
            patterns = (form.format(re.escape(said)) for form in (_PATH_BEHIND, _PATH_BEFORE))
            found = next(filter(None, (re.search(pattern, text) for pattern in patterns)), None)
            return _of_disk(number, found.group(1) if found else place)
    return _MEMORY if _OUT_OF_MEMORY.search(text) else None


def _of_disk(number: int, path: object) -> str:
    where = f"{os.fsdecode(path)}: " if isinstance(path, (str, bytes)) else ""
    return f"{where}{os.strerror(number)}; {_TO_DO[number]}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
