"""Validated settings: YAML, then overrides from the command line. An unknown key is an error."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from configs.errors import UserError

BIGQUERY = "bq://"  # of tables, as Vertex AI writes them too


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _as_date(value: Any) -> Any:
    """Takes 2024-01-31, and the export's own 20240131 (which YAML reads as a number)."""
    text = str(value)
    if len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return value


Date = Annotated[datetime.date, BeforeValidator(_as_date)]


class SourceSettings(_Section):
    """Where interactions come from, and which of them count."""

    kind: Literal["ga360", "ga4", "table"] = Field("ga360", description="What the files hold.")
    input: str | None = Field(
        None, description="Glob of the files, local or gs://; or bq://PROJECT.DATASET.TABLE, with * for tables of days."
    )
    query: str | None = Field(
        None, description="Table: file of a BigQuery query that gives the columns below; in place of input."
    )
    start_date: Date | None = Field(None, description="First day of the window, inclusive.")
    end_date: Date | None = Field(None, description="Last day of the window, inclusive.")
    window_days: int | None = Field(
        None, ge=1, description="Days of a window that slides with end_date, its last; in place of start_date."
    )
    include_intraday: bool = Field(
        False, description="Read ga_sessions_intraday_* and events_intraday_* too; they are not final."
    )
    content_dimension_index: int = Field(
        10, ge=1, description="GA360: index of the hit's custom dimension that holds the contentId."
    )
    visitor_key: Literal["visitor", "visit"] = Field(
        "visitor", description="GA360: `visitor` is fullVisitorId, `visit` is fullVisitorId-visitNumber."
    )
    content_parameter: str = Field(
        "content_id",
        min_length=1,
        description="GA4: event parameter that holds the contentId; page_location loses its query and fragment.",
    )
    prefer_user_id: bool = Field(False, description="GA4: user_id where set, else user_pseudo_id.")
    visitor_column: str = Field("visitorId", description="Table: column of the visitor's id.")
    content_column: str = Field("contentId", description="Table: column of the content's id.")
    duration_column: str | None = Field(None, description="Table: column of the dwell in ms; summed a pair.")
    rating_column: str | None = Field(
        None, description="Table: column of a rating, or of an answer that rating.ordinal names; the last counts."
    )
    time_column: str | None = Field(None, description="Table: column of the time, in ms since 1970 or a timestamp.")
    min_dwell_ms: float = Field(
        0, ge=0, description="A pair of visitor and content whose summed dwell is below is dropped and counted."
    )
    max_dwell_ms: float | None = Field(
        None, gt=0, description="A summed dwell above counts as this (a tab left open), and is counted."
    )
    max_views_a_day: int | None = Field(
        None,
        ge=1,
        description="A visitor with more views (GA4: events with content) on a day in UTC is a bot: left out, counted.",
    )
    max_contents_a_day: int | None = Field(None, ge=1, description="Likewise, with more different contents on a day.")
    max_reject_fraction: float = Field(
        0.01, ge=0, le=1, description="The job fails where more of the rows than this are rejected."
    )

    @property
    def filters_bots(self) -> bool:
        return self.max_views_a_day is not None or self.max_contents_a_day is not None

    @model_validator(mode="after")
    def _ranges(self) -> SourceSettings:
        if self.window_days is not None and self.end_date is not None:
            first = self.end_date - datetime.timedelta(days=self.window_days - 1)
            if self.start_date not in (None, first):
                raise ValueError(f"start_date {self.start_date} is not window_days {self.window_days} before end_date")
            object.__setattr__(self, "start_date", first)  # whoever reads the window need not know of window_days
        if self.start_date and self.end_date and self.start_date > self.end_date:
            raise ValueError(f"start_date {self.start_date} lies after end_date {self.end_date}")
        if self.filters_bots and self.kind == "table" and not self.time_column:
            raise ValueError("max_views_a_day and max_contents_a_day need time_column where the source is a table")
        if self.max_dwell_ms is not None and self.max_dwell_ms < self.min_dwell_ms:
            raise ValueError("max_dwell_ms is below min_dwell_ms")
        if self.duration_column and self.rating_column:
            raise ValueError("give duration_column or rating_column, not both")
        if self.query and self.kind != "table":
            raise ValueError("query gives a table: it needs kind table")
        if self.query and self.input:
            raise ValueError("give input or query, not both")
        return self

    @property
    def in_bigquery(self) -> bool:
        """Whether the interactions come from BigQuery rather than from files."""
        return bool(self.query) or (self.input or "").startswith(BIGQUERY)


