"""Exports as no export should be: each record has one fate, and no record changes another's."""

import contextlib
import csv
import io
import json
import math
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifacts.names import AGAIN, AMOUNT, CONTENT_ID, TIME_MS
from configs.errors import UserError
from configs.settings import RatingSettings, SourceSettings
from pipeline.interactions import sessions
from pipeline.interactions.columns import from_bytes, to_bytes
from pipeline.readers import json_arrow, json_lines
from pipeline.readers.ndjson import NdjsonReader
from pipeline.sources import ga360
from pipeline.sources.events.schema import SCHEMA as GA4_SCHEMA
from pipeline.sources.items import attributes
from pipeline.sources.select import source_of
from pipeline.sources.source import Source
from tests.support import events_by_hand, wild

EXAMPLES = int(os.environ.get("WALS_FUZZ_EXAMPLES", "40"))
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Read(NamedTuple):
    """The rows, attributes, rejects and account of a file."""

    tables: list[pa.RecordBatch]
    attributes: dict[tuple[str, str, str], tuple[int, int]]  # (item, name, value) -> rows, last time
    rejects: list[bytes]
    counts: Counter[str]
    source: Source  # makes interactions of the tables

    @property
    def rows(self) -> list[tuple]:
        return rows_of(self.tables)


def read_file(data: bytes, settings: SourceSettings) -> Read:
    """Read a file of these bytes."""
    source = source_of(settings, RatingSettings())
    read = Read([], {}, [], Counter(), source)
    described = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        for raw in source.read(str(path)):
            extract = source.extract(raw, "file")
            read.tables.append(extract.table)
            read.rejects.extend(extract.rejects)
            read.counts.update(extract.counts)
            described += [extract.attributes] if extract.attributes else []
    values = attributes.add_up(pa.Table.from_batches(described, attributes.VALUES))
    for item, name, value, rows, last in rows_of([values]):
        read.attributes[item.decode(), name.decode(), value.decode("utf-8", "surrogateescape")] = rows, last
    return read


def total(counts: Counter, start: str) -> int:
    return sum(count for name, count in counts.items() if name.startswith(start))


def rows_of(tables) -> list[tuple]:
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def check(data: bytes, records: int | None, settings: SourceSettings) -> Read:
    """Assert that the account of a file adds up, and that the rows kept become interactions."""
    read = read_file(data, settings)
    counts = read.counts
    records = counts["records.read"] if records is None else records
    assert counts["records.read"] == records
    assert len(read.rejects) == sum(total(counts, f"{unit}.rejected.") for unit in ("records", "hits", "items"))
    for reject in map(json.loads, read.rejects):
        assert reject["reason"] and reject["file"] == "file" and reject["record"] >= 1
    if settings.kind == "ga360":
        items = [item for table in read.tables for item in table.column(CONTENT_ID).to_pylist()]
        seen = total(counts, "items.rejected.") + total(counts, "items.skipped.")
        assert counts["items.read"] == seen + len(items) - items.count(None)
        matched = counts["hits.read"] - total(counts, "hits.rejected.") - total(counts, "hits.skipped.")
        assert counts["items.read"] >= matched
    else:
        check_rows(read, settings)
    for name in (cell for row in read.rows for cell in row if isinstance(cell, bytes)):
        assert name and b"\n" not in name and b"\r" not in name and name.decode()
    if read.rows:
        views, _ = read.source.interactions(from_bytes(to_bytes(table) for table in read.tables))
        pairs, dropped = read.source.combine(views)
        kept = {row[:2] for row in rows_of([views])}
        assert pairs.num_rows + total(dropped, "pairs.skipped.") == len(kept)
        assert all(abs(amount) < 2**63 for amount in pairs[AMOUNT].to_pylist())
        assert all(abs(time) < 2**62 for time in pairs[TIME_MS].to_pylist())
        assert (AGAIN in pairs.schema.names) == settings.recommends_again
    items = {row[read.tables[0].schema.get_field_index(CONTENT_ID)] for row in read.rows}
    assert {item.encode() for item, _, _ in read.attributes} <= items
    return read


def check_rows(read: Read, settings: SourceSettings) -> None:
    """Assert that records of a table or of GA4 are rejected, skipped, or have rows: one each, or one per item."""
    counts = read.counts
    used = counts["records.read"] - total(counts, "records.rejected.") - total(counts, "records.skipped.")
    fields = Counter(signal.item.startswith("items.") for signal in settings.all_signals if settings.kind == "ga4")
    lines = counts["items.read"] - total(counts, "items.rejected.") - total(counts, "items.skipped.")
    most = lines + used * max(fields[False], settings.kind == "table")  # before the rows of an item are summed
    assert used <= len(read.rows) <= most and (lines == 0 or fields[True])


