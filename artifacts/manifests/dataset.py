"""The manifest of a dataset, which `pipeline.preprocess` writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from artifacts.manifests.base import Manifest, Part
from artifacts.names import HELD_OUT
from configs.settings import DatasetSettings, RatingSettings, SourceSettings, SplitSettings


class DatasetCounts(Part):
    """Numbers of files, rows, interactions, users and items."""

    files_read: int
    files_outside_window: int
    rows_read: int
    rows_rejected: int
    interactions: int
    users: int
    items: int


class Days(Part):
    """First and last day among the rows, as the export writes them (YYYYMMDD); null if the rows have no date."""

    first: str | None = None
    last: str | None = None


class SplitAccount(Part):
    """The account of a split, in pairs of visitor and item: those kept from training, and those it could not use.

    Attributes:
        kind: `none`, or the rule. held_out: pairs. visitors_with, visitors_without: visitors with and without such.
        already_in_train, unknown_visitor, unknown_item: pairs that were left out, by reason.
    """

    kind: str = "none"
    held_out: int = 0
    visitors_with: int = 0
    visitors_without: int = 0
    already_in_train: int = 0
    unknown_visitor: int = 0
    unknown_item: int = 0


class DatasetSections(Part):
    """The settings with which the dataset was made."""

    source: SourceSettings
    rating: RatingSettings
    split: SplitSettings
    dataset: DatasetSettings


class Comparison(Part):
    """Figures of the last good dataset and of this one, then and now."""

    baseline: str
    created: str
    users: tuple[int, int]
    items: tuple[int, int]
    interactions: tuple[int, int]
    median: tuple[float | None, float | None]


class DatasetManifest(Manifest):
    """The manifest of a dataset.

    Attributes:
        created: when, ISO 8601 in UTC. seconds: how long it took.
        rejected, skipped: rows, hits or pairs by reason, the most frequent first.
        median: of the amounts, in ms for a dwell; null if the ratings need none.
        shards: number of files of each side, by the prefix of their names.
        bigquery: what the query's job reports; null for files.
        visitors_hashed_with: the name of the key that hashed the visitorIds; null if they were not hashed.
        steps: rows and bytes of each step. compared: with the last good dataset. run: the Dataflow run that made it.
    """

    KINDS: ClassVar = ("dataset",)
    SCHEMA_VERSION: ClassVar = 2
    COMMAND: ClassVar = "python -m pipeline.preprocess --replace"

    created: str
    seconds: float
    counts: DatasetCounts
    rejected: dict[str, int]
    skipped: dict[str, int]
    split: SplitAccount
    capped_at_max_dwell: int
    median: float | None
    days: Days
    shards: dict[str, int]
    compression: Literal["gzip", "none"]
    bigquery: dict[str, int] | None = None
    visitors_hashed_with: str | None = None
    settings: DatasetSections
    steps: dict[str, dict[str, int]] = Field(default_factory=dict)
    compared: Comparison | None = None
    run: str | None = None

    def wrong_sums(self) -> Iterator[str]:
        """Yield a line per side whose files do not add up to the manifest's counts."""
        for side in self.shards:
            files = (file for name, file in self.files.items() if name.startswith(f"{side}-"))
            total = sum(file.interactions or 0 for file in files)
            expected = self.split.held_out if side == HELD_OUT else self.counts.interactions
            if total != expected:
                yield f"{side} has {total} interactions where the manifest counts {expected}"
