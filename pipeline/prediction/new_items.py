"""The new items of a job: those of the model, then rows that the catalogue gained since the dataset was made."""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from artifacts import catalogue, factor_tables, id_lists
from artifacts.manifests import ModelManifest
from artifacts.names import CONTENT_ID
from artifacts.paths import Dataset, Model
from artifacts.vocabulary import Vocabulary
from ranking.attributes.new_items import NewItems
from ranking.attributes.prior import Prior


def of_job(model: Model, trained: ModelManifest, dataset: Dataset, catalogue_path: str | None) -> NewItems:
    """Return all new items; raise UserError if the model's are damaged, or the catalogue cannot be read.

    catalogue_path: a file; one that does not exist, and a table of BigQuery, add no items.
    """
    account = trained.attributes
    known = NewItems.read(model, account.new_items, trained.embedding_dimension)
    if not account.features or catalogue_path is None or not catalogue.is_file(catalogue_path):
        return known
    later = _later(catalogue_path, {*Vocabulary.read(dataset.vocab_items).ids, *known.ids}, model, trained, dataset)
    return NewItems([*known.ids, *later.ids], np.concatenate([known.factors, later.factors])) if len(later) else known


def _later(path: str, known: Set[bytes], model: Model, trained: ModelManifest, dataset: Dataset) -> NewItems:
    """Return the catalogue's items that are not known and have features; of rows with one id, the last counts."""
    table, account = catalogue.read_table(path), trained.attributes
    names = [(name or "").encode() for name in table[CONTENT_ID].to_pylist()]
    rows = {name: row for row, name in enumerate(names) if name and known.isdisjoint(id_lists.forms(name))}
    if not rows:
        return NewItems.none(trained.embedding_dimension)
    from pipeline.dataset.features.apply import FeatureGraph  # imports TensorFlow

    ids = sorted(rows)
    features = FeatureGraph(dataset.root).of_table(table.take([rows[name] for name in ids]))
    some = np.flatnonzero(features.has_some)
    prior = Prior(factor_tables.read_table(model.item_attributes, 1, account.features + 1))
    return NewItems([ids[row] for row in some.tolist()], prior.scaled(features.matrix()[some], account.scale))
