"""An odd line has one fate in any position, whatever parser reads its block; against json.loads."""

import contextlib
import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers import json_lines
from pipeline.readers.ndjson import NdjsonReader
from pipeline.sources import ga360
from pipeline.sources.events.schema import SCHEMA as GA4_SCHEMA
from tests.support import wild
from tests.support.fates import fuzzed
from tests.support.lines_by_hand import is_blank, neutral, oracle

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
    fates = {n: oracle(line, schema) for n, line in enumerate(lines, start=1) if not is_blank(line)}
    if isinstance(expected_error, contextlib.nullcontext):
        assert malformed == [number for number, record in fates.items() if record is None]
        assert numbers == [number for number, record in fates.items() if record is not None]
        assert records == [neutral(record) for record in fates.values() if record is not None]
