"""The choice how many views an item may have for attributes to count, by views that are left out of items.

On some sites attributes help items of many views, on others they harm items of ten. The site tells: a fifth of the
views of some items is left out of their fold-in, once from their attributes and once from zeros, and each of the two
factors ranks the item among all items for the visitors who were left out. The users' factors know these views in both
cases, which favours what agrees with the training: where attributes win all the same, they help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking import threads
from ranking.attributes import one_list
from ranking.attributes.one_list import FAR, NEAR, Reach
from trainer.als.collectives import Cluster
from trainer.inputs.hashing import hashes

_SHARE, _MOST = 0.2, 500  # of the views of an item, and views of all, that are left out
_SCORES = 1 << 21  # of a piece of work
_SEED = 19  # another one than that of splits, whose entries are not in train

FoldIn = Callable[[np.ndarray, SparseRows], np.ndarray]  # factors to start from, and rows -> factors


class Tables(NamedTuple):
    """The factors of all users and of all items, float32 [n, d], and `one_list.metric` of the users."""

    users: np.ndarray
    items: np.ndarray
    metric: np.ndarray


class Trial(NamedTuple):
    """The choice, and what decided it."""

    reach: Reach
    gain: float  # mean of 1 / log2(1 + rank), with attributes minus without; 0 if no view could be left out
    views: int  # that were left out


def sample(views: np.ndarray, few_views: int, shown: np.ndarray) -> np.ndarray:
    """Return bool [m], items with attributes whose number of views is between the two reaches, few enough to try."""
    between = shown & (views > NEAR.whole * few_views) & (views < FAR.none * few_views)
    share = _MOST / max(_SHARE * float(views[between].sum()), 1)
    numbers = np.arange(len(views))
    return between & (hashes(_SEED, numbers, np.zeros_like(numbers)) < share)


def choose(
    rows: SparseRows, items: np.ndarray, prior: np.ndarray, tables: Tables, fold_in: FoldIn, cluster: Cluster
) -> Trial:
    """Return the reach of attributes, the same in all processes.

    Args:
        rows: items of this process with the userIds of their visitors. items: int64 [rows], their itemIds.
        prior: float32 [rows, d], their factors from attributes.
    """
    owners = np.repeat(np.arange(len(rows)), rows.lengths)
    is_out = hashes(_SEED, rows.indices.astype(np.int64), items[owners]) < _SHARE
    left, owners, users = rows.keep(~is_out), owners[is_out], tables.users[rows.indices[is_out]]
    total = 0.0
    if len(users):
        starts, both = np.concatenate([np.zeros_like(prior), prior]), SparseRows.concatenated([left, left])
        without, folded = np.split(fold_in(starts, both), 2)
        whole, nothing = np.ones(len(rows)), np.zeros(len(rows))
        tried = one_list.of_known(without, folded, whole, nothing, tables.metric), without
        gains = _gains(users, tables.items, items[owners], [table[owners] for table in tried])
        total = float((gains[0] - gains[1]).sum())
    total, count = cluster.sum(np.array([total, float(len(users))]))
    gain = float(total / count) if count else 0.0
    return Trial(FAR if gain > 0 else NEAR, gain, int(count))


def _gains(users: np.ndarray, items: np.ndarray, asked: np.ndarray, tried: Sequence[np.ndarray]) -> np.ndarray:
    """Return 1 / log2(1 + rank) of one item for each user, float64 [tried, n], with other factors than in `items`."""
    ranks, size = np.zeros((len(tried), len(users))), max(1, _SCORES // len(items))

    def rank(start: int) -> None:
        part = slice(start, start + size)
        scores = users[part] @ items.T
        scores[np.arange(len(scores)), asked[part]] = -np.inf
        for number, factors in enumerate(tried):
            own = np.einsum("ij,ij->i", users[part], factors[part])
            ranks[number, part] = 1 + np.count_nonzero(scores >= own[:, None], axis=1)

    threads.each(rank, range(0, len(users), size))
    return 1 / np.log2(1 + ranks)
