"""Bad input by name: each row of it is in the dataset or kept aside with its reason, and the manifest's sums agree."""

import gzip
import io
import json
from collections import Counter
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import UserError
from pipeline.readers.files import ExportReader, TableReader
from pipeline.readers.ndjson import NdjsonReader
from pipeline.readers.opening import opened
from pipeline.sources import ga360
from tests.support.exports import hit, make_dataset, ratings, reads, rejected, session, write_ndjson

BIG = 2**63
TEMPLATE = [hit(1, 0, "x"), hit(2, 50)]


def of(visitor, **changed):
    """Return a valid session, with some of its fields changed."""
    return session(visitor, 1704067200, TEMPLATE) | changed


KEPT = {
    "hits twice": of("twice", hits=[*TEMPLATE, *TEMPLATE]),
    "clock going back": of("back", hits=[hit(1, 500, "x"), hit(2, 100, "y"), hit(3, 300)]),
    "overlapping sessions, one": of("overlap"),
    "overlapping sessions, other": of("overlap", visitId="1704067201", visitStartTime="1704067201"),
    "right to left": of("\u05e9\u05dc\u05d5\u05dd \u202e!"),
    "combined": of("e\u0301"),
    "not combined": of("\u00e9"),
    "an id of 1 MB": of("v" * 1_000_000),
    "an item of 1 MB": of("long content", hits=[hit(1, 0, "c" * 1_000_000), hit(2, 9)]),
    "a session of 20,000 hits": of("huge", hits=[hit(n, n * 10, f"c{n % 50}") for n in range(20_000)]),
    "integers as numbers": of("numbers", visitId=1, visitStartTime=1704067200, visitNumber=1),
    "fields that nobody asked for": of("more", device={"browser": ["a", {"b": None}]}, totals=[[[1]]]),
    "a null among the fields": of("nulls", visitNumber=None, device=None),
}
REJECTED = {
    "no visitor": (of(None), "visitor_id_missing"),
    "an empty visitor": (of(""), "visitor_id_empty"),
    "a line end in the visitor": (of("a\nb"), "visitor_id_newline"),
    "a lone surrogate": (of("\ud800"), "visitor_id_not_utf8"),
    "no start": (of("s1", visitStartTime=None), "visit_start_time_invalid"),
    "a negative start": (of("s2", visitStartTime="-1"), "visit_start_time_invalid"),
    "2^63 as start": (of("s3", visitStartTime=str(BIG)), "visit_start_time_invalid"),
    "a start in the year 30,000,000": (of("s4", visitStartTime=str(10**15)), "visit_start_time_invalid"),
    "NaN as visit": (of("s5", visitId=float("nan")), "visit_id_invalid"),
    "hits that are text": (of("s6", hits="none"), "malformed"),
    "a hit that is a list": (of("s7", hits=[[]]), "malformed"),
    "a dimension that is an object": (of("s8", hits=[{**TEMPLATE[0], "customDimensions": {}}]), "malformed"),
    "a visitor that is an object": (of({"id": "s9"}), "malformed"),
    "a list": ([], "malformed"),
    "null": (b"null", "malformed"),
    "half a record": (b'{"fullVisitorId": "s10", "hits": [', "malformed"),
    "bytes": (b"\x00\xff\xfe", "malformed"),
    "nested 100,000 deep": (b'{"fullVisitorId": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed"),
}
HITS = {
    "a negative time": (hit(2, -5, "y"), "hit_time_invalid"),
    "2^63 as time": (hit(2, BIG, "y"), "hit_time_invalid"),
    "no time": (hit(2, 0, "y") | {"time": None}, "hit_time_invalid"),
    "an empty content": (hit(2, 10, ""), "content_id_empty"),
    "a line end in the item": (hit(2, 10, "a\rb"), "content_id_newline"),
    "a lone surrogate": (hit(2, 10, "\udfff"), "content_id_not_utf8"),
}


def line(row) -> bytes:
    return row if isinstance(row, bytes) else json.dumps(row).encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The dataset of all of it, in files of several schemas."""
    root = tmp_path_factory.mktemp("bad")
    kept, aside = list(KEPT.values()), [row for row, _ in REJECTED.values()]
    hits = [of(f"hit {n}", hits=[hit(1, 0, "x"), bad, hit(3, 60)]) for n, (bad, _) in enumerate(HITS.values())]
    folder = root / "in"
    write_ndjson(folder / "1", [line(row) for row in [reads("first", {"x": 10}), *kept[:4], *aside[:9]]])
    write_ndjson(folder / "2.gz", [line(row) for row in [*aside[9:], *kept[4:]][::-1]])
    write_ndjson(folder / "3", [b"", *map(line, hits), b"", b"  "])  # blank lines are not records
    write_parquet(folder / "4", "parquet")
    manifest = make_dataset(root / "out", folder / "*", source={"max_reject_fraction": 1}, rating={"preset": "course"})
    return root, manifest


def write_parquet(path: Path, visitor: str) -> None:
    """Write a session whose integers are typed, without the fields that may be missing."""
    dimensions = [{"index": 10, "value": "x"}]
    hits = [{"time": at, "type": "PAGE", "customDimensions": dimensions, "hitNumber": 1} for at in (0, 30)]
    row = {"fullVisitorId": visitor, "visitId": 5, "visitStartTime": 1704067200, "hits": hits}
    pq.write_table(pa.Table.from_pylist([row]), path)


def test_every_row_is_in_the_dataset_or_kept_aside_and_the_sums_agree(made):
    root, manifest = made
    lines = rejected(root / "out")
    records = [row for row in lines if row["unit"] == "records"]
    assert manifest["counts"]["rows_read"] == 1 + len(KEPT) + len(REJECTED) + len(HITS) + 1
    assert Counter(row["reason"] for row in records) == Counter(reason for _, reason in REJECTED.values())
    hits = Counter(row["reason"] for row in lines if row["unit"] in ("hits", "items"))
    assert hits == Counter(reason for _, reason in HITS.values() if reason != "content_id_empty"), (
        "an empty id is skipped, not bad"
    )
    assert manifest["rejected"] == dict(Counter(f"{row['unit']}.{row['reason']}" for row in lines).most_common())
    assert len({(row["file"], row["record"]) for row in lines}) == len(lines), "each names its file and position"
    kept = {visitor.decode() for visitor, _ in ratings(root / "out")}
    expected = {row["fullVisitorId"] for row in KEPT.values()} | {f"hit {n}" for n in range(len(HITS))}
    assert kept == expected | {"first", "parquet"}


def test_a_bad_hit_leaves_the_others_of_its_session(made):
    root, _ = made
    found = ratings(root / "out")
    dwell = {"hit_time_invalid": 60, "content_id_empty": 10, "content_id_newline": 10, "content_id_not_utf8": 10}
    for n, (_, reason) in enumerate(HITS.values()):
        same = [value for (visitor, _), value in found.items() if visitor == b"hit %d" % n]
        assert len(same) == 1 and same[0] == pytest.approx(min(1, 0.3 * dwell[reason] / made[1]["median"]))


def test_garbage_stops_the_job_with_the_commonest_reasons(tmp_path):
    rows = [reads("a", {"x": 10}), reads("b", {"x": 10}), b"{", b"{"]
    with pytest.raises(UserError, match=r"2 of 4 rows were rejected.*records.malformed 2"):
        make_dataset(tmp_path / "out", write_ndjson(tmp_path / "in", rows), source={"max_reject_fraction": 0.49})
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_refused_before_it_fills_memory_or_disk(tmp_path):
    unpacked = b'{"fullVisitorId": "' + b"a" * (1 << 24)
    for name, data in {"zip": gzip.compress(unpacked), "line": unpacked}.items():
        (tmp_path / name).write_bytes(data)
    with (
        pytest.raises(UserError, match="zip unpacks to more than 300 times"),
        opened(str(tmp_path / "zip"), bomb_bytes=1 << 20) as (file, _),
    ):
        list(NdjsonReader(ga360.SCHEMA).read(file))
    reader = ExportReader(ga360.SCHEMA, NdjsonReader(ga360.SCHEMA, max_line_bytes=1 << 23))
    with pytest.raises(UserError, match=r"line, .*a line is longer than 8 MB"):
        list(reader.read(str(tmp_path / "line")))


def avro_bytes(schema: dict, rows: list[dict]) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, schema, rows)
    return out.getvalue()


def record(**fields) -> dict:
    return {"type": "record", "name": "Root", "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}


EMPTY = {"type": "record", "name": "Empty", "fields": [{"name": "none", "type": "null"}]}
WITHOUT_END = {
    "an array of nulls": (
        record(fullVisitorId="string", many={"type": "array", "items": "null"}),
        "its schema has an array of items that take no bytes",
    ),
    "an array of empty records": (
        record(fullVisitorId="string", empty=EMPTY, many={"type": "array", "items": "Empty"}),
        "its schema has an array of items that take no bytes",
    ),
    "empty records": (
        record(fullVisitorId="null", zero={"type": "fixed", "name": "Zero", "size": 0}),
        "its records take no bytes",
    ),
    "a record in itself": (
        record(fullVisitorId="string", deeper=["null", "Root"]),
        "its schema's type Root contains itself",
    ),
}


@pytest.mark.parametrize(("schema", "said"), WITHOUT_END.values(), ids=WITHOUT_END)
def test_an_avro_file_without_end_is_refused(tmp_path, schema, said):
    """A few bytes declare 2^62 items, or a depth that overflows any stack."""
    (tmp_path / "a.avro").write_bytes(avro_bytes(schema, []))
    with pytest.raises(UserError, match=rf"a\.avro, after record 0: {said}; export the file again"):
        list(ExportReader(ga360.SCHEMA).read(str(tmp_path / "a.avro")))


@pytest.mark.parametrize(
    "varint", [b"\xfe" + b"\xff" * 7 + b"\x01", b"\xfd" + b"\xff" * 7 + b"\x01"], ids=["2^56", "-2^56"]
)
def test_an_avro_file_that_claims_a_long_block_takes_no_memory_for_it(tmp_path, varint):
    sound = avro_bytes(record(fullVisitorId="string"), [{"fullVisitorId": "a"}])
    claims = sound.replace(b"\x02\x04\x02a", b"\x02" + varint + b"\x02a")  # bytes of the block
    assert claims != sound
    for data in (claims, b"Obj\x01\x02" + varint):  # and of the header's first name
        (tmp_path / "a.avro").write_bytes(data)
        with pytest.raises(
            UserError, match=r"a\.avro, after record 0: a length of .* bytes; a block has 256 MB at most"
        ):
            list(ExportReader(ga360.SCHEMA).read(str(tmp_path / "a.avro")))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Arrow's, of decoding the row
def test_a_csv_row_that_is_neither_whole_nor_text_is_lost_alone_and_without_its_ids(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"visitorId,contentId\na,x\nsecret\xff,y,z\nb,y\n")
    (raw,) = TableReader(["visitorId", "contentId"]).read(str(path))
    assert raw.columns.to_pylist() == [
        {"visitorId": b"a", "contentId": b"x"}, {"visitorId": b"b", "contentId": b"y"}
    ]  # fmt: skip
    assert raw.numbers.tolist() == [1, 3]
    assert raw.malformed == [(2, "3 columns where 2 are due")]