class BigQuerySettings(_Section):
    """BigQuery, where source.input, source.query or prediction.table names it."""

    project: str | None = Field(None, description="Project that runs the jobs and pays; none is the credentials' own.")
    location: str | None = Field(None, description="Where jobs run, e.g. EU; none is where the tables lie.")
    maximum_bytes_billed: int | None = Field(None, ge=1, description="A query that would read more is refused.")
    labels: dict[str, str] = Field(default_factory=dict, description="Of the jobs, to tell their cost apart.")
    temp_dataset: str | None = Field(
        None, description="PROJECT.DATASET for a query's result; none makes one for the run, and removes it."
    )
    retry_seconds: float = Field(120, gt=0, description="How long errors of the service are tried again.")
    endpoint: str | None = Field(None, description="URL of the REST service, e.g. of a private connection.")
    storage_endpoint: str | None = Field(None, description="The same for the Storage Read API; http:// for no TLS.")


class CloudSettings(_Section):
    """What Google Cloud's services have in common; where a run needs none of them, nothing of it is read."""

    project: str | None = Field(None, description="Project of the jobs; BigQuery's too, unless it names its own.")
    region: str | None = Field(None, description="Of Dataflow and Vertex AI, e.g. europe-west1.")
    temp_location: str | None = Field(
        None, pattern=r"^gs://", description="gs:// directory in that region for what jobs stage."
    )
    service_account: str | None = Field(None, description="E-mail of the account that workers and training run as.")
    subnetwork: str | None = Field(None, description="regions/REGION/subnetworks/NAME of Dataflow's workers.")
    network: str | None = Field(None, description="projects/NUMBER/global/networks/NAME, for Vertex AI's training.")
    kms_key: str | None = Field(None, description="Key (CMEK) that encrypts what the jobs keep.")
    labels: dict[str, str] = Field(default_factory=dict, description="Of the jobs; BigQuery's too.")


class DataflowSettings(_Section):
    """Dataflow, where beam.runner is DataflowRunner; options that are not here go under beam."""

    machine_type: str | None = Field(None, description="Of the workers, e.g. n2-highmem-4.")
    workers: int | None = Field(None, ge=1, description="To begin with; none lets Dataflow choose.")
    max_workers: int = Field(20, ge=1, description="Autoscaling never goes beyond.")
    disk_gb: int | None = Field(None, ge=10, description="Of each worker.")
    private_ips: bool = Field(False, description="No public addresses; the subnetwork needs Private Google Access.")
    container_image: str | None = Field(
        None, description="Of the Dockerfile's target worker; none installs setup.py on every worker, minutes each."
    )


class VertexSettings(_Section):
    """Vertex AI, where the trainer runs as a custom job."""

    image: str | None = Field(None, description="Of the Dockerfile's target trainer.")
    machine_type: str = Field("n2-highmem-16", description="Of each machine.")
    accelerator_type: str | None = Field(None, description="E.g. NVIDIA_L4; none trains on processors.")
    accelerator_count: int = Field(1, ge=1, description="Of each machine, where there is an accelerator_type.")
    replicas: int = Field(1, ge=1, description="Machines that share the training.")
    disk_gb: int = Field(100, ge=100, description="Of each machine.")
    spot: bool = Field(False, description="Cheaper machines that may be taken away; training goes on where it was.")
    timeout_hours: float = Field(12, gt=0, description="After which the job is stopped.")
    register_as: str | None = Field(None, description="Name in the Model Registry; none registers no model.")
    serving_image: str = Field(
        "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest", description="That serves a registered model."
    )
    poll_seconds: float = Field(15, gt=0, description="How often to ask how a job is doing.")
    endpoint: str | None = Field(None, description="Of the service, where it is not the region's own.")


