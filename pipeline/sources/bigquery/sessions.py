"""Read sessions of the Storage Read API: a table's columns and rows as streams that workers read in parallel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

from pipeline.sources.bigquery.names import TableName
from pipeline.sources.bigquery.service import Service
from pipeline.sources.bigquery.streams import read_stream

_STREAM_BYTES = 1 << 26  # of a table per stream, at least
_MOST_STREAMS = 1000  # the service's own limit


class Session(NamedTuple):
    """An open session. size: bytes that its streams read, as the service estimates before they are read."""

    streams: tuple[str, ...]
    size: int
    schema: pa.Schema


def open_session(
    table: TableName, service: Service, columns: Sequence[str] = (), restriction: str = "", table_bytes: int = 0
) -> Session:
    """Open a session, which reads nothing yet and lasts for at least six hours.

    Args:
        columns: dotted names of fields; without one, all are read.
        restriction: a condition that the service applies; rows that do not meet it do not arrive.
        table_bytes: size of the table, for the number of streams.
    """
    session = types.ReadSession(
        table=f"projects/{table.project}/datasets/{table.dataset}/tables/{table.table}",
        data_format=types.DataFormat.ARROW,
        read_options=types.ReadSession.TableReadOptions(
            selected_fields=list(columns),
            row_restriction=restriction,
            arrow_serialization_options=types.ArrowSerializationOptions(
                buffer_compression=types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME
            ),
        ),
    )
    opened = service.storage.create_read_session(
        parent=f"projects/{service.jobs.project}",
        read_session=session,
        max_stream_count=min(_MOST_STREAMS, max(1, table_bytes // _STREAM_BYTES)),
        retry=service.retry,
    )
    schema = pa.ipc.read_schema(pa.py_buffer(opened.arrow_schema.serialized_schema))
    size = opened.estimated_total_bytes_scanned or table_bytes  # 0 where the table's statistics are not ready
    return Session(tuple(stream.name for stream in opened.streams), size, schema)


def read_all(session: Session, service: Service) -> pa.Table:
    """Return all rows of a session, read in this process; raise UserError if a stream broke and did not resume."""
    batches = [raw.columns for stream in session.streams for raw in read_stream(stream, service)]
    return pa.Table.from_batches(batches, session.schema)
