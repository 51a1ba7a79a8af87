"""Tables after reports in public trackers, each with its right value: ids and times of every type, empty parts."""

import gzip
from collections import Counter
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import UserError
from pipeline.dataset import checks
from tests.support.exports import interactions, settings

ROWS = [
    ("ann", "tea", 5),
    ("ann", "cup", 4),
    ("bob", "tea", 3),
    ("bob", "pot", 5),
    ("cid", "cup", 2),
    ("cid", "pot", 1),
]
HEADER = "visitorId,contentId,stars"
AT = 1704448800  # 10:00 UTC on 5 January 2024


def text(*times, header=HEADER, rows=ROWS):
    """Return the rows as CSV, with their times if there are any."""
    lines = [",".join(map(str, row)) for row in rows]
    timed = [f"{line},{time}" for line, time in zip(lines, times, strict=True)] if times else lines
    return "\n".join([*([header + (",ts" if times else "")] if header else []), *timed]) + "\n"


def parquet(**columns):
    """Return the rows as Parquet, with other columns in place of theirs."""
    visitors, items, stars = ([row[place] for row in ROWS] for place in range(3))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"visitorId": visitors, "contentId": items, "stars": stars} | columns), sink)
    return sink.getvalue().to_pybytes()


def outcome(tmp_path, files, timed=False, **source):
    """Read files as the job does; return the ids of each side, the days, the amounts, and the counts."""
    for name, data in (files if isinstance(files, dict) else {"in": files}).items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data.encode() if isinstance(data, str) else data)
    source = {"rating_column": "stars", "max_reject_fraction": 0.5} | ({"time_column": "ts"} if timed else {}) | source
    made = settings(tmp_path / "out", tmp_path / "in" / "**", "table", source=source, rating={"kind": "linear"})
    pairs, counts = interactions(made)
    checks.check_counts(
        Counter(counts) + Counter({"pairs.read": len(pairs), "pairs.used": len(pairs)}), made, "rejected"
    )
    visitors, items = ({pair[side].decode() for pair in pairs} for side in (0, 1))
    days = sorted(name.removeprefix("seen.date.") for name in counts if name.startswith("seen.date."))
    return (
        visitors,
        items,
        days,
        {tuple(map(bytes.decode, pair)): amount for pair, (amount, _) in pairs.items()},
        counts,
    )


MINUTES = [f"10:0{n}:00" for n in range(6)]
STAMPS = pa.array([AT + 60 * n for n in range(6)])
MOMENTS = STAMPS.cast(pa.timestamp("s"))
DAYS = ["20240105"]
TIMED = {
    "bq extract": (text(*(f"2024-01-05 {clock} UTC" for clock in MINUTES)), DAYS),
    "YYYYMMDD": (text(*range(20240101, 20240107)), [f"2024010{day}" for day in range(1, 7)]),
    "Java": (text(*(f"2024-01-05T{clock}.000+0000" for clock in MINUTES)), DAYS),
    "nanoseconds": (text(*(f"2024-01-05 {clock}.123456789" for clock in MINUTES)), DAYS),
    "milliseconds": (text(*(1000 * time for time in STAMPS.to_pylist())), DAYS),
    "decimals": (parquet(ts=pa.array([Decimal(1000 * AT)] * 6, pa.decimal128(38, 9))), DAYS),
    "unsigned": (parquet(ts=pa.array([1000 * AT] * 6, pa.uint64())), DAYS),
    "floats": (parquet(ts=pa.array([1000.0 * AT] * 6)), DAYS),
    "dates": (parquet(ts=MOMENTS.cast(pa.date32())), DAYS),
    **{unit: (parquet(ts=MOMENTS.cast(pa.timestamp(unit))), DAYS) for unit in ("ms", "us", "ns")},
}  # fmt: skip


@pytest.mark.parametrize("name", TIMED)
def test_times_are_read(tmp_path, name):
    data, expected = TIMED[name]
    *_, days, pairs, _ = outcome(tmp_path, data, timed=True)
    assert days == expected and len(pairs) == 6


OTHER_UNITS = {
    "seconds": (text(*STAMPS.to_pylist()), "s"),
    "seconds with a fraction": (text(*(f"{time}.000" for time in STAMPS.to_pylist())), "s"),
    "seconds without sign": (parquet(ts=STAMPS.cast(pa.uint32())), "s"),
    "microseconds": (parquet(ts=pa.array([10**6 * AT] * 6)), "us"),
}


