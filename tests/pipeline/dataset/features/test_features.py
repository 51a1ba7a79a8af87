"""Features of a small shop, from the export to the files, against plain Python and NumPy."""

import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifacts.features import feature_rows
from artifacts.manifests import DatasetManifest
from artifacts.paths import Dataset
from configs.errors import UserError
from pipeline.dataset.features.apply import FeatureGraph
from tests.support.exports import make_dataset

DAY_MS, LAST_MS = 86_400_000, 1_704_067_200_000
WEIGHTS = {"title": 1.0, "tags": 2.0, "section": 0.5, "price": 1.0, "Länge (cm)": 1.0, "published": 1.0, "meaning": 3.0}
MIN_ITEMS, MAX_VALUES, BUCKETS = 2, 40, 4
TITLES = [
    "Die Räder der Welt",
    "データベース入門",
    "the wheel, the WHEEL and the world",
    "Größe 12 km/h",
    "",
    "unique%d words%d here",
]


def shop(number: int) -> dict:
    """Return the attributes of an item."""
    rng = np.random.default_rng(number)
    title = TITLES[number % len(TITLES)]
    return {
        "title": (title % (number, number) if "%d" in title else title) or None,
        "tags": [[], ["a", " b "], ["b", "c", "c", f"rare{number}"], None][number % 4],
        "section": ["Hats", "Shoes \n and more", None, "Hats", f"Only {number}"][number % 5],
        "price": [None, 0.0, float(1 + number), 1e4, -3.0, float("nan")][number % 6],
        "Länge (cm)": None if number % 7 == 0 else float(number % 11),
        "published": None if number % 9 == 0 else LAST_MS - int(DAY_MS * (1.2**number - 2)),
        "meaning": None if number == 3 else [float("nan")] * 3 if number == 4 else rng.normal(size=3).tolist(),
        "views": number,
    }


