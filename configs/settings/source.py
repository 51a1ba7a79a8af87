"""Where interactions come from."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field, model_validator

from configs.settings.section import Date, Section

BIGQUERY = "bq://"  # of tables, as Vertex AI writes them too


class SourceSettings(Section):
    """Where interactions come from, and which of them count."""

    kind: Literal["ga360", "ga4", "table"] = Field("ga360", description="What the files hold.")
    input: str | None = Field(
        None, description="Glob of the files, local or gs://; or bq://PROJECT.DATASET.TABLE, with * for tables of days."
    )
    query: str | None = Field(
        None, description="Table: file of a BigQuery query that gives the columns below; in place of input."
    )
    start_date: Date | None = Field(None, description="First day of the window, inclusive.")
    end_date: Date | None = Field(None, description="Last day of the window, inclusive.")
    window_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Days of a window that slides with end_date, its last; in place of start_date.",
    )
    include_intraday: bool = Field(
        False, description="Read ga_sessions_intraday_* and events_intraday_* too; they are not final."
    )
    item_dimension_index: int = Field(
        10, ge=1, description="GA360: index of the hit's custom dimension that holds the contentId."
    )
    visitor_key: Literal["visitor", "visit"] = Field(
        "visitor", description="GA360: `visitor` is fullVisitorId, `visit` is fullVisitorId-visitNumber."
    )
    item_parameter: str = Field(
        "content_id",
        min_length=1,
        description="GA4: event parameter that holds the contentId; page_location loses its query and fragment.",
    )
    prefer_user_id: bool = Field(False, description="GA4: user_id where set, else user_pseudo_id.")
    visitor_column: str = Field("visitorId", description="Table: column of the visitor's id.")
    item_column: str = Field("contentId", description="Table: column of the item's id.")
    duration_column: str | None = Field(None, description="Table: column of the dwell in ms; summed a pair.")
    rating_column: str | None = Field(
        None, description="Table: column of a rating, or of an answer that rating.ordinal names; the last counts."
    )
    time_column: str | None = Field(None, description="Table: column of the time, in ms since 1970 or a timestamp.")
    min_dwell_ms: float = Field(
        0, ge=0, description="A pair of visitor and item whose summed dwell is below is dropped and counted."
    )
    max_dwell_ms: float | None = Field(
        None, gt=0, description="A summed dwell above counts as this (a tab left open), and is counted."
    )
    max_views_a_day: int | None = Field(
        None,
        ge=1,
        description="A visitor with more views (GA4: events with item) on a day in UTC is a bot: left out, counted.",
    )
    max_items_a_day: int | None = Field(
        None, ge=1, description="A visitor with more different items on a day in UTC is a bot: left out, counted."
    )
    max_reject_fraction: float = Field(
        0.01, ge=0, le=1, description="The job fails where more of the rows than this are rejected."
    )

    @property
    def filters_bots(self) -> bool:
        return self.max_views_a_day is not None or self.max_items_a_day is not None

    @model_validator(mode="after")
    def _ranges(self) -> SourceSettings:
        if self.window_days is not None and self.end_date is not None:
            first = self.end_date - datetime.timedelta(days=self.window_days - 1)
            if self.start_date not in (None, first):
                raise ValueError(f"start_date {self.start_date} is not window_days {self.window_days} before end_date")
        if self.start_date and self.end_date and self.start_date > self.end_date:
            raise ValueError(f"start_date {self.start_date} lies after end_date {self.end_date}")
        if self.filters_bots and self.kind == "table" and not self.time_column:
            raise ValueError("max_views_a_day and max_items_a_day need time_column where the source is a table")
        if self.max_dwell_ms is not None and self.max_dwell_ms < self.min_dwell_ms:
            raise ValueError("max_dwell_ms is below min_dwell_ms")
        if self.duration_column and self.rating_column:
            raise ValueError("give duration_column or rating_column, not both")
        if self.query and self.kind != "table":
            raise ValueError("query gives a table: it needs kind table")
        if self.query and self.input:
            raise ValueError("give input or query, not both")
        return self

    @property
    def in_bigquery(self) -> bool:
        """Whether the interactions come from BigQuery rather than from files."""
        return bool(self.query) or (self.input or "").startswith(BIGQUERY)
