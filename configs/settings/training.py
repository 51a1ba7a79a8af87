"""How a model is trained, and what it takes along for visitors of whom little is known."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.settings.section import Section


class TrainingSettings(Section):
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


class ColdStartSettings(Section):
    """What answers visitors of whom little is known. A model takes it along when it is trained."""

    min_ratings: int = Field(10, ge=0, description="A visitor with more ratings than this has factors of their own.")
    min_site_ratings: int = Field(100, ge=0, description="With this many ratings in all or fewer, popularity answers.")
