"""The map of items: a plane on which neighbours have similar factors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_SEED = 0
_FEWEST_FOR_TSNE = 12


class Map(NamedTuple):
    """The most popular items on a plane."""

    items: np.ndarray  # itemIds, int64 [n]
    positions: np.ndarray  # float64 [n, 2] in 0..1
    method: str  # how they were computed, in words


def draw(factors: np.ndarray, users_per_item: np.ndarray, most: int) -> Map:
    """Place the `most` popular items by t-SNE with cosine distances, or by PCA if there are few items."""
    norms = np.linalg.norm(factors.astype(np.float64), axis=1)
    popular = np.argsort(-users_per_item, kind="stable")
    items = popular[norms[popular] > 0][:most]
    directions = factors[items].astype(np.float64) / norms[items, None]
    positions, name = _project(directions)
    if len(items):
        positions = positions - positions.min(axis=0)
        positions = positions / np.maximum(positions.max(axis=0), 1e-12)
    method = f"{name} of the {len(items):,} most popular items' factors"
    return Map(items, positions.astype(np.float64), method)


def _project(directions: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the positions of unit vectors on a plane, float [n, 2], and the name of the method."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(directions) < _FEWEST_FOR_TSNE:
        positions = np.zeros((len(directions), 2))
        count = min(2, *directions.shape)
        if count:
            positions[:, :count] = PCA(count, svd_solver="full").fit_transform(directions)
        return positions, "PCA"
    perplexity = min(30, (len(directions) - 1) / 3)
    model = TSNE(perplexity=perplexity, init="pca", metric="cosine", random_state=_SEED, n_jobs=-1)
    return model.fit_transform(directions), "t-SNE (cosine)"
