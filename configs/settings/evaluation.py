"""How good a model is, and the page that shows it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.settings.section import Section


class EvaluationSettings(Section):
    """What trainer.evaluate measures, and beside what."""

    k: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        (5, 10, 20), min_length=1, description="Lengths of the lists that are measured."
    )
    baselines: tuple[Literal["popularity", "time-decayed popularity", "item kNN"], ...] = Field(
        ("popularity", "time-decayed popularity", "item kNN"),
        description="What the model is compared with; the second needs times.",
    )
    neighbours: int = Field(100, ge=1, le=10_000, description="item kNN: nearest items kept of each.")
    resamples: int = Field(1000, ge=100, le=100_000, description="Draws of the bootstrap.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of the intervals.")
    seed: int = Field(0, ge=0, description="Of the draws.")


class ReportSettings(Section):
    """The page on a dataset, a model and its quality."""

    output: str = Field("data/report.html", description="The file to write.")
    evaluation: str | None = Field(None, description="JSON that trainer.evaluate wrote; none leaves quality out.")
    map_items: int = Field(2000, ge=1, le=20_000, description="Items on the map, the most popular ones.")
    visitors: int = Field(6, ge=0, le=100, description="Visitors shown as examples.")
    recommendations: int = Field(6, ge=1, le=100, description="Lines of each list of an example.")