class RatingSettings(_Section):
    """From a dwell in ms (or a table's rating) to the rating that is factorised."""

    kind: Literal["median", "log", "linear", "binary", "ordinal"] = Field(
        "median",
        description="median: min(cap, scale x dwell / median); log: log(1 + dwell / epsilon); "
        "linear: scale x amount; binary: 1; ordinal: by answer.",
    )
    scale: float | None = Field(
        None,
        gt=0,
        description="Factor: of median 0.3 by default, as Google's course has it (the configs here say 3: full rating "
        "from a third of the median dwell on), of linear 1.",
    )
    cap: float = Field(1.0, gt=0, description="median: greatest rating.")
    epsilon: float = Field(1000.0, gt=0, description="log: log(1 + duration / epsilon), in ms.")
    ordinal: dict[str, float] = Field(
        default_factory=dict, description="ordinal: rating of each answer in the table's rating_column."
    )
    half_life_days: float | None = Field(
        None, gt=0, description="A rating this much older than source.end_date counts half; none counts all alike."
    )

    @property
    def factor(self) -> float:
        """The scale, given or by kind."""
        if self.kind == "ordinal":
            return 1.0
        return self.scale or (0.3 if self.kind == "median" else 1.0)

    @model_validator(mode="after")
    def _ordinal_needs_its_table(self) -> RatingSettings:
        if (self.kind == "ordinal") != bool(self.ordinal):
            raise ValueError("kind: ordinal and a table `ordinal:` of answers and ratings go together")
        return self


class PrivacySettings(_Section):
    """What is done with visitors' ids before anything else is; docs/privacy.md."""

    hash_key_file: str | None = Field(
        None, description="File of a key, local or gs://: visitorIds are replaced by their HMAC-SHA-256."
    )
    hash_key_env: str | None = Field(None, description="Environment variable that holds the key, where no file does.")
    deleted_visitors: str | None = Field(
        None, description="File of visitorIds (or their hashes), one a line: left out of datasets and predictions."
    )

    @property
    def hashes(self) -> bool:
        """Whether ids are hashed."""
        return bool(self.hash_key_file or self.hash_key_env)

    @model_validator(mode="after")
    def _one_key(self) -> PrivacySettings:
        if self.hash_key_file and self.hash_key_env:
            raise ValueError("give hash_key_file or hash_key_env, not both")
        return self


class ValidationSettings(_Section):
    """How far a dataset may be from the last good one."""

    baseline: str | None = Field(
        None, description="Directory of the last good dataset; one that is too far from it is not made (exit status 3)."
    )
    users: float | None = Field(0.5, gt=0, description="0.5 lets their number change by a factor of 1.5; none, by any.")
    items: float | None = Field(0.5, gt=0, description="Likewise.")
    interactions: float | None = Field(0.5, gt=0, description="Likewise.")
    median: float | None = Field(0.5, gt=0, description="Likewise the median dwell, where both have one.")


