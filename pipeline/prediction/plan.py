"""What a prediction job is to do, read from settings and manifests, and checked before any worker starts."""

from __future__ import annotations

import contextlib
import datetime
import glob
from dataclasses import dataclass
from typing import Any

from apache_beam.io.filesystems import FileSystems

from artifacts import checksums, factor_tables, id_lists, manifests, publish
from artifacts.paths import Dataset, Model, join
from artifacts.privacy import key_name
from artifacts.vocabulary import iterate_vocabulary
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


def make(settings: Settings) -> tuple[Plan, dict[str, Any]]:
    """The plan, and the model's manifest.

    Raises:
        UserError: dataset and model do not belong together, a file is not what its manifest says, or an option cannot
            be met.
    """
    dataset = Dataset(cli.required(settings.dataset_dir, "dataset_dir").rstrip("/"))
    model = Model(cli.required(settings.model_dir, "model_dir").rstrip("/"))
    made = publish.read_manifest(dataset.manifest, "dataset")
    trained = publish.read_manifest(model.manifest, "model")
    if trained["dataset"]["fingerprint"] != manifests.fingerprint(made):
        raise UserError(f"{model.root} was trained on another dataset than {dataset.root}; train again on this one")
    deleted = _deleted(settings.privacy, dataset, made)
    options = settings.prediction
    _check_k(options, made["counts"])
    if options.kind == "similar_visitors" and not options.only and made["counts"]["users"] > _MOST_ASKED:
        raise UserError(
            f"similar_visitors compares each with all, too many for {made['counts']['users']} visitors; "
            "name those to answer in a file, prediction.only"
        )
    _check_files(dataset, made)
    try:
        names = ("unobserved_weight", "regularization_coeff", "frequency_exponent")
        objective = Objective(*(float(trained["settings"][name]) for name in names))
        cold_start = ColdStartSettings.model_validate(trained["cold_start"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{model.manifest} lacks {error}; train again") from error
    plan = Plan(
        dataset=dataset,
        model=model,
        users=made["counts"]["users"],
        items=made["counts"]["items"],
        interactions=made["counts"]["interactions"],
        user_shards=made["shards"]["items_for_user"],
        item_shards=made["shards"]["users_for_item"],
        compressed=made["compression"] == "gzip",
        options=options,
        cold_start=cold_start,
        objective=objective,
        projected=_projects(options, model, trained),
        catalogue=settings.catalogue,
        privacy=settings.privacy,
        unknown=_unknown(dataset, options, deleted),
        stamp=Stamp(manifests.digest(trained)[:12], datetime.datetime.now(datetime.UTC).replace(microsecond=0)),
    )
    _check_factors(plan, trained)
    allowed.check(options, dataset, plan.items, plan.catalogue)
    return plan, trained


def _deleted(settings: PrivacySettings, dataset: Dataset, made: dict[str, Any]) -> frozenset[bytes]:
    """The ids to leave out, as the dataset has them."""
    key, deleted = privacy.open_rules(settings)
    if key is not None and key_name(key) != made.get("visitors_hashed_with"):
        raise UserError(f"{dataset.root}: its visitorIds were not hashed with this key; give the one they were")
    return deleted


def _check_k(options: PredictionSettings, counts: dict[str, int]) -> None:
    given, what = (counts["items"], "items"), "catalogue"
    if options.kind in ("audiences", "similar_visitors"):
        given, what = (counts["users"], "visitors"), "dataset"
    if options.top_k > given[0]:
        raise UserError(
            f"top_k {options.top_k} is larger than the {what} of {given[0]} {given[1]}; ask for {given[0]} or fewer"
        )


def _projects(options: PredictionSettings, model: Model, trained: dict[str, Any]) -> bool:
    """Whether visitors' factors are projected; by the manifest, so that a file that is lost is missed."""
    if options.factors != "auto":
        return options.factors == "projected"
    prefix = model.user_factors.removeprefix(f"{model.root}/")
    return not any(name.startswith(prefix) for name in manifests.all_files(trained))


def _unknown(dataset: Dataset, options: PredictionSettings, deleted: frozenset[bytes]) -> tuple[bytes, ...]:
    """The ids of `prediction.only` that the vocabulary of those who can be asked lacks."""
    if not options.only:
        return ()
    asked = dict.fromkeys(id_lists.read_ids(options.only, "prediction.only"))
    listed, by_visitor = len(asked), options.kind in ("recommendations", "similar_visitors")
    for name in iterate_vocabulary(dataset.vocab_users if by_visitor else dataset.vocab_items):
        asked.pop(name, None)
    if len(asked) == listed and options.kind.startswith("similar_"):
        raise UserError(f"prediction.only: {options.only} names none that the dataset has; check the ids")
    return tuple(sorted(asked.keys() - deleted if by_visitor else asked))


def _check_files(dataset: Dataset, made: dict[str, Any]) -> None:
    """Looks whether the files that the workers will read are the ones that the manifest describes.

    A vocabulary of other lines would give visitors each other's recommendations; a file of rows that lost its end
    between two records would have items recommended to those who have them.
    """
    single = (dataset.vocab_users, dataset.vocab_items, dataset.items)
    matches = FileSystems.match([glob.escape(dataset.items_for_user) + "-*", *map(glob.escape, single)])
    sizes = {file.path.rsplit("/", 1)[-1]: file.size_in_bytes for match in matches for file in match.metadata_list}
    for name, file in made["files"].items():
        path = join(dataset.root, name)
        if not path.startswith((dataset.items_for_user, *single)):
            continue
        size = sizes.get(name.rsplit("/", 1)[-1])
        if size is None:
            raise UserError(f"{path} does not exist; make the dataset again")
        if size != file["bytes"]:
            raise UserError(f"{path} has {size} bytes where the manifest says {file['bytes']}; make the dataset again")
        if path in single:
            _check_bits(path, file, "make the dataset again")  # rows have checksums of their own


def _check_bits(path: str, described: dict[str, Any], remedy: str) -> None:
    """A flipped bit gives another id, or another number, and no error. gs:// looks after its bits itself."""
    if publish.is_remote(path):
        return
    try:
        found = checksums.describe(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {remedy}") from None
    if found.crc32c != described["crc32c"]:
        raise UserError(f"{path} is damaged: its checksum is not the manifest's; {remedy}")


def _check_factors(plan: Plan, trained: dict[str, Any]) -> None:
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
    for name, file in trained["files"].items():
        path = join(model.root, name)
        if path.startswith((model.item_factors, model.item_weights, model.user_weights, model.user_factors)):
            _check_bits(path, file, "train again")
