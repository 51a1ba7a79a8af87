"""A part of the training data that is held out to compare settings by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from artifacts.sparse_rows import SparseRows
from configs.settings.search import ValidationSettings
from trainer.inputs.hashing import hashes


class Split(NamedTuple):
    """Rows keyed 0 .. users - 1 in order: the entries to train on, and the entries to measure on.

    Entries that were drawn of users that are not scored are in neither.
    """

    train: SparseRows
    held_out: SparseRows


def split(rows: SparseRows, settings: ValidationSettings) -> Split:
    """Hold out each entry with the probability `share`, but never all entries of a user, and score at most `users`.

    Args:
        rows: keyed 0 .. n - 1 in order.
    """
    owner = np.repeat(np.arange(len(rows), dtype=np.int64), rows.lengths)
    drawn = hashes(settings.seed, owner, rows.indices)
    last = np.zeros(len(rows))
    np.maximum.at(last, owner, drawn)
    held = (drawn < settings.share) & (drawn < last[owner])
    scored = held & np.isin(owner, scored_users(np.unique(owner[held]), settings))
    return Split(rows.keep(~held), rows.keep(scored))


def scored_users(users: np.ndarray, settings: ValidationSettings) -> np.ndarray:
    """Return at most `settings.users` of some users int64 [n], chosen by a hash."""
    order = np.argsort(hashes(settings.seed + 1, users, np.zeros_like(users)), kind="stable")
    return users[order[: settings.users]]