class SplitSettings(_Section):
    """What is held out of training to evaluate by. Vocabularies, median and counts are of what is left."""

    kind: Literal["none", "last_n", "time", "random"] = Field(
        "none",
        description="last_n: the latest contents of each visitor; time: what comes from a time on; "
        "random: a share of each visitor's contents, drawn by a hash.",
    )
    n: int = Field(1, ge=1, description="last_n: contents of each visitor that are held out; one always stays.")
    time: Annotated[datetime.datetime, BeforeValidator(_as_date)] | None = Field(
        None, description="time: views from then on are held out, e.g. 2024-01-31 or 2024-01-31T12:00; UTC."
    )
    days: int | None = Field(
        None, ge=1, description="time: in place of a time, the last days of the window, up to source.end_date."
    )
    share: float = Field(0.2, gt=0, lt=1, description="random: of each visitor's contents, rounded down.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="random: of the hash.")
    min_items: int = Field(2, ge=2, description="last_n, random: nothing is held out of visitors with fewer contents.")
    test_input: str | None = Field(
        None, description="Glob of files like the source's that are held out whole: a published split."
    )
    drop_shared: bool = Field(
        False, description="test_input: leave out the pairs that train has too, counted; else they are an error."
    )

    @property
    def time_ms(self) -> int:
        """The cut, in ms since 1970."""
        cut = cast(datetime.datetime, self.time)  # the validator sees to it where the kind is time
        return round(cut.replace(tzinfo=cut.tzinfo or datetime.UTC).timestamp() * 1000)

    @property
    def holds_out(self) -> bool:
        return self.kind != "none" or self.test_input is not None

    @model_validator(mode="after")
    def _each_kind_its_own(self) -> SplitSettings:
        if self.test_input is not None and self.kind != "none":
            raise ValueError(f"test_input is a split by itself; leave kind none, not {self.kind}")
        if self.drop_shared and self.test_input is None:
            raise ValueError("drop_shared goes with test_input")
        if (self.kind == "time") != (self.time is not None or self.days is not None):
            raise ValueError("kind time and a `time` or `days` go together")
        if self.time is not None and self.days is not None:
            raise ValueError("give time or days, not both")
        return self


class DatasetSettings(_Section):
    """How the dataset is laid out and what it leaves out."""

    min_items_per_user: int = Field(1, ge=1, description="Visitors with fewer contents are left out, counted.")
    min_users_per_item: int = Field(1, ge=1, description="Contents with fewer visitors are left out, counted.")
    shards: int | None = Field(None, ge=1, le=99_999, description="Files a side; none chooses from the data.")
    gzip: bool = Field(False, description="Compress the TFRecords.")
    popularity_half_life_days: float | None = Field(
        None, gt=0, description="A view this old counts half in the popularity of its content; none counts all alike."
    )

    @property
    def recent_half_life_days(self) -> float:
        """Of a view's part in recent_popularity, which evaluation compares with: a week where nothing is set."""
        return self.popularity_half_life_days or 7.0


class TrainingSettings(_Section):
    """WALS. The names are those of TensorFlow 1's WALSMatrixFactorization where it had them."""

    embedding_dimension: int = Field(128, ge=1, le=8192, description="Factors of each user and item, k.")
    unobserved_weight: float = Field(0.1, ge=0, description="w0, the weight of every cell without an entry.")
    regularization_coeff: float = Field(4.0, ge=0, description="lambda.")
    frequency_exponent: float = Field(
        0.0, ge=0, le=2, description="nu: lambda_i = lambda (|obs_i| + w0 m)^nu; 0 is one lambda for all rows."
    )
    row_weights: float | None = Field(1.0, ge=0, description="R, one weight for all users; none weighs nothing.")
    col_weights: float | None = Field(1.0, ge=0, description="C, one weight for all items; none weighs nothing.")
    row_weights_file: str | None = Field(None, description="CSV of visitorId,weight: R by visitor, default 1.")
    col_weights_file: str | None = Field(None, description="CSV of contentId,weight: C by content, default 1.")
    row_weights_exponent: float = Field(
        0.0,
        ge=-2,
        le=2,
        description="a: R is multiplied by (items of the user)^-a, scaled to mean 1; above 0 busy users weigh less.",
    )
    col_weights_exponent: float = Field(
        0.35,
        ge=-2,
        le=2,
        description="b: C is multiplied by (users of the item)^-b, scaled to mean 1; above 0 popular items weigh less.",
    )
    max_sweeps: int = Field(20, ge=1, description="A sweep solves one side; two are a pass.")
    solver: Literal["auto", "cholesky", "cg", "block"] = Field(
        "auto", description="cholesky solves exactly, cg by conjugate gradient, block by blocks of factors."
    )
    cg_steps: int = Field(
        3,
        ge=1,
        le=1000,
        description="Steps of conjugate gradient a row and sweep, where the solver takes them; few stop early.",
    )
    block_size: int = Field(64, ge=1, le=1024, description="Factors that block descent solves for at once.")
    devices: tuple[str, ...] | None = Field(
        None,
        description="TensorFlow's names of the devices that solve rows, e.g. [GPU:0, GPU:1]; "
        "none takes all GPUs, and the processor where there is none.",
    )
    table_dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="bfloat16 rounds the factors after each sweep; on devices they take half the memory then.",
    )
    memory_limit_gb: float | None = Field(
        None,
        gt=0,
        description="Sparse data beyond this is read from the dataset's files anew each sweep; "
        "none is half of the machine's memory.",
    )
    tolerance: float = Field(0.0, ge=0, description="Stop when a pass lowers the loss by less than this share.")
    stop_metric: Literal["recall", "ndcg"] | None = Field(
        None, description="Stop when recall@20 or NDCG@20 on the dataset's held-out entries no longer rises."
    )
    patience: int = Field(1, ge=1, description="Passes without a better stop_metric before stopping.")
    seed: int = Field(42, ge=0, description="Of the random start: one seed, one model.")
    init_stddev: float | None = Field(None, gt=0, description="Of the random start; none is 1/sqrt(k).")
    warm_start: str | None = Field(
        None,
        description="Directory of an earlier model to start from, by ids; of other settings, or gone: a cold start.",
    )
    warm_start_sweeps: int | None = Field(
        None, ge=1, description="Sweeps after a warm start; none is a third of the passes of max_sweeps."
    )


