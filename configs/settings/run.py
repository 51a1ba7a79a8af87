"""All sections together: the rules between them, values that follow from others, and reading them from a file."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from configs.settings import layers, yaml_files
from configs.settings.cloud import BigQuerySettings, CloudSettings, DataflowSettings, VertexSettings
from configs.settings.dataset import DatasetSettings, PrivacySettings, RatingSettings, SplitSettings, ValidationSettings
from configs.settings.features import ItemFeatureSettings, UserFeatureSettings
from configs.settings.prediction import (
    ExperimentSettings,
    ExplorationSettings,
    NightlySettings,
    PredictionSettings,
    ServingSettings,
)
from configs.settings.section import Section, validate
from configs.settings.signals import USER_ATTRIBUTES, EventSettings
from configs.settings.source import SourceSettings
from configs.settings.training import (
    ColdStartSettings,
    EvaluationSettings,
    NeighbourhoodSettings,
    OutcomeSettings,
    ReportSettings,
    TrainingSettings,
)


class Settings(Section):
    """All settings of one run."""

    source: SourceSettings = SourceSettings()
    rating: RatingSettings = RatingSettings()
    dataset: DatasetSettings = DatasetSettings()
    item_features: ItemFeatureSettings = ItemFeatureSettings()
    user_features: UserFeatureSettings = UserFeatureSettings()
    split: SplitSettings = SplitSettings()
    privacy: PrivacySettings = PrivacySettings()
    validation: ValidationSettings = ValidationSettings()
    training: TrainingSettings = TrainingSettings()
    neighbourhood: NeighbourhoodSettings = NeighbourhoodSettings()
    prediction: PredictionSettings = PredictionSettings()
    cold_start: ColdStartSettings = ColdStartSettings()
    experiment: ExperimentSettings = ExperimentSettings()
    exploration: ExplorationSettings = ExplorationSettings()
    serving: ServingSettings = ServingSettings()
    events: EventSettings = EventSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    outcome: OutcomeSettings = OutcomeSettings()
    report: ReportSettings = ReportSettings()
    bigquery: BigQuerySettings = BigQuerySettings()
    cloud: CloudSettings = CloudSettings()
    dataflow: DataflowSettings = DataflowSettings()
    vertex: VertexSettings = VertexSettings()
    nightly: NightlySettings = NightlySettings()
    dataset_dir: str | None = None
    """Directory of the dataset, local or gs://: pipeline.preprocess writes it, training reads it."""
    model_dir: str | None = None
    """Directory of the model, local or gs://: trainer.task writes it, prediction reads it."""
    predictions_dir: str | None = None
    """Directory that prediction.kind recommendations is written to, local or gs://."""
    audiences_dir: str | None = None
    """Directory that prediction.kind audiences is written to, local or gs://."""
    similar_items_dir: str | None = None
    """Directory that prediction.kind similar_items is written to, local or gs://."""
    similar_visitors_dir: str | None = None
    """Directory that prediction.kind similar_visitors is written to, local or gs://."""
    outcome_dir: str | None = None
    """Directory that wals outcome writes what recommendations did to, local or gs://."""
    catalogue: str | None = None
    """Table of items with the column contentId and any others, which win over the attributes of the data: a CSV,
    .jsonl or .parquet file, or bq://PROJECT.DATASET.TABLE."""
    added_items: str | None = None
    """File of the items that were added between two trainings: wals items changes it, prediction and the server read
    it; one that does not exist has no items."""
    user_catalogue: str | None = None
    """Table of visitors with the column visitorId and attributes for user_features, which win over those of the data:
    a CSV, .jsonl or .parquet file, or bq://PROJECT.DATASET.TABLE."""
    beam: dict[str, str | int | float | bool | list[str]] = Field(default_factory=dict)
    """Beam's own pipeline options by name, e.g. runner or temp_location; flags override them."""

    def _problems(self) -> Iterator[str]:
        source, rating, split = self.source, self.rating, self.split
        is_table = source.kind == "table"
        rated = is_table and source.rating_column
        if rated and rating.kind in ("median", "log"):
            yield f"rating.kind {rating.kind} is for dwell; with rating_column use linear, binary or ordinal"
        if rating.weight == "log" and rated:
            yield "rating.weight log is for amounts; a rating_column has none"
        if rating.kind == "ordinal" and not rated:
            yield "rating.kind ordinal needs a table with source.rating_column"
        if rating.half_life_days and source.end_date is None:
            yield "rating.half_life_days counts back from source.end_date; set that"
        if self.exploration.share and self.prediction.max_per_category:
            yield "exploration.share leaves prediction.max_per_category aside; unset one of them"
        if split.days is not None and source.end_date is None:
            yield "split.days counts back from source.end_date; set that, or split.time"
        if is_table and not source.time_column:
            timed = {
                "rating.half_life_days": rating.half_life_days,
                f"split.kind {split.kind}": split.kind in ("last_n", "time"),
                "dataset.popularity_half_life_days": self.dataset.popularity_half_life_days,
            }
            yield from (f"{name} needs source.time_column if the source is a table" for name, on in timed.items() if on)


