"""The kinds of sources, each as functions of columns: what differs between GA360, GA4, tables and BigQuery's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from configs.errors import UserError
from configs.settings import RatingSettings, SourceSettings, SplitSettings
from pipeline.interactions import bots, sessions, splits
from pipeline.readers import files
from pipeline.readers.files import RawBatch
from pipeline.sources import ga4, ga360, table
from pipeline.sources.bigquery import pairs
from pipeline.sources.extract import Extract


@dataclass(frozen=True)
class Kind:
    """One kind of source, as functions of columns.

    read: path -> raw batches. extract: raw batch, path -> columns with their account. early: shrinks a batch
    before the shuffle. rows: all columns of some visitors -> a row a view (interactions.sessions.INTERACTIONS).
    people: takes the rows of bots out of those, with their rejects and account.
    combine: those -> one row a pair, with their account.
    """

    read: Callable[[str], Iterator[RawBatch]]
    extract: Callable[[RawBatch, str], Extract]
    early: Callable[[pa.Table], pa.Table] | None
    rows: Callable[[pa.Table], pa.Table]
    people: Callable[[pa.Table], tuple[pa.Table, list[bytes], Counter[str]]]
    combine: splits.Combine


def kind_of(
    source: SourceSettings,
    rating: RatingSettings,
    split: SplitSettings = SplitSettings(),  # noqa: B008 - frozen
    read: Callable[[str], Iterator[RawBatch]] | None = None,
) -> Kind:
    """The functions of the source that the settings name; with `read`, of rows that BigQuery gives."""
    bound = partial(sessions.bound_dwell, least_ms=source.min_dwell_ms, greatest_ms=source.max_dwell_ms)
    summed = partial(_summed, bound=bound)
    people = partial(bots.leave_out, source=source)
    if read and source.kind != "table":  # what pipeline/sql says is done
        if source.filters_bots:
            raise UserError(
                "max_views_a_day and max_items_a_day need a row a view, which BigQuery's tables are not read as: "
                "export the tables to files, or leave the settings out"
            )
        extract = partial(_labelled, extract=pairs.extract, label=str(source.input))
        return Kind(read, extract, None, _as_they_are, people, summed)
    if source.kind == "ga360":
        return Kind(
            partial(files.read_export, schema=ga360.SCHEMA),
            partial(ga360.extract, source=source),
            None,
            sessions.dwell,
            people,
            summed,
        )
    if source.kind == "ga4":
        return Kind(
            partial(files.read_export, schema=ga4.SCHEMA),
            partial(ga4.extract, source=source),
            None if source.filters_bots else partial(splits.on_each_side, combine=sessions.sum_pairs, split=split),
            _as_they_are,
            people,
            summed,
        )
    extract = partial(table.extract, source=source, rating=rating)
    if read:
        extract = partial(_labelled, extract=extract, label=str(source.query or source.input))
    return Kind(
        read or partial(files.read_table, names=table.column_names(source)),
        extract,
        None,
        _as_they_are,
        people,
        _last if source.rating_column else summed,
    )


def extract(kind: Kind, raw: RawBatch, path: str) -> Extract:
    """The columns of some records, with their account.

    Raises:
        UserError: a column of the file is of a type that it cannot be.
    """
    try:
        return kind.extract(raw, path)
    except pa.ArrowException as error:
        types = ", ".join(f"{field.name} {field.type}" for field in raw.columns.schema)
        what = " ".join(str(error).split())
        raise UserError(f"{path} has a column of a wrong type ({what}); its columns are {types}") from error


def _labelled(raw: RawBatch, path: str, extract: Callable[[RawBatch, str], Extract], label: str) -> Extract:
    """For the account, a row is of the table and not of the stream that it came by."""
    return extract(raw, label)


def has_times(source: SourceSettings) -> bool:
    """Whether the source tells when; where not, its interactions have the time 0."""
    return source.kind != "table" or source.time_column is not None


Bound = Callable[[pa.Table], tuple[pa.Table, Counter[str]]]


def _as_they_are(rows: pa.Table) -> pa.Table:
    return rows


def _summed(rows: pa.Table, bound: Bound) -> tuple[pa.Table, Counter[str]]:
    return bound(sessions.sum_pairs(rows))


def _last(rows: pa.Table) -> tuple[pa.Table, Counter[str]]:
    return sessions.last_of_pairs(rows), Counter()
