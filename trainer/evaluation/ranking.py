"""The best K items of many users, exactly, over the whole catalogue. Ties go to the lower itemId."""

from __future__ import annotations

import numba
import numpy as np

# No fastmath: lists begin with -inf, and sums must not depend on the processor.
compiled = numba.njit(nogil=True, error_model="numpy", cache=True)


@compiled
def _offer(score, item, best, top, k):
    """Puts an item into a user's list [k], best first, where it belongs there."""
    if score < best[k - 1] or (score == best[k - 1] and top[k - 1] >= 0 and item > top[k - 1]):
        return
    place = k - 1
    while place > 0 and (
        top[place - 1] < 0 or score > best[place - 1] or (score == best[place - 1] and item < top[place - 1])
    ):
        best[place], top[place] = best[place - 1], top[place - 1]
        place -= 1
    best[place], top[place] = score, item


@compiled
def of_scores(scores, indptr, seen, top):
    """Fills top int32 [b, k] from scores float32 [b, m], which is changed; -1 where a user has fewer left.

    indptr int64 [b + 1], seen int32: what each user has already and is never given.
    """
    k = top.shape[1]
    best = np.empty(k, np.float32)
    for row in range(len(scores)):
        line = scores[row]
        for place in range(indptr[row], indptr[row + 1]):
            line[seen[place]] = -np.inf
        best[:] = -np.inf
        top[row, :] = -1
        for item in range(len(line)):
            if line[item] > best[k - 1]:  # items ascend: of equal ones the first stays
                _offer(line[item], item, best, top[row], k)


@compiled
def of_order(order, indptr, seen, top):
    """Fills top int32 [b, k] with the first of `order` int32 [m] that each user has not; `seen` ascends in a row."""
    k = top.shape[1]
    for row in range(len(top)):
        own = seen[indptr[row] : indptr[row + 1]]
        top[row, :] = -1
        filled = 0
        for item in order:
            if filled == k:
                break
            place = np.searchsorted(own, item)
            if place == len(own) or own[place] != item:
                top[row, filled] = item
                filled += 1


@compiled
def neighbours(first, last, users_indptr, users, items_indptr, items, near, shares):
    """The nearest items of the items first .. last - 1 by cosine of who has them.

    users_indptr int64 [m + 1], users: who has each item; items_indptr int64 [n + 1], items: what each user has.
    Fills near int32 [last - first, c], -1 behind the last, and shares float32, the cosines, best first.
    """
    size, count = len(users_indptr) - 1, near.shape[1]
    together, touched = np.zeros(size, np.int32), np.empty(size, np.int32)
    for item in range(first, last):
        reached = 0
        for place in range(users_indptr[item], users_indptr[item + 1]):
            user = users[place]
            for other in items[items_indptr[user] : items_indptr[user + 1]]:
                if together[other] == 0:
                    touched[reached] = other
                    reached += 1
                together[other] += 1
        own, best = near[item - first], shares[item - first]
        own[:] = -1
        best[:] = -np.inf
        norm = np.sqrt(np.float64(users_indptr[item + 1] - users_indptr[item]))
        for place in range(reached):
            other = touched[place]
            if other != item:
                length = np.sqrt(np.float64(users_indptr[other + 1] - users_indptr[other]))
                _offer(np.float32(together[other] / (norm * length)), other, best, own, count)
            together[other] = 0


@compiled
def of_neighbours(near, shares, indptr, seen, top):
    """Fills top int32 [b, k] by the summed cosines of what each user has to its neighbours [m, c]."""
    size, k = len(near), top.shape[1]
    totals, touched, mine = np.zeros(size, np.float32), np.empty(size, np.int32), np.zeros(size, np.bool_)
    best = np.empty(k, np.float32)
    for row in range(len(top)):
        own = seen[indptr[row] : indptr[row + 1]]
        reached = 0
        for item in own:
            mine[item] = True
            for place in range(near.shape[1]):
                other = near[item, place]
                if other < 0:
                    break
                if totals[other] == 0:
                    touched[reached] = other
                    reached += 1
                totals[other] += shares[item, place]
        best[:] = -np.inf
        top[row, :] = -1
        for place in range(reached):
            other = touched[place]
            if not mine[other]:
                _offer(totals[other], other, best, top[row], k)
            totals[other] = 0
        for item in own:
            mine[item] = False


@compiled
def in_both(one, other, ks, shares):
    """Fills shares float64 [b, len(ks)]: how much of the first K of two lists int32 [b, k] is the same."""
    for row in range(len(one)):
        for column in range(len(ks)):
            k, same = ks[column], 0
            for item in one[row, :k]:
                for found in other[row, :k]:
                    same += item >= 0 and item == found
            shares[row, column] = same / k
