"""Interest after a click on a recommendation is told from other interest, against plain loops, in both exports."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.settings import Settings
from pipeline.demo.lists import events, sessions
from pipeline.demo.lists.deeds import CLICKED, SHOWN, List, Site, deeds
from pipeline.demo.lists.habits import Habits, draw
from pipeline.interactions import recommended
from pipeline.interactions.sessions import VIEWS
from tests.support.bigquery_server import PROJECT
from tests.support.exports import make_dataset, ratings, settings, write_ndjson
from tests.support.outcomes import MIDNIGHT_S, NAME

WEIGHTS = {"viewed": 1, "carted": 4, "bought": 10}
LAYOUTS = {"ga4": (events, "events_20240102"), "ga360": (sessions, "ga_sessions_20240102")}


@pytest.fixture(scope="module")
def site():
    """Lists, draws of what visitors did, and the site."""
    rng, lists = np.random.default_rng(0), []
    for number in range(40):
        lists.append(List(f"v{number}", "factors", [f"c{item}" for item in rng.permutation(12)[:4]]))
    habits = Habits(attraction={"factors": 0.5}, buys=0.3, buys_late=0.3, listed=0.8)
    draws = draw(habits, ["factors"] * 40, 4, 3, rng)
    return lists, draws, Site(NAME, catalogue=[f"c{item}" for item in range(12)])


def expected(site, hours: float, weight: float) -> tuple[dict, int, int]:
    """Return the amounts by pair, and the occurrences of interest, all and those after clicks."""
    lists, draws, names = site
    found = sorted(deeds(lists, draws, MIDNIGHT_S, names), key=lambda deed: deed.at_s)
    amounts, clicks, every, after = defaultdict(float), defaultdict(list), 0, 0
    for deed in found:
        pairs = [(deed.visitor.encode(), item.encode()) for item, _ in deed.items]
        if deed.kind == CLICKED:
            clicks[pairs[0]].append(deed.at_s)
        elif deed.kind != SHOWN:
            due = any(0 <= deed.at_s - at <= hours * 3600 for at in clicks[pairs[0]])
            every, after = every + 1, after + due
            amounts[pairs[0]] += WEIGHTS[deed.kind] * (weight if due else 1)
    return {pair: amount for pair, amount in amounts.items() if amount}, every, after


def made(site, tmp_path, kind: str, **options) -> tuple[dict, dict]:
    """Return the ratings of a dataset by pair, and its manifest."""
    lists, draws, names = site
    layout, name = LAYOUTS[kind]
    rows = [row for _, row in layout.rows(lists, draws, MIDNIGHT_S, names)]
    tmp_path.mkdir(exist_ok=True)
    write_ndjson(tmp_path / f"{name}.ndjson", rows)
    source = {"preset": f"{kind}_shop", "recommended": {"list_name": NAME} | options}
    rating = {"kind": "linear", "weight": "none"}
    manifest = make_dataset(tmp_path / "d", tmp_path / f"{name}.ndjson", kind, source=source, rating=rating)
    return ratings(tmp_path / "d"), manifest


@pytest.mark.parametrize(("kind", "hours", "weight"), [("ga4", 24, 0.25), ("ga360", 24, 0.25), ("ga4", 72, 0)])
def test_interest_after_clicks_is_that_of_plain_loops(site, tmp_path, kind, hours, weight):
    amounts, every, after = expected(site, hours, weight)
    found, manifest = made(site, tmp_path, kind, hours=hours, weight=weight)
    scale = next(iter(found.values())) / amounts[next(iter(found))]
    assert {pair: value / scale for pair, value in found.items()} == pytest.approx(amounts, rel=1e-5)
    account = manifest["recommended"]
    assert (account["interest"], account["after_clicks"]) == (every, after) and 20 < after < every
    clicks = sum(deed.kind == CLICKED for deed in deeds(site[0], site[1], MIDNIGHT_S, site[2]))
    assert account["clicks"] == clicks


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_table_in_bigquery_gives_the_same_as_files(site, tmp_path, bigquery_server):
    lists, draws, names = site
    rows = [row for _, row in events.rows(lists, draws, MIDNIGHT_S, names)]
    pq.write_table(pa.Table.from_pylist(rows, events.SCHEMA), tmp_path / "events.parquet")
    bigquery_server.load_parquet("recommended", "events_20240102", tmp_path / "events.parquet")
    source = {"preset": "ga4_shop", "recommended": {"list_name": NAME, "weight": 0.25}}
    sections = {
        "source": source,
        "rating": {"kind": "linear", "weight": "none"},
        "bigquery": bigquery_server.settings(),
    }
    manifest = make_dataset(tmp_path / "d", f"bq://{PROJECT}.recommended.events_*", "ga4", **sections)
    found, of_files = made(site, tmp_path / "files", "ga4", weight=0.25)
    assert ratings(tmp_path / "d") == found and manifest["recommended"] == of_files["recommended"]
    assert manifest["recommended"]["after_clicks"] > 20


def test_a_list_without_clicks_is_reported(site, tmp_path, capsys):
    _, every, _ = expected(site, 24, 1)
    _, manifest = made(site, tmp_path, "ga4", list_name="Others", weight=0.5)
    assert manifest["recommended"] == {"clicks": 0, "interest": every, "after_clicks": 0}
    said = " ".join(capsys.readouterr().out.split())
    assert f"0 of {every}, 0.0%, weighed 0.5" in said
    assert "the export has no click in the list Others (source.recommended)" in said


def test_clicks_among_views_are_told_from_them():
    """Views have a series, and an amount that is null until the dwell is known."""
    ids = pa.array([b"v"], pa.binary()).dictionary_encode()
    clicks = pa.record_batch([ids, ids, pa.array([5000])], names=["visitorId", "contentId", "time_ms"])
    rows = pa.Table.from_batches([recommended.as_rows(clicks, VIEWS)])
    view = rows.set_column(6, VIEWS.field("series"), pa.array([0], pa.int16()))
    left, apart = recommended.apart(pa.concat_tables([rows, view]).unify_dictionaries())
    assert left["series"].to_pylist() == [0] and apart["time_ms"].to_pylist() == [5000]


def test_a_table_has_no_lists(tmp_path):
    with pytest.raises(ValueError, match="recommended is for exports of Google Analytics, not for kind table"):
        Settings.model_validate({"source": {"kind": "table", "recommended": {"list_name": "x"}}})
    assert not settings(tmp_path, "x").source.recommended.list_name