def resolve(settings: Settings) -> Settings:
    """Return the settings with every value filled in that follows from others.

    `source.start_date` follows from `source.window_days` and `source.end_date`, `source.user_attributes` from
    `user_features.fields`, `split.time` from `split.days`,
    `rating.weight` from the signals, and the project and the labels of BigQuery from those of `cloud`. Resolving twice
    is the same as resolving once.
    """
    source, split, bigquery, end = settings.source, settings.split, settings.bigquery, settings.source.end_date
    changes: dict[str, Any] = {
        "bigquery": {
            "project": bigquery.project or settings.cloud.project,
            "labels": settings.cloud.labels | bigquery.labels,
        }
    }
    if settings.rating.weight is None:
        counts = source.kind != "table" and not all(signal.dwell for signal in source.all_signals)
        weighed = counts and settings.rating.preset != "course"
        changes["rating"] = {"weight": "log" if weighed else "none"}
    of_source: dict[str, Any] = {}
    if source.window_days is not None and end is not None:
        of_source["start_date"] = end - datetime.timedelta(days=source.window_days - 1)
    if settings.user_features.fields and source.user_attributes is None:
        of_source["user_attributes"] = _user_attributes(settings)
    changes["source"] = of_source
    if split.days is not None and end is not None:
        first = end - datetime.timedelta(days=split.days - 1)
        changes["split"] = {"time": datetime.datetime.combine(first, datetime.time()), "days": None}
    sections = {name: getattr(settings, name).model_copy(update=update) for name, update in changes.items()}
    return settings.model_copy(update=sections)


def _user_attributes(settings: Settings) -> dict[str, str]:
    """Return the visitors' attributes that a source has by default, without those that user_features does not name."""
    fields, known = settings.user_features.fields, USER_ATTRIBUTES[settings.source.kind]
    wanted = known if fields == "auto" else {field.name for field in fields}
    return {name: field for name, field in known.items() if name in wanted}


def load_settings(
    path: str, overrides: Mapping[str, Any] | None = None, origins: Mapping[str, str] | None = None
) -> Settings:
    """Return the resolved settings of a YAML file, local or gs://; raise UserError if a key or a value is wrong.

    overrides: dotted keys (`source.kind`) and values that replace those of the file; a None unsets them.
    origins: the flag of an override, by its key, which the error about it names.
    """
    found = layers.read(path)
    tree, changes = layers.merge(found), yaml_files.nested(overrides or {})
    layers.make_way(tree, changes)
    yaml_files.insert(tree, overrides or {})
    settings = resolve(validate(Settings, tree, f"config {found[-1].path}", origins or {}))
    for name in settings.experiment.variants:
        of_variant(settings, name)
    return settings


def of_variant(settings: Settings, name: str) -> Settings:
    """Return the settings by which the model of a variant is trained; raise UserError if one of its own is wrong."""
    changes = settings.experiment.variants[name].settings
    if not changes:
        return settings
    tree = settings.model_dump(mode="json")
    yaml_files.insert(tree, changes)
    return validate(Settings, tree, f"experiment.variants.{name}.settings")
