"""Facts of a GA360 export: the hits of its sessions, their products and dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import SourceSettings
from pipeline.inspection.facts.lists import Entries, entries, ids_of, joined, without
from pipeline.inspection.facts.measures import Candidate, Event, Facts, coded, measure, repeats, returning
from pipeline.inspection.sampling.files import Sample
from pipeline.sources import columns, times
from pipeline.sources.extract import column

# hits.eCommerceAction.action_type, by the names of a signal's events; 0 is a list of products.
ACTIONS = {
    "1": "click",
    "2": "detail",
    "3": "add_to_cart",
    "4": "remove_from_cart",
    "5": "checkout",
    "6": "purchase",
    "7": "refund",
    "8": "checkout option",
}
_TYPES = {"PAGE": "page", "APPVIEW": "screen"}
_PRODUCT_FIELDS = ("productSKU", "v2ProductName")
_GROUPS = tuple(f"contentGroup{number}" for number in range(1, 6))


def facts_of(sample: Sample) -> Facts:
    """Return the facts of a sample of sessions."""
    batches = [raw.columns for _, raw in sample.batches]
    names = SourceSettings(kind="ga360").names_of_no_id
    visitors, _ = coded(without(ids_of(batches, "fullVisitorId"), (*names, "")))
    users = without(ids_of(batches, "userId"), (*names, ""))
    days, day_texts = coded(joined([times.days(column(batch, "date")).dictionary_decode() for batch in batches]))
    visits, _ = coded(ids_of(batches, "visitId"))
    starts, _ = coded(ids_of(batches, "visitStartTime"))
    hits = _Hits(batches)
    facts = Facts(
        "ga360",
        "sessions",
        rows=len(visitors),
        hits=len(hits),
        visitors=len(np.unique(visitors[visitors >= 0])),
        returning=returning(visitors, days),
        days=sorted(day_texts),
        anonymous=float((visitors < 0).mean()),
        users=1 - users.null_count / len(users),
        events=_events(hits),
        duplicates=repeats(visitors, visits, starts),
    )
    facts.candidates = [each for each in _candidates(batches, hits, visitors, names) if each.carried or each.no_ids]
    return facts


class _Hits:
    """The hits of all sessions: the session of each, its fields, and its products, without impressions."""

    def __init__(self, batches: Sequence[pa.RecordBatch]):
        self._lists = entries([column(batch, "hits") for batch in batches])
        self.session = self._lists.parent
        self.products, self.impressions = self._interests()

    def __len__(self) -> int:
        return len(self.session)

    def field(self, *path: str) -> pa.BinaryArray:
        """Return a field of each hit."""
        return self._lists.field(*path)

    def lists(self, name: str) -> Entries:
        """Return the entries of a list in each hit."""
        return self._lists.lists(name)

    def _interests(self) -> tuple[Entries, np.ndarray]:
        """Return the products, without those of lists, and the number of impressions of each hit."""
        products = self._lists.lists("product")
        in_list = pc.equal(products.field("isImpression"), b"true").fill_null(False).to_numpy(zero_copy_only=False)
        action = self.field("eCommerceAction", "action_type").take(pa.array(products.parent))
        no_action = pc.is_in(action, value_set=pa.array([b"0", None], pa.binary())).to_numpy(zero_copy_only=False)
        shown = in_list | no_action
        return products.filter(~shown), np.bincount(products.parent[shown], minlength=len(self))


def _events(hits: _Hits) -> list[Event]:
    """Return the hits by what a signal names: their page or screen, their action, or their event's category."""
    sizes = np.bincount(hits.products.parent, minlength=len(hits))
    found = []
    kinds, texts = coded(hits.field("type"))
    masks = [(_TYPES[text], kinds == code) for code, text in enumerate(texts) if text in _TYPES]
    actions, texts = coded(hits.field("eCommerceAction", "action_type"))
    masks += [(ACTIONS[text], actions == code) for code, text in enumerate(texts) if text in ACTIONS]
    categories, texts = coded(hits.field("eventInfo", "eventCategory"))
    masks += [(text, categories == code) for code, text in enumerate(texts)]
    for name, mask in masks:
        listed = sizes[mask][sizes[mask] > 0]
        typical = int(np.median(listed)) if len(listed) else 0
        several = float((listed > 1).mean()) if len(listed) else 0.0
        found.append(Event(name, int(mask.sum()), len(listed), typical, several))
    if hits.impressions.any():
        listed = hits.impressions[hits.impressions > 0]
        found.append(Event("(lists of products)", len(listed), len(listed), int(np.median(listed)), 1.0))
    return sorted(found, key=lambda event: (-event.events, event.name))


def _candidates(
    batches: Sequence[pa.RecordBatch], hits: _Hits, visitors: np.ndarray, names: Sequence[str]
) -> Iterator[Candidate]:
    """Yield the candidates: products of all hits, pages and dimensions of page views, screens of screen views."""
    of_hit = visitors[hits.session]

    def measured(name: str, events: np.ndarray, ids: pa.Array, of: int) -> Candidate:
        return measure(name, events, of_hit[events], ids, names, of)

    for name in _PRODUCT_FIELDS:
        yield measured(f"product.{name}", hits.products.parent, hits.products.field(name), len(hits))
    kinds = hits.field("type")
    pages, screens = (np.flatnonzero(pc.equal(kinds, kind).fill_null(False)) for kind in (b"PAGE", b"APPVIEW"))
    labelled = np.flatnonzero(hits.field("eventInfo", "eventCategory").is_valid())
    fields = [("page", pages, ("page", "pagePath")), ("screen", screens, ("appInfo", "screenName"))]
    fields += [(f"content_group.{name[-1]}", pages, ("contentGroup", name)) for name in _GROUPS]
    fields += [("event.eventLabel", labelled, ("eventInfo", "eventLabel"))]
    for name, places, path in fields:
        yield measured(name, places, hits.field(*path).take(pa.array(places)), len(places))
    viewed = np.zeros(len(hits), bool)
    viewed[pages], viewed[screens] = True, True
    for name, events, ids in _dimensions(batches, hits):
        kept = viewed[events]
        yield measured(name, events[kept], ids.filter(pa.array(kept)), int(viewed.sum()))


def _dimensions(batches: Sequence[pa.RecordBatch], hits: _Hits) -> Iterator[tuple[str, np.ndarray, pa.BinaryArray]]:
    """Yield the custom dimensions of hits, and of sessions for all hits of theirs: name, hits int64[n], values."""
    of_hits = hits.lists("customDimensions")
    of_sessions = entries([column(batch, "customDimensions") for batch in batches])
    parts = [(of_hits.parent, of_hits)]
    order = np.argsort(hits.session, kind="stable")
    sorted_sessions = hits.session[order]
    first, last = (np.searchsorted(sorted_sessions, of_sessions.parent, side) for side in ("left", "right"))
    repeated = np.repeat(np.arange(len(of_sessions.parent)), last - first)
    places = np.arange(len(repeated)) - np.repeat(np.cumsum(last - first) - (last - first), last - first)
    parts.append((order[np.repeat(first, last - first) + places], of_sessions.take(repeated)))
    for index in sorted({int(each) for _, part in parts for each in np.unique(_indices(part))}):
        events, ids = [], []
        for parents, part in parts:
            is_index = _indices(part) == index
            events.append(parents[is_index])
            ids.append(part.field("value").filter(pa.array(is_index)))
        yield f"dimension.{index}", np.concatenate(events), joined(ids)


def _indices(part: Entries) -> np.ndarray:
    return columns.integers(part.field("index"))[0]