def check_or_refuse(data: bytes, records: int | None, source: SourceSettings) -> None:
    """Assert the same as `check`, or that the file is refused as a whole, by one line that names it."""
    said = "file"
    try:
        check(data, records, source)
    except UserError as error:
        said = str(error)
    assert "file" in said and "\n" not in said


def values_of(read: Read) -> Counter[tuple[str, str, str]]:
    return Counter({value: rows for value, (rows, _) in read.attributes.items()})


FIRST = b'{"date": "20240101", "event_date": "20240101"}'  # so that the file is taken for JSON


def fates(lines: list[bytes], settings: SourceSettings) -> Read:
    """Compare a file of lines with each line alone."""
    alone: list[Read] = []
    for line in filter(bytes.strip, lines):
        if not line.lstrip().startswith(b"{"):
            continue  # alone it would be no export
        read = check(line + b"\n", 1, settings)
        used = any(item for table in read.tables for item in table.column(CONTENT_ID).to_pylist())
        counts = read.counts
        assert total(counts, "records.rejected.") + total(counts, "records.skipped.") + used == 1
        alone.append(read)
    data = b"".join(line + b"\n" for line in (FIRST, *lines))
    read = check(data, 1 + sum(map(bool, map(bytes.strip, lines))), settings)
    # The rows of one field of items are together, whatever their sessions.
    assert Counter(read.rows) == Counter(row for other in alone for row in other.rows)
    assert values_of(read) == sum(map(values_of, alone), Counter())
    odd = sum(bool(line.strip()) and not line.lstrip().startswith(b"{") for line in lines)
    assert total(read.counts, "records.rejected.") == (settings.kind == "ga360") + odd + sum(
        total(other.counts, "records.rejected.") for other in alone
    )
    return read


MIXED = [
    {"event": "page", "item": "dimension.10", "dwell": True, "recommend_again": True},
    {"event": ["add_to_cart", "Video"], "item": "product.productSKU", "amount": "quantity", "max_items": 1},
    {"event": "*", "item": "event.eventLabel", "weight": -2, "amount": "event.eventValue"},
]
DESCRIBED = {"title": "page_title", "label": "event.eventLabel", "sku": "product.productSKU", "topic": "dimension.4"}
SIGNALS = [{}, {"preset": "ga360_pages"}, {"preset": "ga360_shop"}, {"signals": MIXED, "attributes": DESCRIBED}]


@fuzzed
@given(st.lists(wild.line(wild.sound_session()), max_size=5), st.booleans(), st.sampled_from(SIGNALS))
def test_ga360_lines(lines, by_visit, signals):
    fates(lines, SourceSettings(kind="ga360", input="x", visitor_key="visit" if by_visit else "visitor", **signals))


GA4_SIGNALS = [
    {"event": "purchase", "item": "items.item_id", "weight": 10, "amount": "quantity", "recommend_again": True},
    {"event": ["purchase", "view_item"], "item": "items.item_id", "max_items": 1, "half_life_days": 2},
    {"event": "remove_from_cart", "item": "items.item_id", "weight": -4, "recommend_again": True},
    {"event": "*", "item": "items.item_name", "amount": "param.value"},
    {"event": "*", "item": "items.price", "weight": 0.5, "dwell": True},
    {"event": "*", "item": "page", "dwell": True, "recommend_again": True},
    {"event": "view_item", "item": "param.content_id", "amount": "param.value"},
    {"event": ["view_item", "purchase"], "item": "param.tax", "weight": 3},
    {"event": "*", "item": "screen"},
    {"event": "view_item", "item": "page_title", "half_life_days": 7},
]
GA4_ATTRIBUTES = {
    "title": "items.item_name",
    "price": "items.price",
    "name": "page_title",
    "worth": "param.value",
    "address": "page",
    "view": "screen",
}


