"""Features of a small dataset, written without the pipeline."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from artifacts.features import feature_rows
from artifacts.features.feature_rows import Features
from artifacts.manifests import DatasetManifest, FeaturesAccount, FieldFeatures
from artifacts.names import ITEM, Side
from artifacts.paths import Dataset


def add_features(root: str, items, new=None, shards: int = 1, compressed: bool = False, side: Side = ITEM) -> None:
    """Add features to a dataset: a matrix of items (or visitors) x columns, whose rows are normalised here.

    new: (ids, matrix) of those that are not in the vocabulary, with the columns of `items`.
    """
    manifest, layout = DatasetManifest.read(Dataset(root).manifest), {"shards": shards, "compressed": compressed}
    ids, matrix = new if new is not None else ([], sp.csr_matrix((0, items.shape[1])))
    manifest.files |= feature_rows.write(root, side.features, rows_of(items), **layout)
    manifest.files |= feature_rows.write(root, side.new, rows_of(matrix), ids, **layout)
    setattr(manifest, side.features, account(items.shape[1], shards, new=len(ids)))
    manifest.write(Dataset(root).manifest)


def account(width: int, shards: int = 1, new: int = 0) -> FeaturesAccount:
    """Return the account of features that are all of one field of tags."""
    field = FieldFeatures(name="tags", kind="tags", weight=1.0, offset=0, size=width)
    return FeaturesAccount(fields=[field], width=width, shards=shards, new=new)


def rows_of(matrix) -> Features:
    """Return the rows of a matrix, dense or sparse, each of length 1; a row of zeros is empty."""
    matrix = sp.csr_matrix(matrix, dtype=float)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = sp.diags(1 / np.where(lengths > 0, lengths, 1))
    return Features.from_matrix(sp.csr_matrix(scale @ matrix, dtype=np.float32))
