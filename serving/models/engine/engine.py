"""The signatures of a version, answered from its tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from artifacts.served.ids import NONE
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from ranking import cold_start, explain
from ranking.attributes import prior
from ranking.compressed import search
from ranking.heap import Best
from ranking.neighbourhood import Audience
from serving.errors import Refusal, UnusableError
from serving.models.engine.attributes import FromAttributes
from serving.models.engine.content import Content, rows_of
from serving.models.engine.lists import Counts, NewRows, answer
from serving.models.engine.recommendations import Alike, By, Visitors, in_segments, recommended, rows_like, similar
from serving.models.engine.selection import ALL, Selector
from serving.models.signatures import (
    DEFAULT_SIGNATURE,
    FROM_PAIRS,
    HISTORY_OF_PAIRS,
    WITH_ITEMS,
    Arrays,
    WithItems,
)
from serving.rules.limits import LIMITED, Limited


class Engine:
    """A version's tables and the answers from them. Several threads may call `run` at once."""

    def __init__(self, path: str):
        """Open the tables of a SavedModel; raise UnusableError if they cannot be read."""
        try:
            self._content = content = Content(path)
        except (UserError, OSError, KeyError, TypeError, ValueError) as error:
            raise UnusableError(f"its tables cannot be read ({error}); copy the version again") from error
        self.described: dict[str, Any] = content.about["signatures"]
        self._of_model = NewRows(content.new, len(content.items.rows)) if content.new.all_ids else None
        self._with_added: tuple[WithItems, NewRows] | None = None
        self._attributes, self._selector = FromAttributes(content), Selector(content)
        self._answers: dict[str, Callable[[Arrays, By], Arrays]] = {
            DEFAULT_SIGNATURE: self._recommend,
            "recommend": self._recommend,
            "recommend_from_history": self._recommend_from_history,
            "recommend_from_attributes": self._recommend_from_attributes,
            "project": self._project,
            "audience": self._audience,
            "item_from_attributes": self._item_from_attributes,
            "factors_from_attributes": lambda inputs, by: self._attributes.of_items(inputs),
            "similar_items": lambda inputs, by: self._similar_items(inputs, by, by_cosine=True),
            "similar_items_dot": lambda inputs, by: self._similar_items(inputs, by, by_cosine=False),
            "similar_visitors": lambda inputs, by: self._similar_visitors(inputs, by_cosine=True),
            "similar_visitors_dot": lambda inputs, by: self._similar_visitors(inputs, by_cosine=False),
            "explanation": self._explanation,
            "history": self._history,
            HISTORY_OF_PAIRS: self._history_of_pairs,
            FROM_PAIRS: self._recommend_from_history,
        }

    def run(
        self, signature: str, inputs: Arrays, added: WithItems | None = None, limited: Limited | None = None
    ) -> Arrays:
        """Return a signature's outputs; raise Refusal if the inputs (400) or the limits (422) are refused."""
        new = self._new_rows(added)
        selection = self._selector.of(limited, new) if signature.startswith(LIMITED) else ALL
        return self._answers[signature](inputs, By(new, selection))

    def may_be(self, ids: list[bytes], added: WithItems | None, limited: Limited) -> np.ndarray:
        """Return bool [n], which items the limits allow in an answer."""
        return self._selector.may_be(ids, limited, self._new_rows(added))

    def count(self, table: str) -> int | None:
        """Return the number of rows of the table `users` or `items`."""
        return len(self._content.users.rows if table == "users" else self._content.items.rows)

    def reads(self, signature: str) -> float:
        """Return how many numbers of a table a signature reads for a row; infinity for those with TensorFlow."""
        if "_attributes" in signature:
            return math.inf
        of_visitors = signature in ("audience", "similar_visitors", "similar_visitors_dot")
        return (self._content.users if of_visitors else self._content.items).rows.size

    def to_warm_up(self) -> list[str]:
        """Return the signatures to run once, so that no request waits for a kernel: those without TensorFlow."""
        return [name for name in self.described if not name.endswith(("_attributes", WITH_ITEMS))]

    def _new_rows(self, added: WithItems | None) -> NewRows | None:
        if added is None:
            return self._of_model
        if self._with_added is None or self._with_added[0] is not added:
            new = self._content.new_items(added.ids, added.factors)
            self._with_added = added, NewRows(new, len(self._content.items.rows))
        return self._with_added[1] if len(self._with_added[1]) else None

    def _recommend(self, inputs: Arrays, by: By) -> Arrays:
        """Return the best items for each visitor, without those that the visitor has and may not be given again."""
        content, users = self._content, self._content.visitor_ids.indices(inputs["visitorId"])
        history, nobody = rows_of(content.histories, users), np.zeros((len(users), 0), np.int64)
        factors = content.users.rows[np.maximum(users, 0)]
        rules = self._rules(users >= 0, history)
        visitors = Visitors(rules, factors, history, history.left_out(), nobody)
        return recommended(self._content, visitors, inputs["k"], by)

    def _recommend_from_history(self, inputs: Arrays, by: By) -> Arrays:
        optional = [inputs[name] for name in ("weights", "again") if name in inputs]  # of FROM_PAIRS
        return self._for_histories(inputs["contentIds"], inputs["ratings"], inputs["k"], by, optional=optional)

    def _recommend_from_attributes(self, inputs: Arrays, by: By) -> Arrays:
        asked = self._attributes.of_visitors(inputs)
        names, ratings, k = asked.others
        by_model = By(self._of_model, by.selection)
        if asked.segments is not None and self._content.segments:
            answers = self._for_histories(names, ratings, k, by_model)
            return in_segments(self._content, answers, asked.segments, Counts.of(k, len(names)).each, by_model)
        return self._for_histories(names, ratings, k, by_model, asked.factors, asked.described)

    def _for_histories(
        self,
        names: np.ndarray,
        ratings: np.ndarray,
        k: np.ndarray,
        by: By,
        own: np.ndarray | None = None,
        described: Any = False,
        *,
        optional: Sequence[np.ndarray] = (),
    ) -> Arrays:
        """Return the best items for visitors without a row in the dataset, from their ratings.

        own: float32 [b, d], their factors from attributes; described: whether these are known, bool [b].
        optional: weights of the ratings in the loss float32 [b, n], 1 if they are not given, and which items may be
        recommended again, bool [b, n].
        """
        content, indices = self._content, self._history_of(names, ratings)
        history = _as_rows(indices, ratings, *optional)
        size = len(history)
        factors = np.zeros((size, content.items.rows.shape[1]), np.float32) if own is None else own.copy()
        rules = self._rules(np.zeros(size, bool), history, described)
        rows = np.flatnonzero(rules.projection)
        if len(rows):
            weights = np.full(len(rows), content.default_row_weight, np.float32)
            factors[rows] = prior.fold_in(factors[rows], content.projection, history.take(rows), weights)
        seen = by.new.indices(names) if by.new else indices
        return recommended(content, Visitors(rules, factors, history, history.left_out(), seen), k, by) | {
            "known": history.lengths.astype(np.int32)
        }

    def _history_of(self, names: np.ndarray, ratings: np.ndarray) -> np.ndarray:
        """Return the itemIds int64 [b, n] of histories, -1 for an item that the model lacks; raise Refusal."""
        if not np.isfinite(ratings).all():
            raise Refusal(400, "ratings must be finite numbers")
        if names.shape != ratings.shape:
            raise Refusal(400, "contentIds and ratings must have one shape")
        indices = self._content.item_ids.indices(names)
        ordered = np.sort(indices, axis=1)
        if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
            raise Refusal(400, "a history names an item twice; name it once")
        return indices

    def _rules(self, known: np.ndarray, history: SparseRows, described: Any = False) -> cold_start.Rules:
        settings = self._content.cold_start
        least = settings.min_ratings, settings.min_site_ratings
        return cold_start.rules(known, history.lengths, self._content.histories.entries, *least, described)

    def _project(self, inputs: Arrays, by: By) -> Arrays:
        """Return the factors of rows of itemIds, padded with -1."""
        content, indices = self._content, inputs["indices"]
        if indices.shape != inputs["values"].shape or (indices >= len(content.items.rows)).any():
            raise Refusal(400, "indices are out of the range of itemIds, or values have another shape")
        rows = _as_rows(indices, inputs["values"])
        weights = np.full(len(rows), content.default_row_weight, np.float32)
        return {"factors": content.projection.solve(rows, weights)}

    def _audience(self, inputs: Arrays, by: By) -> Arrays:
        """Return the visitors with the greatest scores for each item, without those whose history leaves it out."""
        content, names, new = self._content, inputs["contentId"], by.new
        items = content.item_ids.indices(names)
        factors = np.where((items >= 0)[:, None], content.items.rows[np.maximum(items, 0)], content.mean_item)
        rule = np.where(items >= 0, cold_start.FACTORS.encode(), cold_start.MEAN_ITEM.encode()).astype(object)
        if new:
            of_new = new.with_factors(names)
            is_new = (of_new >= 0) & (items < 0)
            factors[is_new], rule[is_new] = new.rows(of_new[is_new]), cold_start.ATTRIBUTES.encode()
        return self._visitors_for(items, factors, rule, inputs["k"])

    def _visitors_for(self, items: np.ndarray, factors: np.ndarray, rule: np.ndarray, k: np.ndarray) -> Arrays:
        content, (most, each) = self._content, Counts.of(k, len(items))
        term = None
        if content.neighbourhood:
            chosen = content.sources[np.maximum(items, 0)].multiply((items >= 0)[:, None]).tocsr()
            audience = Audience(content.neighbourhood, chosen)
            term = audience.among_owners(content.all_owners, content.items_of_each)
        left_out, size = rows_of(content.owners, items), min(most, len(content.users.rows))
        best = search.top_k(factors, content.users, left_out, size, term=term)
        return answer("visitorIds", content.visitor_ids, best, each) | {"rule": rule}

    def _item_from_attributes(self, inputs: Arrays, by: By) -> Arrays:
        """Return the audience of each item; one without features is answered by the mean item."""
        asked = self._attributes.of_new_items(inputs)
        described = asked.described[:, None]
        factors = np.where(described, asked.factors, self._content.mean_item)
        rule = np.where(asked.described, cold_start.ATTRIBUTES.encode(), cold_start.MEAN_ITEM.encode()).astype(object)
        nobody = np.full(len(factors), NONE, np.int64)
        return self._visitors_for(nobody, factors, rule, asked.others[0]) | {"factors": factors}

    def _similar_items(self, inputs: Arrays, by: By, by_cosine: bool) -> Arrays:
        content, names, new = self._content, inputs["contentId"], by.new
        indices = content.item_ids.indices(names)
        if new:
            indices = np.where(indices >= 0, indices, new.with_factors(names))
        table = content.item_directions if by_cosine else content.items
        return similar(content, Alike(indices, table, by_cosine), inputs["k"], by)

    def _similar_visitors(self, inputs: Arrays, by_cosine: bool) -> Arrays:
        content = self._content
        indices = content.visitor_ids.indices(inputs["visitorId"])
        most, each = Counts.of(inputs["k"], len(indices))
        table = content.user_directions if by_cosine else content.users
        best = rows_like(Alike(indices, table, by_cosine), By(None, ALL), most)
        return answer("visitorIds", content.visitor_ids, best, np.where(indices >= 0, each, 0))

    def _explanation(self, inputs: Arrays, by: By) -> Arrays:
        """Return the visitor's items of the greatest contributions to the projected score of an item."""
        content, names, new = self._content, inputs["contentId"], by.new
        users, items = content.visitor_ids.indices(inputs["visitorId"]), content.item_ids.indices(names)
        wanted = content.items.rows[np.maximum(items, 0)]
        if new:
            of_new = new.with_factors(names)
            is_new = (of_new >= 0) & (items < 0)
            wanted[is_new], items = new.rows(of_new[is_new]), np.where(is_new, of_new, items)
        history = rows_of(content.histories, np.where(items >= 0, users, NONE))
        best, totals = self._best_of_each(history, inputs["k"]), np.zeros(len(users))
        for row in np.flatnonzero(history.lengths).tolist():
            own, user = history.between(row, row + 1), users[row]
            shares = explain.contributions(content.projection, own, content.user_weights[user], wanted[row : row + 1])
            if content.neighbourhood and items[row] < len(content.items.rows):
                shares = shares + content.neighbourhood.contributions(own.indices, items[row : row + 1])
            _set(best, row, explain.greatest(shares, own.indices, best.indices.shape[1]))
            totals[row] = shares.sum()
        fields = answer("contentIds", content.item_ids, best, Counts.of(inputs["k"], len(users)).each)
        fields["contributions"] = fields.pop("scores")
        return fields | {"score": totals.astype(np.float32)}

    def _history(self, inputs: Arrays, by: By) -> Arrays:
        """Return the items that each visitor has, the best rated first."""
        content = self._content
        history = rows_of(content.histories, content.visitor_ids.indices(inputs["visitorId"]))
        best = self._best_of_each(history, inputs["k"])
        for row in np.flatnonzero(history.lengths).tolist():
            own = history.between(row, row + 1)
            _set(best, row, explain.greatest(own.values[None], own.indices, best.indices.shape[1]))
        fields = answer("contentIds", content.item_ids, best, Counts.of(inputs["k"], len(history)).each)
        fields["ratings"] = fields.pop("scores")
        return fields | {"total": history.lengths.astype(np.int32)}

    def _history_of_pairs(self, inputs: Arrays, by: By) -> Arrays:
        """Return whole histories, the weights of their pairs and which items may come again; k is not a limit."""
        content = self._content
        history = rows_of(content.histories, content.visitor_ids.indices(inputs["visitorId"]))
        given = np.arange(max(1, int(history.lengths.max(initial=0)))) < history.lengths[:, None]
        again = history.again if len(history.again) else np.zeros(history.entries, bool)
        columns = {"ratings": history.values, "weights": history.entry_weights, "again": again, "of": history.indices}
        padded = {name: np.zeros(given.shape, values.dtype) for name, values in columns.items()}
        for name, values in columns.items():
            padded[name][given] = values
        indices = np.where(given, padded.pop("of"), NONE)
        return padded | {"contentIds": content.item_ids.ids(indices), "count": history.lengths.astype(np.int32)}

    @staticmethod
    def _best_of_each(history: SparseRows, k: np.ndarray) -> Best:
        """Return empty lists, as long as the longest history allows, of one entry at least."""
        most = Counts.of(k, len(history)).most
        return Best.empty(len(history), min(most, int(history.lengths.max(initial=0)) + 1))


def _set(best: Best, row: int, chosen: Best) -> None:
    """Fill a row of lists with the one of `chosen`."""
    count = chosen.indices.shape[1]
    best.indices[row, :count], best.scores[row, :count] = chosen.indices[0], chosen.scores[0]


def _as_rows(indices: np.ndarray, *values: np.ndarray) -> SparseRows:
    """Return padded rows int64 [b, n], with -1 for no entry, and their values, as sparse rows, ascending."""
    order = np.argsort(indices, axis=1, kind="stable")
    indices = np.take_along_axis(indices, order, 1)
    given = indices >= 0
    indptr = np.append(0, np.cumsum(given.sum(1)))
    columns = (np.take_along_axis(table, order, 1)[given] for table in values)
    return SparseRows(np.arange(len(indices)), indptr, indices[given].astype(np.int32), *columns)
