"""The settings of `trainer.tune`, read from a file such as configs/search.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast, get_args

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from configs.settings import RatingSettings, TrainingSettings, yaml_files
from configs.settings.section import Section, validate

RIDGE, RATING_KIND, TRAINING = "ridge", "rating.kind", "training."

# The search of --quick: the settings that moved most between data sets (docs/tuning.md).
_QUICK: Mapping[str, Any] = {
    "space": {
        RIDGE: {"low": 0.5, "high": 10.0, "log": True},
        f"{TRAINING}unobserved_weight": {"low": 0.02, "high": 0.3, "log": True},
        f"{TRAINING}col_weights_exponent": {"low": 0.0, "high": 0.6},
    },
    "validation": {"users": 3000},
    "pruning": {"startup_trials": 5},
    "minutes": 2,
}

Value = int | float | str


class Range(Section):
    """Values of one setting to try: `choices`, or any number from `low` to `high`."""

    choices: tuple[Value, ...] = ()
    """Values to try; in place of low and high."""
    low: int | float | None = None
    """Smallest value to try."""
    high: int | float | None = None
    """Largest value to try."""
    log: bool = False
    """Search on a logarithmic scale: as many trials from 0.01 to 0.1 as from 0.1 to 1."""

    @property
    def bounds(self) -> tuple[float, float]:
        """low and high of a range without choices."""
        return cast(tuple[float, float], (self.low, self.high))

    def _problems(self) -> Iterator[str]:
        low, high = self.low, self.high
        if (low is None) != bool(self.choices) or (low is None) != (high is None):
            yield "give either choices, or low and high"
        if low is not None and high is not None and low >= high:
            yield f"low {low} must be below high {high}"
        if self.log and low is not None and low <= 0:
            yield f"log needs a low above 0, not {low}"
        if len(set(self.choices)) < len(self.choices):
            yield "a choice is given twice"


class ValidationSettings(Section):
    """Entries that are held out of the training data to compare trials with."""

    split: Literal["time", "random"] | None = None
    """time: what was viewed last, from a day on, is held out; random: a part of each visitor's items. Unset is time if
    the dataset has times and that leaves enough visitors to score, else random."""
    share: float = Field(0.2, gt=0, lt=1)
    """Share that is held out: of each visitor's items, or at most of all entries, by time."""
    seed: NonNegativeInt = 0
    """Seed of the hash that chooses these items."""
    users: PositiveInt = 10_000
    """Largest number of visitors that are scored, chosen by the same hash."""


class PruningSettings(Section):
    """Median pruning: a trial below the median of the others after the same pass is stopped."""

    startup_trials: NonNegativeInt = 8
    """Number of complete trials before any trial is pruned."""
    warmup_passes: NonNegativeInt = 2
    """Number of passes that a trial may always run."""
    patience: PositiveInt = 2
    """Number of passes without a better value before a trial ends."""


class SearchSettings(Section):
    """One search: the metric, the settings to vary, and when it ends."""

    metric: Literal["recall", "ndcg"] = "recall"
    """Metric that the search maximizes."""
    k: PositiveInt = 20
    """Length of the lists that the metric is computed for."""
    space: dict[str, Range] = Field(min_length=1)
    """Settings to vary, each with its values."""
    validation: ValidationSettings = ValidationSettings()
    pruning: PruningSettings = PruningSettings()
    trials: PositiveInt | None = None
    """Number of trials of the study in all; unset does not limit it."""
    minutes: PositiveFloat | None = None
    """Minutes that a run searches; unset does not limit it."""
    workers: PositiveInt | None = None
    """Number of processes; unset is one for each core."""
    report_test: bool = True
    """Measure each complete trial on the dataset's held-out part too, if it has one, and report how far both agree over
    the trials. Nothing is chosen by it."""
    seed: NonNegativeInt = 1
    """Seed of the sampler; one worker with the same seed repeats the same search."""

    @property
    def metric_name(self) -> str:
        return f"{self.metric}@{self.k}"

    def _problems(self) -> Iterator[str]:
        if RIDGE in self.space and f"{TRAINING}regularization_coeff" in self.space:
            yield f"space: search {RIDGE} or {TRAINING}regularization_coeff, not both"
        for key, values in self.space.items():
            _check(key, values)
        if self.trials is None and self.minutes is None:
            yield "give trials or minutes, or the search never ends"


def is_whole(key: str) -> bool:
    """Return True for a setting that takes whole numbers only."""
    field = TrainingSettings.model_fields.get(key.removeprefix(TRAINING))
    return field is not None and field.annotation is int


def _check(key: str, values: Range) -> None:
    """Raise ValueError for a key that cannot be searched, or a value that the setting does not accept."""
    name = key.removeprefix(TRAINING)
    if key == RATING_KIND:
        known = get_args(RatingSettings.model_fields["kind"].annotation)
        if not values.choices or set(values.choices) - set(known):
            raise ValueError(f"space.{key}: give choices among {', '.join(known)}")
        return
    tried = values.choices or values.bounds
    if key == RIDGE:
        if any(isinstance(value, str) or value <= 0 for value in tried):
            raise ValueError(f"space.{key}: must be above 0")
        return
    if name == key or name not in TrainingSettings.model_fields:
        raise ValueError(
            f"space.{key} cannot be searched (known: {RIDGE}, {RATING_KIND}, "
            f"{', '.join(TRAINING + field for field in TrainingSettings.model_fields)})"
        )
    for value in tried:
        try:
            TrainingSettings.model_validate({name: value})
        except ValidationError as error:
            raise ValueError(f"space.{key}: {value} is refused: {error.errors()[0]['msg']}") from error


def load_search(path: str, overrides: Mapping[str, Any] | None = None) -> SearchSettings:
    """Return the search of a YAML file; the errors are those of `load_settings`, and a None replaces nothing."""
    name = f"search {path}"
    tree = yaml_files.read(path, name, "configs/search.yaml")
    yaml_files.insert(tree, {key: value for key, value in (overrides or {}).items() if value is not None})
    return validate(SearchSettings, tree, name)


def quick_search(overrides: Mapping[str, Any] | None = None) -> SearchSettings:
    """Return a search of two minutes in a small space; see `load_search`."""
    tree = dict(_QUICK) | {key: value for key, value in (overrides or {}).items() if value is not None}
    return validate(SearchSettings, tree, "--quick")


def rating_with(settings: RatingSettings, kind: str) -> RatingSettings:
    """Return the rating settings with another kind, without the scale, which belongs to its kind."""
    if kind == settings.kind:
        return settings
    return RatingSettings(kind=kind, cap=settings.cap, epsilon=settings.epsilon)
