"""The output of a command: all of it, errors alone (-q), also logs of libraries (-v), or JSON lines (--log_json)."""

from __future__ import annotations

import argparse
import contextlib
import contextvars
import datetime
import io
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

quiet = contextvars.ContextVar("quiet", default=False)  # whether -q keeps progress, which may go to standard error, off
_FRAME = re.compile(r"[\s\u2500-\u257f]*")  # the lines of a table that have no text


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags; `as_asked` reads them, before the command's parser does."""
    group = parser.add_argument_group("output")
    group.add_argument("-q", "--quiet", action="store_true", help="print errors alone")
    group.add_argument("-v", "--verbose", action="store_true", help="print the logs of the libraries, too")
    group.add_argument("--log_json", action="store_true", help="print one JSON object per line, for a log collector")


@contextlib.contextmanager
def as_asked(argv: Sequence[str]) -> Iterator[None]:
    """Print in the block as the flags among the words say."""
    words = {word.replace("-", "_") for word in argv}
    with contextlib.ExitStack() as stack:
        if {"_v", "__verbose"} & words:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        if {"_q", "__quiet"} & words:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
            stack.callback(quiet.reset, quiet.set(True))
        if "__log_json" in words:
            stack.enter_context(contextlib.redirect_stdout(JsonLines(sys.stdout, "INFO")))
            stack.enter_context(contextlib.redirect_stderr(JsonLines(sys.stderr, "WARNING")))
        yield


class JsonLines(io.TextIOBase):
    """Text that is written as a JSON object per line: time, severity and message, as Cloud Logging reads them."""

    def __init__(self, stream: TextIO, severity: str):
        self._stream, self._severity, self._rest = stream, severity, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if not _FRAME.fullmatch(line):
                self._stream.write(json.dumps(self._record(line.strip()), ensure_ascii=False) + "\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def _record(self, line: str) -> dict[str, str]:
        severity = "ERROR" if line.startswith("error: ") else self._severity
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        return {"time": now, "severity": severity, "message": line}
