"""The compiled pass over lines of JSON: what it takes is what json.loads gives; plain lines of an export it takes."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pyarrow as pa
import pytest

from configs.settings import SourceSettings
from pipeline.readers import json_columns
from pipeline.readers.files import ExportReader
from pipeline.readers.ndjson import NdjsonReader
from pipeline.sources import ga360
from pipeline.sources.events.schema import SCHEMA as GA4_SCHEMA
from tests.support.exports import reads, write_ndjson

SCHEMAS = pytest.mark.parametrize("schema", [ga360.SCHEMA, GA4_SCHEMA], ids=["ga360", "ga4"])
PLAIN = [
    "",
    "a",
    "ß and 한",
    "0",
    "x" * 70,
    "{}[]:,",
    "null",
    'a "quote" \\ / \n\r\t\b\f',
    "\x00\x1f\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff",
]
OTHERS = [
    1.5,
    -2e-7,
    True,
    False,
    None,
    'a "quote" \\ / \n \u00df',
    [],
    {},
    [[1, {"hits": [0]}], "x"],
    {"time": {"a": None}},
]

DAMAGE = [b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b"1e5", b"\n", b"nul", b" "]


def value(kind: pa.DataType, integer: bool, rng: random.Random) -> Any:
    """Draw a value of a field, now and then null, with members that no schema names."""
    if rng.random() < 0.1:
        return None
    if pa.types.is_struct(kind):
        return record(kind, rng)
    if pa.types.is_list(kind):
        return [record(kind.value_type, rng) for _ in range(rng.randrange(4))]
    if pa.types.is_floating(kind):
        return rng.choice([0, 3, -1.5, 12.99, 9.5e-7, 1e22, 2**53 - 1, 0.1, -0.0, round(rng.uniform(0, 1e6), 2)])
    if pa.types.is_boolean(kind):
        return rng.choice([True, False])
    number = rng.choice([0, 7, -12, 10**17, 999_999_999_999_999_999])
    return rng.choice([number, str(number)]) if integer else rng.choice(PLAIN)


def record(kind: pa.StructType, rng: random.Random) -> dict[str, Any]:
    fields = [item for item in kind if rng.random() < 0.9]
    members = [(f.name, value(f.type, (f.metadata or {}).get(b"integer") == b"yes", rng)) for f in fields]
    members += [(f"other{n}", rng.choice(OTHERS)) for n in range(rng.randrange(3))]
    rng.shuffle(members)
    return dict(members)


def block(schema: pa.Schema, rng: random.Random) -> bytes:
    kind, lines = pa.struct(list(schema)), []
    for _ in range(rng.randrange(1, 5)):
        marks = rng.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")])
        lines.append(json.dumps(record(kind, rng), ensure_ascii=rng.random() < 0.3, separators=marks))
    return "\n".join(lines).encode()


def conform(found: Any, kind: pa.DataType, integer: bool) -> Any:
    """Return what json.loads returned in the schema's shape; wrong where the shape does not fit."""
    if found is None:
        return None
    if pa.types.is_struct(kind):
        assert isinstance(found, dict)
        return {f.name: conform(found.get(f.name), f.type, (f.metadata or {}).get(b"integer") == b"yes") for f in kind}
    if pa.types.is_list(kind):
        assert isinstance(found, list) and all(isinstance(item, dict) for item in found)
        return [conform(item, kind.value_type, False) for item in found]
    if pa.types.is_floating(kind):
        assert type(found) in (int, float)
        return float(found)
    if pa.types.is_boolean(kind):
        assert type(found) is bool
        return found
    assert isinstance(found, str) or (integer and type(found) is int)
    return int(found) if integer else found


def oracle(lines: bytes, schema: pa.Schema) -> list[dict[str, Any]]:
    # In values that nobody reads, bytes may be no UTF-8: the other ways let them pass too.
    kind = pa.struct(list(schema))
    return [conform(json.loads(line.decode("utf-8", "replace")), kind, False) for line in lines.split(b"\n")]


