"""A validation set inside train: some entries of each user, drawn by a hash, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artifacts.sparse_rows import SparseRows
from configs.settings.search import ValidationSettings
from trainer.inputs.hashing import hashes


@dataclass(frozen=True)
class Split:
    """Rows keyed 0 .. users - 1 in order: the entries to train on, and the entries to measure on.

    Entries that were drawn of users that are not scored are in neither.
    """

    train: SparseRows
    held_out: SparseRows


def split(rows: SparseRows, settings: ValidationSettings) -> Split:
    """Hold out each entry with the probability `share`, but never all entries of a user.

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
    """Return bool [n]: at most `users` of the users with held-out entries."""
    who = np.flatnonzero(some)
    order = np.argsort(hashes(settings.seed + 1, who, np.zeros_like(who)), kind="stable")
    chosen = np.zeros(len(some), bool)
    chosen[who[order[: settings.users]]] = True
    return chosen


def _keep(rows: SparseRows, owner: np.ndarray, which: np.ndarray) -> SparseRows:
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.bincount(owner[which], minlength=len(rows)), out=indptr[1:])
    return SparseRows(rows.keys, indptr, rows.indices[which], rows.values[which])
