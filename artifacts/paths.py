"""Every path the jobs write or read, in one place. Standard library only.

A root is a local path or a gs:// URL. A root is whole when its `manifest.json` exists: that file is
written last, and readers refuse a root without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from artifacts.names import EVALUATION, HELD_OUT, OUTCOME, REPORT, VIEW_DAYS, VOCAB_ITEMS, VOCAB_USERS


def join(root: str, *parts: str) -> str:
    """Join path parts with `/`, for local paths and URLs."""
    return "/".join([root.rstrip("/") or "/", *parts])


def shard_name(prefix: str, shard: int, shards: int, suffix: str = "") -> str:
    """Return `prefix-00003-of-00008suffix`."""
    return f"{prefix}-{shard:05d}-of-{shards:05d}{suffix}"


class Below:
    """An attribute whose value is a path below the object's `root`."""

    def __init__(self, *parts: str):
        self._parts = parts

    def __get__(self, output: Any, kind: type) -> str:
        return join(output.root, *self._parts)


@dataclass(frozen=True)
class Output:
    """The files that a job writes below a root."""

    root: str

    manifest = Below("manifest.json")  # written last


@dataclass(frozen=True)
class Dataset(Output):
    """The files that `pipeline.preprocess` writes and the trainer reads.

    Shard s of n of a group-by dataset contains the keys that leave the remainder s when divided by n, ascending.
    """

    transform_fn = Below("transform")  # the directory for `tft.TFTransformOutput`
    vocab_users = Below("transform", "transform_fn", "assets", VOCAB_USERS)
    vocab_items = Below("transform", "transform_fn", "assets", VOCAB_ITEMS)
    items_for_user = Below("items_for_user")  # prefix of the shards with one row per user
    users_for_item = Below("users_for_item")  # prefix of the shards with one row per item
    view_days = Below(VIEW_DAYS)  # prefix of the .npy files with the day of each entry of items_for_user, if known
    held_out = Below(HELD_OUT)  # prefix of the shards with what a split keeps from training of each user
    statistics = Below("statistics.json")  # interactions per day, histograms of amounts and ratings
    items = Below("items.parquet")  # the table of items, one row per item, in the order of the itemIds
    item_features = Below("item_features")  # prefix of the shards with the features of each item, if there are some
    new_item_features = Below("new_item_features")  # prefix of the shards of items that nobody has viewed yet
    new_items = Below("new_items.parquet")  # these items and their attributes, in the order of new_item_features
    item_features_fn = Below("item_features_fn")  # the SavedModel that makes the features of raw attributes
    user_features = Below("user_features")  # as item_features, of the visitors
    new_user_features = Below("new_user_features")  # of visitors with attributes and without views
    user_features_fn = Below("user_features_fn")  # as item_features_fn
    rejected = Below("rejected")  # directory of the rejected rows, JSON lines


@dataclass(frozen=True)
class Model(Output):
    """The files that the trainer writes and `pipeline.batch_predict` reads.

    Shard s of n of a factor table is a float32 .npy array whose row r belongs to index s + r * n:
    the layout of the dataset's shards, so that a worker reads a user's row and factors together.
    """

    checkpoints = Below("checkpoints")
    saved_model = Below("saved_model")
    logs = Below("logs")  # TensorBoard summaries
    user_factors = Below("factors", "user_factors")  # prefix of the shards of the users' factors
    item_factors = Below("factors", "item_factors")  # prefix of the shards of the items' factors
    user_weights = Below("factors", "user_weights")  # prefix of the shards of R, the users' weights in training: [n, 1]
    related_items = Below("factors", "related_items")  # prefix of the files of the item-item matrix, if there is one
    item_attributes = Below("factors", "item_attributes")  # prefix of the regression from attributes to items' factors
    user_attributes = Below("factors", "user_attributes")  # prefix of the regression from attributes to users' factors
    new_items = Below("factors", "new_items")  # prefix of the factors of the items that are not in the vocabulary
    new_item_ids = Below("factors", "new_item_ids.txt")  # their ids, one per line
    segments = Below("factors", "segments.npz")  # the most popular items of each segment of visitors
    newest_item_ids = Below("factors", "newest_item_ids.txt")  # ids of new items without attributes, newest first
    evaluation = Below(EVALUATION)  # what trainer.evaluate writes by default, once the model is whole
    report = Below(REPORT)  # what the report writes by default
    item_weights = Below("factors", "item_weights")  # prefix of the shards of C, the items' weights in training: [n, 1]


@dataclass(frozen=True)
class Predictions(Output):
    """The files that `pipeline.batch_predict` writes."""

    text = Below("predictions")  # prefix of the shards of recommendations, of any form

    def prefix(self, kind: str) -> str:
        """Prefix of the shards of answers of a kind (`prediction.kind`), of any form."""
        return join(self.root, "predictions" if kind == "recommendations" else kind)


@dataclass(frozen=True)
class OutcomeFiles(Output):
    """The files that `pipeline.outcome` writes."""

    figures = Below(OUTCOME)


@dataclass(frozen=True)
class Night(Output):
    """The files of one attempt of `nightly.run` at one date: `ROOT/runs/DATE/ATTEMPT`.

    Its manifest has settings, code version, inputs, parents, steps and figures; it is written again after each step.
    """

    config = Below("config.yaml")  # the settings with which every step starts
    dataset = Below("dataset")
    model = Below("model")
    whole_dataset = Below("refit", "dataset")  # the same window with nothing held out, if nightly.refit is set
    refit_model = Below("refit", "model")  # the model of `whole_dataset`, started from the measured one
    evaluation = Below(EVALUATION)
    predictions = Below("predictions")
    variants = Below("variants")  # the models of an experiment's variants that have settings
    outcome = Below("outcome")  # of the versions that were live before, if nightly.outcome_nights is set

    def variant(self, name: str) -> str:
        """Return the directory of a variant's model."""
        return join(self.variants, name)

    def log(self, step: str) -> str:
        """Return the path of a step's output."""
        return join(self.root, "logs", f"{step}.log")


@dataclass(frozen=True)
class Nights:
    """The directory of all nights."""

    root: str

    live = Below("live.json")  # the alias: the live version, and those before it
    figures = Below("runs.jsonl")  # figures, one JSON line per run
    runs = Below("runs")

    def night(self, date: str, attempt: int) -> Night:
        return Night(join(self.runs, date, str(attempt)))
