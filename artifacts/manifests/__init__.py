"""Manifests: what a dataset, a model, predictions and a night state about themselves, as typed models.

A manifest is written last, so an output without one is not finished. Each kind has its own schema version; an output of
another version is refused with the command that makes it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field

from artifacts.checksums import FileDescription
from artifacts.manifests.attributes import AttributesAccount as AttributesAccount
from artifacts.manifests.attributes import VisitorsAccount as VisitorsAccount
from artifacts.manifests.base import MANIFEST as MANIFEST
from artifacts.manifests.base import Manifest, Part, read_text
from artifacts.manifests.base import kind_of as kind_of
from artifacts.manifests.experiment import ExperimentRecord as ExperimentRecord
from artifacts.manifests.features import FeaturesAccount as FeaturesAccount
from artifacts.manifests.features import FieldFeatures as FieldFeatures
from artifacts.manifests.neighbourhood import NeighbourhoodAccount as NeighbourhoodAccount
from artifacts.manifests.night import AliasManifest as AliasManifest
from artifacts.manifests.night import InputTable as InputTable
from artifacts.manifests.night import LiveVersion as LiveVersion
from artifacts.manifests.night import RunManifest as RunManifest
from artifacts.manifests.night import StepRecord as StepRecord
from artifacts.manifests.outcome import OutcomeManifest as OutcomeManifest
from artifacts.names import EVALUATION, HELD_OUT, ITEM, REPORT, Side
from artifacts.paths import join
from configs.errors import UserError
from configs.settings import (
    ColdStartSettings,
    DatasetSettings,
    ExplorationSettings,
    ItemFeatureSettings,
    PredictionSettings,
    RatingSettings,
    SourceSettings,
    SplitSettings,
    TrainingSettings,
    UserFeatureSettings,
)


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
    """The account of a split, in pairs of visitor and item: those kept from training, and those it could not use."""

    kind: str = "none"  # or the rule
    held_out: int = 0
    visitors_with: int = 0  # with pairs held out
    visitors_without: int = 0
    already_in_train: int = 0  # pairs that were left out, by reason
    unknown_visitor: int = 0
    unknown_item: int = 0


class DatasetSections(Part):
    """The settings with which the dataset was made."""

    source: SourceSettings
    rating: RatingSettings
    split: SplitSettings
    dataset: DatasetSettings
    item_features: ItemFeatureSettings = ItemFeatureSettings()
    user_features: UserFeatureSettings = UserFeatureSettings()


class Comparison(Part):
    """Figures of the last good dataset and of this one, then and now."""

    baseline: str
    created: str
    users: tuple[int, int]
    items: tuple[int, int]
    interactions: tuple[int, int]
    median: tuple[float | None, float | None]


class RecommendedAccount(Part):
    """Interest after clicks on recommendations, in occurrences of signals, before it is weighed."""

    clicks: int
    interest: int  # all of it, of humans and bots
    after_clicks: int

    @property
    def share(self) -> float:
        """The share of all interest."""
        return self.after_clicks / max(self.interest, 1)


class DatasetManifest(Manifest):
    """The manifest of a dataset."""

    COMMAND: ClassVar = "wals preprocess --replace"

    kind: Literal["dataset"] = "dataset"
    schema_version: Literal[3] = 3
    created: str  # ISO 8601 in UTC
    seconds: float
    counts: DatasetCounts
    rejected: dict[str, int]  # rows, hits or pairs by reason, the most frequent first
    skipped: dict[str, int]  # as `rejected`
    split: SplitAccount
    capped_at_max_dwell: int
    # interactions with an item that may be recommended again; null if no signal allows it
    recommended_again: int | None = None
    recommended: RecommendedAccount | None = None  # null unless source.recommended tells it apart
    median: float | None  # of the amounts, in ms for a dwell; null if the ratings need none
    days: Days
    shards: dict[str, int]  # number of files of each side, by the prefix of their names
    compression: Literal["gzip", "none"]
    bigquery: dict[str, int] | None = None  # what the query's job reports; null for files
    csv_dialects: dict[str, int] = Field(default_factory=dict)  # number of CSV files by dialect, as set or detected
    deletion_list: dict[str, int] | None = None  # its lines, and how many were found; null without a list
    attributes: dict[str, int] = Field(default_factory=dict)  # items with each, with several values, not numbers
    catalogue: dict[str, int] | None = None  # its rows, those found, and items that have one; null without a catalogue
    item_features: FeaturesAccount | None = None  # null if the settings ask for none
    user_attributes: dict[str, int] = Field(default_factory=dict)  # as `attributes`, of visitors
    user_catalogue: dict[str, int] | None = None  # as `catalogue`, of visitors
    user_features: FeaturesAccount | None = None  # as `item_features`, of visitors
    visitors_hashed_with: str | None = None  # name of the key; null if the visitorIds were not hashed
    settings: DatasetSections
    steps: dict[str, dict[str, int]] = Field(default_factory=dict)  # rows and bytes of each
    compared: Comparison | None = None  # with the last good dataset
    run: str | None = None  # the Dataflow run that made it

    def features_of(self, side: Side) -> FeaturesAccount | None:
        """Return the account of the features of a side."""
        return self.item_features if side == ITEM else self.user_features

    def wrong_sums(self) -> Iterator[str]:
        """Yield a line per side whose files do not add up to the manifest's counts."""
        for side in self.shards:
            files = (file for name, file in self.files.items() if name.startswith(f"{side}-"))
            total = sum(file.interactions or 0 for file in files)
            expected = self.split.held_out if side == HELD_OUT else self.counts.interactions
            if total != expected:
                yield f"{side} has {total} interactions where the manifest counts {expected}"


