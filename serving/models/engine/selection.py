"""The items that may be in an answer, under the limits of a call."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ranking.diversity import Cap, Mmr
from ranking.rules import items as item_rules
from ranking.rules.lists import ListRules
from serving.errors import Refusal
from serving.models.engine.content import Content
from serving.models.engine.lists import NewRows
from serving.rules.limits import NO_RULES, Limited, Rules

_KEPT = 16  # masks of the last limits: a byte per item each


class Selection(NamedTuple):
    """The items that a call may answer with, of m known and n new ones, and the rules of its lists."""

    rules: Rules
    lists: ListRules
    allowed: np.ndarray  # bool [m + n]; empty: all
    left_out: dict[str, int] | None  # items that are not allowed, by the first rule that left them out; None: no limits


_EVERY = np.zeros(0, bool)
ALL = Selection(NO_RULES, ListRules(), _EVERY, None)


class _Mask(NamedTuple):
    """The items that lists, categories and age allow, bool [m + n], and what each of them left out."""

    allowed: np.ndarray
    left_out: dict[str, int]


class _Categories(NamedTuple):
    """The number of each item's category, int32 [m + n], and those of all categories."""

    new: NewRows | None  # the new ones among the items
    of_items: np.ndarray
    numbers: dict[str, int]


class Selector:
    """The selections of a version. Several threads may ask at once."""

    def __init__(self, content: Content):
        """Take the tables of the version."""
        self._content, self._lock = content, threading.RLock()
        self._masks: dict[tuple, _Mask] = {}
        self._categories: _Categories | None = None

    def of(self, limited: Limited | None, new: NewRows | None) -> Selection:
        """Return the selection of a call; raise Refusal (422) if the version lacks what a rule needs."""
        if limited is None:
            return ALL
        rules, cap, mmr = limited.limits.rules, None, None
        if rules.max_per_category is not None:
            of_items = self._numbered(limited, new).of_items
            if (of_items < 0).all():
                raise Refusal(422, "maxPerCategory: no item of this version has a category; leave it out")
            cap = Cap(of_items, rules.max_per_category)
        if rules.mmr_lambda is not None:
            mmr = Mmr(rules.mmr_lambda, rules.candidates)
        allowed, left_out = self._mask(limited, new)
        left_out = dict(left_out)
        if rules.exclude:
            excluded = self._among(rules.exclude, new)
            left_out["exclude"] = int((allowed & excluded).sum())
            allowed = allowed & ~excluded
        return Selection(rules, ListRules(cap, rules.min_score, mmr), allowed if left_out else _EVERY, left_out)

    def may_be(self, ids: list[bytes], limited: Limited, new: NewRows | None) -> np.ndarray:
        """Return bool [n], which items may be in an answer, by their ids."""
        allowed, indices = self.of(limited, new).allowed, self._indices(ids, new)
        return (indices >= 0) & allowed[indices] if len(allowed) else np.ones(len(ids), bool)

    def _mask(self, limited: Limited, new: NewRows | None) -> _Mask:
        limits, rules = limited.limits, limited.limits.rules
        key = limits.allow, limits.block, rules.categories, rules.without_categories, rules.max_age_days, new
        with self._lock:
            if key not in self._masks:
                self._masks[key] = self._made(limited, new)
                while len(self._masks) > _KEPT:
                    del self._masks[next(iter(self._masks))]
            return self._masks[key]

    def _made(self, limited: Limited, new: NewRows | None) -> _Mask:
        limits, rules = limited.limits, limited.limits.rules
        allowed, left_out = np.ones(self._size(new), bool), dict[str, int]()

        def keep(name: str, kept: np.ndarray) -> None:
            left_out[name] = int((allowed & ~kept).sum())
            np.logical_and(allowed, kept, out=allowed)

        if limits.allow is not None:
            keep("allow", self._among(limits.allow, new))
        if limits.block:
            keep("block", ~self._among(limits.block, new))
        if rules.categories:
            keep("category", self._in_categories(rules.categories, limited, new))
        if rules.without_categories:
            keep("excludeCategory", ~self._in_categories(rules.without_categories, limited, new))
        if rules.max_age_days is not None:
            keep("maxAgeDays", self._recent(rules.max_age_days, len(allowed)))
        return _Mask(allowed, left_out)

    def _among(self, ids: Iterable[bytes], new: NewRows | None) -> np.ndarray:
        """Return bool [m + n], the items that have one of these ids."""
        mask, indices = np.zeros(self._size(new), bool), self._indices(list(ids), new)
        mask[indices[indices >= 0]] = True
        return mask

    def _in_categories(self, wanted: Iterable[str], limited: Limited, new: NewRows | None) -> np.ndarray:
        categories = self._numbered(limited, new)
        return np.isin(categories.of_items, [categories.numbers[name] for name in wanted if name in categories.numbers])

    def _recent(self, max_age_days: float, size: int) -> np.ndarray:
        newest = self._content.about.get("newest_view_ms")
        if newest is None:
            raise Refusal(422, "maxAgeDays: this version has no times of its items; leave it out, or train it again")
        known = item_rules.recent(self._content.tables.array("items.first_time_ms"), newest, max_age_days)
        return np.append(known, np.ones(size - len(known), bool))  # new items are not too old

    def _numbered(self, limited: Limited, new: NewRows | None) -> _Categories:
        with self._lock:
            if self._categories is None or self._categories.new is not new:
                known = self._content.item_ids
                ids = known.ids(np.arange(len(known))).tolist()
                if new:
                    ids += new.ids(np.arange(len(known), len(known) + len(new))).tolist()
                categories = item_rules.numbered([limited.category_of(name) for name in ids])
                self._categories = _Categories(new, *categories)
            return self._categories

    def _indices(self, ids: list[bytes], new: NewRows | None) -> np.ndarray:
        """Return the indices of items by their ids, int64 [n]; -1 for one that is not there."""
        names = np.empty(len(ids), object)
        names[:] = ids
        indices = self._content.item_ids.indices(names)
        return np.where(indices >= 0, indices, new.indices(names)) if new else indices

    def _size(self, new: NewRows | None) -> int:
        return len(self._content.items.rows) + (len(new) if new else 0)
