"""Sections for what is done with a model: batch prediction, experiments, the server, and the nightly job."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from configs.settings.section import Section

Kind = Literal["recommendations", "audiences", "similar_items", "similar_visitors"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TRAINED_BY = ("training", "neighbourhood", "cold_start")  # sections that a variant's model can differ by
HOLDOUT = "none"  # the model of a variant whose visitors get the most popular items


class PredictionSettings(Section):
    """Batch prediction: what is predicted, for whom, and in which files and tables it is written."""

    kind: Kind = "recommendations"
    """recommendations: items for each visitor; audiences: visitors for each item; similar_items: items like each item;
    similar_visitors: visitors like each visitor."""
    top_k: PositiveInt = 10
    """Number of entries in each list."""
    include_seen: bool = False
    """Also recommend items that the visitor has already viewed."""
    factors: Literal["auto", "trained", "projected"] = "auto"
    """Factors of the visitors. trained: those of the model; projected: computed from their rows and the items' factors;
    auto: the trained ones if the model has them, else projected."""
    metric: Literal["cosine", "dot"] = "cosine"
    """Similarity of similar_items and similar_visitors: cosine or dot product of the factors."""
    only: str | None = None
    """File with one id per line: predict for these ids alone; unset predicts for all."""
    allow: str | None = None
    """File with one id per line: only these ids may appear in a list; unset allows all."""
    unclicked: str | None = None
    """Directory of an outcome with files unclicked-*; a night takes that of its step outcome."""
    unclicked_weight: float = Field(0, ge=0, le=1)
    """Weight of an exposure without a click, after its decay: an item rests, that is, it is left out of a visitor's
    list, while the weights add up to 1 or more. 0.2 lets it rest after five fresh ones, 0 never."""
    block: str | None = None
    """File with one id per line that no list may contain: unpublished, out of stock, opted out."""
    min_score: float | None = None
    """Lowest score of an entry; lists filled by popularity have scores on a scale of their own."""
    max_age_days: PositiveFloat | None = None
    """Largest age of an item in days, from its first view to the last view in the dataset; older items are left out."""
    max_per_category: PositiveInt | None = None
    """Largest number of items of one category of the catalogue in a list; unset allows any number."""
    mmr_lambda: float | None = Field(None, ge=0, le=1)
    """Diversity by maximal marginal relevance (MMR): 1 chooses by score alone, 0 by difference from the items that are
    chosen already; unset does not choose by difference."""
    mmr_candidates: int = Field(100, ge=1, le=1000)
    """Number of items, the best that all other options allow, from which MMR chooses a list; top_k if that is more."""
    explanation: NonNegativeInt = 0
    """Number of the visitor's own items to name as reasons for each recommendation."""
    block_size: PositiveInt = 4096
    """Number of visitors scored at once; a smaller number needs less memory."""
    table: str | None = None
    """bq://PROJECT.DATASET.TABLE that the predictions are also written to, one row per entry."""
    table_keeps: Literal["day", "run", "all"] = "day"
    """Rows of earlier runs that the table keeps. day: all but those of the same day (UTC); run: none of them; all: all
    of them."""
    table_days: PositiveInt | None = None
    """Days after which a table that is created drops its rows; unset keeps them."""
    formats: tuple[Literal["text", "jsonl", "parquet"], ...] = Field(("text", "jsonl"), min_length=1)
    """Formats of the files to write for each shard."""

    @property
    def asks_visitors(self) -> bool:
        """True if each list is for a visitor, False if it is for an item."""
        return self.kind in ("recommendations", "similar_visitors")

    @property
    def returns_visitors(self) -> bool:
        """True if the entries of a list are visitors, False if they are items."""
        return self.kind in ("audiences", "similar_visitors")

    @property
    def directory_setting(self) -> str:
        """Name of the setting for the directory of this kind."""
        return "predictions_dir" if self.kind == "recommendations" else f"{self.kind}_dir"

    @property
    def output_kind(self) -> str:
        """Kind in the output's manifest."""
        return "predictions" if self.kind == "recommendations" else self.kind

    def _problems(self) -> Iterator[str]:
        if self.explanation and self.kind != "recommendations":
            yield f"explanation is for recommendations, not for {self.kind}"
        if self.max_per_category and self.returns_visitors:
            yield f"max_per_category is for items; {self.kind} returns visitors"
        if self.mmr_lambda is not None and self.returns_visitors:
            yield f"mmr_lambda is for items; {self.kind} returns visitors"
        if self.max_age_days and self.kind == "similar_visitors":
            yield "max_age_days is for items; similar_visitors returns visitors"
        if self.table and self.kind.startswith("similar_"):
            yield f"table is for recommendations and audiences, not for {self.kind}"
        if self.unclicked_weight and self.kind != "recommendations":
            yield f"unclicked_weight is for recommendations, not for {self.kind}"
        if self.explanation and set(self.formats) == {"text"}:
            yield "explanation needs jsonl or parquet in formats; the text form has no place for it"


