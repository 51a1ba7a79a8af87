"""One source of interactions: how its files are read, and what a record means."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Self

import pyarrow as pa

from configs.errors import UserError
from configs.settings import SourceSettings
from pipeline.interactions import bots, sessions
from pipeline.readers.records import RawBatch, type_name, without_values
from pipeline.sources.extract import Extract

Read = Callable[[str], Iterator[RawBatch]]


class Source(ABC):
    """Files -> rows by visitor -> interactions. It is pickled to the workers.

    Subclasses say what a record means (`_rows_of`) and, where a view is not yet an interaction, how views become one
    (`interactions`).
    """

    def __init__(self, settings: SourceSettings, read: Read, label: str | None = None, schema: pa.Schema | None = None):
        """Describe a source.

        Args:
            read: path -> batches of records.
            label: the name for the account where a path is not a file, such as a stream of BigQuery.
            schema: the fields of an export that the source reads, nested; null for a table of columns.
        """
        self.settings, self.read, self._label, self.schema = settings, read, label, schema
        self.keeps_views = False  # of no dwell; they are sound where every rating is 1

    def reading(self, read: Read, label: str) -> Self:
        """Return the same source with another way to read, such as BigQuery's streams in place of files."""
        other = copy.copy(self)
        other.read, other._label = read, label
        return other

    @property
    def is_stream(self) -> bool:
        """Return whether streams of BigQuery are read, and not files."""
        return self._label is not None

    @property
    def by_visit(self) -> bool:
        """Return whether a visitorId is `visitor-visitNumber`."""
        return self.settings.kind == "ga360" and self.settings.visitor_key == "visit"

    @abstractmethod
    def _rows_of(self, raw: RawBatch, path: str) -> Extract:
        """Return the rows of some records with their account; the first column is the visitorId."""

    def extract(self, raw: RawBatch, path: str) -> Extract:
        """Return the rows of some records with their account; raise UserError if a column has a wrong type."""
        try:
            return self._rows_of(raw, self._label or path)
        except pa.ArrowException as error:
            types = ", ".join(f"{field.name} {type_name(field.type)}" for field in raw.columns.schema)
            raise UserError(
                f"{path} has a column of a wrong type ({without_values(error)}); its columns are {types}"
            ) from None

    def shrink(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return fewer rows that mean the same, before they are shuffled."""
        return rows

    def interactions(self, rows: pa.Table) -> tuple[pa.Table, Counter[str]]:
        """Return one row per view (pipeline.interactions.sessions.INTERACTIONS), with the account.

        rows: all rows of some visitors.
        """
        return rows, Counter()

    def without_bots(self, interactions: pa.Table) -> bots.Kept:
        """Return the interactions without those of bots."""
        return bots.leave_out(interactions, self.settings)

    def combine(self, interactions: pa.Table) -> tuple[pa.Table, Counter[str]]:
        """Return one row per pair of visitor and item, with the account."""
        pairs = sessions.sum_pairs(interactions)
        if not self.settings.counts_dwell:
            return sessions.above_zero(pairs)
        least_ms, greatest_ms = self.settings.min_dwell_ms, self.settings.max_dwell_ms
        return sessions.bound_dwell(pairs, least_ms, greatest_ms, self.keeps_views)
