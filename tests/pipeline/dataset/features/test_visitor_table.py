"""Features of visitors from the site's own table, with hashed ids and deleted visitors, against plain Python."""

import json

import numpy as np
import pytest

from artifacts import privacy
from artifacts.features import feature_rows
from artifacts.manifests import DatasetManifest
from artifacts.names import USER
from artifacts.paths import Dataset
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from pipeline.dataset.features import choice
from pipeline.dataset.features.apply import FeatureGraph
from tests.support.exports import make_dataset, settings

DAY_MS, LAST_MS, KEY = 86_400_000, 1_704_067_200_000, b"0123456789abcdef0123456789abcdef"
LEAST, BUCKETS, DELETED = 3, 2, "v4"
KNOWN, NEW = [f"v{number}" for number in range(30)], [f"v{number}" for number in range(100, 107)]


def visitor(name: str) -> dict:
    """Return the attributes of a visitor."""
    number = int(name[1:])
    return {
        "plan": ["free", "pro", None, f"single{number}", "free"][number % 5],
        "topics": [[], ["art", " art", "jazz"], ["jazz"], None][number % 4],
        "age": None if number % 6 == 0 else number % 7,
        "created": None if number % 8 == 0 else LAST_MS - DAY_MS * [0, 2, 2, 40, 4000][number % 5],
        "motto": f"a text of {number} words and no two alike",
        "orders": number,
    }


FIELDS = ("plan", "topics", "age", "created")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A dataset with features of visitors; ids are hashed, and one visitor is deleted."""
    folder = tmp_path_factory.mktemp("visitors")
    rows = [f"{name},i{n % 3},{(LAST_MS - n * 1000) / 1000:.0f}" for n, name in enumerate(KNOWN)]
    (folder / "views.csv").write_text("\n".join(["visitor,item,time", *rows]))
    lines = [{"visitorId": f" {name} ", **visitor(name)} for name in [*KNOWN[1:], *NEW]]
    lines.insert(3, {"visitorId": KNOWN[2], **visitor("v1")})
    lines.append({"visitorId": KNOWN[2], **visitor(KNOWN[2])})  # of rows with one id, the last counts
    lines.append({"visitorId": None, "plan": "free"})
    (folder / "visitors.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "key").write_bytes(KEY)
    (folder / "deleted.txt").write_text(f"{DELETED}\n{NEW[0]}\n")
    make_dataset(
        folder / "dataset",
        folder / "views.csv",
        "table",
        source={"visitor_column": "visitor", "item_column": "item", "time_column": "time", "time_unit": "s"},
        rating={"kind": "binary"},
        dataset={"shards": 2},
        privacy={"hash_key_file": str(folder / "key"), "deleted_visitors": str(folder / "deleted.txt")},
        user_catalogue=str(folder / "visitors.jsonl"),
        user_features={"fields": "auto", "min_visitors": LEAST, "buckets": BUCKETS},
    )
    return str(folder / "dataset")


def name_of(hashed: bytes) -> str:
    """Return the visitor of a hash."""
    return {privacy.hashed(KEY, name.encode()): name for name in [*KNOWN, *NEW]}[hashed]


def values_of(name: str, field: str, bounds: np.ndarray) -> set[str]:
    """Return the values of a visitor's field, as each has a feature."""
    value = visitor(name)[field] if name != KNOWN[0] else None  # the table lacks the first
    if value is None:
        return set()
    if field == "age":
        return {str(np.searchsorted(bounds, value, "right"))}
    if field == "created":
        return {str(int(np.log2(1 + (LAST_MS - value) / DAY_MS)))}
    return {tag.strip() for tag in value} if field == "topics" else {value}


