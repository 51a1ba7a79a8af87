"""What a prediction job is to do, read from settings and manifests, and checked before any worker starts."""

from __future__ import annotations

import contextlib
import datetime
from dataclasses import dataclass

from artifacts import checksums, factor_tables, id_lists
from artifacts.checksums import FileDescription
from artifacts.manifests import DatasetCounts, DatasetManifest, ModelManifest
from artifacts.paths import Dataset, Model, join
from artifacts.privacy import key_name
from artifacts.vocabulary import iterate_ids
from configs import cli
from configs.errors import UserError
from configs.settings import ColdStartSettings, PredictionSettings, PrivacySettings, Settings
from pipeline.prediction import allowed
from pipeline.prediction.writers.answers import Stamp
from pipeline.sources import privacy
from ranking.fold_in import Objective

_MOST_ASKED = 200_000  # visitors, of whom each worker holds the factors
_ENTRIES = 1 << 20  # of the answers of a block, which bounds it where top_k is large


@dataclass(frozen=True)
class Plan:
    """What a worker needs to know: where things lie, how much of them there is, and what is asked.

    Attributes:
        interactions: of the whole site, for the rules of cold start.
        projected: whether visitors' factors are projected from their rows.
        privacy: names the visitors to leave out.
        unknown: ids that are to be answered and that the dataset lacks.
    """

    dataset: Dataset
    model: Model
    users: int
    items: int
    interactions: int
    user_shards: int
    item_shards: int
    compressed: bool
    options: PredictionSettings
    cold_start: ColdStartSettings
    objective: Objective
    projected: bool
    catalogue: str | None
    privacy: PrivacySettings = PrivacySettings()  # noqa: RUF009 - frozen
    unknown: tuple[bytes, ...] = ()
    stamp: Stamp | None = None

    @property
    def block_size(self) -> int:
        """Visitors (or items) answered at once."""
        width = self.options.top_k * (1 + self.options.explanation)
        return max(1, min(self.options.block_size, _ENTRIES // width))


def make(settings: Settings) -> tuple[Plan, ModelManifest]:
    """Return the plan and the model's manifest.

    Raises:
        UserError: dataset and model do not belong together, a file is not what its manifest says, or an option cannot
            be met.
    """
    dataset = Dataset(cli.required(settings.dataset_dir, "dataset_dir").rstrip("/"))
    model = Model(cli.required(settings.model_dir, "model_dir").rstrip("/"))
    made, trained = DatasetManifest.read(dataset.manifest), ModelManifest.read(model.manifest)
    if trained.dataset.fingerprint != made.fingerprint():
        raise UserError(f"{model.root} was trained on another dataset than {dataset.root}; train again on this one")
    deleted = _deleted(settings.privacy, dataset, made)
    options, counts, training = settings.prediction, made.counts, trained.settings
    _check_k(options, counts)
    if options.kind == "similar_visitors" and not options.only and counts.users > _MOST_ASKED:
        raise UserError(
            f"similar_visitors compares each with all, too many for {counts.users} visitors; "
            "name those to answer in a file, prediction.only"
        )
    _check_files(dataset, made)
    plan = Plan(
        dataset=dataset,
        model=model,
        users=counts.users,
        items=counts.items,
        interactions=counts.interactions,
        user_shards=made.shards["items_for_user"],
        item_shards=made.shards["users_for_item"],
        compressed=made.compression == "gzip",
        options=options,
        cold_start=trained.cold_start,
        objective=Objective(training.unobserved_weight, training.regularization_coeff, training.frequency_exponent),
        projected=_projects(options, model, trained),
        catalogue=settings.catalogue,
        privacy=settings.privacy,
        unknown=_unknown(dataset, options, deleted),
        stamp=Stamp(trained.digest()[:12], datetime.datetime.now(datetime.UTC).replace(microsecond=0)),
    )
    _check_factors(plan, trained)
    allowed.check(options, dataset, plan.items, plan.catalogue)
    return plan, trained


def _deleted(settings: PrivacySettings, dataset: Dataset, made: DatasetManifest) -> frozenset[bytes]:
    """Return the ids to leave out, as the dataset has them."""
    key, deleted = privacy.open_rules(settings)
    if key is not None and key_name(key) != made.visitors_hashed_with:
        raise UserError(f"{dataset.root}: its visitorIds were not hashed with this key; give the one they were")
    return deleted


def _check_k(options: PredictionSettings, counts: DatasetCounts) -> None:
    given, what = (counts.items, "items"), "catalogue"
    if options.kind in ("audiences", "similar_visitors"):
        given, what = (counts.users, "visitors"), "dataset"
    if options.top_k > given[0]:
        raise UserError(
            f"top_k {options.top_k} is larger than the {what} of {given[0]} {given[1]}; ask for {given[0]} or fewer"
        )


def _projects(options: PredictionSettings, model: Model, trained: ModelManifest) -> bool:
    """Whether visitors' factors are projected; by the manifest, so that a file that is lost is missed."""
    if options.factors != "auto":
        return options.factors == "projected"
    prefix = model.user_factors.removeprefix(f"{model.root}/")
    return not any(name.startswith(prefix) for name in trained.all_files())


def _unknown(dataset: Dataset, options: PredictionSettings, deleted: frozenset[bytes]) -> tuple[bytes, ...]:
    """The ids of `prediction.only` that the vocabulary of those who can be asked lacks."""
    if not options.only:
        return ()
    asked = dict.fromkeys(id_lists.read_ids(options.only, "prediction.only"))
    listed, by_visitor = len(asked), options.kind in ("recommendations", "similar_visitors")
    for name in iterate_ids(dataset.vocab_users if by_visitor else dataset.vocab_items):
        asked.pop(name, None)
    if len(asked) == listed and options.kind.startswith("similar_"):
        raise UserError(f"prediction.only: {options.only} names none that the dataset has; check the ids")
    return tuple(sorted(asked.keys() - deleted if by_visitor else asked))


def _check_files(dataset: Dataset, made: DatasetManifest) -> None:
    """Check that the files that the workers will read are the ones that the manifest describes.

    A vocabulary of other lines would give visitors each other's recommendations; a file of rows that lost its end
    between two records would have items recommended to those who have them.
    """
    single = (dataset.vocab_users, dataset.vocab_items, dataset.items)
    paths = {name: join(dataset.root, name) for name in made.files}
    rows = {name: made.files[name] for name, path in paths.items() if path.startswith(f"{dataset.items_for_user}-")}
    others = {name: made.files[name] for name, path in paths.items() if path in single}
    # Rows have checksums of their own.
    _check(dataset.root, rows, "make the dataset again", check_bytes=False)
    _check(dataset.root, others, "make the dataset again")


def _check(root: str, files: dict[str, FileDescription], remedy: str, check_bytes: bool = True) -> None:
    """Refuse a damaged file: a flipped bit gives another id, or another number, and no error."""
    for problem in checksums.problems(root, files, check_bytes):
        raise UserError(f"{root}/{problem}; {remedy}")


def _check_factors(plan: Plan, trained: ModelManifest) -> None:
    """The first shard of each table, which shows most of what can be wrong, and all checksums: before any worker."""
    model, widths = plan.model, []
    for prefix, shards, rows in (
        (model.item_factors, plan.item_shards, plan.items),
        (model.item_weights, plan.item_shards, plan.items),
        (model.user_weights, plan.user_shards, plan.users),
        *([] if plan.projected else [(model.user_factors, plan.user_shards, plan.users)]),
    ):
        with contextlib.closing(factor_tables.read_blocks(prefix, 0, shards, len(range(0, rows, shards)), 1)) as blocks:
            widths.append(next(blocks).shape[1])
    if not plan.projected and widths[3] != widths[0]:
        raise UserError(f"{model.root}: users have {widths[3]} factors, items {widths[0]}; train again")
    if widths[1:3] != [1, 1]:
        raise UserError(f"{model.root}: the weights of users and items are no columns; train again")
    prefixes = (model.item_factors, model.item_weights, model.user_weights, model.user_factors)
    tables = {name: file for name, file in trained.files.items() if join(model.root, name).startswith(prefixes)}
    _check(model.root, tables, "train again")
