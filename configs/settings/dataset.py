"""From interactions to the dataset that is trained on."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field, model_validator

from configs.settings.section import Section, as_date


class RatingSettings(Section):
    """From a dwell in ms (or a table's rating) to the rating that is factorised."""

    kind: Literal["median", "log", "linear", "binary", "ordinal"] = Field(
        "median",
        description="median: min(cap, scale x dwell / median); log: log(1 + dwell / epsilon); "
        "linear: scale x amount; binary: 1; ordinal: by answer.",
    )
    scale: float | None = Field(
        None,
        gt=0,
        description="Factor: of median 0.3 by default, as Google's course has it (the configs here say 3: full rating "
        "from a third of the median dwell on), of linear 1.",
    )
    cap: float = Field(1.0, gt=0, description="median: greatest rating.")
    epsilon: float = Field(1000.0, gt=0, description="log: log(1 + duration / epsilon), in ms.")
    ordinal: dict[str, float] = Field(
        default_factory=dict, description="ordinal: rating of each answer in the table's rating_column."
    )
    half_life_days: float | None = Field(
        None, gt=0, description="A rating this much older than source.end_date counts half; none counts all alike."
    )

    @property
    def factor(self) -> float:
        """The scale, given or by kind."""
        if self.kind == "ordinal":
            return 1.0
        return self.scale or (0.3 if self.kind == "median" else 1.0)

    @model_validator(mode="after")
    def _ordinal_needs_its_table(self) -> RatingSettings:
        if (self.kind == "ordinal") != bool(self.ordinal):
            raise ValueError("kind: ordinal and a table `ordinal:` of answers and ratings go together")
        return self


class PrivacySettings(Section):
    """What is done with visitors' ids before anything else is; docs/privacy.md."""

    hash_key_file: str | None = Field(
        None, description="File of a key, local or gs://: visitorIds are replaced by their HMAC-SHA-256."
    )
    hash_key_env: str | None = Field(None, description="Environment variable that holds the key, where no file does.")
    deleted_visitors: str | None = Field(
        None, description="File of visitorIds (or their hashes), one a line: left out of datasets and predictions."
    )

    @property
    def hashes(self) -> bool:
        """Whether ids are hashed."""
        return bool(self.hash_key_file or self.hash_key_env)

    @model_validator(mode="after")
    def _one_key(self) -> PrivacySettings:
        if self.hash_key_file and self.hash_key_env:
            raise ValueError("give hash_key_file or hash_key_env, not both")
        return self


class ValidationSettings(Section):
    """How far a dataset may be from the last good one."""

    baseline: str | None = Field(
        None, description="Directory of the last good dataset; one that is too far from it is not made (exit status 3)."
    )
    users: float | None = Field(0.5, gt=0, description="0.5 lets their number change by a factor of 1.5; none, by any.")
    items: float | None = Field(0.5, gt=0, description="Likewise.")
    interactions: float | None = Field(0.5, gt=0, description="Likewise.")
    median: float | None = Field(0.5, gt=0, description="Likewise the median dwell, where both have one.")


class SplitSettings(Section):
    """What is held out of training to evaluate by. Vocabularies, median and counts are of what is left."""

    kind: Literal["none", "last_n", "time", "random"] = Field(
        "none",
        description="last_n: the latest items of each visitor; time: what comes from a time on; "
        "random: a share of each visitor's items, drawn by a hash.",
    )
    n: int = Field(1, ge=1, description="last_n: items of each visitor that are held out; one always stays.")
    time: Annotated[datetime.datetime, BeforeValidator(as_date)] | None = Field(
        None, description="time: views from then on are held out, e.g. 2024-01-31 or 2024-01-31T12:00; UTC."
    )
    days: int | None = Field(
        None, ge=1, description="time: in place of a time, the last days of the window, up to source.end_date."
    )
    share: float = Field(0.2, gt=0, lt=1, description="random: of each visitor's items, rounded down.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="random: of the hash.")
    min_items: int = Field(2, ge=2, description="last_n, random: nothing is held out of visitors with fewer items.")
    test_input: str | None = Field(
        None, description="Glob of files like the source's that are held out whole: a published split."
    )
    drop_shared: bool = Field(
        False, description="test_input: leave out the pairs that train has too, counted; else they are an error."
    )

    @property
    def time_ms(self) -> int:
        """The cut, in ms since 1970."""
        cut = cast(datetime.datetime, self.time)  # the validator sees to it where the kind is time
        return round(cut.replace(tzinfo=cut.tzinfo or datetime.UTC).timestamp() * 1000)

    @property
    def holds_out(self) -> bool:
        return self.kind != "none" or self.test_input is not None

    @model_validator(mode="after")
    def _each_kind_its_own(self) -> SplitSettings:
        if self.test_input is not None and self.kind != "none":
            raise ValueError(f"test_input is a split by itself; leave kind none, not {self.kind}")
        if self.drop_shared and self.test_input is None:
            raise ValueError("drop_shared goes with test_input")
        if (self.kind == "time") != (self.time is not None or self.days is not None):
            raise ValueError("kind time and a `time` or `days` go together")
        if self.time is not None and self.days is not None:
            raise ValueError("give time or days, not both")
        return self


class DatasetSettings(Section):
    """How the dataset is laid out and what it leaves out."""

    min_items_per_user: int = Field(1, ge=1, description="Visitors with fewer items are left out, counted.")
    min_users_per_item: int = Field(1, ge=1, description="Items with fewer visitors are left out, counted.")
    shards: int | None = Field(None, ge=1, le=99_999, description="Files a side; none chooses from the data.")
    gzip: bool = Field(False, description="Compress the TFRecords.")
    popularity_half_life_days: float | None = Field(
        None, gt=0, description="A view this old counts half in the popularity of its item; none counts all alike."
    )

    @property
    def recent_half_life_days(self) -> float:
        """Of a view's part in recent_popularity, which evaluation compares with: a week where nothing is set."""
        return self.popularity_half_life_days or 7.0
