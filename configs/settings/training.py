"""Sections for training, answers to new visitors, measuring a model before and after it is live, and the report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from configs.settings.section import Section


class TrainingSettings(Section):
    """WALS. The names are those of TensorFlow 1's WALSMatrixFactorization, as far as it has them."""

    embedding_dimension: Annotated[int, Field(ge=1, le=8192)] | Literal["auto"] = "auto"
    """k, the number of factors of each user and item. auto: 128 up to 10,000 items, and 256 beyond."""
    unobserved_weight: NonNegativeFloat = 0.1
    """w0, the weight of every cell without an entry."""
    regularization_coeff: NonNegativeFloat | Literal["auto"] = "auto"
    """lambda, the weight of the regularization; larger values shrink the factors. auto: 4 up to 2,000 items, and
    4 sqrt(2000 / items) beyond, for a user with the mean number of items."""
    frequency_exponent: float = Field(0.0, ge=0, le=2)
    """nu in lambda_i = lambda (|obs_i| + w0 m)^nu; 0 is the same lambda for all rows."""
    row_weights: NonNegativeFloat | None = 1.0
    """R, one weight for the entries of all users; null gives entries no weight beyond w0."""
    col_weights: NonNegativeFloat | None = 1.0
    """C, one weight for the entries of all items; null gives entries no weight beyond w0."""
    row_weights_file: str | None = None
    """CSV file with the columns visitorId,weight: R of each visitor; 1 for visitors not in it."""
    col_weights_file: str | None = None
    """CSV file with the columns contentId,weight: C of each item; 1 for items not in it."""
    row_weights_exponent: float = Field(0.0, ge=-2, le=2)
    """a: R is multiplied by (items of the user)^-a, scaled to mean 1; above 0 busy users weigh less."""
    col_weights_exponent: float = Field(0.35, ge=-2, le=2)
    """b: C is multiplied by (users of the item)^-b, scaled to mean 1; above 0 popular items weigh less."""
    max_sweeps: PositiveInt = 20
    """Number of sweeps; a sweep solves one side, users or items, and two sweeps are a pass."""
    solver: Literal["auto", "cholesky", "cg", "block"] = "auto"
    """Solver of a row. cholesky: exact; cg: conjugate gradient; block: blocks of factors; auto: exact for few and for
    very many factors, cg between."""
    cg_steps: int = Field(3, ge=1, le=1000)
    """Steps of conjugate gradient per row and sweep, in solvers that use it; fewer steps are faster but less exact."""
    block_size: int = Field(64, ge=1, le=1024)
    """Number of factors that solver block solves for at once."""
    devices: tuple[str, ...] | None = None
    """TensorFlow's names of the devices that solve rows, e.g. [GPU:0, GPU:1]; unset uses all GPUs, or the processor on
    a machine without GPUs."""
    table_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the factors; bfloat16 rounds them after each sweep and halves their memory on devices."""
    memory_limit_gb: PositiveFloat | None = None
    """Memory in GB for the sparse data; the data beyond it is read from the dataset's files in each sweep. Unset is
    half of the machine's memory."""
    tolerance: NonNegativeFloat = 0.0
    """Stop when a pass lowers the loss by less than this share; 0 never stops for it."""
    stop_metric: Literal["recall", "ndcg"] | None = None
    """Early stopping: stop when recall@20 or NDCG@20 on the held-out entries no longer rises."""
    patience: PositiveInt = 1
    """Number of passes without a better stop_metric before training stops."""
    seed: NonNegativeInt = 42
    """Seed of the random initial factors; the same seed repeats the same model."""
    init_stddev: PositiveFloat | None = None
    """Standard deviation of the random initial factors; unset is 1/sqrt(k)."""
    warm_start: str | None = None
    """Directory of an earlier model whose factors are the initial ones, matched by id; a model that is missing or has
    other settings is not used."""
    warm_start_sweeps: PositiveInt | None = None
    """Number of sweeps after a warm start; unset is a third of the passes of max_sweeps."""


