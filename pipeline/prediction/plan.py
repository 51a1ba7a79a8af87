"""The plan of a prediction job, made from settings and manifests before any worker starts."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from artifacts import tfrecords
from artifacts.id_lists import IdList
from artifacts.manifests import DatasetManifest, ModelManifest
from artifacts.manifests.experiment import ExperimentOfRows, VariantSplit
from artifacts.names import USER
from artifacts.paths import Dataset, Model
from configs import cli
from configs.errors import UserError
from configs.settings import ColdStartSettings, ExplorationSettings, PredictionSettings, PrivacySettings, Settings
from pipeline.prediction import allowed, checks, new_items
from pipeline.prediction.writers.answers import Extra, Stamp
from ranking.attributes.new_items import NewItems
from ranking.experiments import promoted
from ranking.experiments.assignment import Experiment
from ranking.fold_in import Objective

_ENTRIES = 1 << 20  # of the answers of a block, which limits a block if top_k is large


@dataclass(frozen=True)
class Variant:
    """Visitors of an experiment who have one model: a variant's, or those who are excluded (None).

    is_holdout: popularity answers them.
    """

    name: str | None
    plan: Plan
    is_holdout: bool = False


@dataclass(frozen=True)
class Plan:
    """The directories, the sizes and the options that a worker needs."""

    dataset: Dataset
    model: Model
    users: int
    items: int
    interactions: int  # of the whole site, for the rules of cold start
    user_shards: int
    item_shards: int
    compressed: bool
    options: PredictionSettings
    cold_start: ColdStartSettings
    objective: Objective
    projected: bool  # whether visitors' factors are projected from their rows
    catalogue: str | None
    privacy: PrivacySettings  # names the visitors to leave out
    unknown: tuple[bytes, ...]  # ids of `prediction.only` that are not in the dataset
    stamp: Stamp
    listed: dict[str, int] = field(default_factory=dict)  # ids that `allow` and `block` list, and those that are known
    new: NewItems = field(default_factory=lambda: NewItems.none(0))  # items that come after those of the dataset
    unplaced: int = 0  # added items of which nothing is known
    added_items: str | None = None  # their file, whose categories limit a list
    user_features: tuple[str, ...] = ()  # files of the visitors' features, if the model answers by their attributes
    new_user_features: tuple[str, ...] = ()  # those of visitors without items
    gamma: float = 0.0  # weight of the model's item-item term; 0 if it has none
    few_items: bool = False  # of the term: divide the weight by the root of the visitor's number of items
    exploration: ExplorationSettings = field(default_factory=ExplorationSettings)
    experiment: Experiment | None = None
    variants: tuple[Variant, ...] = ()  # of the experiment, each with the plan of its model

    @property
    def block_size(self) -> int:
        """Visitors (or items) answered at once."""
        options = self.options
        candidates = options.top_k if options.mmr_lambda is None else max(options.top_k, options.mmr_candidates)
        width = max(candidates, options.top_k * (1 + options.explanation))
        return max(1, min(self.options.block_size, _ENTRIES // width))

    @property
    def by_segment(self) -> bool:
        """True if visitors without views are answered by the popularity in their segment."""
        return bool(self.user_features) and self.cold_start.new_visitors == "segment"

    @property
    def extra(self) -> Extra:
        """The columns that only some jobs write."""
        return Extra(self.experiment is not None, self.exploration.share > 0)

    @property
    def answer_shards(self) -> int:
        """Shards of the answers to visitors (or items)."""
        return self.user_shards if self.options.asks_visitors else self.item_shards

    def asked_ids(self) -> frozenset[bytes] | None:
        """Read the ids to answer; None for all."""
        path = self.options.only
        return IdList.read(path, "prediction.only").ids if path else None


def make(settings: Settings) -> tuple[Plan, ModelManifest]:
    """Return the plan and the model's manifest.

    Raise UserError if dataset and model do not belong together, a file differs from its manifest, or an option cannot
    be met.
    """
    settings = promoted.in_effect(settings)
    plan, trained = _of_model(settings)
    if not (experiment := running(settings)):
        return plan, trained
    variants = []
    for name, variant in settings.experiment.variants.items():
        its = plan
        if variant.model and not variant.is_holdout:
            made, _ = _of_model(settings.model_copy(update={"model_dir": variant.model}))
            its = replace(made, stamp=replace(plan.stamp, model_version=made.stamp.model_version))
        variants.append(Variant(name, its, variant.is_holdout))
    if experiment.excluded:
        variants.append(Variant(None, plan))
    stamp = replace(plan.stamp, experiment=_of_rows(experiment, variants, plan.stamp.model_version))
    return replace(plan, stamp=stamp, experiment=experiment, variants=tuple(variants)), trained


def _of_rows(experiment: Experiment, variants: Collection[Variant], version: str) -> str:
    """Return what rows of a table need, so that they can be measured without the manifest."""
    by_name = {variant.name: variant for variant in variants}
    splits = {
        name: VariantSplit(
            share=share,
            model_version=by_name[name].plan.stamp.model_version,
            is_holdout=by_name[name].is_holdout,
        )
        for name, share in zip(experiment.variants, experiment.shares, strict=True)
    }
    return ExperimentOfRows(
        name=experiment.name,
        salt=experiment.salt,
        variants=splits,
        planned_visitors=experiment.planned_visitors,
        model_version=version,
    ).model_dump_json()


def running(settings: Settings) -> Experiment | None:
    """Return the experiment of a job, None if it has none; raise UserError if its list of excluded is not there."""
    return Experiment.of(settings.experiment) if settings.prediction.kind == "recommendations" else None


def _of_model(settings: Settings) -> tuple[Plan, ModelManifest]:
    dataset = Dataset(cli.required(settings.dataset_dir, "dataset_dir").rstrip("/"))
    model = Model(cli.required(settings.model_dir, "model_dir").rstrip("/"))
    options = settings.prediction
    made, trained = DatasetManifest.read(dataset.manifest), ModelManifest.read(model.manifest)
    if trained.dataset.fingerprint != made.fingerprint():
        raise UserError(f"{model.root} was trained on another dataset than {dataset.root}; train again on this one")
    deleted, projected = checks.deleted_visitors(settings.privacy, dataset, made), _projects(options, model, trained)
    checks.check_options(options, made.counts)
    checks.check_dataset(dataset, made)
    checks.check_model(model, trained, made, projected)
    new, unplaced = new_items.of_job(model, trained, dataset, settings.catalogue, settings.added_items, deleted)
    of_visitors = [checks.feature_files(dataset, made, trained, prefix) for prefix in (USER.features, USER.new)]
    new_ids = _new_visitors(of_visitors[1], options) if options.asks_visitors else new.ids
    unknown = checks.unknown_ids(dataset, options, deleted, new_ids)
    listed = allowed.check(options, dataset, made.counts.items, settings.catalogue, new.ids)
    training, now = trained.settings, datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    plan = Plan(
        dataset=dataset,
        model=model,
        users=made.counts.users,
        items=made.counts.items,
        interactions=made.counts.interactions,
        user_shards=made.shards["items_for_user"],
        item_shards=made.shards["users_for_item"],
        compressed=made.compression == "gzip",
        options=options,
        cold_start=trained.cold_start,
        objective=Objective(
            training.unobserved_weight, float(training.regularization_coeff), training.frequency_exponent
        ),
        new=new,
        unplaced=unplaced,
        user_features=of_visitors[0],
        new_user_features=of_visitors[1] if options.kind == "recommendations" else (),
        gamma=trained.neighbourhood.gamma,
        few_items=trained.neighbourhood.few_items,
        exploration=settings.exploration if options.kind == "recommendations" else ExplorationSettings(),
        projected=projected,
        catalogue=settings.catalogue,
        added_items=settings.added_items,
        privacy=settings.privacy,
        unknown=unknown,
        listed=listed,
        stamp=Stamp(trained.digest()[:12], now),
    )
    return plan, trained


def _new_visitors(files: tuple[str, ...], options: PredictionSettings) -> Collection[bytes]:
    """Return the ids of visitors without items who have an answer; they are read only if some are asked for."""
    is_read = options.only and options.kind == "recommendations"
    return {name for path in files for _, name in tfrecords.read_ids(path)} if is_read else ()


def _projects(options: PredictionSettings, model: Model, trained: ModelManifest) -> bool:
    """Return whether visitors' factors are projected, by the manifest, so that a lost file is an error."""
    if options.factors != "auto":
        return options.factors == "projected"
    prefix = model.user_factors.removeprefix(f"{model.root}/")
    return not any(name.startswith(prefix) for name in trained.all_files())