@SCHEMAS
def test_plain_lines_are_read_as_json_loads_does(schema):
    rng = random.Random(1)
    for _ in range(100):
        lines = block(schema, rng)
        found = json_columns.parse(lines, schema)
        assert found is not None, lines
        assert found.to_pylist() == oracle(lines, schema)


@SCHEMAS
def test_what_is_damaged_is_given_up_or_read_as_json_loads_does(schema):
    rng, read = random.Random(2), 0
    for _ in range(600):
        lines = bytearray(block(schema, rng))
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(lines))
            some = rng.choice(DAMAGE)
            lines[place : place + rng.randrange(3)] = some
        found = json_columns.parse(bytes(lines), schema)
        if found is not None:
            assert found.to_pylist() == oracle(bytes(lines), schema), bytes(lines)
            read += 1
    assert 20 < read < 550


@pytest.mark.parametrize(
    "line",
    [
        '{"visitId": 01}',
        '{"visitId": "01"}',
        '{"visitId": 1.0}',
        '{"visitId": 1234567890123456789}',
        '{"visitId": -0}',
        '{"date": "a\\ud83d\\ude00"}',
        '{"date": "a\\u00d"}',
        '{"date": "a\\x"}',
        '{"date": 5}',
        '{"date": "a", "date": "b"}',
        '{"hits": [null]}',
        '{"hits": {}}',
        '{"other": 01}',
        '{"other": "\\ud83d"}',
        '{"other": tru}',
        '{"other": [1,]}',
        '{"date": "a",}',
        '{"date": "a"} {}',
        "[]",
        " ",
        '{"date": "a"',
        '{"date": "\t"}',
        '{"other": ' + "[" * 100 + "]" * 100 + "}",
    ],
)
def test_what_is_odd_is_given_up(line):
    assert json_columns.parse(f'{{"date": "20240101"}}\n{line}'.encode(), ga360.SCHEMA) is None


@pytest.mark.parametrize("text", [r"\/", r"\u00DF\u00df", r"a\u0026b\u003d\u003E", r"\"\\\"", r"\ud7ff\uE000"])
def test_escapes_are_read_as_json_loads_does(text):
    line = f'{{"date": "{text}", "fullVisitorId": "ß{text}"}}'
    found = json_columns.parse(f"{line}\n{line}".encode(), ga360.SCHEMA)
    read = json.loads(f'"{text}"')
    assert found.column("date").to_pylist() == [read, read]
    assert found.column("fullVisitorId").to_pylist() == ["ß" + read] * 2


def test_ids_that_are_no_utf_8_are_given_up():
    assert json_columns.parse(b'{"date": "\xff"}', ga360.SCHEMA) is None
    assert json_columns.parse(b'{"other": "\xff", "date": "a"}', ga360.SCHEMA) is not None


def test_interactions_are_the_same_by_either_way(tmp_path, monkeypatch):
    rows = [reads(f"v{n % 17}", {f"c{n % 5}": 100 * n, "c ß": n + 1}) for n in range(60)]
    rows.append(rows[0] | {"visitStartTime": "x"})  # its block is given up
    paths = [write_ndjson(tmp_path / "1", rows[:40]), write_ndjson(tmp_path / "2", rows[40:])]
    made, taken, parse = [], [], json_columns.parse
    monkeypatch.setattr(json_columns, "parse", lambda *some: taken.append(parse(*some)) or taken[-1])
    for before in (math.inf, 0):
        ndjson = NdjsonReader(ga360.SCHEMA, bytes_before_compiling=before)
        source = ga360.Ga360(SourceSettings(input="x"), ExportReader(ga360.SCHEMA, ndjson))
        extracts = [source.extract(raw, "p") for path in paths for raw in source.read(str(path))]
        views = pa.Table.from_batches([extract.table for extract in extracts]).unify_dictionaries()
        pairs, _ = source.combine(source.interactions(views)[0])
        made.append((pairs.to_pylist(), [extract.counts for extract in extracts], [e.rejects for e in extracts]))
    assert made[0] == made[1]
    assert sorted(batch is None for batch in taken) == [False, True]