class TrainedOn(Part):
    """The dataset of a model: its directory, its fingerprint and the settings of its ratings.

    The server continues its ratings with the views that came since: it needs the median of the amounts and the time of
    the last view. Both are null if the dataset has none, and in models of older releases.
    """

    root: str
    fingerprint: str
    rating: RatingSettings
    median: float | None = None
    last_view_ms: int | None = None


class SweepRecord(Part):
    """One sweep: its number, from 1 (odd ones solve rows); loss and root weighted squared error after it; its time."""

    sweep: int
    loss: float
    rwse: float
    seconds: float

    @property
    def pass_number(self) -> int:
        """The sweep's pass, from 1."""
        return (self.sweep + 1) // 2


class CarriedOver(Part):
    """Rows of a side that a warm start took from the earlier model, and rows that it projected."""

    carried_over: int
    projected: int


class StartAccount(Part):
    """The start of the training: from an earlier model, or cold."""

    model: str | None = None  # the directory of the earlier model; null if the settings name none
    digest: str | None = None  # of its manifest; null for a cold start
    cold: str | None = None  # why the start is cold although a model is named
    users: CarriedOver | None = None
    items: CarriedOver | None = None


class HeldOutMetric(Part):
    """The metric that early stopping measured after each pass."""

    metric: str
    passes: list[float]


class ModelManifest(Manifest):
    """The manifest of a model."""

    COMMAND: ClassVar = "wals train --replace"
    LATER: ClassVar = frozenset({EVALUATION, REPORT})

    kind: Literal["model"] = "model"
    schema_version: Literal[2] = 2
    dataset: TrainedOn
    settings: TrainingSettings
    solver: str
    users: int
    items: int
    interactions: int
    embedding_dimension: int
    user_factor_shards: int
    item_factor_shards: int
    stopped: str  # why the training ended
    resumed_after_sweep: int  # 0 if no checkpoint was used
    seconds: float
    history: list[SweepRecord]
    start: StartAccount
    cold_start: ColdStartSettings
    held_out: HeldOutMetric | None = None
    neighbourhood: NeighbourhoodAccount = NeighbourhoodAccount()
    attributes: AttributesAccount = AttributesAccount()
    visitors: VisitorsAccount = VisitorsAccount()


class ServedVersionManifest(Manifest):
    """A copy of a model's SavedModel; `model` is the digest of that model's manifest."""

    COMMAND: ClassVar = "wals publish"

    kind: Literal["served model"] = "served model"
    schema_version: Literal[1] = 1
    model: str
    dataset: TrainedOn
    users: int
    items: int
    interactions: int
    cold_start: ColdStartSettings

    @classmethod
    def of(cls, model: ModelManifest, files: dict[str, FileDescription]) -> Self:
        """Return the manifest of a copy of a model's SavedModel."""
        shared = model.model_dump(include={"dataset", "users", "items", "interactions", "cold_start"})
        return cls(model=model.digest(), files=files, **shared)


class PredictionSections(Part):
    """The settings with which the predictions were made; exploration: null if no slot is explored."""

    prediction: PredictionSettings
    exploration: ExplorationSettings | None = None


class PredictionsManifest(Manifest):
    """The manifest of recommendations, audiences, similar items or similar visitors."""

    COMMAND: ClassVar = "wals predict --replace"

    kind: Literal["predictions", "audiences", "similar_items", "similar_visitors"] = "predictions"
    schema_version: Literal[2] = 2
    seconds: float
    counts: dict[str, int]  # who was answered first, then what they were given
    rules: dict[str, int]  # answers by rule of cold start
    factors: Literal["projected", "trained"]
    experiment: ExperimentRecord | None = None
    model_fingerprint: str  # the digest of the model's manifest
    dataset_fingerprint: str
    model_version: str  # as in each row of an output table
    run_time: str  # ISO 8601, as in each row of an output table
    settings: PredictionSections
    steps: dict[str, dict[str, int]] = Field(default_factory=dict)


def read_any(root: str) -> Manifest:
    """Read the manifest of an output of any kind; raise UserError if it has none, or one of another version."""
    path = join(root, MANIFEST)
    text = read_text(path, f"{root} is not a finished output (no {MANIFEST} in it); check the path")
    kind = kind_of(text)
    for manifest in Manifest.__subclasses__():
        if kind in manifest.kinds():
            return manifest.parse(text, path)
    raise UserError(f"{path} is not a manifest; check the path")
