"""Features of visitors, from Google's public exports and a table of one's own, against SQL over the same files."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from artifacts.features import feature_rows
from artifacts.manifests import DatasetManifest
from artifacts.names import USER
from artifacts.paths import Dataset
from artifacts.vocabulary import Vocabulary
from tests.support.exports import SHARED, make_dataset

pytestmark = pytest.mark.skipif(
    not (SHARED / "google").is_dir(), reason="Google's public data is not here (WALS_SHARED_DATA)"
)
EXTRACTS = {"ga4": "ga4_events.parquet", "ga360": "ga360_sessions_20170801.parquet"}
NO_VALUES = "('', '(not set)', 'NULL', 'NaN', 'null', 'undefined', '(other)', '(data deleted)'" + (
    ", 'not available in demo dataset')"
)
COLUMNS = {
    "ga4": {
        "device": "device.category",
        "operating_system": "device.operating_system",
        "language": "device.language",
        "country": "geo.country",
        "source": "traffic_source.source",
        "medium": "traffic_source.medium",
        "visitor_type": "list_filter(event_params, p -> p.key = 'ga_session_number')[1].value.int_value",
    },
    "ga360": {
        "device": "device.deviceCategory",
        "operating_system": "device.operatingSystem",
        "country": "geoNetwork.country",
        "source": "trafficSource.source",
        "medium": "trafficSource.medium",
        "visitor_type": "visitNumber",
    },
}
IDS = {"ga4": ("user_pseudo_id", "event_timestamp"), "ga360": ("fullVisitorId", "visitStartTime")}
LEAST = 20


def most_frequent(kind: str) -> dict[str, dict[str, str]]:
    """Return each visitor's attributes: the value of most rows, of equals the latest, then the least."""
    visitor, time = IDS[kind]
    chosen: dict[str, dict[str, str]] = {}
    for name, column in COLUMNS[kind].items():
        value = f"case when {column} = 1 then 'new' when {column} > 1 then 'returning' end"
        value = value if name == "visitor_type" else column
        rows = duckdb.sql(
            f"""
            with counts as (
                select {visitor} as visitor, {value} as value, count(*) as n, max({time}) as last
                from '{SHARED / "google" / EXTRACTS[kind]}' where {visitor} is not null group by all
            )
            select visitor, first(value order by n desc, last desc, value) from counts
            where value is not null and value not in {NO_VALUES} group by visitor
            """  # noqa: S608 - names of this test
        )
        for visitor_id, found in rows.fetchall():
            chosen.setdefault(visitor_id, {})[name] = found
    return chosen


def expected(kind: str, ids: list[str], known: list[str]) -> np.ndarray:
    """Return the features of visitors, learnt from the known ones; the first one of each field is a missing value."""
    chosen, parts, has_value = most_frequent(kind), [], np.zeros(len(ids), bool)
    for name in COLUMNS[kind]:
        values = [chosen.get(visitor, {}).get(name) for visitor in known]
        counts = {value: values.count(value) for value in set(values) - {None}}
        kept = [value for value in counts if counts[value] >= LEAST]
        kept.sort(key=lambda value: (counts[value], value.encode()), reverse=True)
        rows = np.zeros((len(ids), 1 + len(kept)))
        for row, visitor in enumerate(ids):
            value = chosen.get(visitor, {}).get(name)
            if value is None:
                rows[row, 0] = 1
            elif value in kept:
                rows[row, 1 + kept.index(value)] = 1
        has_value |= rows[:, 1:].any(1)
        parts.append(rows)
    rows = np.hstack(parts) * has_value[:, None]
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="module", params=["ga4", "ga360"])
def made(request, tmp_path_factory) -> tuple[str, str]:
    """A dataset of Google's export with features of its visitors: kind and directory."""
    root, kind = tmp_path_factory.mktemp(request.param) / "dataset", request.param
    make_dataset(
        root,
        SHARED / "google" / EXTRACTS[kind],
        kind,
        source={"preset": f"{kind}_shop", "max_reject_fraction": 1},
        # Other fields than those of GA4, because a process writes one graph for equal fields (tests.support.fast_tft).
        user_features={"fields": [{"name": name} for name in COLUMNS[kind]], "min_visitors": LEAST},
        dataset={"shards": 2},
    )
    return kind, str(root)


def test_visitors_have_the_features_of_sql(made):
    kind, root = made
    known = [name.decode() for name in Vocabulary.read(Dataset(root).vocab_users).ids]
    read = feature_rows.read_known(root, USER)
    np.testing.assert_allclose(read.matrix().toarray(), expected(kind, known, known), atol=1e-6)
    new_ids, new = feature_rows.read_new(root, USER)
    new_ids = [name.decode() for name in new_ids]
    assert set(new_ids) == set(most_frequent(kind)) - set(known) and len(set(new_ids)) == len(new_ids)
    np.testing.assert_allclose(new.matrix().toarray(), expected(kind, new_ids, known), atol=1e-6)


def test_no_feature_is_of_fewer_visitors_than_the_setting_asks_for(made):
    _, root = made
    account = DatasetManifest.read(Dataset(root).manifest).user_features
    matrix = feature_rows.read_known(root, USER).matrix()
    for field in account.fields:
        visitors = np.asarray((matrix[:, field.offset + 1 : field.offset + field.size] > 0).sum(axis=0)).ravel()
        assert (visitors >= LEAST).all()
    assert {field.name: field.dropped.get("below_min_visitors", 0) > 0 for field in account.fields}["country"]
    assert Path(root, "user_features_fn", "saved_model.pb").is_file()
