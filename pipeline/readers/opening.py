"""Files opened for reading, local or remote, plain or gzip, and their whole lines; a gzip bomb is an error."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

import numpy as np
from isal import igzip, isal_zlib

from artifacts.names import GZIP, PARQUET
from artifacts.storage import open_to_read
from configs.errors import UserError
from pipeline.readers.records import FormatError

_HEAD_BYTES = 512
BOM, UTF_16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


@contextlib.contextmanager
def opened(path: str, bomb_bytes: int = 1 << 30, bomb_ratio: int = 300) -> Iterator[tuple[BinaryIO, bytes]]:
    """Open a file and decompress gzip; return it at its start, with its first bytes.

    Raise UserError if it cannot be read. A file that decompresses to more than `bomb_bytes`, and to more than
    `bomb_ratio` times its size, is an error when it is read: an export shrinks to a tenth, not to a thousandth.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_to_read(path))
            head = _head(file)
            if head.startswith(GZIP):
                file = cast(BinaryIO, stack.enter_context(GzipFile(file, path, bomb_bytes, bomb_ratio)))
                head = _head(file)
                if head.startswith(PARQUET):  # Parquet is read from its end
                    plain = stack.enter_context(tempfile.TemporaryFile())
                    shutil.copyfileobj(file, plain)
                    plain.seek(0)
                    file = plain
        except FileNotFoundError:
            raise UserError(f"{path} does not exist") from None
        except (OSError, EOFError, isal_zlib.error) as error:
            raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
        yield file, head


def _head(file: BinaryIO) -> bytes:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    return head


class GzipFile(igzip.IGzipFile):
    """A gzip file that refuses to grow beyond any export; `packed` is the file that it decompresses."""

    def __init__(self, packed: BinaryIO, path: str, bomb_bytes: int, bomb_ratio: int):
        super().__init__(fileobj=packed)
        self.packed, self._path = packed, path
        self._bomb_bytes, self._bomb_ratio = bomb_bytes, bomb_ratio

    def read(self, size: int | None = -1) -> bytes:
        """Read decompressed bytes; raise UserError if the file is a bomb."""
        data = super().read(size)
        if self.tell() > self._bomb_bytes and self.tell() > self._bomb_ratio * self.packed.tell():
            raise UserError(
                f"{self._path} unpacks to more than {self._bomb_ratio} times its size, as no export does: check it"
            )
        return data


def whole_lines(file: BinaryIO, block_bytes: int, max_line_bytes: int) -> Iterator[bytes]:
    """Yield whole lines with their line ends, a block at a time; the file's last line may have none.

    A byte order mark is skipped. The line ends of old Macs, lone carriage returns, are replaced. Raise FormatError if
    the file is UTF-16, ValueError if a line is longer than `max_line_bytes`.
    """
    rest = [file.read(len(BOM)).removeprefix(BOM)]
    if rest[0].startswith(UTF_16):
        raise FormatError("UTF-16; write it in UTF-8")
    size = len(rest[0])
    old_mac: bool | None = None
    while data := file.read(block_bytes):
        if old_mac is None:
            old_mac = b"\r" in data and b"\n" not in data and b"\r" in data[:-1]
        data = data.replace(b"\r", b"\n") if old_mac else data
        end = data.rfind(b"\n") + 1
        if end:
            yield b"".join([*rest, memoryview(data)[:end]])
            rest, size = [], 0
        rest.append(data[end:])
        size += len(rest[-1])
        if size > max_line_bytes:
            raise ValueError(f"a line is longer than {max_line_bytes >> 20} MB, the most of any record")
    if size:
        yield b"".join(rest)


def count_lines(block: bytes) -> int:
    """Count the lines of a block, whether or not the last has a line end."""
    newlines = np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n"))  # ten times the speed of bytes.count
    return int(newlines) + (not block.endswith(b"\n"))


def is_utf8(data: bytes) -> bool:
    """Return whether bytes are valid UTF-8."""
    try:
        return data.isascii() or data.decode() is not None
    except UnicodeDecodeError:
        return False