ITEMS = [f"item {number}" for number in range(34)]
NEW = {"new é": 40, "new b": 41, "new a": 42, " new c ": 45}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A dataset with features of all kinds, in two shards."""
    folder = tmp_path_factory.mktemp("features")
    rows = [f"v{n % 5},{item},{(LAST_MS - n * 1000) / 1000:.0f}" for n, item in enumerate(ITEMS)]
    (folder / "views.csv").write_text("\n".join(["visitor,item,time", *rows]))
    numbers = {item: number for number, item in enumerate(ITEMS[:-1])} | NEW  # the last item is not in the catalogue
    table = {"contentId": [*numbers]} | {name: [shop(number)[name] for number in numbers.values()] for name in shop(0)}
    types = {"price": pa.float64(), "meaning": pa.list_(pa.float32()), "tags": pa.list_(pa.string())}
    columns = {name: pa.array(values, types.get(name)) for name, values in table.items()}
    pq.write_table(pa.table(columns), folder / "catalogue.parquet")
    make_dataset(
        folder / "dataset",
        folder / "views.csv",
        "table",
        source={"visitor_column": "visitor", "item_column": "item", "time_column": "time", "time_unit": "s"},
        rating={"kind": "binary"},
        dataset={"shards": 2},
        catalogue=str(folder / "catalogue.parquet"),
        item_features={
            "fields": "auto",
            "weights": WEIGHTS,
            "min_items": MIN_ITEMS,
            "max_values": MAX_VALUES,
            "buckets": BUCKETS,
        },
    )
    return str(folder / "dataset")


def words(title: str) -> list[str]:
    """Return the words of a title; of scripts without spaces, the pairs of characters."""
    found = []
    for run in re.findall(r"[^\W_]+", title.lower()):
        for part in re.findall(r"[ぁ-ヿ一-鿿]+|[^ぁ-ヿ一-鿿]+", run):
            is_unspaced = re.match(r"[ぁ-ヿ一-鿿]", part)
            found += [part[n : n + 2] for n in range(max(len(part) - 1, 1))] if is_unspaced else [part]
    return found


def tokens(attributes: dict, field: str) -> list[str]:
    value = attributes[field]
    if field == "title":
        return words(value or "")
    if field == "tags":
        return [tag.strip() for tag in value or [] if tag.strip()]
    return [" ".join(value.split())] if value else []


def tf_idf(items: list[dict], of: list[dict], field: str) -> np.ndarray:
    """Return the features of a field, learnt from items, of others; the first is of those that have no value."""
    frequency = Counter(token for item in items for token in set(tokens(item, field)))
    kept = [token for token in frequency if frequency[token] >= MIN_ITEMS]
    kept = sorted(kept, key=lambda token: (frequency[token], token.encode()), reverse=True)[:MAX_VALUES]
    rows = np.zeros((len(of), 1 + len(kept)))
    for row, item in enumerate(of):
        counts = Counter(tokens(item, field))
        rows[row, 0] = not counts
        for column, token in enumerate(kept, 1):
            if counts[token]:
                idf = math.log((1 + len(items)) / (1 + frequency[token])) + 1
                rows[row, column] = (1 + math.log(counts[token])) * idf
    return rows


def one_hot(buckets: list, size: int) -> np.ndarray:
    """Return one feature per row, or that the bucket is missing."""
    rows = np.zeros((len(buckets), 1 + size))
    for row, bucket in enumerate(buckets):
        rows[row, 0 if bucket is None else 1 + bucket] = 1
    return rows


def price_buckets(items: list[dict], of: list[dict]) -> np.ndarray:
    logs: dict[str, list] = {}
    for item in items:
        if item["price"] is not None and item["price"] > 0:
            logs.setdefault(" ".join((item["section"] or "").split()), []).append(math.log2(item["price"]))
    overall = np.mean([log for own in logs.values() for log in own])

    def bucket(item: dict) -> int | None:
        price = item["price"]
        if price is None or not price >= 0:
            return None
        mean = np.mean(logs.get(" ".join((item["section"] or "").split()), [overall]))
        return 0 if price == 0 else 1 + 6 + int(np.clip(np.rint(2 * (math.log2(price) - mean)), -6, 6))

    return one_hot([bucket(item) for item in of], 14)


def expected(of: list[dict]) -> tuple[np.ndarray, list[int]]:
    """Return the features, float64 [n, width], and the sizes of the fields, in the order of the catalogue's columns."""
    items = [shop(number) for number in range(len(ITEMS) - 1)] + [dict.fromkeys(shop(0))]
    lengths = np.array([item["Länge (cm)"] for item in items if item["Länge (cm)"] is not None], np.float32)
    bounds = np.quantile(lengths, np.arange(1, BUCKETS) / BUCKETS, method="inverted_cdf")
    sizes = [item["Länge (cm)"] for item in of]
    ages = [None if item["published"] is None else max(LAST_MS - item["published"], 0) / DAY_MS for item in of]
    parts = {
        "title": tf_idf(items, of, "title"),
        "tags": tf_idf(items, of, "tags"),
        "section": tf_idf(items, of, "section"),
        "price": price_buckets(items, of),
        "Länge (cm)": one_hot(
            [None if size is None else int(np.searchsorted(bounds, size, "right")) for size in sizes], BUCKETS
        ),
        "published": one_hot([None if age is None else min(int(math.log2(1 + age)), 12) for age in ages], 13),
        "meaning": np.array([item["meaning"] or [0] * 3 for item in of]),
    }
    parts["meaning"] = np.nan_to_num(parts["meaning"])
    has_value = np.any([part[:, name != "meaning" :].any(1) for name, part in parts.items()], axis=0)
    rows = np.hstack([WEIGHTS[name] * unit(part) for name, part in parts.items()])
    return unit(rows * has_value[:, None]), [part.shape[1] for part in parts.values()]


def unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def account(root: str):
    return DatasetManifest.read(Dataset(root).manifest).item_features


