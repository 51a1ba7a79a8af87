"""Checks of a run's counts: a dataset that is empty, rejected or split wrongly is refused with the reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from artifacts import storage
from configs.errors import UserError
from configs.nouns import counted
from configs.settings import Settings, Signal, SourceSettings, SplitSettings
from configs.settings.signals import ANY_EVENT
from pipeline.interactions import splits
from pipeline.sources import times
from pipeline.sources.extract import NO_SIGNAL, RECORDS, SEEN_EVENT, SEEN_PARAMETER, SEEN_SIGNAL, TIME_UNIT
from pipeline.sources.items.missing import NO_ITEM
from pipeline.sources.items.pages import NOT_INCLUDED, WITHOUT_PATTERN
from pipeline.sources.privacy import DELETION_LIST, VIEWS

_SHOWN = 10
_NOTHING_FOUND = (f".{NO_SIGNAL}", f".{NO_ITEM}")
# Units of which not too many may be rejected, by their names in messages: records, their hits, and the items of these.
_CHECKED_UNITS = {RECORDS: "rows", "hits": "hits", "items": "items of events"}
_VISITOR_FIELD = {"ga360": "fullVisitorId", "ga4": "user_pseudo_id"}
_TIME_FIELD = {"ga360": ("visitStartTime", "s"), "ga4": ("event_timestamp", "us")}  # and their units


def check_counts(counts: Counter[str], settings: Settings, rejected_dir: str) -> None:
    """Raise UserError if the counts of a run, by dotted name, show that its dataset is of no use.

    The input is empty, from another window or of another kind; too much of it was rejected, as files in `rejected_dir`
    show; or nothing is left to train on or to hold out.
    """
    _check_time_unit(counts, settings.source)
    _check_records(counts, settings.source)
    _check_signals(counts, settings.source)
    _check_rejected(counts, settings.source, rejected_dir)
    _check_deletion(counts, settings.privacy.deleted_visitors)
    _check_pairs(counts, settings)
    _check_split(counts, settings.split)


def _check_records(counts: Counter[str], source: SourceSettings) -> None:
    read, rejected = counts[f"{RECORDS}.read"], _rejected(counts, RECORDS)
    if read == 0:
        tables = "tables" if source.in_bigquery else "files"
        of_events = (
            f" of the signals' events ({', '.join(source.events)})" if source.in_bigquery and source.events else ""
        )
        raise UserError(f"{source.query or source.input}: the {tables} contain no rows{of_events}")
    if counts[f"{RECORDS}.skipped.outside_window"] == read - rejected > 0:
        days = days_seen(counts)
        raise UserError(
            f"no row is in the window {source.start_date or '...'} to {source.end_date or '...'}; "
            f"the files contain {days['first']} to {days['last']}"
        )
    names, field = _seen(counts, SEEN_EVENT), _VISITOR_FIELD.get(source.kind)
    if source.kind == "ga4" and [*names] == [""] and _matches_none(source.all_signals, names):
        raise UserError("no row has an event_name: are these ga4 exports? --source names the kind of the files")
    without = max(counts[f"{RECORDS}.rejected.visitor_id_missing"], counts[f"{RECORDS}.skipped.no_visitor_id"])
    if field and without == read - counts[f"{RECORDS}.skipped.{NO_SIGNAL}"] > 0:
        raise UserError(f"no row has a {field}: are these {source.kind} exports? --source names the kind of the files")


def _check_signals(counts: Counter[str], source: SourceSettings) -> None:
    """Raise UserError where a signal that the settings spell out and that adds interest has no event, or no id."""
    seen, with_id = _seen(counts, SEEN_EVENT), +Counter(_seen(counts, SEEN_SIGNAL))
    for number, signal in enumerate(source.signals, 1):
        if not seen or signal.weight < 0:
            continue
        wanted, name = " or ".join(signal.event), f"source.signals, number {number}"
        if _matches_none([signal], seen):
            raise UserError(f"{name}: no event is {wanted}; the events read are {_listed(seen)}")
        if with_id and str(number) not in with_id:  # that of no signal is another error
            wanted = "event" if ANY_EVENT in signal.event else wanted
            raise UserError(
                f"{name}: no {wanted} of a visitor has an item's id in {signal.item}; wals inspect shows "
                "which fields have one"
            )


def unread_events(counts: Counter[str], source: SourceSettings) -> Iterator[str]:
    """Yield a line per signal of the settings with an event that is not in the data, perhaps a misspelled one."""
    seen = _seen(counts, SEEN_EVENT)
    for number, signal in enumerate(source.signals, 1):
        missing = [name for name in signal.event if name not in seen]
        if seen and missing and ANY_EVENT not in signal.event:
            wanted = " or ".join(missing)
            yield f"source.signals, number {number}: no event is {wanted}; the events read are {_listed(seen)}"


def _matches_none(signals: Iterable[Signal], seen: Mapping[str, int]) -> bool:
    return not any(ANY_EVENT in signal.event or seen.keys() & set(signal.event) for signal in signals)


def _check_time_unit(counts: Counter[str], source: SourceSettings) -> None:
    """Raise UserError where most times are numbers that would be times of today in another unit, or in none."""
    seen, of_google = _seen(counts, TIME_UNIT), _TIME_FIELD.get(source.kind)
    of_table = "source.time_column", "ms" if source.time_unit == "auto" else source.time_unit
    name, due = of_google or of_table
    if not seen or (unit := next(iter(seen))) == due or seen[unit] <= seen.get(due, 0):
        return
    if unit == times.NO_UNIT:
        raise UserError(
            f"most times in {name} are before 1990 or after 2099 in whatever unit: write them as ISO 8601 or in {due}"
        )
    what_to_do = "write them as Google exports them" if of_google else f"set source.time_unit: {unit}"
    raise UserError(f"the times in {name} are in {unit}, not in {due}: {what_to_do}")


def _check_deletion(counts: Counter[str], path: str | None) -> None:
    """Raise UserError where no id of a deletion list is in the data: it may be another encoding or other ids."""
    if counts[DELETION_LIST] and not counts[f"{VIEWS}.skipped.deleted_visitor"]:
        raise UserError(
            f"no id of privacy.deleted_visitors {path} is in the data: write the visitorIds, or their hashes, one per "
            "line as they are in the export; an empty list deletes nobody"
        )


def _check_rejected(counts: Counter[str], source: SourceSettings, rejected_dir: str) -> None:
    for unit, name in _CHECKED_UNITS.items():
        read, rejected = counts[f"{unit}.read"], _rejected(counts, unit)
        if rejected > source.max_reject_fraction * read:
            reasons = ", ".join(f"{reason} {count}" for reason, count in by_reason(counts, "rejected").items())
            raise UserError(
                f"{rejected} of {read} {name} were rejected, more than source.max_reject_fraction "
                f"{source.max_reject_fraction}: {reasons}; the first: {_first_rejected(rejected_dir)}"
            )


def _check_pairs(counts: Counter[str], settings: Settings) -> None:
    read, used = counts["pairs.read"], counts["pairs.used"]
    if read == 0 and counts[splits.VISITORS]:
        days = days_seen(counts)
        window = f"; the files contain {days['first']} to {days['last']}" if days["first"] else ""
        raise UserError(f"no view is before split.time {settings.split.time}: nothing is left to train on{window}")
    if read == 0:
        rows = counts[f"{RECORDS}.read"]
        raise UserError(f"no interactions in {counted(rows, 'row')}: {_why_no_interactions(counts, settings.source)}")
    if used == 0:
        raise UserError(
            "the minimum counts of dataset.min_items_per_user and min_users_per_item leave none of "
            f"{counted(read, 'interaction')}; lower them"
        )


def _check_split(counts: Counter[str], split: SplitSettings) -> None:
    shared = counts[splits.IN_TRAIN]
    if split.test_input and shared and not split.drop_shared:
        raise UserError(
            f"{shared} pairs of {split.test_input} are in train too, so that they cannot show how good a model is; "
            "remove them from one, or set split.drop_shared=true to leave them out of test"
        )
    if split.holds_out and not counts[splits.HELD_OUT]:
        raise UserError(f"nothing could be held out: {_why_nothing_held_out(counts, split)}")


def _why_nothing_held_out(counts: Counter[str], split: SplitSettings) -> str:
    unknown = counts[splits.NO_VISITOR] + counts[splits.NO_ITEM]
    if unknown:
        return f"the visitor or the item of {counted(unknown, 'pair')} is not in train; are the ids of one kind?"
    if split.kind == "time":
        return f"no view is at or after split.time {split.time}, or all of them repeat pairs of train"
    if split.test_input:
        return f"{split.test_input} contains no pair that train does not have"
    return f"no visitor has split.min_items ({split.min_items}) items, or the share of them is below one"


def _why_no_interactions(counts: Counter[str], source: SourceSettings) -> str:
    prefix, seen_prefix, setting = (
        ("dimension.", "seen.dimension.", "source.item_dimension_index")
        if source.kind == "ga360"
        else ("param.", SEEN_PARAMETER, "source.item_parameter")
    )
    fields = [signal.item for signal in source.all_signals] if source.kind != "table" else []
    names = [field.removeprefix(prefix) for field in fields if field.startswith(prefix)]
    seen = _seen(counts, seen_prefix)
    setting = "source.signals" if source.signals else setting
    if fields and len(names) == len(fields) and not seen.keys() & set(names):
        wanted = ("custom dimension " if source.kind == "ga360" else "parameter ") + " or ".join(dict.fromkeys(names))
        return f"none has the {wanted}; seen were {_listed(seen)}; set {setting}"
    events = _seen(counts, SEEN_EVENT)
    if events and _matches_none(source.all_signals, events):
        return f"no event is of a signal; the events read are {_listed(events)}; set source.signals or another preset"
    if not any(_seen(counts, SEEN_SIGNAL).values()):
        for reason, setting in ((WITHOUT_PATTERN, f"pattern {source.page.pattern}"), (NOT_INCLUDED, "include")):
            if without := sum(count for name, count in counts.items() if name.endswith(f".skipped.{reason}")):
                return f"source.page.{setting} matches none of {counted(without, 'page')}"
    lost = Counter(by_reason(counts, "skipped")) + Counter(by_reason(counts, "rejected"))
    reasons = ", ".join(f"{reason} {count}" for reason, count in lost.most_common()) or "none is left"
    if fields and lost.total() and all(reason.endswith(_NOTHING_FOUND) or ".not_an_id." in reason for reason in lost):
        looked = " or ".join(dict.fromkeys(fields))
        reasons += f"; {looked} contains no item's id: wals inspect shows which fields do"
    return reasons


def _listed(seen: dict[str, int]) -> str:
    more = f" and {len(seen) - _SHOWN} more" if len(seen) > _SHOWN else ""
    return (", ".join(f"{name} ({count})" for name, count in list(seen.items())[:_SHOWN]) or "none at all") + more


def _first_rejected(rejected_dir: str) -> str:
    """Return the reason, file and record of the first rejected row, without its ids: errors show no ids."""
    for file in storage.list_files(rejected_dir).values():
        with storage.open_to_read(file.path) as lines:
            rows = map(json.loads, lines)
            row = next((row for row in rows if "record" in row), None)  # a rejected bot has no record
        if row:
            return f"{row['reason']}, {row['file']}, record {row['record']} {row.get('complaint', '')}".rstrip()
    return "not found"


def _rejected(counts: Counter[str], unit: str) -> int:
    return sum(count for name, count in counts.items() if name.startswith(f"{unit}.rejected."))


def by_reason(counts: Counter[str], outcome: str) -> dict[str, int]:
    """Return how many records, hits or pairs had an outcome (`rejected`, `skipped`), by reason, most frequent first."""
    reasons: Counter[str] = Counter()
    for name, count in counts.items():
        unit, _, rest = name.partition(".")
        if rest.startswith(f"{outcome}.") and count:
            reasons[f"{unit}.{rest.removeprefix(f'{outcome}.')}"] += count
    return dict(reasons.most_common())


def days_seen(counts: Counter[str]) -> dict[str, str | None]:
    """Return the first and the last day of the rows read, as the export writes days (YYYYMMDD)."""
    days = sorted(day for day in _seen(counts, "seen.date.") if day.isdigit())
    return {"first": days[0] if days else None, "last": days[-1] if days else None}


def _seen(counts: Counter[str], prefix: str) -> dict[str, int]:
    seen = Counter({name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)})
    return dict(seen.most_common())
