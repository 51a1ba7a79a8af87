"""The experiment of predictions, and the experiments that have ended."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from artifacts.manifests.base import Manifest, Part


class VariantRecord(Part):
    """A variant of an experiment: its share as asked, the model that answers, and the visitors who have it."""

    share: float
    model_version: str
    is_holdout: bool  # popularity answers
    visitors: int


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
