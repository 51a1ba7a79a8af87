"""The job that runs every night."""

from __future__ import annotations

from pydantic import Field

from configs.settings.section import Section


class NightlySettings(Section):
    """The job that runs every night: which outcome may go live, and what is kept."""

    directory: str = Field("data/nightly", description="Holds the runs and the alias of the live one, local or gs://.")
    require: tuple[str, ...] = Field((), description='What a model must reach to go live, e.g. ["recall@20>=0.1"].')
    beats: tuple[str, ...] = Field(
        ("popularity",), description="Baselines that a model must beat to go live, as trainer.evaluate names them."
    )
    refit: bool = Field(
        False,
        description="After the gate, train on what the split held out too; that model goes live.",
    )
    warm_start: bool = Field(True, description="Start each training from the live model.")
    validate_dataset: bool = Field(
        True, description="Hold each dataset against the live version's, by the bounds of validation."
    )
    catch_up_days: int = Field(3, ge=0, le=31, description="Skipped nights this many days back are run first.")
    keep: int = Field(7, ge=2, description="Versions that went live to keep, the live one included.")
    keep_failed: int = Field(3, ge=0, description="Other runs to keep, the newest, to look into.")
    step_timeout_minutes: float = Field(720, gt=0, description="A step that takes longer is stopped, and failed.")
    textfile: str | None = Field(None, description="File for Prometheus' textfile collector, ending in .prom.")
    serve: bool = Field(False, description="Publish the live model to serving.directory too.")
    bigquery_view: str | None = Field(
        None, description="project.dataset.view to point at the live version in the table of predictions."
    )
    vertex_model: str | None = Field(
        None, description="Vertex AI model, projects/P/locations/R/models/M, whose alias `live` follows."
    )