class VariantSettings(Section):
    """One variant of an experiment."""

    share: float = Field(gt=0, lt=1)
    """Share of the visitors, between 0 and 1; those of all variants sum to 1."""
    model: str | None = None
    """Directory of the model that answers, trained on the same dataset; none: the most popular items, for a holdout;
    unset: model_dir."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of training, neighbourhood and cold_start by dotted key, such as training.embedding_dimension: 16, by
    which wals night trains a model of this variant; unset: the night's model answers."""
    version: PositiveInt | None = None
    """Number of the version in serving.directory that the server answers with; unset: the newest."""

    def _problems(self) -> Iterator[str]:
        if self.is_holdout and self.version:
            yield "model none has no version; the most popular items are those of the newest"
        if self.is_holdout and self.settings:
            yield "model none has no settings; nothing is trained for the most popular items"
        for key in self.settings:
            if key.partition(".")[0] not in _TRAINED_BY or key == "training.warm_start":
                yield f"settings has {key}; a variant can have others than the night of {', '.join(_TRAINED_BY)} alone"

    @property
    def is_holdout(self) -> bool:
        """True if its visitors get the most popular items."""
        return self.model == HOLDOUT


class ExperimentSettings(Section):
    """An experiment: visitors are split into variants by a hash, each answered by a model of its own."""

    name: str | None = Field(None, min_length=1)
    """Name of the experiment; unset: there is none."""
    salt: str | None = None
    """Text that is hashed with each visitorId; unset: the name, so that experiments split visitors independently."""
    variants: dict[str, VariantSettings] = Field(default_factory=dict)
    """Variants by name, two or more, the first one the control: {share: 0.5, model: DIR, version: N}."""
    exclude: str | None = None
    """File with one visitorId per line: employees and testers, who get model_dir and do not count."""
    planned_visitors: PositiveInt = 10_000
    """Visitors of the control and of one variant together after which they are to be compared (wals experiment
    computes them); always-valid intervals are narrowest there."""
    promoted: str = "data/promoted.json"
    """File of the experiments that wals promote ended, local or gs://; prediction and the server read it."""

    def _problems(self) -> Iterator[str]:
        if self.name is None:
            if self.variants:
                yield "variants are of an experiment; set its name"
            return
        if len(self.variants) < 2:
            yield f"experiment {self.name} has {len(self.variants)} variants; name two or more"
        elif abs(sum(variant.share for variant in self.variants.values()) - 1) > 1e-6:
            yield f"the shares of variants sum to {sum(one.share for one in self.variants.values()):g}, not to 1"
        for name in self.variants:
            if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
                yield f"variant {name!r}: a name has letters, digits, dots, _ and - alone"


class ExplorationSettings(Section):
    """Exploration: some slots of the lists of recommendations are given to items of which little is known."""

    share: float = Field(0.0, ge=0, lt=1)
    """Probability with which a slot is explored; 0: none is."""
    items: float = Field(0.2, gt=0, le=1)
    """Share of the items, those with the fewest visitors, that an explored slot can be given, next to new items."""
    seed: NonNegativeInt = 0
    """Seed of the draws, which are the same for a visitor on a day (UTC)."""


