"""Warnings: what in an export would spoil the recommendations, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from configs.nouns import counted
from pipeline.inspection.facts.measures import Candidate, Facts
from pipeline.inspection.facts.table import Roles
from pipeline.inspection.proposal import SHOP_EVENTS, Proposal
from pipeline.inspection.sampling.files import Sample
from pipeline.inspection.windows import BOT_VIEWS_A_DAY, WINDOWS, Interest

_FEW_RETURN, _FEW_SEVERAL = 0.1, 0.2
_MANY_LISTS, _LONG_LIST = 0.5, 4
_FEW_VISITORS = 2.0
_MANY_ANONYMOUS = 0.05


def of_export(facts: Facts, sample: Sample, proposal: Proposal, interest: Interest) -> Iterator[str]:
    """Yield the warnings about an export."""
    yield from facts.notes
    yield from _of_records(sample)
    yield from _of_returning(facts)
    if facts.anonymous >= _MANY_ANONYMOUS:
        yield f"{percent(facts.anonymous)} of the {facts.unit} have no visitor (no consent): they do not count"
    if proposal.presets[0].endswith("_shop"):
        yield from _of_lists(facts)
    if proposal.presets[0] in ("ga4_pages", "ga4_articles", "ga4_app") and not any(e.engaged for e in facts.events):
        yield "no event has engagement_time_msec: without dwell no pair counts"
    yield from _of_items(facts.candidate(proposal.item))
    yield from _of_interest(interest)


def of_table(facts: Facts, sample: Sample, roles: Roles, interest: Interest) -> Iterator[str]:
    """Yield the warnings about a table."""
    yield from _of_records(sample)
    if not sample.header:
        yield "the first line has numbers, not names: the columns are called column1, column2 and so on"
    if roles.guessed:
        yield "the columns of visitors and items are guessed from their places: check them"
    if roles.answers:
        yield "the answers in rating.ordinal are in the order of the alphabet: set their numbers"
    if roles.duration:
        yield f"{roles.duration} must be in ms"
    yield from _of_returning(facts)
    yield from (warning for candidate in facts.candidates for warning in _of_items(candidate))
    yield from _of_interest(interest)


def _of_records(sample: Sample) -> Iterator[str]:
    count = sum(sample.complaints.values())
    if count:
        complaint, _ = sample.complaints.most_common(1)[0]
        yield f"{counted(count, 'record')} cannot be read, most of them: {complaint}"
    if sample.unfinished:
        yield "only intraday or fresh tables match: their last day is not complete"
    if sample.share < 1:
        yield f"about {percent(sample.share)} were read: counts are of it, and fewer visitors come back in it"


def _of_returning(facts: Facts) -> Iterator[str]:
    days = len(facts.days or ())
    if days > 1 and facts.returning < _FEW_RETURN * facts.visitors:
        share = f"{percent(facts.returning / facts.visitors)} of the visitors come back on another day"
        if days < WINDOWS[-1]:
            yield f"{share}: widen the window"
        else:
            yield f"{share} of {days}: more days will hardly help"


def _of_lists(facts: Facts) -> Iterator[str]:
    lists = [
        event
        for event in facts.events
        if event.name in SHOP_EVENTS and event.lists >= _MANY_LISTS and event.typical_items >= _LONG_LIST
    ]
    if lists:
        verb = "carries" if len(lists) == 1 else "carry"
        yield (
            f"{' and '.join(event.name for event in lists)} mostly {verb} {lists[0].typical_items} items, a list: with "
            "max_items: 1 in source.signals only events with a single item count"
        )


def _of_items(item: Candidate | None) -> Iterator[str]:
    if item is None:
        return
    if item.per_item < _FEW_VISITORS:
        yield f"an item of {item.field} has {item.per_item:.1f} visitors on average: too few to compare items by them"
    if item.unknown:
        yield f"{item.field} has {listed(item.unknown)}: if not an item, put it and the default into source.missing_ids"


def _of_interest(interest: Interest) -> Iterator[str]:
    whole = interest.windows[-1]
    if not whole.pairs:
        yield "no pair of visitor and item is left: see source.signals"
    elif whole.several < _FEW_SEVERAL:
        yield f"{percent(whole.several)} of the visitors have 2 or more items: the others show nothing of taste"
    if interest.bots:
        bots = counted(interest.bots, "visitor")
        yield f"{bots} with more views than a person has: source.max_views_a_day: {BOT_VIEWS_A_DAY} leaves them out"


def listed(names: Counter[str], most: int = 3) -> str:
    """Return the most frequent names with their counts."""
    parts = [f"{name} {count:,}" for name, count in names.most_common(most)]
    return ", ".join([*parts, *(["..."] if len(names) > most else [])])


def percent(share: float) -> str:
    """Return a share in percent; one that is neither 0 nor 1 is not rounded to these."""
    if 0 < share < 0.01:
        return "below 1 %"
    return f"{min(99, round(100 * share)) if share < 1 else 100} %"
