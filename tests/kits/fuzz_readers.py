"""Atheris on the readers of exports and tables: python -m tests.kits.fuzz_readers [-runs=20000] [-seed=1] [FOLDER]

Bytes that coverage leads go through what a worker does with a file: its kind is recognised, it is read, checked, and
made into interactions. They end as rows with an account that adds up, or as one line that states what is wrong. The
flags are libFuzzer's; FOLDER keeps what it found worth keeping.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import atheris

with atheris.instrument_imports(include=["pipeline", "fastavro"]):
    from tests.pipeline.readers import test_fuzz as fuzz

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from configs.settings import SourceSettings
from tests.support.exports import event, reads

SOURCES = (
    SourceSettings(kind="ga360", input="x"),
    SourceSettings(kind="ga4", input="x"),
    SourceSettings(kind="table", input="x", duration_column="amount", time_column="at"),
)


def once(data: bytes) -> None:
    """Read a file: the first byte chooses the source, the others are the file."""
    if data:
        fuzz.check_or_refuse(data[1:], None, SOURCES[data[0] % len(SOURCES)])


def seeds() -> list[bytes]:
    """Return a sound file of each format."""
    import json

    lines = [b"".join(json.dumps(row).encode() + b"\n" for row in rows) for rows in (
        [reads("a", {"x": 10, "y": 20}), reads("b", {"x": 5})], [event("a", "x", 10), event("b", "y")]
    )]  # fmt: skip
    table = pa.table({"visitorId": ["a", "b"], "contentId": ["x", "y"], "amount": [1.0, 2.5], "at": [1, 2]})
    parquet = pa.BufferOutputStream()
    pq.write_table(table, parquet)
    avro = io.BytesIO()
    kind = pa.struct(list(fuzz.SESSION))
    row = fuzz.without_nulls(kind, {"fullVisitorId": "a", "visitId": 1, "visitStartTime": 1})
    fastavro.writer(avro, fuzz.avro_type(kind, "session"), [row])
    csv = b"visitorId,contentId,amount,at\na,x,1,5\nb,y,2.5,2024-01-01\n"
    files = [(0, lines[0]), (0, gzip.compress(lines[0])), (0, avro.getvalue()), (1, lines[1])]
    files += [(2, csv), (2, parquet.getvalue().to_pybytes())]
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
