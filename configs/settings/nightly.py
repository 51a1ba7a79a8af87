"""The section for the nightly job."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveFloat

from configs.settings.section import Section


class NightlySettings(Section):
    """The nightly job: which model may go live, what follows the live version, and which runs are kept."""

    directory: str = "data/nightly"
    """Directory of the runs and of live.json, which names the live version; local or gs://."""
    require: tuple[str, ...] = ()
    """Conditions that a model must meet to go live, e.g. ["recall@20>=0.1"]."""
    beats: tuple[str, ...] = ("popularity",)
    """Baselines that a model must beat to go live, by the names that trainer.evaluate prints."""
    refit: bool = False
    """After the gate, train once more with the entries that the split held out; that model goes live."""
    warm_start: bool = True
    """Start each training from the factors of the live model."""
    validate_dataset: bool = True
    """Compare each dataset with the live version's, within the bounds of the section validation."""
    catch_up_days: int = Field(3, ge=0, le=31)
    """Number of days before the date in which missed nights are run first."""
    keep: int = Field(7, ge=2)
    """Number of versions that went live to keep, the live one included."""
    keep_failed: NonNegativeInt = 3
    """Number of other runs to keep for inspection; the newest are kept."""
    step_timeout_minutes: PositiveFloat = 720
    """Minutes after which a step is stopped and counts as failed."""
    textfile: str | None = None
    """File of figures for Prometheus' textfile collector, its name ending in .prom; unset writes none."""
    serve: bool = False
    """Publish the live model to serving.directory too."""
    bigquery_view: str | None = None
    """PROJECT.DATASET.VIEW that is changed to show the live version's rows of prediction.table."""
    vertex_model: str | None = None
    """Vertex AI model, projects/P/locations/R/models/M, whose alias `live` moves to the live version."""
