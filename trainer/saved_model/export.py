"""A trained model -> SavedModel: tables by userId and itemId, and the vocabularies as assets."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from artifacts import storage
from artifacts.catalogue import LINK_COLUMNS, PICTURE_COLUMNS
from artifacts.features import feature_rows
from artifacts.features.fields import Field
from artifacts.items_table import ItemsTable
from artifacts.manifests import DatasetManifest
from artifacts.names import CATEGORY, POPULARITY, SERVED_ATTRIBUTES, SERVED_ITEMS, TITLE, USER
from artifacts.paths import Dataset, join
from artifacts.sparse_rows import SparseRows
from artifacts.vocabulary import iterate_ids
from configs.errors import UserError
from configs.settings import ColdStartSettings
from ranking import cold_start
from ranking.attributes import prior
from ranking.attributes.new_items import NewItems
from ranking.attributes.prior import Prior
from ranking.attributes.segments import Segments
from ranking.fold_in import Objective, Projection
from ranking.neighbourhood import Neighbourhood
from trainer.als import wals
from trainer.saved_model import served_tables
from trainer.saved_model.answers_graph import Tables
from trainer.saved_model.attributes_graph import FromAttributes, Regression, VisitorsFromAttributes
from trainer.saved_model.signatures import Recommender


def save(
    path: str,
    dataset: Dataset,
    rows: wals.Side,
    cols: wals.Side,
    blocks: Iterable[SparseRows],
    objective: Objective,
    settings: ColdStartSettings,
    default_row_weight: float = 1.0,
    *,
    neighbourhood: Neighbourhood | None = None,
    new: NewItems | None = None,
    new_ids: str = "",
    regression: Regression | None = None,
    of_visitors: Prior | None = None,
    segments: Segments | None = None,
) -> None:
    """Write the SavedModel.

    Args:
        rows, cols: the users' and the items' side, in the same coordinates.
        blocks: the users' rows. The model contains them: what they leave out is not recommended to users.
        default_row_weight: R of visitors that were not in the training data.
        neighbourhood: the item-item term, if the model has one.
        new: the items that nobody has viewed, if the model has some. new_ids: the path of their ids.
        regression: from attributes to factors, if the model has one; with it and the dataset's SavedModel of features,
            the model has the signatures that take items which come later.
        of_visitors: the same of visitors; those with few ratings start from it, and a signature takes their attributes.
        segments: lists for visitors by their segment, in place of that.

    Raises:
        UserError: the dataset's vocabularies do not fit the tables, or it has no items.parquet.
    """
    for vocabulary, size in ((dataset.vocab_users, rows.size), (dataset.vocab_items, cols.size)):
        _check_size(vocabulary, size)
    histories = SparseRows.stacked(list(blocks), rows.size)
    projection = Projection(cols.table, cols.weights, objective)
    tables = Tables(
        users=_answering(rows, histories, projection, settings, _priors(dataset, of_visitors)),
        user_weights=rows.weights,
        default_row_weight=default_row_weight,
        histories=histories,
        owners=histories.left_out().transpose(cols.size),
        popularity=ItemsTable.read(dataset.items, cols.size, (POPULARITY,)).popularity,
        vocab_users=dataset.vocab_users,
        vocab_items=dataset.vocab_items,
        neighbourhood=neighbourhood,
        new=new or NewItems.none(cols.table.shape[1]),
        new_ids=new_ids,
    )
    module = Recommender(tables, projection, settings)
    exported, by_attributes = module.exported(), None
    if regression and storage.exists(dataset.item_features_fn):
        viewers = Projection(tables.users, rows.weights, objective)
        by_attributes = regression, cols, viewers
        from_attributes = FromAttributes(dataset.item_features_fn, regression, module, viewers, cols)
        module.from_attributes = from_attributes  # an attribute, to be saved too
        exported |= from_attributes.exported() | module.with_items()
    takes_visitors = bool(of_visitors or segments) and storage.exists(dataset.user_features_fn)
    if takes_visitors:
        module.of_visitors = VisitorsFromAttributes(dataset.user_features_fn, of_visitors, segments, module)
        exported |= module.of_visitors.exported()
    tf.saved_model.save(module, path, signatures=exported)
    _write_titles(join(path, SERVED_ITEMS), dataset)
    by_visitors = (of_visitors, segments) if takes_visitors else (None, None)
    served_tables.write(path, tables, projection, settings, dataset, items=by_attributes, of_visitors=by_visitors)
    served_tables.copy_features(path, dataset, items=bool(by_attributes), visitors=takes_visitors)
    if by_attributes:
        _write_attributes(join(path, SERVED_ATTRIBUTES), dataset)


def _write_titles(path: str, dataset: Dataset) -> None:
    """Write contentId, title, category, link and picture of the items, those that the dataset has."""
    items = ItemsTable.read(dataset.items, optional=(TITLE, CATEGORY, *LINK_COLUMNS, *PICTURE_COLUMNS))
    if items.table.num_columns > 1:
        storage.write_bytes(path, items.to_bytes())


def _write_attributes(path: str, dataset: Dataset) -> None:
    """Write the fields of the dataset's features, as JSON: the schema of what the model takes."""
    account = DatasetManifest.read(dataset.manifest).item_features
    fields = account.fields if account else []
    described = [field.model_dump(include=set(Field._fields)) for field in fields]
    storage.write_bytes(path, json.dumps(described, ensure_ascii=False).encode())


def _answering(
    rows: wals.Side,
    histories: SparseRows,
    projection: Projection,
    settings: ColdStartSettings,
    priors: np.ndarray | None = None,
) -> np.ndarray:
    """Return the users' factors that answer, float32 [u, d]: projected ones for users with few ratings.

    priors: float32 [u, d], their factors from attributes, if the model has some.
    """
    known, limits = np.ones(rows.size, bool), (settings.min_ratings, settings.min_site_ratings)
    few = np.flatnonzero(cold_start.rules(known, histories.lengths, histories.entries, *limits).projection)
    if not len(few):
        return rows.table
    factors = rows.table.copy()
    own = np.zeros_like(factors[few]) if priors is None else priors[few]
    factors[few] = prior.fold_in(own, projection, histories.take(few), rows.weights[few])
    return factors


def _priors(dataset: Dataset, of_visitors: Prior | None) -> np.ndarray | None:
    """Return the factors of all users from their attributes, float32 [u, d], if the model has a regression."""
    known = feature_rows.read_known(dataset.root, USER) if of_visitors else None
    return of_visitors.of_described(known.matrix()) if of_visitors and known else None


def _check_size(path: str, size: int) -> None:
    """Check that a vocabulary has an id for each row of its table."""
    ids = sum(1 for _ in iterate_ids(path))
    if ids != size:
        raise UserError(f"{path} has {ids} ids where the dataset has {size}; make the dataset again")
