"""All sections together, and what one asks of another."""

from __future__ import annotations

import datetime

from pydantic import Field, model_validator

from configs.settings.cloud import BigQuerySettings, CloudSettings, DataflowSettings, VertexSettings
from configs.settings.dataset import DatasetSettings, PrivacySettings, RatingSettings, SplitSettings, ValidationSettings
from configs.settings.evaluation import EvaluationSettings, ReportSettings
from configs.settings.nightly import NightlySettings
from configs.settings.prediction import PredictionSettings, ServingSettings
from configs.settings.section import Section
from configs.settings.source import SourceSettings
from configs.settings.training import ColdStartSettings, TrainingSettings


class Settings(Section):
    """One run: where its parts lie, and how each step behaves."""

    source: SourceSettings = SourceSettings()
    rating: RatingSettings = RatingSettings()
    dataset: DatasetSettings = DatasetSettings()
    split: SplitSettings = SplitSettings()
    privacy: PrivacySettings = PrivacySettings()
    validation: ValidationSettings = ValidationSettings()
    training: TrainingSettings = TrainingSettings()
    prediction: PredictionSettings = PredictionSettings()
    cold_start: ColdStartSettings = ColdStartSettings()
    serving: ServingSettings = ServingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    report: ReportSettings = ReportSettings()
    bigquery: BigQuerySettings = BigQuerySettings()
    cloud: CloudSettings = CloudSettings()
    dataflow: DataflowSettings = DataflowSettings()
    vertex: VertexSettings = VertexSettings()
    nightly: NightlySettings = NightlySettings()
    dataset_dir: str | None = Field(None, description="Where the dataset lies, local or gs://.")
    model_dir: str | None = Field(None, description="Where the model lies.")
    predictions_dir: str | None = Field(None, description="Where the predictions go.")
    audiences_dir: str | None = Field(None, description="Where prediction.kind audiences goes.")
    similar_items_dir: str | None = Field(None, description="Where prediction.kind similar_items goes.")
    similar_visitors_dir: str | None = Field(None, description="Where prediction.kind similar_visitors goes.")
    catalogue: str | None = Field(None, description="CSV of contentId,title,category, to show results with.")
    beam: dict[str, str | int | float | bool | list[str]] = Field(
        default_factory=dict, description="Beam's own options by name, e.g. runner, temp_location."
    )

    @model_validator(mode="after")
    def _one_project_and_labels(self) -> Settings:
        own = {
            "project": self.bigquery.project or self.cloud.project,
            "labels": self.cloud.labels | self.bigquery.labels,
        }
        object.__setattr__(self, "bigquery", self.bigquery.model_copy(update=own))
        return self

    @model_validator(mode="after")
    def _ratings_fit_the_source(self) -> Settings:
        given = self.source.kind == "table" and self.source.rating_column
        if given and self.rating.kind in ("median", "log"):
            raise ValueError(
                f"rating.kind {self.rating.kind} is for dwell; for rating_column take linear, binary or ordinal"
            )
        if self.rating.kind == "ordinal" and not given:
            raise ValueError("rating.kind ordinal needs a table with source.rating_column")
        if self.rating.half_life_days and self.source.end_date is None:
            raise ValueError("rating.half_life_days counts back from source.end_date; set that")
        if self.rating.half_life_days and self.source.kind == "table" and not self.source.time_column:
            raise ValueError("rating.half_life_days needs source.time_column where the source is a table")
        if self.split.days is not None:
            if self.source.end_date is None:
                raise ValueError("split.days counts back from source.end_date; set that, or split.time")
            first = self.source.end_date - datetime.timedelta(days=self.split.days - 1)
            cut = {"time": datetime.datetime.combine(first, datetime.time()), "days": None}
            object.__setattr__(self, "split", self.split.model_copy(update=cut))
        if self.split.kind in ("last_n", "time") and self.source.kind == "table" and not self.source.time_column:
            raise ValueError(f"split.kind {self.split.kind} needs source.time_column where the source is a table")
        if self.dataset.popularity_half_life_days and self.source.kind == "table" and not self.source.time_column:
            raise ValueError("dataset.popularity_half_life_days needs source.time_column where the source is a table")
        return self
