"""A validation set inside train: some entries of each user, drawn by a hash, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.settings.search import ValidationSettings
from ranking.sparse_rows import SparseRows
from trainer.inputs.hashing import hashes


@dataclass(frozen=True)
class Split:
    """Rows keyed 0 .. users - 1 in order: `train` keeps what `held_out` has not.

    held_out holds the entries of the users that are scored; the others' are nowhere.
    """

    train: SparseRows
    held_out: SparseRows


def split(rows: SparseRows, settings: ValidationSettings) -> Split:
    """Holds out each entry with the probability `share`, but never all that a user has.

    Args:
        rows: keyed 0 .. n - 1 in order.
    """
    owner = np.repeat(np.arange(len(rows), dtype=np.int64), rows.lengths)
    drawn = hashes(settings.seed, owner, rows.indices)
    last = np.zeros(len(rows))
    np.maximum.at(last, owner, drawn)
    held = (drawn < settings.share) & (drawn < last[owner])
    some = np.zeros(len(rows), bool)
    some[owner[held]] = True
    scored = _draw(some, settings)
    return Split(_keep(rows, owner, ~held), _keep(rows, owner, held & scored[owner]))


def _draw(some: np.ndarray, settings: ValidationSettings) -> np.ndarray:
    """bool [n]: at most `users` of those that have something."""
    who = np.flatnonzero(some)
    order = np.argsort(hashes(settings.seed + 1, who, np.zeros_like(who)), kind="stable")
    chosen = np.zeros(len(some), bool)
    chosen[who[order[: settings.users]]] = True
    return chosen


def _keep(rows: SparseRows, owner: np.ndarray, which: np.ndarray) -> SparseRows:
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.bincount(owner[which], minlength=len(rows)), out=indptr[1:])
    return SparseRows(rows.keys, indptr, rows.indices[which], rows.values[which])
