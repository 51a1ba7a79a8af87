"""The tables of a SavedModel, from which its answers are computed: for a server that needs no TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.core.protobuf import saved_model_pb2

from artifacts import storage
from artifacts.items_table import ItemsTable
from artifacts.names import FIRST_TIME_MS, LAST_TIME_MS, VOCAB_ITEMS, VOCAB_USERS
from artifacts.paths import Dataset, join
from artifacts.served import tables as served
from artifacts.served.ids import IdTable
from artifacts.served.signatures import described
from configs.settings import ColdStartSettings
from ranking import similarity
from ranking.attributes.prior import Prior
from ranking.attributes.segments import Segments
from ranking.compressed.table import Compressed
from ranking.fold_in import Projection
from trainer.als import wals
from trainer.saved_model.answers_graph import Tables
from trainer.saved_model.attributes_graph import Regression, weights_by_views


def write(
    path: str,
    tables: Tables,
    projection: Projection,
    settings: ColdStartSettings,
    dataset: Dataset,
    *,
    items: tuple[Regression, wals.Side, Projection] | None = None,
    of_visitors: tuple[Prior | None, Segments | None] = (None, None),
) -> None:
    """Write the tables next to the graphs of a SavedModel.

    Args:
        items: the regression of items' attributes, the items' side, and the solver over the users, if the graphs have
            signatures that take items.
        of_visitors: the regression of visitors' attributes, or the lists of their segments, in the same way.
    """
    arrays, times = _arrays(tables, projection), _times(dataset)
    related, objective = tables.neighbourhood, projection.objective
    about: dict[str, Any] = {
        "signatures": _signatures(path),
        "objective": [objective.unobserved_weight, objective.regularization_coeff, objective.frequency_exponent],
        "default_row_weight": tables.default_row_weight,
        "cold_start": settings.model_dump(),
        "gamma": related.gamma if related else None,
        "few_items": bool(related and related.few_items),
        "new_ids": [name.decode("latin-1") for name in tables.new.ids],  # a byte is a character
        "newest_ids": [name.decode("latin-1") for name in tables.new.newest],
    }
    if times:
        arrays["items.first_time_ms"], about["newest_view_ms"] = times
    if items:
        regression, side, viewers = items
        weight, exponent = weights_by_views(side.weights, side.counts)
        about["items_from_attributes"] = {"scale": regression.scale, "weight": weight, "exponent": exponent}
        arrays |= {"item_regression": regression.prior.table, "viewers.gramian": viewers.gramian}
        arrays["item_telling"] = regression.telling
    regression_of_visitors, segments = of_visitors
    if regression_of_visitors:
        arrays["user_regression"] = regression_of_visitors.table
    if segments:
        about["first_segment"] = segments.first
        arrays |= {"segment_items": segments.items, "segment_scores": segments.scores}
    served.write(path, about, arrays)


def copy_features(path: str, dataset: Dataset, *, items: bool, visitors: bool) -> None:
    """Copy the graphs that make features of attributes into the tables' folder."""
    for wanted, source, name in zip((items, visitors), (dataset.item_features_fn, dataset.user_features_fn),
                                    served.FEATURES, strict=True):  # fmt: skip
        for file in storage.list_files(source) if wanted else ():
            storage.copy(join(source, file), join(path, served.FOLDER, name, file))


def _arrays(tables: Tables, projection: Projection) -> dict[str, np.ndarray]:
    users, items, histories = tables.users, projection.items, tables.histories
    arrays = {
        "users": users,
        "items": items,
        "user_weights": tables.user_weights,
        "item_weights": projection.weights,
        "gramian": projection.gramian,
        "popularity": tables.popularity,
        "new_items": tables.new.factors,
    }
    for name, table in (("users", users), ("items", items)):
        arrays |= {f"{name}.{part}": array for part, array in Compressed.of(table)._asdict().items()}
        arrays[f"{name}.norms"] = similarity.norms(table)
    for name, vocabulary in ((VOCAB_USERS, tables.vocab_users), (VOCAB_ITEMS, tables.vocab_items)):
        ids = IdTable.of(np.frombuffer(storage.read_bytes(vocabulary), np.uint8))
        arrays |= {f"{name}.starts": ids.starts, f"{name}.order": ids.order}
    arrays |= served.of_rows("histories", histories) | served.of_rows("owners", tables.owners)
    if tables.neighbourhood:
        related = tables.neighbourhood.related
        arrays |= served.of_rows("related", related) | served.of_rows("sources", related.transpose(len(items)))
        if len(histories.again):
            arrays |= served.of_rows("all_owners", histories.transpose(len(items)))
    return arrays


def _times(dataset: Dataset) -> tuple[np.ndarray, float] | None:
    """Return the time of each item's first view, float64 [m], and of the last view; None if the dataset has none."""
    items = ItemsTable.read(dataset.items, optional=(FIRST_TIME_MS, LAST_TIME_MS))
    if LAST_TIME_MS not in items.table.column_names or not np.isfinite(items.last_time_ms).any():
        return None
    return items.first_time_ms, float(np.nanmax(items.last_time_ms))


def _signatures(path: str) -> dict[str, Any]:
    graph = saved_model_pb2.SavedModel.FromString(storage.read_bytes(join(path, "saved_model.pb")))
    return described(graph.meta_graphs[0].signature_def)
