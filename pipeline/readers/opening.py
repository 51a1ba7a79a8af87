"""Files opened for reading, local or remote, plain or gzip; a gzip bomb is an error."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from isal import igzip, isal_zlib

from artifacts.storage import open_to_read
from configs.errors import UserError

GZIP, AVRO, PARQUET = b"\x1f\x8b", b"Obj\x01", b"PAR1"  # the first bytes of a file
OTHER_FORMATS = {
    AVRO: "Avro",
    PARQUET: "Parquet",
    b"\x89PNG": "an image",
    b"%PDF": "a PDF",
    b"ORC": "ORC",
    b"PK\x03\x04": "zip; decompress it",
    b"BZh": "bzip2; decompress it",
    b"\xfd7zXZ": "xz; decompress it",
    b"\x28\xb5\x2f\xfd": "zstd; decompress it",
}
_HEAD_BYTES = 512


@contextlib.contextmanager
def opened(path: str, bomb_bytes: int = 1 << 30, bomb_ratio: int = 300) -> Iterator[tuple[BinaryIO, bytes]]:
    """Open a file and decompress gzip; return it at its start, with its first bytes.

    Args:
        bomb_bytes, bomb_ratio: a file that decompresses to more bytes than both allow is an error when it is read.
            An export shrinks to a tenth, not to a thousandth.

    Raises:
        UserError: the file does not exist or cannot be read.
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
        """Read decompressed bytes.

        Raises:
            UserError: the file is a bomb.
        """
        data = super().read(size)
        if self.tell() > self._bomb_bytes and self.tell() > self._bomb_ratio * self.packed.tell():
            raise UserError(
                f"{self._path} unpacks to more than {self._bomb_ratio} times its size, as no export does: check it"
            )
        return data
