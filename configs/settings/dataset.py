"""Sections for making the dataset from the interactions."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt

from configs.settings.section import Section, as_date


class RatingSettings(Section):
    """The formula that turns a dwell in ms, a count or a table's rating into the rating to train on."""

    kind: Literal["median", "log", "linear", "binary", "ordinal"] = "median"
    """Formula of the rating. median: min(cap, scale x amount / median amount); log: log(1 + amount / epsilon); linear:
    scale x amount; binary: 1, also without dwell; ordinal: the number that `ordinal` maps an answer to."""
    preset: Literal["course"] | None = None
    """course: the rating of Google's course, median with a scale of 0.3 and without weights."""
    scale: PositiveFloat | None = None
    """Factor of median and linear. Unset is 3 for median, which reaches the cap at a third of the median dwell, 0.3
    with preset course, and 1 for linear."""
    cap: PositiveFloat = 1.0
    """median: largest possible rating."""
    epsilon: PositiveFloat = 1000.0
    """log: what the amount is divided by, such as a dwell of 1000 ms; for signals that count, set 1."""
    ordinal: dict[str, float] = Field(default_factory=dict)
    """ordinal: the rating of each answer in source.rating_column, e.g. {good: 5, bad: 1}."""
    weight: Literal["none", "log"] | None = None
    """Weight of a pair in the loss, next to its rating. none: 1; log: log2(1 + amount / median amount). Unset is log if
    signals count events, and none for dwell and tables."""
    half_life_days: PositiveFloat | None = None
    """Days before source.end_date after which a rating counts half; unset counts all ratings equally."""

    @property
    def factor(self) -> float:
        """The scale, by default that of the kind."""
        if self.kind == "ordinal":
            return 1.0
        return self.scale or (1.0 if self.kind != "median" else 0.3 if self.preset == "course" else 3.0)

    def _problems(self) -> Iterator[str]:
        if self.preset == "course" and self.kind != "median":
            yield f"preset course is a rating of kind median; remove the preset or kind {self.kind}"
        if (self.kind == "ordinal") != bool(self.ordinal):
            yield "kind: ordinal and a mapping `ordinal:` of answers to ratings go together"


class PrivacySettings(Section):
    """Hashing and deletion of visitorIds, before any other step sees them (docs/privacy.md)."""

    hash_key_file: str | None = None
    """File of a key, local or gs://; every visitorId is replaced by its HMAC-SHA-256 under that key."""
    hash_key_env: str | None = None
    """Environment variable that contains the key, in place of hash_key_file."""
    deleted_visitors: str | None = None
    """File with one visitorId (or its hash) per line; these visitors are left out of datasets and predictions."""

    @property
    def hashes(self) -> bool:
        """True if visitorIds are hashed."""
        return bool(self.hash_key_file or self.hash_key_env)

    def _problems(self) -> Iterator[str]:
        if self.hash_key_file and self.hash_key_env:
            yield "give hash_key_file or hash_key_env, not both"


class ValidationSettings(Section):
    """The largest difference of a dataset from the last good one."""

    baseline: str | None = None
    """Directory of the last good dataset; a dataset that differs too much from it is not published (exit status 3)."""
    users: PositiveFloat | None = 0.5
    """Largest change of the number of users: 0.5 is a factor of 1.5; null allows any change."""
    items: PositiveFloat | None = 0.5
    """Largest change of the number of items: 0.5 is a factor of 1.5; null allows any change."""
    interactions: PositiveFloat | None = 0.5
    """Largest change of the number of interactions: 0.5 is a factor of 1.5; null allows any change."""
    median: PositiveFloat | None = 0.5
    """Largest change of the median dwell, if both datasets have one; null allows any change."""


class SplitSettings(Section):
    """Entries that are held out of training to evaluate with. Vocabularies, median and counts come from the others."""

    kind: Literal["none", "last_n", "time", "random"] = "none"
    """Rule for the entries to hold out. none: no entries; last_n: the latest items of each visitor; time: the views
    from a time on; random: a share of each visitor's items, chosen by a hash."""
    n: PositiveInt = 1
    """last_n: number of items of each visitor that are held out; one item always stays."""
    time: Annotated[datetime.datetime, BeforeValidator(as_date)] | None = None
    """time: first moment (UTC) of the views that are held out, e.g. 2024-01-31 or 2024-01-31T12:00."""
    days: int | None = Field(None, ge=1, le=36_500)
    """time: number of days up to source.end_date whose views are held out, in place of `time`."""
    share: float = Field(0.2, gt=0, lt=1)
    """random: share of each visitor's items that is held out, rounded down."""
    seed: int = Field(0, ge=0, le=2**63 - 1)
    """Seed of the hash that chooses the items: for random, and for last_n among items of the same time."""
    min_items: int = Field(2, ge=2)
    """last_n, random: visitors with fewer items than this keep all of them."""
    test_input: str | None = None
    """Glob of files in the source's format whose entries are all held out, e.g. of a published split."""
    drop_shared: bool = False
    """test_input: leave out, and count, the pairs that the training data has too; false makes them an error."""

    @property
    def time_ms(self) -> int:
        """The first moment that is held out, in ms since 1970; only for kind time, after `resolve`."""
        cut = cast(datetime.datetime, self.time)
        return round(cut.replace(tzinfo=cut.tzinfo or datetime.UTC).timestamp() * 1000)

    @property
    def holds_out(self) -> bool:
        return self.kind != "none" or self.test_input is not None

    def _problems(self) -> Iterator[str]:
        if self.test_input is not None and self.kind != "none":
            yield f"test_input is a split of its own; remove kind {self.kind}"
        if self.drop_shared and self.test_input is None:
            yield "drop_shared needs test_input"
        if (self.kind == "time") != (self.time is not None or self.days is not None):
            yield "kind time and either `time` or `days` go together"
        if self.time is not None and self.days is not None:
            yield "give time or days, not both"


class DatasetSettings(Section):
    """The files of the dataset, and the users and items that it leaves out."""

    min_items_per_user: PositiveInt = 1
    """Visitors with fewer items are left out and counted."""
    min_users_per_item: PositiveInt = 1
    """Items with fewer visitors are left out and counted."""
    shards: int | None = Field(None, ge=1, le=99_999)
    """Number of files for the rows of users, and for those of items; unset chooses by the data's size."""
    gzip: bool = False
    """Compress the TFRecord files with gzip."""
    popularity_half_life_days: PositiveFloat | None = None
    """Age in days at which a view counts half in the popularity of its item; unset counts all equally."""

    @property
    def recent_half_life_days(self) -> float:
        """Half-life of views in recent_popularity, a baseline of the evaluation; a week if it is not set."""
        return self.popularity_half_life_days or 7.0
