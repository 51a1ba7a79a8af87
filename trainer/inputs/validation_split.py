"""A part of the training data that is held out to compare settings by: what was viewed last, or a random part."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.nouns import counted
from configs.settings.search import ValidationSettings
from trainer.inputs.hashing import hashes

_LEAST_VISITORS = 500  # whom a split by time must leave to score, to be the choice of unset settings


class Split(NamedTuple):
    """Rows keyed 0 .. users - 1 in order: the entries to train on, and the entries to measure on.

    Entries that were drawn of users that are not scored are in neither.
    """

    train: SparseRows
    held_out: SparseRows
    cut: int | None = None  # the first day that is held out, since 1970; None if entries were drawn at random

    def __str__(self) -> str:
        """Return a line about what is held out."""
        entries, visitors = self.held_out.entries, int(np.count_nonzero(self.held_out.lengths))
        how = "at random" if self.cut is None else f"from {np.datetime64(self.cut, 'D')} on"
        return f"validation: {counted(entries, 'item')} of {counted(visitors, 'visitor')}, held out {how}"


def divide(rows: SparseRows, days: np.ndarray | None, settings: ValidationSettings) -> Split:
    """Hold out by `settings.split`; unset, by time if the days are known and enough visitors can be scored.

    Args:
        rows: keyed 0 .. n - 1 in order.
        days: of each entry, int64 [nnz] since 1970.

    Raises:
        UserError: a split by time is asked for and not possible.
    """
    if settings.split == "random":
        return split(rows, settings)
    parts = None if days is None else by_time(rows, days, settings)
    if parts and (settings.split or np.count_nonzero(parts.held_out.lengths) >= _LEAST_VISITORS):
        return parts
    if settings.split:
        reason = "the dataset has no times" if days is None else "too little is older than its last day"
        raise UserError(f"validation.split is time, but {reason}; set it to random, or leave it out")
    return split(rows, settings)


def by_time(rows: SparseRows, days: np.ndarray, settings: ValidationSettings) -> Split | None:
    """Hold out the entries of the last days, at most `share` of all but at least one day; None if that is not possible.

    It is not if the last day has more than half of the entries, or no visitor has any before.

    As in the pipeline's split by time, what no model of the rest could know is left out: visitors without an earlier
    entry, and items that nobody has in the rest. At most `users` visitors are scored.
    """
    first, counts = np.unique(days, return_counts=True)
    after = counts[::-1].cumsum()[::-1]  # entries on each day or later
    within = np.flatnonzero(after <= settings.share * rows.entries)
    place = within[0] if len(within) else len(first) - 1
    if not len(first) or after[place] > rows.entries / 2:
        return None
    held = days >= first[place]
    owner, train = np.repeat(np.arange(len(rows), dtype=np.int64), rows.lengths), rows.keep(~held)
    known_items = np.zeros(int(rows.indices.max()) + 1, bool)
    known_items[train.indices] = True
    ranked = held & (train.lengths > 0)[owner] & known_items[rows.indices]
    scored = ranked & np.isin(owner, scored_users(np.unique(owner[ranked]), settings))
    return Split(train, rows.keep(scored), int(first[place])) if scored.any() else None


def last_of_each(rows: SparseRows, days: np.ndarray, settings: ValidationSettings) -> Split:
    """Hold out one entry of each visitor's last day, but never the only one of a visitor, and score at most `users`.

    A hash chooses among those of the day. An item that nobody has in the rest is left out.

    Args:
        rows: keyed 0 .. n - 1 in order.
        days: of each entry, int64 [nnz].
    """
    owner = np.repeat(np.arange(len(rows), dtype=np.int64), rows.lengths)
    order = np.lexsort((hashes(settings.seed, owner, rows.indices), days, owner))
    last = np.zeros(rows.entries, bool)
    last[order[rows.indptr[1:][rows.lengths > 1] - 1]] = True
    train = rows.keep(~last)
    ranked = last & np.isin(rows.indices, train.indices)
    scored = ranked & np.isin(owner, scored_users(owner[ranked], settings))
    return Split(train, rows.keep(scored))


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
