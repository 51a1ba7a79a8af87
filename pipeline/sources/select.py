"""The source that the settings name."""

from __future__ import annotations

from configs.settings import RatingSettings, SourceSettings, SplitSettings
from pipeline.sources.ga4 import Ga4
from pipeline.sources.ga360 import Ga360
from pipeline.sources.source import Read, Source
from pipeline.sources.table import Table


def source_of(
    source: SourceSettings,
    rating: RatingSettings,
    split: SplitSettings = SplitSettings(),  # noqa: B008 - frozen
    read: Read | None = None,
) -> Source:
    """Return the source that the settings name; raise UserError if the settings do not fit it.

    read: how to read the streams of BigQuery, where the input is there.
    """
    if source.kind == "table":
        made: Source = Table(source, rating, read, str(source.query or source.input) if read else None)
    else:
        made = Ga360(source, split=split) if source.kind == "ga360" else Ga4(source, split)
        made = made.reading(read, str(source.input)) if read else made
    made.keeps_views = rating.kind == "binary"
    return made
