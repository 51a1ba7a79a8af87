"""Items on a plane: neighbours there point the same way in the factors' space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SEED = 0
_FEWEST_FOR_TSNE = 12


@dataclass(frozen=True)
class Map:
    """itemIds int64 [n], the most popular ones; places float64 [n, 2] in 0..1; how it was made, in words."""

    items: np.ndarray
    places: np.ndarray
    method: str


def draw(factors: np.ndarray, users_per_item: np.ndarray, most: int) -> Map:
    """t-SNE by cosine of the most popular items; PCA where they are few.

    Args:
        factors: float32 [items, k]. users_per_item: int64 [items].
    """
    norms = np.linalg.norm(factors.astype(np.float64), axis=1)
    order = np.argsort(-users_per_item, kind="stable")
    chosen = order[norms[order] > 0][:most]
    directions = factors[chosen].astype(np.float64) / norms[chosen, None]
    plane = _principal(directions)
    method = f"PCA of the {len(chosen):,} most popular items' factors"
    if len(chosen) >= _FEWEST_FOR_TSNE:
        from sklearn.manifold import TSNE

        start = plane / max(plane[:, 0].std(), 1e-12) * 1e-4
        perplexity = min(30, (len(chosen) - 1) / 3)
        plane = TSNE(
            perplexity=perplexity, init=start.astype(np.float32), metric="cosine", random_state=_SEED, n_jobs=-1
        )
        plane = plane.fit_transform(directions)
        method = f"t-SNE (cosine) of the {len(chosen):,} most popular items' factors"
    if len(plane):
        plane = plane - plane.min(axis=0)
        plane = plane / np.maximum(plane.max(axis=0), 1e-12)
    return Map(chosen, plane.astype(np.float64), method)


def _principal(points: np.ndarray) -> np.ndarray:
    """float64 [n, 2], the first two principal components; signs fixed by the largest loading."""
    plane = np.zeros((len(points), 2))
    if not len(points):
        return plane
    centred = points - points.mean(axis=0)
    vectors = np.linalg.svd(centred, full_matrices=False)[2][:2]
    vectors = vectors * np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)])[:, None]
    plane[:, : len(vectors)] = centred @ vectors.T
    return plane
