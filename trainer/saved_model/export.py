"""A trained model -> SavedModel: the tables in the order of the ids' bytes, and the vocabularies as assets."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

from artifacts import tf_storage
from artifacts.names import POPULARITY, VOCAB_ITEMS, VOCAB_USERS
from artifacts.paths import Dataset
from configs.errors import UserError
from configs.settings import ColdStartSettings
from ranking import cold_start
from ranking.sparse_rows import SparseRows
from trainer.als import wals
from trainer.saved_model import fold_in_graph
from trainer.saved_model.signatures import Recommender, Tables


def save(
    path: str,
    dataset: Dataset,
    rows: wals.Side,
    cols: wals.Side,
    blocks: Iterable[SparseRows],
    objective: wals.Objective,
    settings: ColdStartSettings,
    default_row_weight: float = 1.0,
) -> None:
    """Writes the SavedModel.

    Args:
        rows, cols: the users' and the items' side, in the same coordinates.
        blocks: the users' rows, which the model takes with it: what they have is not recommended to them.
        default_row_weight: R of those who were not trained on.

    Raises:
        UserError: the dataset's vocabularies do not fit the tables, or it has no items.parquet.
    """
    visitors, item_ids = _ids(dataset.vocab_users, rows.size), _ids(dataset.vocab_items, cols.size)
    users, items = _order(visitors), _order(item_ids)
    place_of_item = _inverse(items)
    splits, history, ratings = _by_place(blocks, _inverse(users), place_of_item)
    owner_splits, owners = _transposed(splits, history, cols.size)
    known, limits = np.ones(len(users), bool), (settings.min_ratings, settings.min_site_ratings)
    few = np.flatnonzero(cold_start.rules(known, np.diff(splits), len(history), *limits).projection)
    table, given, weights = rows.table[users], cols.table[items], (rows.weights[users], cols.weights[items])
    table[few] = fold_in_graph.solve(few, splits, history, ratings, weights[0], given, weights[1], objective)
    with tempfile.TemporaryDirectory() as scratch:
        tables = Tables(
            users=table,
            items=given,
            user_weights=weights[0],
            item_weights=weights[1],
            default_row_weight=default_row_weight,
            place_of_item=place_of_item,
            splits=splits,
            history=history,
            ratings=ratings,
            owner_splits=owner_splits,
            owners=owners,
            popularity=_popularity(dataset, cols.size)[items],
            visitor_ids=_write(os.path.join(scratch, VOCAB_USERS), visitors, users),
            content_ids=_write(os.path.join(scratch, VOCAB_ITEMS), item_ids, items),
        )
        module = Recommender(tables, objective, settings)
        tf.saved_model.save(module, path, signatures=signatures(module))


def signatures(module: Recommender) -> dict:
    """Names of the signatures, and what answers them."""
    return {
        "serving_default": module.recommend,
        "recommend": module.recommend,
        "recommend_from_history": module.recommend_from_history,
        "audience": module.audience,
        "similar_items": module.similar_items,
        "similar_items_dot": module.similar_items_dot,
        "similar_visitors": module.similar_visitors,
        "similar_visitors_dot": module.similar_visitors_dot,
        "explanation": module.explanation,
        "history": module.history_of,
        "project": module.project,
    }


def _ids(path: str, size: int) -> list[bytes]:
    """The ids of a vocabulary, in the order of their indices; only the newline ends one."""
    if not tf_storage.exists(path):
        raise UserError(f"{path} does not exist; make the dataset again")
    ids = tf_storage.read_bytes(path).split(b"\n")
    if ids[-1] == b"":
        ids.pop()
    if len(ids) != size:
        raise UserError(f"{path} has {len(ids)} ids where the dataset has {size}; make the dataset again")
    return ids


def _popularity(dataset: Dataset, size: int) -> np.ndarray:
    """float32 [size], by itemId."""
    if not tf_storage.exists(dataset.items):
        raise UserError(f"{dataset.items} does not exist; make the dataset again")
    table = pq.read_table(io.BytesIO(tf_storage.read_bytes(dataset.items)), columns=[POPULARITY])
    if table.num_rows != size:
        raise UserError(f"{dataset.items} has {table.num_rows} rows where the dataset has {size}; make it again")
    return table[POPULARITY].to_numpy().astype(np.float32)


def _order(ids: Sequence[bytes]) -> np.ndarray:
    """int64 [n]: the index at each place."""
    return np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)


def _inverse(order: np.ndarray) -> np.ndarray:
    """int64 [n]: the place of each index."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places


def _by_place(
    blocks: Iterable[SparseRows], place_of_user: np.ndarray, place_of_item: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The users' rows in compact form, rows and their entries in the order of the places."""
    blocks = list(blocks)
    owner = np.concatenate([np.repeat(place_of_user[block.keys], block.lengths) for block in blocks])
    history = np.concatenate([place_of_item[block.indices] for block in blocks])
    ratings = np.concatenate([block.values for block in blocks])
    order = np.lexsort((history, owner))
    splits = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(place_of_user)))])
    return splits.astype(np.int64), history[order].astype(np.int32), ratings[order].astype(np.float32)


def _transposed(splits: np.ndarray, history: np.ndarray, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Who has each item: int64 [items + 1] and int32 places of visitors, ascending."""
    owner = np.repeat(np.arange(len(splits) - 1, dtype=np.int32), np.diff(splits))
    counts = np.bincount(history, minlength=items)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), owner[np.argsort(history, kind="stable")]


def _write(path: str, ids: Sequence[bytes], order: np.ndarray) -> str:
    with open(path, "wb") as file:
        file.writelines(ids[index] + b"\n" for index in order)
    return path