class NeighbourhoodSettings(Section):
    """The item-item term of a score, next to the factors (docs/neighbourhood.md). A model stores it with its matrix."""

    gamma: NonNegativeFloat | Literal["auto"] = 0.0
    """Weight of the term; 0 leaves it out. auto: a weight with half or more of the greatest gain in NDCG@20 on a part
    of the training data, 0 without a sure gain; this trains a second time."""
    few_items: bool | Literal["auto"] = "auto"
    """Divide gamma by the root of the number of the visitor's items, so that the term counts for more where there are
    few; false is the same gamma for all. auto: with gamma auto what ranks better, with a number false."""
    neighbours: int = Field(50, ge=1, le=1000)
    """Related items that are kept for each item, those with the greatest relations."""
    power: float = Field(2.0, gt=0, le=4)
    """Power of the relations; above 1 the closest items count for more."""
    item_exponent: float = Field(0.75, ge=0, le=1)
    """Exponent of the number of visitors of the item that a visitor has, by which a relation is divided."""
    related_exponent: float = Field(0.25, ge=0, le=1)
    """Exponent of the number of visitors of the related item; a smaller one favours popular items."""
    shrinkage: NonNegativeFloat = 0.0
    """Visitors in common at which a relation counts half of what it would; 0 trusts single visitors too."""


class ColdStartSettings(Section):
    """Answers for visitors with few ratings, and new items. A model stores these settings when it is trained."""

    min_ratings: NonNegativeInt = 10
    """Visitors with more ratings than this get their trained factors, the others projected ones."""
    min_site_ratings: NonNegativeInt = 100
    """A site with this many ratings or fewer is answered by popularity alone."""
    attributes: bool = True
    """Learn factors from the attributes of items, if the dataset has features: for items that nobody has viewed yet,
    and to improve those of the others (docs/cold-start.md)."""
    attributes_penalty: PositiveFloat = 1.0
    """mu, the penalty of the regression from attributes to factors; larger values trust attributes less."""
    attributes_in_training: bool = False
    """Let items start from their attributes at the end of each pass, so that visitors' factors learn from them too. New
    items do not gain by it for sure, and it takes longer (docs/cold-start.md)."""
    new_visitors: Literal["popularity", "segment", "attributes"] = "popularity"
    """Answer for visitors without views whose attributes are known: popularity, that in their segment, or factors from
    the attributes. The last two need user_features; evaluation.new_visitors measures which one is better."""
    segment: str | None = None
    """new_visitors segment: name of the category of user_features whose values are the segments, e.g. country."""
    user_attributes_penalty: PositiveFloat = 100.0
    """mu of the regression from visitors' attributes to factors, which needs more of it than that of items."""
    few_views: NonNegativeInt = 10
    """Attributes count for known items of up to twice as many visitors as this, of up to 20 times as many where
    training finds it better. Scores of items with fewer are greater, by new_items_length; 0 leaves items as trained."""
    new_items_length: float = Field(0.5, ge=0, le=1)
    """Length of the factors of new items: 0 as predicted, which is short; 1 as long as those of known items. A longer
    one puts new items, and those of few views, higher up."""
    new_items_share: float = Field(0.3, ge=0, le=1)
    """Largest share of new items in recommendations, rounded up to whole items."""
    newest_items_share: float = Field(0.0, ge=0, le=1)
    """Share of the last places of recommendations for new items without attributes, the newest first: those published
    in the last week, or added between two trainings. Rounded down; 0 is none, as known items find more there."""

    def _problems(self) -> Iterator[str]:
        if (self.new_visitors == "segment") != (self.segment is not None):
            yield "segment is the attribute of new_visitors: segment; set both or neither"


class EvaluationSettings(Section):
    """The metrics that trainer.evaluate computes, and the baselines it computes them for."""

    k: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field((5, 10, 20), min_length=1)
    """Lengths of the recommendation lists that are measured."""
    headline: tuple[Literal["recall", "ndcg", "precision", "hit_rate", "mrr", "map"], ...] = Field(
        ("recall", "ndcg"), min_length=1
    )
    """Metrics, at the greatest K, that decide whether the model is better than a baseline."""
    baselines: tuple[Literal["popularity", "time-decayed popularity", "item kNN"], ...] = (
        "popularity",
        "time-decayed popularity",
        "item kNN",
    )
    """Systems that the model is compared with; time-decayed popularity needs a dataset with times."""
    neighbours: int = Field(100, ge=1, le=10_000)
    """item kNN: nearest items that are kept for each item."""
    new_items: float = Field(0.0, ge=0, lt=1)
    """Share of the items to hide from a second training, which then recommends them by their attributes: measures what
    new items are worth, if the dataset has features; 0 does not measure it."""
    new_items_days: PositiveInt | None = None
    """Hide the items first viewed within this many days of the last view, in place of a share of all: those are the
    site's latest, while a share is of all ages. Unset hides new_items."""
    new_visitors: float = Field(0.0, ge=0, lt=1)
    """Share of the visitors to hide from a second training, who are then answered by their attributes: measures what
    these are worth next to popularity, if the dataset has features of visitors; 0 does not measure it."""
    mmr_lambda: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    """Values of prediction.mmr_lambda to measure, e.g. [0.9, 0.7]: what diversity costs."""
    mmr_candidates: int = Field(100, ge=1, le=1000)
    """Number of items from which MMR chooses a list, as prediction.mmr_candidates."""
    resamples: int = Field(1000, ge=100, le=100_000)
    """Bootstrap samples from which the intervals are computed."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Confidence level of the intervals, as a share: 0.95 for 95 %."""
    seed: NonNegativeInt = 0
    """Seed of the bootstrap samples; the same seed repeats the same intervals."""

    @property
    def measures_new_items(self) -> bool:
        """True if items are hidden from a second training."""
        return bool(self.new_items or self.new_items_days)

    def _problems(self) -> Iterator[str]:
        if self.new_items and self.new_items_days:
            yield "new_items hides a share of all items, new_items_days the latest ones; set one of them"