@st.composite
def ga4_settings(draw) -> SourceSettings:
    """Draw a source of GA4 with signals and attributes of any kind."""
    signals = draw(st.lists(st.sampled_from(GA4_SIGNALS), min_size=1, max_size=4))
    signals = [{}, {"preset": "ga4_shop"}, {"preset": "ga4_articles"}, *([{"signals": signals}] * 6)]
    more = draw(st.sampled_from(signals))
    if {-4} == {signal.get("weight") for signal in more.get("signals", [])}:
        more = {"signals": [*more["signals"], GA4_SIGNALS[0]]}
    more["attributes"] = draw(st.fixed_dictionaries({}, optional={k: st.just(v) for k, v in GA4_ATTRIBUTES.items()}))
    if "page" in [*(signal["item"] for signal in more.get("signals", [])), *more["attributes"].values()]:
        more["page"] = {"exclude": ["/x$"], "include": ["e"]}
    more |= {"prefer_user_id": draw(st.booleans()), "drop_duplicate_events": draw(st.booleans())}
    return SourceSettings(kind="ga4", input="x", end_date="2024-01-31", **more)


@fuzzed
@given(st.lists(wild.line(wild.sound_event()) | st.sampled_from(wild.ODD_LINES), max_size=6), ga4_settings())
def test_ga4_lines(lines, settings):
    read, schema = fates(lines, settings), source_schema(settings)
    nothing = dict.fromkeys(GA4_SCHEMA.names)
    records = [oracle(line, schema) for line in (FIRST, *lines) if line.strip()]
    by_hand = events_by_hand.expected([record and nothing | record for record in records], settings)
    assert read.counts == by_hand.counts + Counter({name: n for name, n in read.counts.items() if "time_unit" in name})
    assert read.attributes == by_hand.attributes
    assert Counter(marked(read.rows, settings)) == Counter(row[:5] for row in by_hand.rows)
    if read.rows:
        pairs, _ = read.source.interactions(from_bytes(to_bytes(table) for table in read.tables))
        expected = by_hand.pairs(settings)
        sums = {row[:2]: row for row in marked(rows_of([sessions.sum_pairs(pairs)]), settings)}
        assert sums.keys() == expected.keys()
        for pair, (amount, size, *last_and_again) in expected.items():
            assert abs(sums[pair][2] - amount) <= 1e-9 * size and [*sums[pair][3:]] == last_and_again


def source_schema(settings: SourceSettings) -> pa.Schema:
    schema = source_of(settings, RatingSettings()).schema
    assert schema
    return schema


def marked(rows: list[tuple], settings: SourceSettings) -> list[tuple]:
    """Return visitor, item, amount, time and whether the item may be recommended again."""
    return [
        (visitor.decode(), item.decode(), amount, time, settings.recommends_again and more[-1])
        for visitor, item, amount, time, *more in rows
    ]


def oracle(line: bytes, schema: pa.Schema) -> dict | None:
    """Return a line as json.loads reads it, in the schema's shape and Arrow's neutral form; None if it is not a record.

    json.loads reaches neither a depth of 1,000 nor a number of 4,300 digits in what nobody reads, and Arrow does: such
    lines are records.
    """
    text = line.decode("utf-8", "surrogateescape")
    for deep in ("[" * 1200 + "]" * 1200, "1" * 5000):
        text = text.replace(f'"other": {deep}', '"other": 0')
    try:
        value = json.loads(text)
        assert isinstance(value, dict)
        return {item.name: shaped(value.get(item.name), item.type) for item in schema}
    except (ValueError, AssertionError, RecursionError):
        return None


def priced(name: str, value):
    """Return the value of a field; a price that is text and no number is NaN, and empty text is null."""
    if name not in ("price", "price_in_usd") or not isinstance(value, str):
        return value
    try:
        return str(float(value)) if value.strip() == value else math.nan
    except ValueError:
        return math.nan if value else None


def shaped(value, kind: pa.DataType):
    if value is None:
        return None
    if pa.types.is_struct(kind):
        assert isinstance(value, dict)
        return {item.name: shaped(priced(item.name, value.get(item.name)), item.type) for item in kind}
    if pa.types.is_list(kind):
        assert isinstance(value, list)
        return [shaped(part, kind.value_type) for part in value]
    assert not isinstance(value, (dict, list))
    if pa.types.is_boolean(kind):
        assert isinstance(value, bool) or str(value).lower() in ("true", "false")
        return value if isinstance(value, bool) else value.lower() == "true"
    if pa.types.is_floating(kind):
        assert not isinstance(value, bool)
        return float(value)  # of "NaN", "Infinity" and "1.5" too; of other text, a ValueError
    assert not (isinstance(value, float) and math.isinf(value))
    if isinstance(value, float) and value.is_integer():
        assert abs(value) <= 2**53 or (abs(value) < 1e18 and value % 1000 == 0), "digits may be lost"
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def neutral(value):
    """Return a value as any of the parsers returns it: text and integers as text, NaN as a word that equals itself."""
    if isinstance(value, dict):
        return {name: neutral(part) for name, part in value.items()}
    if isinstance(value, list):
        return [neutral(part) for part in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):  # bytes that are not UTF-8 are surrogates of `surrogateescape`; JSON can write others
        try:
            raw = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raw = value.encode("utf-8", "surrogatepass")
        return raw.decode("utf-8", "surrogateescape")
    if isinstance(value, float):
        return repr(value + 0.0)
    return value if value is None else str(value)


