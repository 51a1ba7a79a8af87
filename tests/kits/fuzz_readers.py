"""Atheris on the readers of exports and tables: python -m tests.kits.fuzz_readers [-runs=20000] [-seed=1] [FOLDER]

Bytes that coverage leads go through what a worker does with a file: its kind is recognised, it is read, checked, and
made into interactions. They end as rows with an account that adds up, or as one line that states what is wrong. Lists
of ids, weights and catalogues are read too. The flags are libFuzzer's; FOLDER keeps what it found worth keeping.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import atheris

# Numba compiles no instrumented code.
with atheris.instrument_imports(
    include=["artifacts", "pipeline", "fastavro"], exclude=["pipeline.sources.items.pairs"]
):
    from artifacts import catalogue, id_lists
    from tests.support import fates, wild_files, wild_sources

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import UserError
from configs.settings import SourceSettings
from tests.support.exports import START, event, hit, reads, session

OF_GA4 = {"signals": wild_sources.GA4_SIGNALS, "attributes": wild_sources.GA4_ATTRIBUTES, "end_date": "2024-12-31"}
SOURCES = (
    SourceSettings(kind="ga360", input="x"),
    SourceSettings(kind="ga4", input="x"),
    SourceSettings(kind="table", input="x", duration_column="amount", time_column="at"),
    SourceSettings(kind="ga360", input="x", signals=wild_sources.MIXED, attributes=wild_sources.DESCRIBED),
    SourceSettings(kind="ga4", input="x", **OF_GA4),
)


def once(data: bytes) -> None:
    """Read a file: the first byte chooses the source, or a list of users; the others are the file."""
    if not data:
        return
    kind = data[0] % (len(SOURCES) + 1)
    if kind == len(SOURCES):
        _lists(data[1:])
    else:
        fates.check_or_refuse(data[1:], None, SOURCES[kind])


def _lists(data: bytes) -> None:
    """Read a file as whatever users write by hand: each reader has its values, or refuses the file in one line."""
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("csv", "jsonl", "parquet"):
            path = os.path.join(folder, f"file.{ending}")
            with open(path, "wb") as file:
                file.write(data)
            for read in (
                lambda path: id_lists.IdList.read(path, "list").ids,
                lambda path: list(id_lists.rows(path, "list")),
                catalogue.read,
            ):
                said = ""
                try:
                    read(path)
                except UserError as error:
                    said = str(error)
                assert "\n" not in said


def seeds() -> list[bytes]:
    """Return a sound file of each format."""
    import json

    bought = event("a", "x", 10, event_name="purchase", items=[{"item_id": "x", "quantity": "2", "price": 9.5}])
    action = {"product": [{"productSKU": "x", "productQuantity": "2"}], "eCommerceAction": {"action_type": "3"}}
    shown = session("a", 1704067200, [hit(1, 0) | action | {"page": {"pagePath": "/x", "pageTitle": "X"}}])
    lines = [b"".join(json.dumps(row).encode() + b"\n" for row in rows) for rows in (
        [reads("a", {"x": 10, "y": 20}), reads("b", {"x": 5})], [event("a", "x", 10), event("b", "y")],
        [shown, reads("b", {"x": 5})], [bought, event("b", "y", event_name="view_item")],
    )]  # fmt: skip
    table = pa.table(
        {"visitorId": ["a", "b"], "contentId": ["x", "y"], "amount": [1.0, 2.5], "at": [START * 1000, START * 1001]}
    )
    parquet = pa.BufferOutputStream()
    pq.write_table(table, parquet)
    files = [(0, lines[0]), (0, gzip.compress(lines[0])), (1, lines[1]), (3, lines[2]), (4, lines[3])]
    files.append((2, parquet.getvalue().to_pybytes()))
    for source, schema, row in (
        (0, wild_files.SESSION, {"fullVisitorId": "a", "visitId": 1, "visitStartTime": START}),
        (1, wild_files.GA4_SCHEMA, {"user_pseudo_id": "a", "event_timestamp": "1704067200000000"}),
    ):
        avro, parquet, kind = io.BytesIO(), pa.BufferOutputStream(), pa.struct(list(schema))
        record = wild_files.without_nulls(kind, row)
        fastavro.writer(avro, wild_files.avro_type(kind, "row"), [record])
        pq.write_table(pa.Table.from_pylist([record], schema), parquet)
        files += [
            (n, data) for n in (source, source + 3) for data in (avro.getvalue(), parquet.getvalue().to_pybytes())
        ]
    csv = 'visitorId,contentId,amount,at\na,x,1,1704067200000\nb,"y, z",2.5,2024-01-01\n'
    files += [(2, text.encode(code)) for text in (csv, csv.replace(",", ";")) for code in ("utf-8", "utf-16")]
    catalogues = ("contentId,title,category\nx,X,1\n", '{"contentId": 7.0, "title": "X"}\n', "x,1\ny,2.5\n")
    files += [(len(SOURCES), text.encode(code)) for text in catalogues for code in ("utf-8", "utf-16")]
    return [bytes([source]) + data for source, data in files]


def main() -> None:
    """Fuzz from the seeds, unless a folder is given."""
    flags, folders = ([arg for arg in sys.argv if arg.startswith("-") is dash] for dash in (True, False))
    with tempfile.TemporaryDirectory() as own:
        for number, data in enumerate(seeds()):
            with open(os.path.join(own, f"seed{number}"), "wb") as file:
                file.write(data)
        sys.unraisablehook = lambda _: None  # Arrow prints rows of a CSV that are not UTF-8
        atheris.Setup([folders[0], *(flags or ["-runs=20000"]), *folders[1:], own], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
