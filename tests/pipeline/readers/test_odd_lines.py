"""One odd line loses that line alone: in any position, by either parser, in files of shops that have prices."""

import io
import json
import math

import pytest

from configs.errors import UserError
from configs.settings import SourceSettings, SplitSettings
from pipeline.readers.files import ExportReader
from pipeline.readers.ndjson import NdjsonReader
from pipeline.sources import ga4
from pipeline.sources.events import schema
from tests.support.exports import event

LINES = 12


def purchase(number: int, **more) -> dict:
    """Return an event with a price, as every shop has it."""
    row = event(f"v{number % 7}", f"item {number % 5}", 1000 + number, **more)
    row["event_params"].append({"key": "value", "value": {"double_value": 9.5 + number}})
    return row


def with_value(**value) -> bytes:
    row = purchase(500)
    row["event_params"][-1]["value"] = value
    return json.dumps(row).encode()


REJECTED = {
    "cut off": b'{"event_date": "202401',
    "null": b"null",
    "a list": b"[1]",
    "text": b"oops",
    "bytes": b"\x00\xff\xfe",
    "two records": b"{}{}",
    "a price that is text": with_value(double_value="dear"),
    "a price that is true": with_value(double_value=True),
    "a price that is a list": with_value(double_value=[1]),
    "an id that is infinite": json.dumps(purchase(500)).encode().replace(b'"v3"', b"1e400"),
}
KEPT = {
    "a byte order mark before it": b"\xef\xbb\xbf" + json.dumps(purchase(500)).encode(),
    "NaN as text": with_value(double_value="NaN"),
    "Infinity as text": with_value(double_value="-Infinity"),
    "NaN": with_value(double_value=math.nan),
    "a price as text": with_value(float_value="9.50"),
    "a huge price": json.dumps(purchase(500)).encode().replace(b"509.5", b"1e999"),
    "a float in int_value": json.dumps(purchase(500)).encode().replace(b'"1500"', b"1500.0"),
    "not UTF-8 in what nobody reads": json.dumps(purchase(500, other="x")).encode().replace(b'"x"', b'"\xff"'),
    "a surrogate in what nobody reads": json.dumps(purchase(500, event_name="\ud83d")).encode(),
    "a field twice": json.dumps(purchase(500)).encode().replace(b'"user_id"', b'"user_id": "b", "user_id"'),
    "deep in what nobody reads": json.dumps(purchase(500, other=1)).encode()[:-2] + b"[" * 2000 + b"]" * 2000 + b"}",
    "5,000 digits in what nobody reads": json.dumps(purchase(500, other=1)).encode()[:-2] + b"1" * 5000 + b"}",
}
POSITIONS = pytest.mark.parametrize("position", [0, 1, LINES // 2, LINES])
PARSERS = pytest.mark.parametrize("before", [0, math.inf], ids=["compiled", "arrow"])
BLOCKS = pytest.mark.parametrize("block_bytes", [1 << 22, 900])


def read(lines: list[bytes], end: bytes = b"\n", **sizes):
    """Return the interactions, the rejects' reasons and numbers, of a file of these lines."""
    source = ga4.Ga4(SourceSettings(kind="ga4", input="x"), SplitSettings())
    rows, rejects = [], []
    for raw in NdjsonReader(schema.SCHEMA, **sizes).read(io.BytesIO(b"\n".join(lines) + end)):
        extract = source.extract(raw, "file")
        rows += [tuple(row.values())[:4] for row in extract.table.to_pylist()]
        rejects += [(reject["reason"], reject["record"]) for reject in map(json.loads, extract.rejects)]
    return rows, rejects


SOUND = [json.dumps(purchase(number)).encode() for number in range(LINES)]
OF_SOUND = [(f"v{n % 7}".encode(), f"item {n % 5}".encode(), 1000.0 + n, 1704067200000) for n in range(LINES)]
OF_KEPT = (b"v3", b"item 0", 1500.0, 1704067200000)


@PARSERS
@BLOCKS
@POSITIONS
@pytest.mark.parametrize("name", [*REJECTED, *KEPT])
def test_an_odd_line_loses_that_line_alone(name, position, block_bytes, before):
    odd = (REJECTED | KEPT)[name]
    if position == 0 and block_bytes < 1000 and name in REJECTED:
        position = 1  # a file is told to be JSON by its first block
    lines = [*SOUND[:position], odd, *SOUND[position:]]
    rows, rejects = read(lines, block_bytes=block_bytes, bytes_before_compiling=before)
    if name in REJECTED:
        assert rows == OF_SOUND
        reason = "visitor_id_inexact" if name == "an id that is infinite" else "malformed"
        assert rejects == [(reason, position + 1)]
    else:
        assert rows == [*OF_SOUND[:position], OF_KEPT, *OF_SOUND[position:]]
        assert rejects == []


@PARSERS
@BLOCKS
@pytest.mark.parametrize("blank", [b"", b"  ", b"\r", b"\n" * 900])
def test_blank_lines_are_no_records(blank, block_bytes, before):
    sizes = {"block_bytes": block_bytes, "bytes_before_compiling": before}
    for position in (0, 1, LINES // 2, LINES):
        rows, rejects = read([*SOUND[:position], blank, *SOUND[position:]], **sizes)
        assert (rows, rejects) == (OF_SOUND, [])
    rows, rejects = read([blank, b"null", *SOUND], block_bytes=1 << 22, bytes_before_compiling=before)
    assert rows == OF_SOUND and [reason for reason, _ in rejects] == ["malformed"]


@PARSERS
def test_ids_that_are_not_utf_8_are_rejected_for_it(before):
    for odd in (b'"v3"', b'"\\ud800"'):
        line = json.dumps(purchase(500)).encode().replace(b'"v3"', b'"v\xff"' if odd == b'"v3"' else odd)
        rows, rejects = read([*SOUND, line], bytes_before_compiling=before)
        assert (rows, rejects) == (OF_SOUND, [("visitor_id_not_utf8", LINES + 1)])


@PARSERS
def test_windows_line_ends_and_a_byte_order_mark(before):
    lines = [b"\xef\xbb\xbf" + SOUND[0], *SOUND[1:]]
    assert read([line + b"\r" for line in lines], bytes_before_compiling=before) == (OF_SOUND, [])


@PARSERS
@pytest.mark.parametrize("place", [0, 1, len(SOUND)])
def test_a_line_of_a_byte_order_mark_alone_is_blank_in_any_place(place, before):
    lines = [*SOUND[:place], b"\xef\xbb\xbf", *SOUND[place:]]
    assert read(lines, bytes_before_compiling=before) == (OF_SOUND, [])


@PARSERS
@pytest.mark.parametrize("odd", [b"null", b"oops", b"\xff", b"{oops", b"{}}"])
def test_a_last_line_without_an_end_is_lost_alone(odd, before):
    rows, rejects = read([*SOUND, odd], end=b"", bytes_before_compiling=before)
    assert (rows, rejects) == (OF_SOUND, [("malformed", LINES + 1)])


@PARSERS
def test_a_last_line_that_is_cut_is_an_error(before):
    for length in range(1, len(SOUND[0]) - 1, 7):
        with pytest.raises(EOFError, match=f"the last record, {LINES + 1}, ends within its JSON"):
            read([*SOUND, SOUND[0][:length]], end=b"", bytes_before_compiling=before)


WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"oops\n" * 9, "file is not newline-delimited JSON, Avro or Parquet; check source.input"),
        (b"[\n" + SOUND[0] + b",\n" + SOUND[1] + b"\n]\n", "is not newline-delimited JSON.*an array"),
        (b"[" + SOUND[0] + b"]", "is not newline-delimited JSON.*an array"),
        ("\ufeff{}\n".encode("utf-16-le"), "is not newline-delimited JSON.*UTF-16; write it in UTF-8"),
        ("{}\n".encode("utf-16"), "is not newline-delimited JSON.*UTF-16; write it in UTF-8"),
        ("{}\n".encode("utf-32"), "is not newline-delimited JSON.*but UTF-32; save it in UTF-8"),
        ("\ufeff{}\n".encode("utf-32-be"), "is not newline-delimited JSON.*but UTF-32; save it in UTF-8"),
        *(("{}\n".encode(name), "UTF-16 or UTF-32; write it in UTF-8") for name in WIDE),
    ],
)
def test_a_file_that_is_not_lines_of_objects_is_refused(tmp_path, data, said):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(UserError, match=said):
        list(ExportReader(schema.SCHEMA).read(str(tmp_path / "file")))


@pytest.mark.parametrize("odd", [b"null", b"oops", b"null\n\n7"])
def test_a_file_of_odd_lines_and_one_record_without_an_end_is_an_export(odd):
    content = odd + b"\n" + json.dumps(event("ann", "tea", 1000)).encode()
    batches = list(NdjsonReader(schema.SCHEMA).read(io.BytesIO(content)))
    last = content.count(b"\n") + 1
    assert [number for raw in batches for number in raw.numbers.tolist()] == [last]
    malformed = {number for raw in batches for number, _ in raw.malformed}
    assert malformed == {number for number in range(1, last) if content.split(b"\n")[number - 1]}