ROWS = {"ga360": (ga360.SCHEMA, wild.sound_session()), "ga4": (GA4_SCHEMA, wild.sound_event())}


@fuzzed
@given(st.data(), st.sampled_from(sorted(ROWS)), st.sampled_from([1, 64, 700, 1 << 22]), st.booleans(), st.booleans())
def test_an_odd_line_has_one_fate_in_any_position_by_any_parser(data, kind, block_bytes, compiled, ended):
    schema, sound = ROWS[kind]
    row = json.dumps(data.draw(sound)).encode()
    lines = [json.dumps(row).encode() for row in data.draw(st.lists(sound, max_size=4))]
    for odd in data.draw(st.lists(st.sampled_from(wild.ODD_LINES) | wild.line(sound), max_size=3)):
        lines.insert(data.draw(st.integers(0, len(lines))), odd)
    # A file is told to be JSON by its first block.
    lines.insert(data.draw(st.integers(0, 1)) * len(lines) if block_bytes > 1000 else 0, row)
    content = b"\n".join(lines) + (b"\n" if ended else b"")
    ndjson = NdjsonReader(schema, block_bytes=block_bytes, bytes_before_compiling=0 if compiled else math.inf)
    if not ended and json_lines.is_cut(lines[-1]):
        lines.pop()
        expected_error = pytest.raises(EOFError, match=f"the last record, {len(lines) + 1}, ends within its JSON")
    else:
        expected_error = contextlib.nullcontext()
    records, numbers, malformed = [], [], []
    with expected_error:
        for raw in ndjson.read(io.BytesIO(content)):
            records += neutral(raw.columns.to_pylist())
            numbers += raw.numbers.tolist()
            malformed += [number for number, _ in raw.malformed]
    fates = {n: oracle(line, schema) for n, line in enumerate(lines, start=1) if line.strip()}
    if isinstance(expected_error, contextlib.nullcontext):
        assert malformed == [number for number, record in fates.items() if record is None]
        assert numbers == [number for number, record in fates.items() if record is not None]
        assert records == [neutral(record) for record in fates.values() if record is not None]


DIMENSIONS = ("customDimensions", pa.list_(pa.struct([("index", pa.int64()), ("value", pa.string())])))
PRODUCT = pa.struct(
    [("productSKU", pa.string()), ("productQuantity", pa.int64()), ("isImpression", pa.bool_()), DIMENSIONS]
)
HIT = pa.struct(
    [
        ("hitNumber", pa.int64()),
        ("time", pa.int64()),
        ("type", pa.string()),
        ("page", pa.struct([("pagePath", pa.string())])),
        ("product", pa.list_(PRODUCT)),
        ("eCommerceAction", pa.struct([("action_type", pa.string())])),
        ("eventInfo", pa.struct([("eventCategory", pa.string()), ("eventLabel", pa.string())])),
        DIMENSIONS,
    ]
)
SESSION = pa.schema(
    [
        ("fullVisitorId", pa.string()),
        ("visitNumber", pa.int64()),
        ("visitId", pa.int64()),
        ("visitStartTime", pa.int64()),
        ("date", pa.string()),
        DIMENSIONS,
        ("hits", pa.list_(HIT)),
    ]
)
EVENT = pa.schema([json_arrow.with_integers(item) for item in GA4_SCHEMA])
exports = st.sampled_from(SIGNALS).map(lambda more: SourceSettings(kind="ga360", input="x", **more)) | ga4_settings()
OTHER_TYPES = [pa.string(), pa.binary(), pa.float64(), pa.int32(), pa.bool_(), pa.list_(pa.string()), pa.date32()]