def test_items_have_the_features_of_plain_python(root):
    read = feature_rows.read_known(root)
    ids = pq.read_table(Dataset(root).items)["contentId"].to_pylist()
    of = [dict.fromkeys(shop(0)) if item == ITEMS[-1] else shop(ITEMS.index(item)) for item in ids]
    rows, sizes = expected(of)
    assert [field.size for field in account(root).fields] == sizes
    assert [field.offset for field in account(root).fields] == [0, *np.cumsum(sizes)[:-1]]
    np.testing.assert_allclose(read.matrix().toarray(), rows, atol=1e-6)
    assert read.has_some.tolist() == [item != ITEMS[-1] for item in ids]
    assert np.diff(read.indptr).sum() == np.count_nonzero(rows)
    for indices in np.split(read.indices, read.indptr[1:-1]):
        assert np.all(np.diff(indices) > 0)


def test_new_items_are_looked_up_in_what_the_others_taught(root):
    ids, read = feature_rows.read_new(root)
    assert ids == [b"new a", b"new b", b"new c", "new é".encode()]
    rows, _ = expected([shop(number) for number in (42, 41, 45, 40)])
    np.testing.assert_allclose(read.matrix().toarray(), rows, atol=1e-6)
    table = pq.read_table(Dataset(root).new_items)
    assert table["contentId"].to_pylist() == [name.decode() for name in ids]
    assert table["title"].to_pylist() == [shop(number)["title"] for number in (42, 41, 45, 40)]


def test_the_manifest_accounts_for_each_field(root):
    made = account(root)
    fields = {field.name: field for field in made.fields}
    items = [shop(number) for number in range(len(ITEMS) - 1)]
    assert made.left_out == {
        "views": "it changes after publication, so what is measured would not be true of new items"
    }
    assert (made.width, made.shards, made.new, made.new_without, made.without) == (
        sum(field.size for field in made.fields),
        *(2, len(NEW), 0, 1),
    )
    assert {name: field.kind for name, field in fields.items()} == {
        "title": "text",
        "tags": "tags",
        "section": "category",
        "price": "price",
        "Länge (cm)": "number",
        "published": "time",
        "meaning": "embedding",
    }
    assert made.as_of_ms == LAST_MS and fields["price"].within == "section"
    titles = Counter(word for item in items for word in set(tokens(item, "title")))
    frequent = sum(count >= MIN_ITEMS for count in titles.values())
    assert fields["title"].dropped["below_min_items"] == len(titles) - frequent
    assert fields["meaning"].dropped["not_finite"] == 1
    everything = [*items, *map(shop, NEW.values())]  # what a new item lacks is counted too
    assert fields["price"].dropped["not_a_number"] == sum(
        item["price"] is not None and not item["price"] >= 0 for item in everything
    )
    assert all(field.rows + field.missing == len(ITEMS) for field in made.fields)
    assert fields["title"].missing == 1 + sum(item["title"] is None for item in items)


def test_one_item_alone_has_the_same_bytes(root):
    """An item that comes later has the features that the pipeline would make, whatever else is in its block."""
    expected, graph = feature_rows.read_new(root)[1], FeatureGraph(root)
    table = pq.read_table(Dataset(root).new_items)
    for rows, made in [(expected, graph.of_table(table)), (expected, graph.of_table(table.drop_columns(["views"])))]:
        assert made.values.tobytes() == rows.values.tobytes()
        assert made.indices.tolist() == rows.indices.tolist() and made.indptr.tolist() == rows.indptr.tolist()
    for row in range(len(expected)):
        entries, made = slice(*expected.indptr[row : row + 2]), graph.of_table(table.slice(row, 1))
        assert made.indptr.tolist() == [0, entries.stop - entries.start]
        assert made.indices.tolist() == expected.indices[entries].tolist()
        assert made.values.tobytes() == expected.values[entries].tobytes()
    assert len(graph.of_table(table.slice(0, 0))) == 0
    assert not graph.of_table(pa.table({"contentId": ["nothing else"]})).has_some.any()
    with pytest.raises(UserError, match="embeddings of 2, 3 numbers"):
        graph.of_table(pa.table({"meaning": [[1.0, 2.0]]}))


def test_the_files_are_described(root):
    manifest = DatasetManifest.read(Dataset(root).manifest)
    assert {f"item_features-0000{n}-of-00002" for n in range(2)} < manifest.files.keys()
    assert "new_items.parquet" in manifest.files and "item_features_fn/saved_model.pb" in manifest.other_files
    assert not list(Path(root).glob("**/tmp"))
