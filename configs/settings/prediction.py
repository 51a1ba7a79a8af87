"""What a model answers: in batch, and over HTTP."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from configs.settings.section import Section


class PredictionSettings(Section):
    """Batch prediction."""

    kind: Literal["recommendations", "audiences", "similar_items", "similar_visitors"] = Field(
        "recommendations",
        description="recommendations: items for visitors; audiences: visitors for items; or what is like each.",
    )
    top_k: int = Field(10, ge=1, description="Entries of an answer.")
    include_seen: bool = Field(False, description="Also give what the visitor has already.")
    factors: Literal["auto", "trained", "projected"] = Field(
        "auto",
        description="Visitors' factors: as trained, or projected from their rows on the items' factors; "
        "auto takes the trained ones where the model has them.",
    )
    metric: Literal["cosine", "dot"] = Field("cosine", description="By what similar items and visitors compare.")
    only: str | None = Field(None, description="File of the ids to answer, one a line; none answers all.")
    allow: str | None = Field(None, description="File of the only ids that may be given, one a line.")
    block: str | None = Field(None, description="File of ids that are not given: unpublished, out of stock, opted out.")
    min_score: float | None = Field(None, description="Lower scores are not given; popularity has its own scale.")
    max_age_days: float | None = Field(
        None, gt=0, description="Items whose first view lies longer before the dataset's last are left out."
    )
    max_per_category: int | None = Field(
        None, ge=1, description="Items of one category of the catalogue in an answer; without one, any number."
    )
    explanation: int = Field(0, ge=0, description="Of how many of the visitor's items to tell what they carried.")
    block_size: int = Field(4096, ge=1, description="Visitors scored at once; bounds a worker's memory.")
    table: str | None = Field(None, description="bq://PROJECT.DATASET.TABLE to fill as well, a row an entry.")
    table_keeps: Literal["day", "run", "all"] = Field(
        "day", description="Of earlier runs: day, all but those of the same day (UTC); run, none; all, all."
    )
    table_days: int | None = Field(None, ge=1, description="Days after which a new table lets its rows go.")
    formats: tuple[Literal["text", "jsonl", "parquet"], ...] = Field(
        ("text", "jsonl"), min_length=1, description="Files to write, of each shard."
    )

    @model_validator(mode="after")
    def _options_fit_the_kind(self) -> PredictionSettings:
        given_visitors = self.kind in ("audiences", "similar_visitors")
        if self.explanation and self.kind != "recommendations":
            raise ValueError(f"explanation is for recommendations, not for {self.kind}")
        if self.max_per_category and given_visitors:
            raise ValueError(f"max_per_category is for items; {self.kind} gives visitors")
        if self.max_age_days and self.kind == "similar_visitors":
            raise ValueError("max_age_days is for items; similar_visitors has none")
        if self.table and self.kind.startswith("similar_"):
            raise ValueError(f"table is for recommendations and audiences, not for {self.kind}")
        if self.explanation and set(self.formats) == {"text"}:
            raise ValueError("explanation needs jsonl or parquet in formats; the text form has no place for it")
        return self


class ServingSettings(Section):
    """The server, and where it finds the versions of a model."""

    directory: str = Field("data/serving", description="Holds NAME/VERSION; TensorFlow Serving's base path is NAME.")
    name: str = Field("wals", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", description="Of the model, in the addresses.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 lets other machines in.")
    port: int = Field(8501, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    poll_seconds: float = Field(2.0, gt=0, description="How often to look for a new version.")
    max_k: int = Field(100, ge=1, description="Greatest k of a request.")
    max_batch: int = Field(256, ge=1, description="Most rows of a request.")
    max_history: int = Field(1000, ge=1, description="Most items of a history in a request.")
    max_id_bytes: int = Field(1024, ge=1, description="Longest id of a request.")
    max_body_bytes: int = Field(1 << 20, ge=1024, description="Largest body of a request.")
    max_waiting: int = Field(
        256, ge=1, description="Requests at work or waiting; one more is told to come again (429)."
    )
    threads: int = Field(2, ge=1, description="Requests computed at once.")
    timeout_seconds: float = Field(10.0, gt=0, description="A request that takes longer is answered 504.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Names that requests may be sent to, as of a proxy; on loopback none but its own and these."
    )
    example_visitors: int = Field(6, ge=0, le=100, description="Visitors the page offers; none but on loopback.")
    deleted_visitors: str | None = Field(
        None, description="File of visitorIds, one a line, that are answered as unknown and named to nobody."
    )