def values(kind: pa.DataType) -> st.SearchStrategy:
    """Draw values of a type, odd ones too, and nulls."""
    if pa.types.is_struct(kind):
        own: st.SearchStrategy = st.fixed_dictionaries({item.name: values(item.type) for item in kind})
    elif pa.types.is_list(kind):
        own = st.lists(values(kind.value_type), max_size=3)
    elif pa.types.is_integer(kind):
        limit = 2 ** (kind.bit_width - 1)
        stamps = [1704067200, 1704067200_000_000 % limit]
        own = st.sampled_from([1, 2, 10, 10, 0, -1, limit - 1, -limit, *stamps]) | st.integers(-limit, limit - 1)
    elif pa.types.is_floating(kind):
        own = st.sampled_from([1.0, 2.5, -0.0]) | st.floats()
    elif pa.types.is_boolean(kind):
        own = st.booleans()
    elif pa.types.is_date(kind):
        own = st.dates()
    elif pa.types.is_null(kind):
        own = st.none()
    elif pa.types.is_binary(kind):
        own = st.binary(max_size=4)
    else:
        names = ["PAGE", "EVENT", "3", "Video", "a", "x", "20240105", "purchase", "view_item", "content_id", "value"]
        own = wild.texts.filter(_has_bytes) | st.sampled_from(names)
    return wild.mostly(own, st.none())


def _has_bytes(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


@st.composite
def parquet(draw, schema: pa.Schema) -> tuple[bytes, int]:
    """Draw a Parquet file, one of whose columns may be missing or of another type, and its number of rows."""
    fields = []
    for item in schema:
        fate = draw(st.integers(0, 20))
        if fate:
            fields.append(item.with_type(draw(st.sampled_from(OTHER_TYPES))) if fate == 1 else item)
    rows = draw(
        st.lists(st.fixed_dictionaries({item.name: values(item.type) for item in fields}), min_size=1, max_size=4)
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(fields)), sink)
    return sink.getvalue().to_pybytes(), len(rows)


@fuzzed
@given(st.data(), exports)
def test_parquet_of_odd_values_and_types(data, settings):
    file, records = data.draw(parquet(SESSION if settings.kind == "ga360" else EVENT))
    check_or_refuse(file, records, settings)


TABLE = pa.schema(
    [("visitorId", pa.string()), ("contentId", pa.string()), ("amount", pa.float64()), ("at", pa.int64())]
)


@fuzzed
@given(parquet(TABLE), st.sampled_from(["duration_column", "rating_column"]))
def test_tables_of_odd_values_and_types(file, what):
    data, records = file
    check_or_refuse(data, records, SourceSettings(kind="table", input="x", time_column="at", **{what: "amount"}))


def avro_type(kind: pa.DataType, name: str) -> dict | list | str:
    if pa.types.is_struct(kind):
        fields = [{"name": item.name, "type": avro_type(item.type, f"{name}_{item.name}")} for item in kind]
        return {"type": "record", "name": f"r_{name}", "fields": fields}
    if pa.types.is_list(kind):
        return {"type": "array", "items": avro_type(kind.value_type, name)}
    return ["null", {pa.int64(): "long", pa.float64(): "double", pa.bool_(): "boolean"}.get(kind, "string")]


def without_nulls(kind: pa.DataType, value):
    """Return a value as bq extract writes it in Avro: lists and records are never null, but may be empty."""
    if pa.types.is_struct(kind):
        return {item.name: without_nulls(item.type, (value or {}).get(item.name)) for item in kind}
    if pa.types.is_list(kind):
        return [without_nulls(kind.value_type, part) for part in value or []]
    return value


@fuzzed
@given(st.data(), exports)
def test_avro_of_odd_values_and_types(data, settings):
    kinds, schema = (
        st.sampled_from([pa.string(), pa.float64(), pa.bool_()]),
        SESSION if settings.kind == "ga360" else EVENT,
    )
    fields = [item.with_type(data.draw(kinds)) if data.draw(st.integers(0, 30)) == 0 else item for item in schema]
    kind = pa.struct(fields)
    rows = data.draw(st.lists(values(kind), min_size=1, max_size=4))
    file = io.BytesIO()
    fastavro.writer(file, avro_type(kind, "session"), [without_nulls(kind, row) for row in rows], codec="deflate")
    check_or_refuse(file.getvalue(), len(rows), settings)


@fuzzed
@given(st.lists(st.tuples(wild.texts, wild.texts, wild.scalars), max_size=5), st.booleans())
def test_csv_of_odd_text(rows, rated):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(["visitorId", "contentId", "amount"])
    writer.writerows(rows)
    column = "rating_column" if rated else "duration_column"
    source = SourceSettings(kind="table", input="x", **{column: "amount"})
    check_or_refuse(file.getvalue().encode("utf-8", "surrogatepass"), len(rows), source)