class PredictionSettings(_Section):
    """Batch prediction."""

    kind: Literal["recommendations", "targets", "similar_contents", "similar_visitors"] = Field(
        "recommendations",
        description="recommendations: contents for visitors; targets: visitors for contents; or what is like each.",
    )
    top_k: int = Field(10, ge=1, description="Entries of an answer.")
    include_seen: bool = Field(False, description="Also give what the visitor has already.")
    factors: Literal["auto", "trained", "projected"] = Field(
        "auto",
        description="Visitors' factors: as trained, or projected from their rows on the contents' factors; "
        "auto takes the trained ones where the model has them.",
    )
    metric: Literal["cosine", "dot"] = Field("cosine", description="By what similar contents and visitors compare.")
    only: str | None = Field(None, description="File of the ids to answer, one a line; none answers all.")
    allow: str | None = Field(None, description="File of the only ids that may be given, one a line.")
    block: str | None = Field(None, description="File of ids that are not given: unpublished, out of stock, opted out.")
    min_score: float | None = Field(None, description="Lower scores are not given; popularity has its own scale.")
    max_age_days: float | None = Field(
        None, gt=0, description="Contents whose first view lies longer before the dataset's last are left out."
    )
    max_per_category: int | None = Field(
        None, ge=1, description="Contents of one category of the catalogue in an answer; without one, any number."
    )
    explain: int = Field(0, ge=0, description="Of how many of the visitor's contents to tell what they carried.")
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
        given_visitors = self.kind in ("targets", "similar_visitors")
        if self.explain and self.kind != "recommendations":
            raise ValueError(f"explain is for recommendations, not for {self.kind}")
        if self.max_per_category and given_visitors:
            raise ValueError(f"max_per_category is for contents; {self.kind} gives visitors")
        if self.max_age_days and self.kind == "similar_visitors":
            raise ValueError("max_age_days is for contents; similar_visitors has none")
        if self.table and self.kind.startswith("similar_"):
            raise ValueError(f"table is for recommendations and targets, not for {self.kind}")
        if self.explain and set(self.formats) == {"text"}:
            raise ValueError("explain needs jsonl or parquet in formats; the text form has no place for it")
        return self


class ColdStartSettings(_Section):
    """What answers visitors of whom little is known. A model takes it along when it is trained."""

    min_ratings: int = Field(10, ge=0, description="A visitor with more ratings than this has factors of their own.")
    min_site_ratings: int = Field(100, ge=0, description="With this many ratings in all or fewer, popularity answers.")


