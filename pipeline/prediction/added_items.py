"""Items that were added between two trainings: a table of attributes -> the file of added items -> factors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts import catalogue, id_lists
from artifacts import privacy as privacy_ids
from artifacts.features import added_items
from artifacts.features.added_items import FROM_ATTRIBUTES, AddedItems, Change, View, column_of
from artifacts.features.fields import Field
from artifacts.manifests import DatasetManifest
from artifacts.names import CATEGORY, CONTENT_ID, TITLE, VISITOR_ID
from artifacts.paths import Dataset, Model
from artifacts.vocabulary import iterate_ids
from configs.errors import UserError
from configs.settings import PrivacySettings
from pipeline.dataset.features import raw
from pipeline.sources import privacy
from ranking.attributes.new_items import NewItems

_DISPLAYED = (TITLE, CATEGORY)


class Added(NamedTuple):
    """The account of the rows of a file."""

    change: Change
    known: int  # rows of items that the dataset has: their own factors answer
    repeated: int  # rows of an id that a later row has
    unfit: int  # rows whose id is empty or has a line end
    fields: tuple[str, ...]  # attributes of the features that the file has
    missing: tuple[str, ...]  # those that it lacks
    ignored: tuple[str, ...]  # columns that are not attributes of the features


def add(dataset: Dataset, path: str, file: str) -> Added:
    """Add the items of a table, see `artifacts.catalogue`; of rows with one id, the last counts.

    Raise UserError if the file cannot be read, a column is not of its attribute's kind, or the dataset has no features.
    """
    table, fields = catalogue.read_table(file), fields_of(dataset)
    names = [(name or "").strip().encode() for name in table[CONTENT_ID].to_pylist()]
    last = {name: row for row, name in enumerate(names) if name and b"\n" not in name and b"\r" not in name}
    unfit = sum(not name or b"\n" in name or b"\r" in name for name in names)
    known = last.keys() & set(iterate_ids(dataset.vocab_items))
    rows = [row for name, row in last.items() if name not in known]
    account = DatasetManifest.read(dataset.manifest).item_features
    change = Change(AddedItems.read(path).version, 0)
    if rows:
        chosen = table.take(rows)
        columns = {CONTENT_ID: pa.array([names[row] for row in rows], pa.binary())}
        columns |= {name: chosen[name] for name in _DISPLAYED if name in chosen.column_names}
        made = raw.of_table(chosen, fields, account.as_of_ms if account else None).columns
        columns |= {column_of(field): _plain(made[field.name]) for field in fields if field.name in chosen.column_names}
        change = added_items.add(path, pa.table(columns))
    has, given = [field.name for field in fields], [name for name in table.column_names if name != CONTENT_ID]
    return Added(
        change,
        known=len(known),
        repeated=len(names) - unfit - len(last),
        unfit=unfit,
        fields=tuple(name for name in has if name in given),
        missing=tuple(name for name in has if name not in given),
        ignored=tuple(name for name in given if name not in has and name not in _DISPLAYED),
    )


def add_views(path: str, file: str, rules: PrivacySettings) -> Change:
    """Add the views of a table with contentId, visitorId and maybe rating.

    By the rules, visitorIds are hashed as those of the dataset, and deleted visitors are left out. Raise UserError if
    the file cannot be read or has no visitorIds, or a rating is not a finite number.
    """
    table = catalogue.read_table(file)
    if VISITOR_ID not in table.column_names:
        raise UserError(f"{file} has no column visitorId: name the column of the visitors' ids so")
    visitors = catalogue.as_text(table[VISITOR_ID].combine_chunks(), f"{file}, column visitorId").to_pylist()
    ratings = [1.0] * len(visitors)
    if "rating" in table.column_names:
        try:
            ratings = pc.cast(table["rating"], pa.float64()).fill_null(1.0).to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise UserError(f"{file}, column rating is not of numbers") from None
        if not np.isfinite(ratings).all():
            raise UserError(f"{file}, column rating has numbers that are not finite")
    key, deleted = privacy.open_rules(rules)
    items, views = table[CONTENT_ID].to_pylist(), list[View]()
    for item, visitor, rating in zip(items, visitors, ratings, strict=True):
        name = (visitor or "").strip().encode()
        if name and name not in deleted:
            views.append(View((item or "").strip().encode(), privacy_ids.hashed(key, name) if key else name, rating))
    return added_items.add_views(path, views)


def remove(path: str, file: str) -> Change:
    """Remove the items that a list names, one per line."""
    return added_items.remove(path, id_lists.IdList.read(file, "items remove").ids)


def fields_of(dataset: Dataset) -> list[Field]:
    """Return the fields of a dataset's features; raise UserError if it has none."""
    account = DatasetManifest.read(dataset.manifest).item_features
    if account is None:
        raise UserError(
            f"{dataset.root} has no features of items; make it again with item_features.fields: auto, and train again"
        )
    return [Field(**field.model_dump(include=set(Field._fields))) for field in account.fields]


def placed(items: AddedItems, model: Model, dataset: Dataset, left_out: Collection[bytes]) -> NewItems:
    """Return the items with their factors by a model's SavedModel, as the server has them; others are the newest.

    left_out: visitors whose views do not count.
    """
    fields = fields_of(dataset)
    if not len(items):
        return NewItems([], np.zeros((0, 0), np.float32))
    import tensorflow as tf

    signature, answers = tf.saved_model.load(model.saved_model).signatures.get(FROM_ATTRIBUTES), []
    if signature is None:
        raise UserError(f"{model.root} cannot take added items: its dataset has no item_features_fn; make both again")
    for inputs in items.requests(fields, left_out):
        outputs = signature(**{name: tf.constant(values) for name, values in inputs.items()})
        answers.append({name: tensor.numpy() for name, tensor in outputs.items()})
    return NewItems.of_added(*added_items.placed(items.ids, answers))


def _plain(values: np.ndarray | pa.Array) -> pa.Array:
    """Return an attribute as the graph takes it, as a column."""
    if isinstance(values, pa.Array):
        return values.cast(pa.string())
    if values.ndim == 1:
        return pa.array(values, pa.float32())
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), pa.float32()), values.shape[1]).cast(
        pa.list_(pa.float32())
    )


def described(added: Added) -> Sequence[tuple[str, int | str]]:
    """Return rows for a table of the result."""
    rows: list[tuple[str, int | str]] = [("items added", added.change.added), ("items changed", added.change.changed)]
    counts = {"items that the dataset has already": added.known, "rows of an id that a later row has": added.repeated}
    counts["rows without a usable contentId"] = added.unfit
    rows += [(name, count) for name, count in counts.items() if count]
    lists = {"attributes": added.fields, "attributes that the file lacks": added.missing}
    lists["columns that the model does not know"] = added.ignored
    return [*rows, *((name, ", ".join(names)) for name, names in lists.items() if names)]
