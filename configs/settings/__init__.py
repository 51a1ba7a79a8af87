"""Settings of all jobs, validated: those of a YAML file, overridden by flags of the command line."""

from configs.settings.cloud import BigQuerySettings, CloudSettings, DataflowSettings, VertexSettings
from configs.settings.dataset import DatasetSettings, PrivacySettings, RatingSettings, SplitSettings, ValidationSettings
from configs.settings.features import FeatureField, FeatureSettings, ItemFeatureSettings, UserFeatureSettings
from configs.settings.prediction import (
    HOLDOUT,
    ExperimentSettings,
    ExplorationSettings,
    NightlySettings,
    PredictionSettings,
    ServingSettings,
    VariantSettings,
)
from configs.settings.run import Settings, load_settings, of_variant, resolve
from configs.settings.signals import EventSettings, PageSettings, RecommendedSettings, Signal
from configs.settings.source import BIGQUERY, CsvSettings, SourceSettings
from configs.settings.training import (
    ColdStartSettings,
    EvaluationSettings,
    NeighbourhoodSettings,
    OutcomeSettings,
    ReportSettings,
    TrainingSettings,
)
