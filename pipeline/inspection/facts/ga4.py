"""Facts of a GA4 export: its events, their parameters and items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import PageSettings, SourceSettings
from pipeline.inspection.facts.lists import Entries, entries, ids_of, joined, without
from pipeline.inspection.facts.measures import Candidate, Event, Facts, coded, measure, returning
from pipeline.inspection.sampling.files import Sample
from pipeline.sources import columns, times
from pipeline.sources.extract import column
from pipeline.sources.items.pages import PageRules

PAGE, SCREENS = "page_location", ("firebase_screen", "firebase_screen_class")
_ENGAGEMENT = "engagement_time_msec"
_ITEM_FIELDS = ("item_id", "item_name")
_NOT_USERS = ("0", "")  # user_ids of who is not signed in
_VALUES = ("string_value", "int_value", "float_value", "double_value")
# Parameters that Google's tags send, and names of other things than items.
_OWN = re.compile(
    r"(ga_|gclid|gclsrc|dclid|srsltid|firebase_|engag|session_|page_|link_|file_|debug_|batch_|video_(?!id)|term$|"
    r"search|unique_search|source|medium|campaign|content$|ignore_|entrances|outbound|percent_|previous_|all_data|"
    r"clean_event|method|currency|value|tax|ship|transaction|coupon|payment|promotion|affiliation|"
    r".*(user|visitor|client|session|device|time|date|version|referrer|cookie|consent|ip_?addr))"
)
_LIKE_ID = re.compile(
    r"(.*_)?(content|article|item|post|product|video|story|news|asset|doc|document|recipe|listing|episode|track|song|"
    r"book|media|offer|job|film|movie|course|sku|podcast|program|show)_?(id|ids|key|code|uuid|guid|slug|number|nr)?"
)
_MOST_PARAMETERS = 40


class _Parameters(NamedTuple):
    """The parameters of all events."""

    event: np.ndarray  # int64[n]
    key: pa.BinaryArray
    value: pa.BinaryArray  # null where a parameter has none


def facts_of(sample: Sample) -> Facts:
    """Return the facts of a sample of events."""
    batches = [raw.columns for _, raw in sample.batches]
    names = SourceSettings(kind="ga4").names_of_no_id
    visitors, _ = coded(without(ids_of(batches, "user_pseudo_id"), (*names, "")))
    users = without(ids_of(batches, "user_id"), (*names, *_NOT_USERS))
    event_names, texts = coded(ids_of(batches, "event_name"))
    days, day_texts = coded(joined([times.days(column(batch, "event_date")).dictionary_decode() for batch in batches]))
    params = _parameters(batches)
    items = entries([column(batch, "items") for batch in batches])
    facts = Facts(
        "ga4",
        "events",
        rows=len(visitors),
        visitors=len(np.unique(visitors[visitors >= 0])),
        returning=returning(visitors, days),
        days=sorted(day_texts),
        anonymous=float((visitors < 0).mean()),
        users=1 - users.null_count / len(users),
        consent=_consent(batches),
    )
    engaged = _engaged(params, len(visitors))
    facts.events = _events(event_names, texts, items, engaged)
    facts.parameters = _coverage(params, len(visitors))
    facts.candidates = list(_candidates(params, items, visitors, names))
    return facts


def is_like_id(name: str) -> bool:
    """Return whether a parameter's name is that of an item's id, such as content_id."""
    return bool(_LIKE_ID.fullmatch(name.lower()))


def _parameters(batches: Sequence[pa.RecordBatch]) -> _Parameters:
    params = entries([column(batch, "event_params") for batch in batches])
    return _Parameters(
        params.parent, params.field("key"), pc.coalesce(*(params.field("value", name) for name in _VALUES))
    )


def _consent(batches: Sequence[pa.RecordBatch]) -> dict[str, float]:
    """Return the share of the events with each answer to analytics_storage."""
    answers = [columns.field(_structs(column(batch, "privacy_info")), "analytics_storage") for batch in batches]
    codes, texts = coded(joined([columns.ids(answer) for answer in answers]))
    counts = np.bincount(codes + 1, minlength=len(texts) + 1)[1:]
    return {text: float(count / len(codes)) for text, count in zip(texts, counts, strict=True)}


def _structs(values: pa.Array) -> pa.Array:
    return values if pa.types.is_struct(values.type) else pa.nulls(len(values))


def _engaged(params: _Parameters, events: int) -> np.ndarray:
    """Return bool[events]: with an engagement time above 0."""
    places = _places(params, _ENGAGEMENT)
    durations, _ = times.durations(params.value.take(pa.array(places)))
    engaged = np.zeros(events, bool)
    engaged[params.event[places[durations > 0]]] = True
    return engaged


def _places(params: _Parameters, name: str) -> np.ndarray:
    return np.flatnonzero(pc.equal(params.key, name.encode()).fill_null(False).to_numpy(zero_copy_only=False))


def _events(names: np.ndarray, texts: list[str], items: Entries, engaged: np.ndarray) -> list[Event]:
    sizes = np.bincount(items.parent, minlength=len(names))
    events = []
    for code, text in enumerate(texts):
        of_name = names == code
        listed = sizes[of_name][sizes[of_name] > 0]
        typical = int(np.median(listed)) if len(listed) else 0
        several = float((listed > 1).mean()) if len(listed) else 0.0
        share = float(engaged[of_name].mean())
        events.append(Event(text, int(of_name.sum()), len(listed), typical, several, share))
    return sorted(events, key=lambda event: (-event.events, event.name))


def _coverage(params: _Parameters, events: int) -> dict[str, float]:
    """Return the share of events that have each parameter, the most frequent first."""
    codes, texts = coded(params.key)
    pairs = np.unique(params.event * (len(texts) + 1) + codes) % (len(texts) + 1)
    counts = np.bincount(pairs, minlength=len(texts))
    order = np.argsort(-counts, kind="stable")[:_MOST_PARAMETERS]
    return {texts[place]: float(counts[place] / events) for place in order}


def _candidates(params: _Parameters, items: Entries, visitors: np.ndarray, names: Sequence[str]) -> list[Candidate]:
    """Return the candidates that some event carries, those of items first."""
    events = len(visitors)
    found = []
    for name in _ITEM_FIELDS:
        ids = items.field(name)
        found.append(measure(f"items.{name}", items.parent, visitors[items.parent], ids, names, events))
    codes, texts = coded(params.key)
    fields = {"page": PAGE, "screen": next((name for name in SCREENS if name in texts), "")}
    fields |= {f"param.{text}": text for text in texts if is_like_id(text) or not _OWN.match(text.lower())}
    for name, text in fields.items():
        if text not in texts:
            continue
        code = texts.index(text)
        places = np.flatnonzero(codes == code)
        event, ids = params.event[places], params.value.take(pa.array(places))
        if name == "page":
            ids = PageRules(PageSettings()).of(ids).ids.dictionary_decode()
        found.append(measure(name, event, visitors[event], ids, names, events))
    return [each for each in found if each.carried or each.no_ids]
