"""What `trainer.tune` searches, and how: configs/search.yaml, validated. An unknown key is an error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from configs.errors import UserError
from configs.settings import RatingSettings, TrainingSettings

RIDGE, RATING_KIND, TRAINING = "ridge", "rating.kind", "training."

Value = int | float | str


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Section):
    """Values of one setting: some by name, or all from `low` to `high`."""

    choices: tuple[Value, ...] = Field((), description="These values and no others.")
    low: int | float | None = None
    high: int | float | None = None
    log: bool = Field(False, description="As many trials from 0.01 to 0.1 as from 0.1 to 1.")

    @property
    def bounds(self) -> tuple[float, float]:
        """low and high, where there are no choices."""
        return cast(tuple[float, float], (self.low, self.high))

    @model_validator(mode="after")
    def _whole(self) -> Range:
        low, high = self.low, self.high
        if self.choices:
            if (low, high) != (None, None):
                raise ValueError("give either choices, or low and high")
        elif low is None or high is None:
            raise ValueError("give either choices, or low and high")
        elif not (math.isfinite(low) and math.isfinite(high)) or low >= high:
            raise ValueError(f"low {low} must lie below high {high}")
        elif self.log and low <= 0:
            raise ValueError(f"log needs a low above 0, not {low}")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("a choice is there twice")
        return self


class ValidationSettings(_Section):
    """What is held out of train to choose by."""

    share: float = Field(0.2, gt=0, lt=1, description="Of each visitor's items.")
    seed: int = Field(0, ge=0, description="Of the hash that draws them.")
    users: int = Field(10_000, ge=1, description="Visitors scored at most, drawn by the same hash.")


class PruningSettings(_Section):
    """When a trial is given up: below the median of the others after the same pass."""

    startup_trials: int = Field(8, ge=0, description="Whole trials before any is pruned.")
    warmup_passes: int = Field(2, ge=0, description="Passes of a trial after which it may not be pruned yet.")
    patience: int = Field(2, ge=1, description="Passes without a better value before a trial ends.")


class SearchSettings(_Section):
    """One search."""

    metric: Literal["recall", "ndcg"] = "recall"
    k: int = Field(20, ge=1, description="Metric at k.")
    space: dict[str, Range] = Field(min_length=1)
    validation: ValidationSettings = ValidationSettings()
    pruning: PruningSettings = PruningSettings()
    trials: int | None = Field(None, ge=1, description="Trials of the study in all; none is no limit.")
    minutes: float | None = Field(None, gt=0, description="Time of a run; none is no limit.")
    workers: int | None = Field(None, ge=1, description="Processes; none is one for every core.")
    seed: int = Field(1, ge=0, description="Of the sampler; one worker and one seed, one search.")

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
    """Whether a setting takes whole numbers."""
    field = TrainingSettings.model_fields.get(key.removeprefix(TRAINING))
    return field is not None and field.annotation is int


def _check(key: str, values: Range) -> None:
    """Refuses a key that cannot be searched, and a value that the setting would not take."""
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
    """Reads a YAML file; `overrides` maps keys of the top (`trials`) to values, None meaning not given.

    Raises:
        UserError: the file is missing, not YAML, or holds an unknown key or a wrong value.
    """
    try:
        with open(path, encoding="utf-8") as file:
            tree = yaml.safe_load(file) or {}
    except OSError as error:
        raise UserError(f"search {path} cannot be read ({error.strerror}); see configs/search.yaml for one") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"search {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"search {path} holds no settings by name (space:, trials:, ...)")
    tree |= {key: value for key, value in (overrides or {}).items() if value is not None}
    try:
        return SearchSettings.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"search {path}: {_say(error)}") from error


def _say(error: ValidationError) -> str:
    findings = []
    for finding in error.errors():
        key = ".".join(str(part) for part in finding["loc"])
        message = (
            "unknown key" if finding["type"] == "extra_forbidden" else finding["msg"].removeprefix("Value error, ")
        )
        findings.append(f"{key}: {message}" if key else message)
    return "; ".join(findings)


def rating_with(settings: RatingSettings, kind: str) -> RatingSettings:
    """The rating settings with another kind; a scale belongs to its kind and is not taken along."""
    if kind == settings.kind:
        return settings
    return RatingSettings(kind=kind, cap=settings.cap, epsilon=settings.epsilon)