def expected(of: list[str]) -> np.ndarray:
    """Return the features of visitors, learnt from those of the dataset."""
    known, parts, some = [name for name in KNOWN if name != DELETED], [], np.zeros(len(of), bool)
    ages = [visitor(name)["age"] for name in known[1:] if visitor(name)["age"] is not None]
    bounds = np.quantile(np.array(ages, np.float32), np.arange(1, BUCKETS) / BUCKETS, method="inverted_cdf")
    for field in FIELDS:
        counts: dict[str, int] = {}
        for name in known:
            for value in values_of(name, field, bounds):
                counts[value] = counts.get(value, 0) + 1
        kept = [value for value in counts if counts[value] >= LEAST]
        if field in ("age", "created"):  # buckets are named by their numbers plus 1
            kept.sort(key=lambda value: (counts[value], f"{int(value) + 1}"), reverse=True)
        kept.sort(
            key=lambda value: (counts[value], value) if field in ("plan", "topics") else counts[value], reverse=True
        )
        rows = np.zeros((len(of), 1 + len(kept)))
        for row, name in enumerate(of):
            own = values_of(name, field, bounds)
            rows[row, 0] = not own
            for value in own & set(kept):
                times = [tag.strip() for tag in visitor(name)["topics"]].count(value) if field == "topics" else 1
                idf = 1 + np.log((1 + len(known)) / (1 + counts[value]))
                rows[row, 1 + kept.index(value)] = (1 + np.log(times)) * idf
        some |= rows[:, 1:].any(1)
        parts.append(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
    rows = np.hstack(parts) * some[:, None]
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def test_the_table_makes_features_of_hashed_visitors(root):
    known = [name_of(name) for name in Vocabulary.read(Dataset(root).vocab_users).ids]
    assert sorted(known) == sorted(set(KNOWN) - {DELETED})
    np.testing.assert_allclose(feature_rows.read_known(root, USER).matrix().toarray(), expected(known), atol=1e-6)
    ids, new = feature_rows.read_new(root, USER)
    assert sorted(map(name_of, ids)) == sorted([*NEW[1:]])
    np.testing.assert_allclose(new.matrix().toarray(), expected([name_of(name) for name in ids]), atol=1e-6)


def test_what_is_left_out_is_counted(root):
    manifest = DatasetManifest.read(Dataset(root).manifest)
    account = manifest.user_features
    assert [field.name for field in account.fields] == list(FIELDS)
    assert account.left_out == {
        "motto": "a text could single out a visitor",
        "orders": "it changes with what a visitor does, so what is measured would not be true of new visitors",
    }
    assert account.new == len(NEW) - 1 and account.as_of_ms == LAST_MS
    found = len(KNOWN) - 2
    assert manifest.user_catalogue == {
        "rows": found + 2 + len(NEW),
        "rows_found": found + 2,
        "rows_repeated": 2,
        "rows_without_id": 1,
        "visitors": found,
    }
    plans = {visitor(name)["plan"] for name in KNOWN[1:] if name != DELETED} - {None, "free", "pro"}
    assert {field.name: field.dropped for field in account.fields}["plan"] == {"below_min_visitors": len(plans)}


def test_a_visitor_who_comes_later_has_the_same_features(root):
    import pyarrow as pa

    ids, new = feature_rows.read_new(root, USER)
    table = pa.Table.from_pylist([visitor(name_of(name)) for name in ids])
    made = FeatureGraph(root, USER).of_table(table)
    assert made.indices.tolist() == new.indices.tolist() and made.values.tobytes() == new.values.tobytes()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"user_features": {"fields": [{"name": "bio", "kind": "text"}]}}, "kind text could single out a visitor"),
        ({"user_features": {"fields": "auto", "min_visitors": 1}}, "greater than or equal to 2"),
        ({"source": {"user_attributes": {"x": "geo.city"}}}, "geo.city is not a field of ga4"),
    ],
)
def test_settings_that_cannot_be(tmp_path, sections, message):
    with pytest.raises((UserError, ValueError), match=message):
        settings(tmp_path, "x", "ga4", **sections)


def test_a_table_without_features_is_refused(tmp_path):
    for given in ({"user_catalogue": "x.csv"}, {"source": {"user_attributes": {"country": "geo.country"}}}):
        with pytest.raises(UserError, match="is for user_features"):
            choice.choose(settings(tmp_path, "x", "ga4", **given), None, USER)