class ServingSettings(Section):
    """The HTTP server, its limits, and the directory of the model's versions."""

    directory: str = "data/serving"
    """Directory of the versions, as NAME/VERSION; TensorFlow Serving takes DIRECTORY/NAME as base path."""
    name: str = Field("wals", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    """Name of the model in the addresses, /v1/models/NAME."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 accepts requests from other machines."""
    port: int = Field(8501, ge=0, le=65535)
    """Port to listen on; 0 chooses a free port."""
    poll_seconds: PositiveFloat = 2.0
    """Seconds between two checks for a new version."""
    max_k: PositiveInt = 100
    """Largest k that a request may ask for."""
    max_batch: PositiveInt = 256
    """Largest number of rows in a request."""
    max_history: PositiveInt = 1000
    """Largest number of items in a history of a request."""
    max_id_bytes: PositiveInt = 1024
    """Largest length of an id in a request, in bytes."""
    max_body_bytes: int = Field(1 << 20, ge=1024)
    """Largest body of a request, in bytes."""
    max_waiting: PositiveInt = 256
    """Largest number of requests in progress or waiting; one more is answered 429, try again later."""
    threads: PositiveInt = 2
    """Number of requests that a worker computes at the same time."""
    workers: PositiveInt = 1
    """Number of processes that answer; they share the tables of a version in memory."""
    drain_seconds: NonNegativeFloat = 0.0
    """Seconds that a server goes on answering after it is told to stop, while /readyz answers 503: time for a load
    balancer to take it out."""
    tls_certificate: str | None = None
    """File with the certificate, and those that sign it, in PEM: the server then speaks HTTPS."""
    tls_key: str | None = None
    """File with the certificate's private key in PEM; unset if the certificate's file has it."""
    intake_keys: str | None = None
    """File with one API key per line. POST /events then needs one of them: Authorization: Bearer KEY."""
    admin_keys: str | None = None
    """The same for POST /items."""
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages whose scripts may read answers, e.g. https://shop.example; * for all."""
    requests_per_second: PositiveFloat | None = None
    """Requests that one client address may send, on average; twice as many at once. More are answered 429."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose X-Forwarded-For names the client."""
    access_log: bool = False
    """Write a JSON line per request to standard output: time, method, address without ids, status, milliseconds."""
    opentelemetry: bool = False
    """Send traces and metrics by OTLP; OpenTelemetry's own environment variables name the receiver."""
    timeout_seconds: PositiveFloat = 10.0
    """Seconds after which a request is answered 504."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names, e.g. of a proxy, that requests may name; on loopback only localhost and these are answered."""
    example_visitors: int = Field(6, ge=0, le=100)
    """Number of visitors that the page offers as examples; only on loopback."""
    accept_items: bool = False
    """Let POST /items add items, and views of them, to the file of added_items. Set admin_keys, or allow it
    where only your own programs reach the server."""
    allow: str | None = None
    """File with one contentId per line: only these items are in answers; unset allows all. A change takes effect
    within two polls; the last line must be ended, so that a file that is being written is not taken."""
    block: str | None = None
    """File with one contentId per line that no answer contains; it is read again as that of allow."""
    deleted_visitors: str | None = None
    """File with one visitorId per line; these visitors are answered as unknown and never shown."""


class NightlySettings(Section):
    """The nightly job: which model may go live, what follows the live version, and which runs are kept."""

    directory: str = "data/nightly"
    """Directory of the runs and of live.json, which names the live version; local or gs://."""
    require: tuple[str, ...] = ()
    """Conditions that a model must meet to go live, e.g. ["recall@20>=0.1"]; ctr[online]>=0.02 is of what was live."""
    beats: tuple[str, ...] = ("popularity",)
    """Baselines that a model must beat to go live, by the names that trainer.evaluate prints."""
    outcome_nights: NonNegativeInt = 0
    """Number of the last versions that went live whose outcome each night measures, at most keep; 0 measures none."""
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
