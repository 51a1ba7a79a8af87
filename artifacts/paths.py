"""Every path the jobs write or read, in one place. Standard library only.

A root is a local path or a gs:// URL. A root is whole when its `manifest.json` exists: that file is
written last, and readers refuse a root without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from artifacts.names import HELD_OUT, VOCAB_ITEMS, VOCAB_USERS


def join(root: str, *parts: str) -> str:
    """Join path parts with `/`, for local paths and URLs."""
    return "/".join([root.rstrip("/") or "/", *parts])


def shard_name(prefix: str, shard: int, shards: int, suffix: str = "") -> str:
    """Return `prefix-00003-of-00008suffix`."""
    return f"{prefix}-{shard:05d}-of-{shards:05d}{suffix}"


@dataclass(frozen=True)
class Output:
    """The files that a job writes below a root."""

    root: str

    @property
    def manifest(self) -> str:
        """The manifest, which is written last."""
        return join(self.root, "manifest.json")


@dataclass(frozen=True)
class Dataset(Output):
    """The files that `pipeline.preprocess` writes and the trainer reads.

    Shard s of n of a group-by dataset contains the keys that leave the remainder s when divided by n, ascending.
    """

    @property
    def transform_fn(self) -> str:
        """The directory for `tft.TFTransformOutput`."""
        return join(self.root, "transform")

    @property
    def vocab_users(self) -> str:
        return join(self.transform_fn, "transform_fn", "assets", VOCAB_USERS)

    @property
    def vocab_items(self) -> str:
        return join(self.transform_fn, "transform_fn", "assets", VOCAB_ITEMS)

    @property
    def items_for_user(self) -> str:
        """Prefix of the shards with one row per user."""
        return join(self.root, "items_for_user")

    @property
    def users_for_item(self) -> str:
        """Prefix of the shards with one row per item."""
        return join(self.root, "users_for_item")

    @property
    def held_out(self) -> str:
        """Prefix of the shards with the entries of each user that a split keeps from training, if there is a split."""
        return join(self.root, HELD_OUT)

    @property
    def statistics(self) -> str:
        """Interactions per day and a histogram of the ratings, of train."""
        return join(self.root, "statistics.json")

    @property
    def items(self) -> str:
        """The table of items, one row per item, in the order of the itemIds."""
        return join(self.root, "items.parquet")

    @property
    def rejected(self) -> str:
        """Directory of the rejected rows, JSON lines."""
        return join(self.root, "rejected")


@dataclass(frozen=True)
class Model(Output):
    """The files that the trainer writes and `pipeline.batch_predict` reads.

    Shard s of n of a factor table is a float32 .npy array whose row r belongs to index s + r * n:
    the layout of the dataset's shards, so that a worker reads a user's row and factors together.
    """

    @property
    def checkpoints(self) -> str:
        return join(self.root, "checkpoints")

    @property
    def saved_model(self) -> str:
        return join(self.root, "saved_model")

    @property
    def logs(self) -> str:
        """TensorBoard summaries."""
        return join(self.root, "logs")

    @property
    def user_factors(self) -> str:
        """Prefix of the shards of the users' factors."""
        return join(self.root, "factors", "user_factors")

    @property
    def item_factors(self) -> str:
        """Prefix of the shards of the items' factors."""
        return join(self.root, "factors", "item_factors")

    @property
    def user_weights(self) -> str:
        """Prefix of the shards of R, the users' weights in training: [n, 1]."""
        return join(self.root, "factors", "user_weights")

    @property
    def item_weights(self) -> str:
        """Prefix of the shards of C, the items' weights in training: [n, 1]."""
        return join(self.root, "factors", "item_weights")


@dataclass(frozen=True)
class Predictions(Output):
    """The files that `pipeline.batch_predict` writes."""

    @property
    def text(self) -> str:
        """Prefix of the shards of recommendations, of any form."""
        return self.prefix("recommendations")

    def prefix(self, kind: str) -> str:
        """Prefix of the shards of answers of a kind (`prediction.kind`), of any form."""
        return join(self.root, "predictions" if kind == "recommendations" else kind)


@dataclass(frozen=True)
class Night(Output):
    """The files of one attempt of `nightly.run` at one date: `ROOT/runs/DATE/ATTEMPT`.

    Its manifest has settings, code version, inputs, parents, steps and figures; it is written again after each step.
    """

    @property
    def config(self) -> str:
        """The settings with which every step starts."""
        return join(self.root, "config.yaml")

    @property
    def dataset(self) -> str:
        return join(self.root, "dataset")

    @property
    def model(self) -> str:
        return join(self.root, "model")

    @property
    def whole_dataset(self) -> str:
        """The same window with nothing held out, if nightly.refit is set."""
        return join(self.root, "refit", "dataset")

    @property
    def refit_model(self) -> str:
        """The model of `whole_dataset`, started from the measured one."""
        return join(self.root, "refit", "model")

    @property
    def evaluation(self) -> str:
        return join(self.root, "evaluation.json")

    @property
    def predictions(self) -> str:
        return join(self.root, "predictions")

    def log(self, step: str) -> str:
        """Return the path of a step's output."""
        return join(self.root, "logs", f"{step}.log")


@dataclass(frozen=True)
class Nights:
    """The directory of all nights."""

    root: str

    @property
    def live(self) -> str:
        """The alias: the live version, and those before it."""
        return join(self.root, "live.json")

    @property
    def figures(self) -> str:
        """Figures, one JSON line per run."""
        return join(self.root, "runs.jsonl")

    @property
    def runs(self) -> str:
        return join(self.root, "runs")

    def night(self, date: str, attempt: int) -> Night:
        return Night(join(self.runs, date, str(attempt)))