@pytest.mark.parametrize("name", OTHER_UNITS)
def test_times_in_another_unit_are_not_of_1970(tmp_path, name):
    data, unit = OTHER_UNITS[name]
    with pytest.raises(UserError, match=f"are in {unit}, not in ms: set source.time_unit: {unit}"):
        outcome(tmp_path, data, timed=True)
    assert outcome(tmp_path, data, timed=True, time_unit=unit)[2] == DAYS


def test_times_that_no_rule_reads_are_rejected(tmp_path):
    with pytest.raises(UserError, match=r"6 of 6 rows were rejected.*time_invalid 6"):
        outcome(tmp_path, text(*(f"1/{day}/2024 10:00" for day in range(5, 11))), timed=True)


@pytest.mark.parametrize("window", [{}, {"start_date": "2024-01-01", "end_date": "2024-01-31"}])
def test_one_blank_time_costs_its_row_alone(tmp_path, window):
    times = [1000 * AT + number for number in range(400)]
    times[200] = ""
    rows = [(f"v{number}", f"c{number % 7}", 5) for number in range(400)]
    *_, pairs, counts = outcome(tmp_path, text(*times, rows=rows), timed=True, **window)
    assert len(pairs) == 399 and counts["records.rejected.time_invalid"] == 1


NUMBERS = [101, 101, 102, 102, 103, 103]
IDS = {
    "large text": (pa.array([row[0] for row in ROWS], pa.large_string()), {"ann", "bob", "cid"}),
    "views": (pa.array([row[0] for row in ROWS], pa.string_view()), {"ann", "bob", "cid"}),
    "decimals": (pa.array(list(map(Decimal, NUMBERS)), pa.decimal128(38, 9)), {"101", "102", "103"}),
    "floats": (
        pa.array([float("nan"), 1e15 + 1, 1e15 + 1, 1e16, 1e16, 1e16]),
        {"1000000000000001", "10000000000000000"},
    ),
    "narrow floats": (pa.array(NUMBERS, pa.float32()), {"101", "102", "103"}),
}


@pytest.mark.parametrize("side", ["visitorId", "contentId"])
@pytest.mark.parametrize("name", IDS)
def test_ids_are_those_of_the_site(tmp_path, name, side):
    column, expected = IDS[name]
    visitors, items, *_, counts = outcome(tmp_path, parquet(**{side: column}))
    assert (visitors if side == "visitorId" else items) == expected
    missing = "visitor_id_missing" if side == "visitorId" else "content_id_missing"
    assert counts[f"records.rejected.{missing}"] == (name == "floats")


EMPTY = {
    "an empty file": {"part-0": "", "_SUCCESS": "", "part-1": text()},
    "an empty gzip": {"part-0.gz": gzip.compress(b""), "part-1.gz": gzip.compress(text().encode())},
    "a header alone": {"part-0": HEADER + "\n", "part-1": text()},
}


@pytest.mark.parametrize("name", EMPTY)
def test_parts_without_rows_have_none(tmp_path, name):
    assert len(outcome(tmp_path, EMPTY[name])[3]) == 6


def test_true_and_false_are_1_and_0(tmp_path):
    *_, pairs, _ = outcome(tmp_path, parquet(stars=pa.array([True, False] * 3)))
    assert sorted(pairs.values()) == [0, 0, 0, 1, 1, 1]


def test_the_last_rating_of_a_pair_counts(tmp_path):
    *_, pairs, _ = outcome(tmp_path, text(rows=[ROWS[0], ("ann", "tea", 1), *ROWS[1:]]))
    assert pairs["ann", "tea"] == 1 and len(pairs) == 6


@pytest.mark.parametrize("data", ["ann@example.org,tea,5\nbob@example.org,cup,3\n", "ann@example.org\ttea\t5\n"])
def test_no_message_shows_a_first_row_that_is_no_header(tmp_path, data):
    with pytest.raises(UserError, match="has no column visitorId among its 3 columns: the first line") as error:
        outcome(tmp_path, data)
    assert "example" not in str(error.value)
    rows = {"csv": {"header": False}, "visitor_column": "column1", "item_column": "column2"}
    assert "ann@example.org" in outcome(tmp_path, data, rating_column="column3", **rows)[0]
