"""Facts of an export, and the measure of candidates for the item's id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.inspection.facts import patterns
from pipeline.inspection.sampling.kinds import Kind

_FEWEST_VISITORS = 3  # that have an id, so that it is shown: what one visitor alone has could be personal
_SHARED = 1.05
_MOST_TRIED = 200  # ids that are tried as examples
_IN_BRACKETS = r"^[(<\[][^()<>\[\]]*[)>\]]$"


class Candidate(NamedTuple):
    """A field that may have the item's id.

    field: as a signal names it. carried: the number of events that have an id; `of`: of all. per_item: visitors per
    item, on average; per_visitor: the reverse. no_ids: values in place of an id, with counts. unknown: such values that
    source.missing_ids does not know.
    """

    field: str
    carried: int
    of: int
    distinct: int
    per_item: float
    per_visitor: float
    examples: tuple[str, ...]
    no_ids: Counter[str]
    unknown: Counter[str]

    @property
    def coverage(self) -> float:
        """The share of the events that have an id."""
        return self.carried / self.of if self.of else 0.0

    @property
    def is_shared(self) -> bool:
        """True if ids have several visitors and visitors several ids, unlike the id of a client or of a view."""
        return self.per_item >= _SHARED and self.per_visitor >= _SHARED


class Event(NamedTuple):
    """Events of one name.

    typical_items: the median number of items of those with items. lists: the share of these with several. engaged: the
    share of all with engagement time.
    """

    name: str
    events: int
    with_items: int = 0
    typical_items: int = 0
    lists: float = 0.0
    engaged: float = 0.0


class Column(NamedTuple):
    """A column of a table; its role is visitor, item, time, rating, duration or empty."""

    name: str
    type: str
    filled: float
    distinct: int
    looks_like: str


@dataclass
class Facts:
    """Facts of a sample.

    hits: of GA360's sessions. returning: visitors seen on several days. days: distinct, ascending, YYYYMMDD. anonymous:
    the share of rows without visitor. users: the share with a user_id. consent: shares by answer. parameters: shares of
    the events. duplicates: rows that repeat another.
    """

    kind: Kind
    unit: str
    rows: int
    hits: int = 0
    visitors: int = 0
    returning: int = 0
    days: Sequence[str] = ()
    anonymous: float = 0.0
    users: float | None = None
    consent: dict[str, float] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    parameters: dict[str, float] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    duplicates: int = 0
    notes: list[str] = field(default_factory=list)

    def candidate(self, name: str) -> Candidate | None:
        """Return the candidate with a field; None if no event carries it."""
        return next((each for each in self.candidates if each.field == name and each.carried), None)


def measure(
    name: str, events: np.ndarray, visitors: np.ndarray, ids: pa.Array, names_of_no_id: Sequence[str], of: int
) -> Candidate:
    """Measure a candidate.

    Args:
        events: int64[n], the event of each id. visitors: int64[n], its visitor's code, below 0 for none.
        ids: binary[n], null where there is none.
        of: the number of events that could carry an id.
    """
    coded = ids.dictionary_encode()
    texts = [value.decode("utf-8", "replace") for value in coded.dictionary.to_pylist()]
    codes = coded.indices.fill_null(len(texts)).to_numpy().astype(np.int64)
    counts = np.bincount(codes, minlength=len(texts) + 1)[:-1]
    no_names = {*names_of_no_id, ""}
    is_id = np.array([text not in no_names for text in texts] + [False], bool)
    carried = np.unique(events[is_id[codes]])
    of_visitor = is_id[codes] & (visitors >= 0)
    most = len(texts) + 1
    pairs = np.unique(visitors[of_visitor] * most + codes[of_visitor])
    per_item = np.bincount(pairs % most, minlength=most)[:-1]
    per_visitor = len(pairs) / max(1, len(np.unique(pairs // most)))
    distinct = int(is_id.sum())
    order = np.argsort(-per_item, kind="stable")[:_MOST_TRIED]
    shown = patterns.examples(texts[place] for place in order if per_item[place] >= _FEWEST_VISITORS and is_id[place])
    no_ids = Counter({texts[at]: int(counts[at]) for at in np.flatnonzero(~is_id[:-1] & (counts > 0)) if texts[at]})
    odd = pc.match_substring_regex(pa.array(texts, pa.string()), _IN_BRACKETS).to_numpy(zero_copy_only=False)
    unknown = Counter({texts[at]: int(counts[at]) for at in np.flatnonzero(odd.astype(bool) & is_id[:-1])})
    mean = len(pairs) / max(distinct, 1)
    return Candidate(name, len(carried), of, distinct, mean, per_visitor, shown, no_ids, unknown)


def returning(visitors: np.ndarray, days: np.ndarray) -> int:
    """Return the number of visitors that are seen on several days; codes below 0 are none."""
    known = (visitors >= 0) & (days >= 0)
    if not known.any():
        return 0
    seen = np.unique(visitors[known] * (int(days.max()) + 1) + days[known]) // (int(days.max()) + 1)
    return int((np.unique(seen, return_counts=True)[1] > 1).sum())


def coded(ids: pa.Array) -> tuple[np.ndarray, list[str]]:
    """Return the code of each value, int64[n], -1 for null, and the values."""
    encoded = ids.cast(pa.binary()).dictionary_encode()
    texts = [value.decode("utf-8", "replace") for value in encoded.dictionary.to_pylist()]
    return encoded.indices.fill_null(-1).to_numpy().astype(np.int64), texts


def repeats(*keys: np.ndarray) -> int:
    """Return the number of rows that repeat another in all keys, int64[n] each."""
    if not len(keys[0]):
        return 0
    order = np.lexsort(keys)
    same = np.ones(len(order) - 1, bool)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    return int(same.sum())
