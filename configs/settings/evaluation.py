"""Sections for measuring a model and for the report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from configs.settings.section import Section


class EvaluationSettings(Section):
    """The metrics that trainer.evaluate computes, and the baselines it computes them for."""

    k: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field((5, 10, 20), min_length=1)
    """Lengths of the recommendation lists that are measured."""
    baselines: tuple[Literal["popularity", "time-decayed popularity", "item kNN"], ...] = (
        "popularity",
        "time-decayed popularity",
        "item kNN",
    )
    """Systems that the model is compared with; time-decayed popularity needs a dataset with times."""
    neighbours: int = Field(100, ge=1, le=10_000)
    """item kNN: nearest items that are kept for each item."""
    resamples: int = Field(1000, ge=100, le=100_000)
    """Bootstrap samples from which the intervals are computed."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Confidence level of the intervals, as a share: 0.95 for 95 %."""
    seed: NonNegativeInt = 0
    """Seed of the bootstrap samples; the same seed repeats the same intervals."""


class ReportSettings(Section):
    """The HTML page on a dataset, a model and its quality."""

    output: str = "data/report.html"
    """HTML file to write."""
    evaluation: str | None = None
    """JSON file that trainer.evaluate wrote; unset leaves the model's quality out of the page."""
    map_items: int = Field(2000, ge=1, le=20_000)
    """Number of items on the map; the most popular items are shown."""
    visitors: int = Field(6, ge=0, le=100)
    """Number of visitors that are shown as examples."""
    recommendations: int = Field(6, ge=1, le=100)
    """Length of each list in an example."""
