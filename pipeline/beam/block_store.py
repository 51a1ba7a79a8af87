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

from pipeline.beam.counters import Traffic
from pipeline.readers import columns

_PLACE = struct.Struct("<QQ")  # where a block begins and how long it is; the file's path follows


class Spill:
    """Puts blocks away and gets them back. Its pickles go to other workers; each appends to a file of its own."""

    def __init__(self, folder: str | None = None):
        """folder: on the disk that all workers share, made where it is missing; None where they share none."""
        self._folder = folder
        self._file: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_file": None}

    def put(self, batch: pa.RecordBatch, traffic: Traffic | None = None, rows: int | None = None) -> bytes:
        """A parcel that stands for the rows; `traffic` counts its bytes and rows (or so many)."""
        block = columns.to_bytes(batch)
        if traffic:
            traffic.count(batch.num_rows if rows is None else rows, len(block))
        if self._folder is None:
            return block
        if self._file is None:
            os.makedirs(self._folder, exist_ok=True)
            self._path = os.path.join(self._folder, uuid.uuid4().hex)
            self._file, self._end = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 0
        left, begin = memoryview(block), self._end
        while left:
            left = left[os.write(self._file, left) :]
        self._end += len(block)
        return _PLACE.pack(begin, len(block)) + self._path.encode()

    def get(self, parcels: Iterable[bytes]) -> pa.Table:
        """The rows of all parcels, in their order; there is at least one parcel."""
        return columns.from_bytes(self._blocks(parcels))

    def get_batch(self, parcel: bytes) -> pa.RecordBatch:
        """The rows of one parcel."""
        (batch,) = self.get([parcel]).to_batches()
        return batch

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
        """Ends this worker's file; the next block begins another."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
