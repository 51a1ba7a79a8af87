"""Lists of items for visitors, and of items or visitors like others, under the rules of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from artifacts.served.ids import NONE
from artifacts.sparse_rows import SparseRows
from ranking import cold_start, popularity
from ranking.attributes import last_places, one_list
from ranking.compressed import search
from ranking.compressed.search import Table
from ranking.heap import Best
from ranking.neighbourhood import Term
from serving.models.engine.content import Content
from serving.models.engine.lists import Counts, NewRows, answer
from serving.models.engine.selection import Selection
from serving.models.signatures import Arrays
from serving.rules.limits import LEFT_OUT


class By(NamedTuple):
    """The new items and the limits by which a call answers, next to the tables."""

    new: NewRows | None
    selection: Selection


class Visitors(NamedTuple):
    """Visitors to answer, b."""

    rules: cold_start.Rules
    factors: np.ndarray  # float32 [b, d]
    history: SparseRows
    left_out: SparseRows  # the items that each is not given
    seen: np.ndarray  # int64 [b, n], indices of which the new items are left out, too


class Alike(NamedTuple):
    """Rows of a table, as it is compared, to find others like them.

    asked: int64 [b]; -1 for an id that is not there, whose answer is of another row.
    """

    asked: np.ndarray
    table: Table
    by_cosine: bool


def recommended(content: Content, visitors: Visitors, k: np.ndarray, by: By) -> Arrays:
    """Return the best items for visitors."""
    (most, each), rules, selection = Counts.of(k, len(visitors.factors)), visitors.rules, by.selection
    if selection.rules.include_seen:
        nothing = SparseRows.empty(len(visitors.factors)), np.zeros((len(visitors.factors), 0), np.int64)
        visitors = visitors._replace(left_out=nothing[0], seen=nothing[1])
    if selection.rules.by_popularity:
        rules = cold_start.Rules(*(np.full_like(rules.popularity, name == "popularity") for name in rules._fields))
        visitors = visitors._replace(rules=rules)
    width, by_score = selection.lists.width(most), ~rules.popularity
    best = _known(content, visitors, width, selection)
    if new := by.new:
        most_new = np.where(by_score, one_list.most_new(content.cold_start.new_items_share, each), 0)
        not_given = _not_given(visitors.seen, new, selection)
        of_new = new.best(visitors.factors, not_given, max(int(most_new.max(initial=1)), 1))
        best = _merged(best, _first(of_new, most_new), selection, width)
    scored = selection.lists.at_least(best)
    low = (best.indices >= 0).sum(1) - (scored.indices >= 0).sum(1)
    best = Best(*(np.where(by_score[:, None], *both) for both in zip(scored, best, strict=True)))
    best = selection.lists.chosen(best, _factors(content, by.new), most)
    if new:
        each_new, share = np.where(by_score, each, 0), content.cold_start.newest_items_share
        best = last_places.in_last_places(best, _allowed(new.newest, selection), each_new, share, visitors.seen)
    rule = np.full(len(each), cold_start.POPULARITY.encode(), object)
    for name in (cold_start.FACTORS, cold_start.PROJECTION, cold_start.ATTRIBUTES):
        rule[getattr(rules, name)] = name.encode()
    if new and len(new.newest):
        has_newest = (best.indices >= new.newest[0]).any(axis=1)
        rule[has_newest] = [cold_start.with_newest(name.decode()).encode() for name in rule[has_newest]]
    fields = answer("contentIds", content.item_ids, best, each, by.new) | {"rule": rule}
    return fields | _left_out(selection, _seen(visitors, selection), low * by_score)


def in_segments(content: Content, answers: Arrays, segments: np.ndarray, each: np.ndarray, by: By) -> Arrays:
    """Return answers with the popularity in the segment int64 [b], where one is known, in place of that of all."""
    by_popularity = (answers["rule"] == cold_start.POPULARITY.encode()) & (answers["known"] == 0)
    rows, lists = np.flatnonzero((segments >= 0) & by_popularity), content.segments
    if lists is None:
        return answers
    width = answers["contentIds"].shape[1]
    best = Best.empty(len(rows), width)
    for row, segment in enumerate(segments[rows].tolist()):
        items = lists.items[segment]
        kept = np.flatnonzero(np.isin(items, _allowed(items, by.selection)))[:width]
        best.indices[row, : len(kept)], best.scores[row, : len(kept)] = items[kept], lists.scores[segment][kept]
    for name, part in answer("contentIds", content.item_ids, best, each[rows]).items():
        answers[name][rows] = part
    answers["rule"][rows] = cold_start.SEGMENT.encode()
    return answers


def _allowed(items: np.ndarray, selection: Selection) -> np.ndarray:
    """Return those of the items that the limits allow."""
    return items[selection.allowed[items]] if len(selection.allowed) else items


def _known(content: Content, visitors: Visitors, width: int, selection: Selection) -> Best:
    """Return the best known items."""
    rules, factors, history, left_out, _ = visitors
    items, size = len(content.items.rows), min(width, len(content.items.rows))
    best, allowed = Best.empty(len(factors), size), selection.allowed[:items]
    scored, popular = np.flatnonzero(~rules.popularity), np.flatnonzero(rules.popularity)
    if len(scored):

        def find(rows: np.ndarray, length: int) -> Best:
            some = scored[rows]
            term = Term(content.neighbourhood, history.take(some)) if content.neighbourhood else None
            lacks = left_out.take(some)
            return search.top_k(factors[some], content.items, lacks, length, term=term, allowed=allowed)

        best.indices[scored], best.scores[scored] = selection.lists.best(find, len(scored), items, size)
    if len(popular):
        order = content.by_popularity
        order = order[allowed[order]] if len(allowed) else order
        found = popularity.first_k(order, content.popularity, left_out.take(popular), size, selection.lists.cap)
        best.indices[popular], best.scores[popular] = found
    return best


def _first(best: Best, most: np.ndarray) -> Best:
    """Return the first entries of each list, at most as many as `most` int64 [b]."""
    late = np.arange(best.scores.shape[1]) >= most[:, None]
    return Best(np.where(late, NONE, best.indices), np.where(late, np.float32(-np.inf), best.scores))


def _merged(known: Best, new: Best, selection: Selection, width: int) -> Best:
    return selection.lists.merged(known, new, min(width, known.scores.shape[1] + new.scores.shape[1]))


def _not_given(seen: np.ndarray, new: NewRows, selection: Selection) -> np.ndarray:
    """Return the new items that each row is not given, int64 [b, n]: those seen, and those that are not allowed."""
    if not len(selection.allowed):
        return seen
    others = new.known + np.flatnonzero(~selection.allowed[new.known :])
    return np.concatenate([seen, np.tile(others, (len(seen), 1))], axis=1)


def similar(content: Content, alike: Alike, k: np.ndarray, by: By) -> Arrays:
    """Return the items like each item; none for an id that is not there."""
    (most, each), lists = Counts.of(k, len(alike.asked)), by.selection.lists
    width = lists.width(most)
    best = rows_like(alike, by, width)
    scored = lists.at_least(best)
    low = (best.indices >= 0).sum(1) - (scored.indices >= 0).sum(1)
    best = lists.chosen(scored, _factors(content, by.new), most)
    each, itself = np.where(alike.asked >= 0, each, 0), np.zeros(len(each), np.int64)
    return answer("contentIds", content.item_ids, best, each, by.new) | _left_out(by.selection, itself, low)


def rows_like(alike: Alike, by: By, width: int) -> Best:
    """Return the rows like each row of a table, itself left out; those of new items are among them."""
    (asked, table, by_cosine), (new, selection), size = alike, by, len(alike.table.rows)
    is_new, itself = asked >= size, np.where(asked < size, asked, NONE)
    queries = table.row(np.where(is_new, 0, np.maximum(asked, 0)))
    if new and is_new.any():
        queries[is_new] = new.rows(asked[is_new], by_cosine)
    left_out = SparseRows.single(np.maximum(itself, 0)) if not is_new.any() else _single(itself)
    allowed = selection.allowed[:size]

    def find(rows: np.ndarray, length: int) -> Best:
        return search.top_k(queries[rows], table, left_out.take(rows), length, allowed=allowed)

    best = selection.lists.best(find, len(asked), size, min(width, size))
    if new is None:
        return best
    of_new = new.best(queries, _not_given(asked[:, None], new, selection), width, by_cosine)
    return _merged(best, of_new, selection, width)


def _single(indices: np.ndarray) -> SparseRows:
    """Return rows of one entry each; an empty row for -1."""
    is_one = indices >= 0
    indptr = np.append(0, np.cumsum(is_one))
    return SparseRows(np.arange(len(indices)), indptr, indices[is_one].astype(np.int32), np.ones(indptr[-1], "f"))


def _factors(content: Content, new: NewRows | None) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function of items int64 [n], known or new, to their factors float32 [n, d]."""
    items = content.items.rows

    def factors(indices: np.ndarray) -> np.ndarray:
        rows = items[np.minimum(indices, len(items) - 1)]
        if new:
            is_new = indices >= len(items)
            rows[is_new] = new.rows(indices[is_new])
        return rows

    return factors


def _seen(visitors: Visitors, selection: Selection) -> np.ndarray:
    """Return how many items each visitor is not given again, of those that are allowed, int64 [b]."""
    left_out, allowed = visitors.left_out, selection.allowed
    own = allowed[left_out.indices] if len(allowed) else np.ones(left_out.entries, bool)
    owners = np.repeat(np.arange(len(left_out)), left_out.lengths)
    return np.bincount(owners[own], minlength=len(left_out))


def _left_out(selection: Selection, seen: np.ndarray, low: np.ndarray) -> Arrays:
    """Return the number of items that each rule left out of each row, if the call has limits: dict [b]."""
    if selection.left_out is None:
        return {}
    counts = np.empty(len(seen), object)
    for row in range(len(seen)):
        counts[row] = selection.left_out | {"seen": int(seen[row])}
        if selection.lists.min_score is not None:
            counts[row]["minScore"] = int(low[row])
    return {LEFT_OUT: counts}
