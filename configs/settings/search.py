"""The settings of `trainer.tune`, read from a file such as configs/search.yaml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import Field, ValidationError, model_validator

from configs.errors import UserError
from configs.settings import RatingSettings, TrainingSettings, yaml_files
from configs.settings.section import Section, describe

RIDGE, RATING_KIND, TRAINING = "ridge", "rating.kind", "training."

Value = int | float | str


class Range(Section):
    """Values of one setting to try: `choices`, or any number from `low` to `high`."""

    choices: tuple[Value, ...] = Field((), description="Values to try; in place of low and high.")
    low: int | float | None = Field(None, description="Smallest value to try.")
    high: int | float | None = Field(None, description="Largest value to try.")
    log: bool = Field(
        False, description="Search on a logarithmic scale: as many trials from 0.01 to 0.1 as from 0.1 to 1."
    )

    @property
    def bounds(self) -> tuple[float, float]:
        """low and high of a range without choices."""
        return cast(tuple[float, float], (self.low, self.high))

    @model_validator(mode="after")
    def _choices_or_bounds(self) -> Range:
        low, high = self.low, self.high
        if self.choices:
            if (low, high) != (None, None):
                raise ValueError("give either choices, or low and high")
        elif low is None or high is None:
            raise ValueError("give either choices, or low and high")
        elif not (math.isfinite(low) and math.isfinite(high)) or low >= high:
            raise ValueError(f"low {low} must be below high {high}")
        elif self.log and low <= 0:
            raise ValueError(f"log needs a low above 0, not {low}")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("a choice is given twice")
        return self


class ValidationSettings(Section):
    """Entries that are held out of the training data to compare trials with."""

    share: float = Field(0.2, gt=0, lt=1, description="Share of each visitor's items that is held out.")
    seed: int = Field(0, ge=0, description="Seed of the hash that chooses these items.")
    users: int = Field(10_000, ge=1, description="Largest number of visitors that are scored, chosen by the same hash.")


class PruningSettings(Section):
    """Median pruning: a trial below the median of the others after the same pass is stopped."""

    startup_trials: int = Field(8, ge=0, description="Number of complete trials before any trial is pruned.")
    warmup_passes: int = Field(2, ge=0, description="Number of passes that a trial may always run.")
    patience: int = Field(2, ge=1, description="Number of passes without a better value before a trial ends.")


class SearchSettings(Section):
    """One search: the metric, the settings to vary, and when it ends."""

    metric: Literal["recall", "ndcg"] = Field("recall", description="Metric that the search maximizes.")
    k: int = Field(20, ge=1, description="Length of the lists that the metric is computed for.")
    space: dict[str, Range] = Field(min_length=1, description="Settings to vary, each with its values.")
    validation: ValidationSettings = ValidationSettings()
    pruning: PruningSettings = PruningSettings()
    trials: int | None = Field(None, ge=1, description="Number of trials of the study in all; unset does not limit it.")
    minutes: float | None = Field(None, gt=0, description="Minutes that a run searches; unset does not limit it.")
    workers: int | None = Field(None, ge=1, description="Number of processes; unset is one for each core.")
    seed: int = Field(
        1, ge=0, description="Seed of the sampler; one worker with the same seed repeats the same search."
    )

    @property
    def metric_name(self) -> str:
        return f"{self.metric}@{self.k}"

    @model_validator(mode="after")
    def _space_of_known_settings(self) -> SearchSettings:
        if RIDGE in self.space and f"{TRAINING}regularization_coeff" in self.space:
            raise ValueError(f"space: search {RIDGE} or {TRAINING}regularization_coeff, not both")
        for key, values in self.space.items():
            _check(key, values)
        if self.trials is None and self.minutes is None:
            raise ValueError("give trials or minutes, or the search never ends")
        return self


def is_whole(key: str) -> bool:
    """Return True for a setting that takes whole numbers only."""
    field = TrainingSettings.model_fields.get(key.removeprefix(TRAINING))
    return field is not None and field.annotation is int


def _check(key: str, values: Range) -> None:
    """Raise ValueError for a key that cannot be searched, or a value that the setting does not accept."""
    name = key.removeprefix(TRAINING)
    if key == RATING_KIND:
        known = ("median", "log", "linear", "binary", "ordinal")
        wrong = [kind for kind in values.choices if kind not in known]
        if wrong or not values.choices:
            raise ValueError(f"space.{key}: give choices among {', '.join(known)}")
        return
    if key == RIDGE:
        numbers = [value for value in values.choices if isinstance(value, str) or value <= 0]
        if numbers or (values.low is not None and values.low <= 0):
            raise ValueError(f"space.{key}: must be above 0")
        return
    if name == key or name not in TrainingSettings.model_fields:
        raise ValueError(
            f"space.{key} cannot be searched (known: {RIDGE}, {RATING_KIND}, "
            f"{', '.join(TRAINING + field for field in TrainingSettings.model_fields)})"
        )
    for value in values.choices or (values.low, values.high):
        try:
            TrainingSettings.model_validate({name: value})
        except ValidationError as error:
            raise ValueError(f"space.{key}: {value} is refused: {error.errors()[0]['msg']}") from error


def load_search(path: str, overrides: Mapping[str, Any] | None = None) -> SearchSettings:
    """Return the search of a YAML file.

    Args:
        path: the file.
        overrides: keys of the top level (`trials`) and values that replace those of the file; a None replaces nothing.

    Raises:
        UserError: the file is missing, is not YAML, or has an unknown key or a wrong value.
    """
    name = f"search {path}"
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror}); see configs/search.yaml for one") from error
    tree = yaml_files.parse_mapping(data, name, "space:, trials:")
    yaml_files.insert(tree, overrides or {})
    try:
        return SearchSettings.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{name}: {describe(error, SearchSettings)}") from error


def rating_with(settings: RatingSettings, kind: str) -> RatingSettings:
    """Return the rating settings with another kind, without the scale, which belongs to its kind."""
    if kind == settings.kind:
        return settings
    return RatingSettings(kind=kind, cap=settings.cap, epsilon=settings.epsilon)
