"""The new items of a job: those of the model, rows that the catalogue gained since, and those that were added."""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from artifacts import catalogue, factor_tables, id_lists
from artifacts.features.added_items import AddedItems
from artifacts.manifests import DatasetManifest, ModelManifest
from artifacts.names import CONTENT_ID
from artifacts.paths import Dataset, Model
from artifacts.vocabulary import Vocabulary
from configs.nouns import counted
from pipeline.prediction import added_items
from ranking.attributes import newest
from ranking.attributes.new_items import NewItems
from ranking.attributes.prior import Prior


class ItemsOfJob(NamedTuple):
    """The new items of a job, and how many added ones are not among them, because the model has no attributes."""

    new: NewItems
    unplaced: int = 0


def of_job(
    model: Model,
    trained: ModelManifest,
    dataset: Dataset,
    catalogue_path: str | None,
    added_path: str | None = None,
    left_out: Collection[bytes] = (),
) -> ItemsOfJob:
    """Return all new items; raise UserError if the model's are damaged, or one of the files cannot be read.

    Args:
        catalogue_path: a file; one that does not exist, and a table of BigQuery, add no items.
        added_path: the file of added items. left_out: visitors whose views of added items do not count.
    """
    account = trained.attributes
    new = NewItems.read(model, account.new_items, trained.embedding_dimension, account.newest_items)
    # Read even where no item can come of it: a catalogue that no job could read is an error each time it is named.
    table = catalogue.read_table(catalogue_path) if catalogue_path and catalogue.is_file(catalogue_path) else None
    added = AddedItems.read(added_path) if added_path else None
    if table is None and not (added and len(added)):
        return ItemsOfJob(new)
    if not account.features:
        return ItemsOfJob(new, len(added) if added else 0)
    known = {*Vocabulary.read(dataset.vocab_items).ids, *new.all_ids}
    if table is not None:
        new = new.followed_by(_later(table, known, model, trained, dataset))
    if not added:
        return ItemsOfJob(new)
    others = added.without({*known, *new.all_ids})
    return ItemsOfJob(new.followed_by(added_items.placed(others, model, dataset, left_out)))


def _later(table: pa.Table, known: Set[bytes], model: Model, trained: ModelManifest, dataset: Dataset) -> NewItems:
    """Return the catalogue's items that are not known and have features; of rows with one id, the last counts."""
    account = trained.attributes
    names = [(name or "").encode() for name in table[CONTENT_ID].to_pylist()]
    rows = {name: row for row, name in enumerate(names) if name and known.isdisjoint(id_lists.forms(name))}
    if not rows:
        return NewItems.none(trained.embedding_dimension)
    from pipeline.dataset.features.apply import FeatureGraph  # imports TensorFlow

    ids = sorted(rows)
    features = FeatureGraph(dataset.root).of_table(table.take([rows[name] for name in ids]))
    made = DatasetManifest.read(dataset.manifest).item_features
    fields = made.fields if made else []
    if missing := [field.name for field in fields if field.name not in table.column_names]:
        rows_of = counted(len(ids), "new item")
        print(f"{rows_of} of the catalogue: it has no {', '.join(missing)}, of which the model has features")
    some = np.flatnonzero(newest.described(features, fields))
    last = tuple(ids[row] for row in newest.order(features, fields).tolist())
    prior = Prior(factor_tables.read_table(model.item_attributes, 1, account.features + 1))
    return NewItems([ids[row] for row in some.tolist()], prior.scaled(features.matrix()[some], account.scale), last)
