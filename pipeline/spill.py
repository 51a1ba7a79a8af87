"""Blocks on their way from one step to another: their bytes, or their place in a file on this machine's disk.

Beam's in-process runner keeps what it passes on in memory, as several copies while it groups. Where all workers share
a disk, a block waits in a file there and only its place goes through the runner; elsewhere the bytes themselves go:
Dataflow's and Flink's shuffles spill on their own.
"""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

_PLACE = struct.Struct("<QQ")  # where a block begins and how long it is; the file's name follows


class Spill:
    """Puts blocks away and gets them back. Pickles go to other workers; each appends to a file of its own."""

    def __init__(self, folder: str | None):
        """folder: on the disk that all workers share, made where it is missing; None where they share none."""
        self._folder = folder
        self._file: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_file": None}

    def put(self, batch: pa.RecordBatch) -> bytes:
        """A parcel that stands for the rows."""
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        block = sink.getvalue()
        if self._folder is None:
            return block.to_pybytes()
        if self._file is None:
            os.makedirs(self._folder, exist_ok=True)
            self._path = os.path.join(self._folder, uuid.uuid4().hex)
            self._file, self._end = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 0
        view, begin = memoryview(block), self._end
        while view:
            view = view[os.write(self._file, view) :]
        self._end += block.size
        return _PLACE.pack(begin, block.size) + self._path.encode()

    def get(self, parcels: Iterable[bytes]) -> pa.Table:
        """The rows of all parcels, in their order; there is at least one parcel."""
        return pa.concat_tables([pa.ipc.open_stream(block).read_all() for block in self._blocks(parcels)])

    def _blocks(self, parcels: Iterable[bytes]) -> Iterator[bytes]:
        if self._folder is None:
            yield from parcels
            return
        for parcel in parcels:
            begin, size = _PLACE.unpack_from(parcel)
            with open(parcel[_PLACE.size :], "rb", buffering=0) as file:
                file.seek(begin)
                yield file.read(size)

    def close(self) -> None:
        """Ends this worker's file; it may begin another."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
