"""The rows that are not in the dataset: how many of all, what each reason means, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from artifacts.manifests import DatasetManifest

# What a reason means and what to do, by how its name begins, without the unit (records, hits, ...).
_MEANINGS = {
    "no_signal": "No signal counts this kind of event or hit. This is normal: a page has many events.",
    "no_item": "The event or hit has no item's id. This is normal for home and search pages.",
    "no_valid_item": "No item of the event could be used; the reasons are in the rows of items.",
    "no_dwell": "The visitor left no time on the page, such as the last one of a visit.",
    "no_amount": "The signal's amount, such as a quantity, is missing.",
    "not_above_0": "What was taken away, such as a removal from the cart, is as much as what was added.",
    "not_an_id": "The id is a placeholder, such as (not set). Mend the tag if there are many.",
    "list_of_items": "The event has more items than the signal's max_items: it shows a list, and not an item.",
    "page_excluded": "The URL matches source.page.exclude.",
    "page_not_included": "The URL matches no pattern of source.page.include.",
    "page_without_pattern": "source.page.pattern finds no id in the URL. Check the pattern with wals inspect.",
    "outside_window": "The day is not in source.start_date to source.end_date.",
    "no_visitor_id": "The visitor is missing: Google Analytics had no consent.",
    "duplicate_event": "The same event is in the export twice and counts once.",
    "deleted_visitor": "The visitor is in privacy.deleted_visitors.",
    "below_min_dwell": "The dwell is below source.min_dwell_ms.",
    "below_min_items_per_user": "The visitor has fewer items than dataset.min_items_per_user.",
    "below_min_users_per_item": "The item has fewer visitors than dataset.min_users_per_item.",
    "bot": "The visitor has more views a day than source.max_views_a_day or max_items_a_day.",
    "malformed": "The row cannot be read, such as a line that is cut off. Export the file again.",
    "odd": "The row has another number of columns than the header. Check quotes and the delimiter.",
    "visitor_id": "The visitor's id is missing, empty, or has a line end.",
    "content_id": "The item's id is empty, has a line end, or is a number that is not exact.",
    "header": "The row repeats the header.",
    "answer_without_rating": "rating.ordinal has no rating for the answer. Add it there.",
    "amount": "The amount is not a number above 0.",
    "rating": "The rating is not a number above 0.",
    "duration": "The duration is not a number.",
    "engagement": "The engagement time is not a number.",
    "date": "The date cannot be read.",
    **dict.fromkeys(("time", "event_timestamp", "hit_time", "visit"), "The time cannot be read. See source.time_unit."),
}


class Excluded(NamedTuple):
    """Rows that are not in the dataset, for one reason."""

    fate: str  # rejected or skipped
    reason: str
    number: int
    share: str  # of the rows that were read, or of the unit where rows are not what is counted
    meaning: str  # "" if this page does not know the reason


def excluded(dataset: DatasetManifest) -> list[Excluded]:
    """Return the rows by fate and reason, the most frequent first of each."""
    return [
        Excluded(fate, _readable(name), count, _share(name, count, dataset), meaning(name))
        for fate, reasons in (("rejected", dataset.rejected), ("skipped", dataset.skipped))
        for name, count in reasons.items()
    ]


def meaning(name: str) -> str:
    """Return what a reason such as `records.time_invalid` means, "" if it is unknown."""
    reason = name.partition(".")[2]
    known = [start for start in _MEANINGS if reason.startswith(start)]
    return _MEANINGS[max(known, key=len)] if known else ""


def _readable(name: str) -> str:
    return name.replace(".", ": ").replace("_", " ")


def _share(name: str, count: int, dataset: DatasetManifest) -> str:
    """Return the share of what was read; only of records the manifest has a total."""
    if not name.startswith("records.") or not dataset.counts.rows_read:
        return ""
    return f"{count / dataset.counts.rows_read:.1%} of the rows"
