"""Opening files of any storage through Beam, with the same errors for all."""

from __future__ import annotations

from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems
from google.api_core.exceptions import GoogleAPICallError, NotFound


def read_bytes(path: str) -> bytes:
    """A small file's bytes.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    with open_to_read(path) as file:
        return file.read()


def open_to_read(path: str, compression: str = CompressionTypes.UNCOMPRESSED) -> BinaryIO:
    """Opens a file, local or gs://, as its bytes are; `CompressionTypes.AUTO` looks through gzip by the suffix.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be opened.
    """
    try:
        return FileSystems.open(path, compression_type=compression)
    except NotFound:
        raise FileNotFoundError(path) from None
    except (GoogleAPICallError, BeamIOError) as error:
        raise OSError(f"{path}: {' '.join(str(error).split())}") from error