class OutcomeSettings(Section):
    """Outcome of recommendations in the days after they were made: the predictions, the export, and what counts."""

    predictions: tuple[str, ...] = ()
    """Recommendations that were live: directories, local or gs://, or tables, as bq://PROJECT.DATASET.TABLE; unset is
    predictions_dir. Each run counts from its run_time to that of the next one."""
    datasets: tuple[str, ...] = ()
    """Directories of the datasets that these recommendations were made from; unset is dataset_dir."""
    input: str | None = None
    """Glob of the export of the days after; unset is source.input."""
    days: PositiveInt = 7
    """Days after a run_time in which visits count, unless newer recommendations follow."""
    list_name: str | None = None
    """Name or id of the list in which the site shows recommendations: item_list_id or item_list_name, promotion_id or
    promotion_name of GA4, productListName of GA360. Unset measures without exposures and clicks."""
    version_field: str | None = None
    """Field of these events with the model_version of the predictions: param.NAME of GA4, dimension.N of GA360. Unset
    takes the recommendations that were the newest at the time."""
    first_position: NonNegativeInt = 1
    """Number that the site sends for the first position of a list, 0 or 1."""
    compare: str | None = None
    """Directory of recommendations of another version for the same dataset, made without exploration: estimate the
    click rate that they would have had, from what exploration showed at random."""
    click_hours: PositiveFloat = 1.0
    """Hours after an exposure in which a click on the item belongs to it."""
    attribute_to: Literal["click", "exposure"] = "click"
    """The touch that purchases, additions to the cart and dwell are attributed to: the last one before them."""
    attribution_hours: PositiveFloat = 24.0
    """Hours after a touch in which they are attributed to it."""
    unclicked_half_life_days: PositiveFloat | None = None
    """Days after which an exposure without a click counts half in the files unclicked-*, which prediction.unclicked
    reads; unset writes none."""
    max_exposures_a_day: PositiveInt | None = None
    """A visitor with more exposures on a day in UTC is a bot: left out, counted. Those of source.max_views_a_day and
    source.max_items_a_day are left out, too."""

    @property
    def touch_hours(self) -> float:
        """Hours after the window in which something can still be attributed to an exposure in it."""
        return self.attribution_hours + (self.click_hours if self.attribute_to == "click" else 0)

    def _problems(self) -> Iterator[str]:
        if self.version_field and not re.fullmatch(r"param\..+|dimension\.[1-9][0-9]{0,2}", self.version_field):
            yield f"version_field {self.version_field} is not param.NAME of GA4 or dimension.N of GA360"
        if self.version_field and not self.list_name:
            yield "version_field is of the events of a list; set list_name"


class ReportSettings(Section):
    """The HTML page on a dataset, a model and its quality."""

    title: str | None = None
    """Name of the site at the top of the page; unset is the name of the dataset's directory."""
    output: str | None = None
    """HTML file to write; unset: report.html in the model's directory."""
    evaluation: str | None = None
    """JSON file that trainer.evaluate wrote; unset: evaluation.json in the model's directory, if it is there."""
    previous: str | None = None
    """The same file of an earlier model to compare with; unset: of the model that the training started from."""
    map_items: int = Field(2000, ge=1, le=20_000)
    """Number of items on the map; the most popular items are shown."""
    visitors: int = Field(10, ge=0, le=100)
    """Number of visitors that are shown as examples; if items are held out, half are hits, and half are misses."""
    recommendations: int = Field(6, ge=1, le=100)
    """Length of each list in an example."""
