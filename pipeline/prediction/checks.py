"""Checks of a prediction job's options, dataset and model, before any worker starts."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from artifacts import checksums, factor_tables
from artifacts.checksums import FileDescription
from artifacts.id_lists import IdList
from artifacts.manifests import DatasetCounts, DatasetManifest, ModelManifest
from artifacts.paths import Dataset, Model, join
from artifacts.privacy import key_name
from artifacts.vocabulary import iterate_ids
from configs.errors import UserError
from configs.settings import PredictionSettings, PrivacySettings
from pipeline.sources import privacy

_MOST_ASKED = 200_000  # visitors whose factors each worker has in memory


def check_options(options: PredictionSettings, counts: DatasetCounts) -> None:
    """Raise UserError if top_k is larger than what can be returned, or similar_visitors would compare too many."""
    most, available = counts.items, f"catalogue of {counts.items} items"
    if options.returns_visitors:
        most, available = counts.users, f"dataset of {counts.users} visitors"
    if options.top_k > most:
        raise UserError(f"top_k {options.top_k} is larger than the {available}; ask for {most} or fewer")
    if options.kind == "similar_visitors" and not options.only and counts.users > _MOST_ASKED:
        raise UserError(
            f"similar_visitors compares each with all, too many for {counts.users} visitors; "
            "name those to answer in a file, prediction.only"
        )


def deleted_visitors(settings: PrivacySettings, dataset: Dataset, manifest: DatasetManifest) -> Collection[bytes]:
    """Return the ids of visitors that must be left out, as the dataset has them.

    Raise UserError if its visitorIds were hashed with another key.
    """
    key, deleted = privacy.open_rules(settings)
    if key is not None and key_name(key) != manifest.visitors_hashed_with:
        raise UserError(f"{dataset.root}: its visitorIds were not hashed with this key; use the key that hashed them")
    return deleted


def unknown_ids(
    dataset: Dataset, options: PredictionSettings, deleted: Collection[bytes], new: Collection[bytes] = ()
) -> tuple[bytes, ...]:
    """Return the ids of `prediction.only` that are neither in the vocabulary nor among the new items or visitors.

    Raise UserError if they have no answer.
    """
    if not options.only:
        return ()
    asked = IdList.read(options.only, "prediction.only")
    names, ids = iterate_ids(dataset.vocab_users if options.asks_visitors else dataset.vocab_items), asked.ids
    known = {name for name in names if name in ids}
    known |= ids & set(new)
    if not known and options.kind.startswith("similar_"):
        raise UserError(f"prediction.only {options.only} has no id of the dataset; check the ids")
    return tuple(sorted({name for name in asked.unknown(known) if not (options.asks_visitors and name in deleted)}))


def check_dataset(dataset: Dataset, manifest: DatasetManifest) -> None:
    """Raise UserError if a file that the workers will read is not the one that the manifest describes.

    Other lines in a vocabulary would give visitors each other's recommendations; a file of rows that lost its end
    between two records would have items recommended to visitors who have them.
    """
    single = (dataset.vocab_users, dataset.vocab_items, dataset.items)
    paths = {name: join(dataset.root, name) for name in manifest.files}
    rows = [name for name, path in paths.items() if path.startswith(f"{dataset.items_for_user}-")]
    others = [name for name, path in paths.items() if path in single]
    remedy = "make the dataset again"
    # Rows have checksums of their own.
    _check_files(dataset.root, {name: manifest.files[name] for name in rows}, remedy, check_bytes=False)
    _check_files(dataset.root, {name: manifest.files[name] for name in others}, remedy)


def feature_files(dataset: Dataset, manifest: DatasetManifest, trained: ModelManifest, prefix: str) -> tuple[str, ...]:
    """Return the paths of the visitors' features of a prefix, in order; none if the model does not answer by them.

    Raise UserError if one differs from the manifest.
    """
    if not trained.visitors.features:
        return ()
    files = {name: file for name, file in sorted(manifest.files.items()) if name.startswith(f"{prefix}-")}
    _check_files(dataset.root, files, "make the dataset again", check_bytes=False)
    return tuple(join(dataset.root, name) for name in files)


def check_model(model: Model, manifest: ModelManifest, trained_on: DatasetManifest, projected: bool) -> None:
    """Check the first shard of each table, which shows most mistakes, and all checksums; raise UserError."""
    users, items = trained_on.counts.users, trained_on.counts.items
    user_shards, item_shards = trained_on.shards["items_for_user"], trained_on.shards["users_for_item"]
    item_width = _width(model.item_factors, item_shards, items)
    for prefix, shards, rows in ((model.item_weights, item_shards, items), (model.user_weights, user_shards, users)):
        if _width(prefix, shards, rows) != 1:
            raise UserError(f"{prefix}-*: a table of weights must have one column; train again")
    if not projected and (user_width := _width(model.user_factors, user_shards, users)) != item_width:
        raise UserError(f"{model.root}: users have {user_width} factors, items {item_width}; train again")
    trained = (model.item_factors, model.item_weights, model.user_weights, model.user_factors)
    regressions = model.item_attributes, model.user_attributes
    prefixes = (*trained, model.related_items, model.new_items, model.new_item_ids, *regressions)
    tables = {name: file for name, file in manifest.files.items() if join(model.root, name).startswith(prefixes)}
    _check_files(model.root, tables, "train again")


def _width(prefix: str, shards: int, rows: int) -> int:
    """Return the number of columns of a table, from its first shard."""
    with contextlib.closing(factor_tables.read_blocks(prefix, 0, shards, len(range(0, rows, shards)), 1)) as blocks:
        return int(next(blocks).shape[1])


def _check_files(root: str, files: dict[str, FileDescription], remedy: str, check_bytes: bool = True) -> None:
    """Refuse a damaged file: a flipped bit would be another id or another number, without an error."""
    for problem in checksums.problems(root, files, check_bytes):
        raise UserError(f"{root}/{problem}; {remedy}")