class ServingSettings(_Section):
    """The server, and where it finds the versions of a model."""

    directory: str = Field("data/serving", description="Holds NAME/VERSION; TensorFlow Serving's base path is NAME.")
    name: str = Field("wals", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", description="Of the model, in the addresses.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 lets other machines in.")
    port: int = Field(8501, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    poll_seconds: float = Field(2.0, gt=0, description="How often to look for a new version.")
    max_k: int = Field(100, ge=1, description="Greatest k of a request.")
    max_batch: int = Field(256, ge=1, description="Most rows of a request.")
    max_history: int = Field(1000, ge=1, description="Most contents of a history in a request.")
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


class EvaluationSettings(_Section):
    """What trainer.evaluate measures, and beside what."""

    k: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        (5, 10, 20), min_length=1, description="Lengths of the lists that are measured."
    )
    baselines: tuple[Literal["popularity", "time-decayed popularity", "item kNN"], ...] = Field(
        ("popularity", "time-decayed popularity", "item kNN"),
        description="What the model is compared with; the second needs times.",
    )
    neighbours: int = Field(100, ge=1, le=10_000, description="item kNN: nearest contents kept of each.")
    resamples: int = Field(1000, ge=100, le=100_000, description="Draws of the bootstrap.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of the intervals.")
    seed: int = Field(0, ge=0, description="Of the draws.")


class ReportSettings(_Section):
    """The page on a dataset, a model and its quality."""

    output: str = Field("data/report.html", description="The file to write.")
    evaluation: str | None = Field(None, description="JSON that trainer.evaluate wrote; none leaves quality out.")
    map_contents: int = Field(2000, ge=1, le=20_000, description="Contents on the map, the most popular ones.")
    visitors: int = Field(6, ge=0, le=100, description="Visitors shown as examples.")
    recommendations: int = Field(6, ge=1, le=100, description="Lines of each list of an example.")


class NightlySettings(_Section):
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


class Settings(_Section):
    """One run: where its parts lie, and how each step behaves."""

    source: SourceSettings = SourceSettings()
    rating: RatingSettings = RatingSettings()
    dataset: DatasetSettings = DatasetSettings()
    split: SplitSettings = SplitSettings()
    privacy: PrivacySettings = PrivacySettings()
    validation: ValidationSettings = ValidationSettings()
    training: TrainingSettings = TrainingSettings()
    prediction: PredictionSettings = PredictionSettings()
    cold_start: ColdStartSettings = ColdStartSettings()
    serving: ServingSettings = ServingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    report: ReportSettings = ReportSettings()
    bigquery: BigQuerySettings = BigQuerySettings()
    cloud: CloudSettings = CloudSettings()
    dataflow: DataflowSettings = DataflowSettings()
    vertex: VertexSettings = VertexSettings()
    nightly: NightlySettings = NightlySettings()
    dataset_dir: str | None = Field(None, description="Where the dataset lies, local or gs://.")
    model_dir: str | None = Field(None, description="Where the model lies.")
    predictions_dir: str | None = Field(None, description="Where the predictions go.")
    targets_dir: str | None = Field(None, description="Where prediction.kind targets goes.")
    similar_contents_dir: str | None = Field(None, description="Where prediction.kind similar_contents goes.")
    similar_visitors_dir: str | None = Field(None, description="Where prediction.kind similar_visitors goes.")
    catalogue: str | None = Field(None, description="CSV of contentId,title,category, to show results with.")
    beam: dict[str, str | int | float | bool | list[str]] = Field(
        default_factory=dict, description="Beam's own options by name, e.g. runner, temp_location."
    )

    @model_validator(mode="after")
    def _one_project_and_labels(self) -> Settings:
        own = {
            "project": self.bigquery.project or self.cloud.project,
            "labels": self.cloud.labels | self.bigquery.labels,
        }
        object.__setattr__(self, "bigquery", self.bigquery.model_copy(update=own))
        return self

    @model_validator(mode="after")
    def _ratings_fit_the_source(self) -> Settings:
        given = self.source.kind == "table" and self.source.rating_column
        if given and self.rating.kind in ("median", "log"):
            raise ValueError(
                f"rating.kind {self.rating.kind} is for dwell; for rating_column take linear, binary or ordinal"
            )
        if self.rating.kind == "ordinal" and not given:
            raise ValueError("rating.kind ordinal needs a table with source.rating_column")
        if self.rating.half_life_days and self.source.end_date is None:
            raise ValueError("rating.half_life_days counts back from source.end_date; set that")
        if self.rating.half_life_days and self.source.kind == "table" and not self.source.time_column:
            raise ValueError("rating.half_life_days needs source.time_column where the source is a table")
        if self.split.days is not None:
            if self.source.end_date is None:
                raise ValueError("split.days counts back from source.end_date; set that, or split.time")
            first = self.source.end_date - datetime.timedelta(days=self.split.days - 1)
            cut = {"time": datetime.datetime.combine(first, datetime.time()), "days": None}
            object.__setattr__(self, "split", self.split.model_copy(update=cut))
        if self.split.kind in ("last_n", "time") and self.source.kind == "table" and not self.source.time_column:
            raise ValueError(f"split.kind {self.split.kind} needs source.time_column where the source is a table")
        if self.dataset.popularity_half_life_days and self.source.kind == "table" and not self.source.time_column:
            raise ValueError("dataset.popularity_half_life_days needs source.time_column where the source is a table")
        return self


def load_settings(path: str, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Reads a YAML file, local or gs://; `overrides` maps dotted keys (`source.kind`) to values, None for not given.

    Raises:
        UserError: the file is missing, not YAML, or holds an unknown key or a wrong value.
    """
    try:
        tree = yaml.safe_load(_text(path)) or {}
    except FileNotFoundError:
        raise UserError(f"config {path} does not exist; see configs/local.yaml for one") from None
    except OSError as error:
        raise UserError(f"config {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"config {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"config {path} holds no settings by name (source:, training:, ...)")
    given = {dotted: value for dotted, value in (overrides or {}).items() if value is not None}
    rating = tree.get("rating")
    if isinstance(rating, dict) and given.get("rating.kind", rating.get("kind")) != rating.get("kind"):
        rating.pop("scale", None)  # a scale belongs to its kind: 3 of a median is none of stars
    for dotted, value in given.items():
        _put(tree, dotted.split("."), value)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"config {path}: {_say(error)}") from error


def _text(path: str) -> bytes:
    """The config as it lies on a disk, or on gs:// for machines that have no disk of ours.

    Raises:
        OSError: it cannot be read; FileNotFoundError where it is not there.
    """
    if not path.startswith("gs://"):
        with open(path, "rb") as file:
            return file.read()
    from google.api_core.exceptions import GoogleAPICallError, NotFound
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage

    bucket, _, name = path.removeprefix("gs://").partition("/")
    try:
        return storage.Client().bucket(bucket).blob(name).download_as_bytes()
    except NotFound:
        raise FileNotFoundError(path) from None
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise OSError(0, " ".join(str(error).split())) from error


def _put(tree: dict[str, Any], parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
        tree = tree[part]
    tree[parts[-1]] = value


def _say(error: ValidationError) -> str:
    """Pydantic's findings in one line, each with the key it is about."""
    findings = []
    for finding in error.errors():
        key = ".".join(str(part) for part in finding["loc"]) or "settings"
        if finding["type"] == "extra_forbidden":
            findings.append(f"unknown key {key}{_known(finding['loc'])}")
        else:
            findings.append(f"{key}: {finding['msg'].removeprefix('Value error, ')}")
    return "; ".join(findings)


def _known(loc: tuple[int | str, ...]) -> str:
    section: Any = Settings
    for part in loc[:-1]:
        field = getattr(section, "model_fields", {}).get(part)
        section = field.annotation if field else None
    names = getattr(section, "model_fields", None)
    return f" (known: {', '.join(names)})" if names else ""
