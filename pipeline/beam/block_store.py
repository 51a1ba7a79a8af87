"""Storage for blocks on their way from one step to another: on this machine's disk, or within Beam's own shuffle.

Beam's in-process runner keeps shuffled elements in memory, as several copies while it groups them. Where all workers
share a disk, a block is written to a file and only its location passes through the runner. Elsewhere the bytes
themselves pass: the shuffles of Dataflow and Flink spill to disk on their own.
"""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipeline.beam.counters import StepCounter
from pipeline.interactions import columns

_LOCATION = struct.Struct("<QQ")  # offset and length of a block; the path of the file follows


class BlockStore:
    """Writes blocks and reads them back. Pickled copies go to other workers; each copy appends to its own file."""

    def __init__(self, folder: str | None = None):
        """Store blocks below `folder`, which all workers share and which is created on demand; None: pass the bytes."""
        self._folder = folder
        self._file: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_file": None}

    def put(self, batch: pa.RecordBatch, counter: StepCounter | None = None, rows: int | None = None) -> bytes:
        """Store a block and return a reference to it; `counter` counts its bytes and rows (`rows` where given)."""
        block = columns.to_bytes(batch)
        if counter:
            counter.add(batch.num_rows if rows is None else rows, len(block))
        if self._folder is None:
            return block
        if self._file is None:
            os.makedirs(self._folder, exist_ok=True)
            self._path = os.path.join(self._folder, uuid.uuid4().hex)
            self._file, self._end = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 0
        unwritten, offset = memoryview(block), self._end
        while unwritten:
            unwritten = unwritten[os.write(self._file, unwritten) :]
        self._end += len(block)
        return _LOCATION.pack(offset, len(block)) + self._path.encode()

    def get(self, references: Iterable[bytes]) -> pa.Table:
        """Return the rows of all references, in their order; there is at least one reference."""
        return columns.from_bytes(self._blocks(references))

    def get_block(self, reference: bytes) -> pa.RecordBatch:
        """Return the rows of one reference."""
        (batch,) = self.get([reference]).to_batches()
        return batch

    def _blocks(self, references: Iterable[bytes]) -> Iterator[bytes]:
        if self._folder is None:
            yield from references
            return
        for reference in references:
            offset, size = _LOCATION.unpack_from(reference)
            with open(reference[_LOCATION.size :], "rb", buffering=0) as file:
                file.seek(offset)
                yield file.read(size)

    def close(self) -> None:
        """Close this worker's file; the next block starts another."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class BlockCoder(beam.coders.Coder):
    """Encode record batches between steps. Without `estimate_size`, Beam would measure elements by their pickle."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        return columns.to_bytes(value)

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        return pa.ipc.open_stream(encoded).read_next_batch()

    def estimate_size(self, value: pa.RecordBatch) -> int:
        return value.nbytes

    def is_deterministic(self) -> bool:
        return True


beam.coders.registry.register_coder(pa.RecordBatch, BlockCoder)
