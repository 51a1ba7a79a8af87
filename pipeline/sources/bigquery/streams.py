"""Streams of the Storage Read API -> Arrow record batches; a broken stream resumes where it broke."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from google.api_core import exceptions
from google.cloud.bigquery_storage_v1 import types

from configs.errors import UserError
from pipeline.readers.records import RawBatch
from pipeline.sources.bigquery.service import Service, advice, line

_ROWS = 1 << 18  # per batch: the service sends a few thousand at once, and each batch is split by shard
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_BROKEN = (
    exceptions.ServiceUnavailable,
    exceptions.InternalServerError,
    exceptions.DeadlineExceeded,
    exceptions.ResourceExhausted,
    exceptions.Aborted,
    exceptions.Unknown,
)


def read_stream(name: str, service: Service, batch_bytes: int = 1 << 26) -> Iterator[RawBatch]:
    """Read a stream to its end, in batches that grow until they have enough rows or bytes.

    Raise UserError if it broke and did not resume within bigquery.retry_seconds.
    """
    number, held, rows, size = 1, [], 0, 0
    for batch in _batches(name, service):
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _ROWS or size >= batch_bytes:
            yield _raw(held, number)
            number, held, rows, size = number + rows, [], 0, 0
    if rows:
        yield _raw(held, number)


def _raw(batches: list[pa.RecordBatch], number: int) -> RawBatch:
    (batch,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return RawBatch(batch, np.arange(number, number + batch.num_rows))


def _batches(name: str, service: Service) -> Iterator[pa.RecordBatch]:
    offset, schema, wait, broken_at = 0, None, _FIRST_WAIT, None
    while True:
        try:
            request = types.ReadRowsRequest(read_stream=name, offset=offset)
            for response in service.storage.read_rows(request=request, retry=None):
                if schema is None:
                    schema = pa.ipc.read_schema(pa.py_buffer(response.arrow_schema.serialized_schema))
                message = pa.py_buffer(response.arrow_record_batch.serialized_record_batch)
                batch = pa.ipc.read_record_batch(message, schema)
                offset, wait, broken_at = offset + batch.num_rows, _FIRST_WAIT, None
                yield batch
            return
        except _BROKEN as error:
            broken_at = broken_at or time.monotonic()
            if time.monotonic() - broken_at + wait > service.settings.retry_seconds:
                raise UserError(
                    f"{name} broke after row {offset} and stayed broken for bigquery.retry_seconds "
                    f"({line(error)}); run it again later"
                ) from error
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        except exceptions.GoogleAPICallError as error:
            raise UserError(f"{name}: {advice(error)}") from error
