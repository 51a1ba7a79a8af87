"""Lines as no export should have them: each has one fate, and none changes another's; against plain Python."""

from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import RatingSettings, SourceSettings
from pipeline.interactions import sessions
from pipeline.interactions.columns import from_bytes, to_bytes
from pipeline.sources.events.schema import SCHEMA as GA4_SCHEMA
from pipeline.sources.select import source_of
from tests.support import events_by_hand, wild
from tests.support.fates import FIRST, fates, fuzzed, rows_of
from tests.support.lines_by_hand import is_blank, oracle
from tests.support.wild_sources import SIGNALS, ga4_settings


@fuzzed
@given(st.lists(wild.line(wild.sound_session()), max_size=5), st.booleans(), st.sampled_from(SIGNALS))
def test_ga360_lines(lines, by_visit, signals):
    fates(lines, SourceSettings(kind="ga360", input="x", visitor_key="visit" if by_visit else "visitor", **signals))


@fuzzed
@given(
    st.lists(wild.mostly(wild.line(wild.sound_event()), st.sampled_from(wild.ODD_LINES)), max_size=6), ga4_settings()
)
def test_ga4_lines(lines, settings):
    read, schema = fates(lines, settings), source_schema(settings)
    nothing = dict.fromkeys(GA4_SCHEMA.names)
    records = [oracle(line, schema) for line in (FIRST, *lines) if not is_blank(line)]
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
