"""bqemulator in a process of its own: python -m tests.support.bigquery_emulator BUCKET.

The emulator's Storage Read API refuses nested names in `selected_fields`, which the real service takes
(cloud.google.com/bigquery/docs/reference/storage/rpc: ReadSession.TableReadOptions). Here it gets them: it reads the
columns whole, then leaves the fields out that no name selects. It also sends 65,536 rows at once, more than fit into
its own messages where rows are wide; the real service sends a few thousand.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import duckdb_extensions
import pyarrow as pa
from bqemulator.config import Settings
from bqemulator.grpc_api import read_servicer
from bqemulator.server import EmulatorServer

_ROWS = 4096  # of a message


class Selection(list):
    """The columns that the emulator reads, with the nested names that were asked for."""

    def __init__(self, names: list[str]):
        super().__init__(dict.fromkeys(name.partition(".")[0] for name in names))
        self.names = names


def selected(kind: pa.DataType, names: list[str]) -> pa.DataType:
    """Return a type with only the fields that have a name; all where the type itself was named."""
    if not all(names):
        return kind
    if pa.types.is_list(kind):
        return pa.list_(selected(kind.value_type, names))
    fields: dict[str, list[str]] = {}
    for name in names:
        first, _, rest = name.partition(".")
        fields.setdefault(first, []).append(rest)
    unknown = fields.keys() - {field.name for field in kind}
    if unknown:
        raise ValueError(f"The following selected fields do not exist in the table schema: {min(unknown)}")
    return pa.struct(
        [field.with_type(selected(field.type, fields[field.name])) for field in kind if field.name in fields]
    )


def adapt() -> None:
    """Teach the emulator to select nested fields."""
    make = read_servicer.create_read_session

    def selection(read_session: Any) -> Selection | None:
        names = list(read_session.read_options.selected_fields) if read_session.read_options else []
        return Selection(names) if names else None

    def create(*, arrow_table: pa.Table, selected_fields: Selection | None, **more: Any) -> Any:
        if selected_fields:
            kind = selected(pa.struct(list(arrow_table.schema)), selected_fields.names)
            arrow_table = arrow_table.select(list(selected_fields)).cast(pa.schema(list(kind)))
        batches = arrow_table.to_batches(max_chunksize=_ROWS)
        arrow_table = pa.Table.from_batches(batches, arrow_table.schema)
        return make(arrow_table=arrow_table, selected_fields=None, **more)

    read_servicer._selected_fields = selection
    read_servicer.create_read_session = create


async def serve(bucket: str) -> None:
    duckdb_extensions.import_extension("spatial")
    adapt()
    settings = Settings(
        rest_port=0, grpc_port=0, log_level="error", gcs_local_root=bucket, enable_format_extensions=False
    )
    server = EmulatorServer(settings)
    await server.start()
    print("serving", server.rest_url, server.grpc_endpoint, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
