"""The experiment of predictions, and the experiments that have ended."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from artifacts.manifests.base import Manifest, Part


class VariantSplit(Part):
    """A variant of an experiment: its share as asked, and the model that answers."""

    share: float
    model_version: str
    is_holdout: bool  # popularity answers


class VariantRecord(VariantSplit):
    """A variant with the visitors who have it."""

    visitors: int


class ExperimentOfRows(Part):
    """The experiment of a run, as rows of a table have it; model_version: of the visitors who are not part of it."""

    name: str
    salt: str
    variants: dict[str, VariantSplit]  # in order, the control first
    planned_visitors: int  # after which it is to be read
    model_version: str


class ExperimentRecord(Part):
    """The experiment of predictions; its variants are in order, the control first."""

    name: str
    salt: str
    variants: dict[str, VariantRecord]
    excluded: int  # visitors, who are not part of it
    planned_visitors: int  # after which it is to be read


class Promotion(Part):
    """The end of an experiment: all visitors have the variant from then on; ended: ISO 8601 in UTC."""

    variant: str
    ended: str


class PromotedManifest(Manifest):
    """The experiments that wals promote ended, by name."""

    COMMAND: ClassVar = "wals promote VARIANT"

    kind: Literal["promoted"] = "promoted"
    schema_version: Literal[1] = 1
    experiments: dict[str, Promotion] = Field(default_factory=dict)
