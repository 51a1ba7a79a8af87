"""The directory of a model: made ready for a training, and filled after it."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from artifacts import checksums, factor_tables, storage
from artifacts.manifests import ModelManifest
from artifacts.manifests.base import refuse_other_kind
from artifacts.paths import Dataset, Model
from configs.errors import UserError
from configs.settings import ColdStartSettings
from ranking.neighbourhood import Neighbourhood
from trainer.als.loop import Factorization
from trainer.als.wals import Side
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.job import tensorboard
from trainer.job.attributes import Learned
from trainer.job.checkpoints import Checkpoints
from trainer.job.visitors import LearnedVisitors
from trainer.saved_model import export


class _SideFiles(NamedTuple):
    """One side, and the files of its factors and weights."""

    side: Side
    factors: str
    weights: str
    shards: int


class Additions(NamedTuple):
    """The item-item term and the factors from attributes, where the model has them."""

    neighbourhood: Neighbourhood | None = None
    learned: Learned | None = None
    visitors: LearnedVisitors | None = None


def make_ready(model: Model, checkpoints: Checkpoints, replace: bool) -> None:
    """Refuse a directory with other files in it; remove an earlier model if `replace`, and what a killed run left.

    A checkpoint stays: `Checkpoints.restore` decides whether the training may continue from it.
    """
    root = model.root.rstrip("/")
    if not storage.exists(root):
        return
    if not storage.is_directory(root):
        raise UserError(f"{root} is a file; name a directory for the model")
    names = {name.split("/")[0] for name in storage.list_files(root)} | set(storage.list_directories(root))
    own = (model.checkpoints, model.logs, model.saved_model, model.evaluation, model.report)
    known = {path[len(root) + 1 :].split("/")[0] for path in own}
    if unknown := names - known - {"factors", "manifest.json"}:
        raise UserError(f"{root} contains {min(unknown)} and is not a model; name another directory")
    if "manifest.json" in names:
        if not replace:
            raise UserError(f"{root} contains a model; name another directory or pass --replace")
        refuse_other_kind(root, storage.read_bytes(model.manifest), "model")
        storage.remove(model.manifest)  # first: a model that is half removed must not look finished
    elif (names and not replace) or checkpoints.matches():
        names -= {path[len(root) + 1 :] for path in (model.checkpoints, model.logs)}
    for name in sorted(names - {"manifest.json"}):
        storage.remove(f"{root}/{name}")


def write(
    model: Model,
    info: DatasetInfo,
    state: Factorization,
    cold_start: ColdStartSettings,
    row_weight: float,
    catalogue: str | None,
    *,
    more: Additions = Additions(),  # noqa: B008 - immutable
) -> None:
    """Write the factors, by all processes; then the SavedModel and the projector's files, by the first.

    row_weight: R of visitors that were not in the training data. catalogue: a file with titles, for the projector.
    more: what the model has next to its factors; of the first process.
    """
    dataset, cluster = Dataset(info.root), state.cluster
    files = (
        _SideFiles(state.rows, model.user_factors, model.user_weights, len(info.shards(dataset.items_for_user))),
        _SideFiles(state.cols, model.item_factors, model.item_weights, len(info.shards(dataset.users_for_item))),
    )

    def write_factors() -> None:
        for side, factors, weights, shards in files:
            factor_tables.write_table(factors, side.table, shards, cluster.rank, cluster.size)
            factor_tables.write_table(weights, side.weights[:, None], shards, cluster.rank, cluster.size)

    def write_saved_model() -> None:
        if cluster.rank:
            return
        rows, cols, blocks = state.rows, state.cols, state.row_blocks
        if cluster.size > 1:
            rows, cols = (_read_back(one, every) for one, every in zip(files, counts, strict=True))
            blocks = info.row_files(dataset.items_for_user)
        if more.neighbourhood:
            factor_tables.write_related(model.related_items, more.neighbourhood.related)
        if more.learned:
            more.learned.write(model)
        if more.visitors:
            more.visitors.write(model)
        new, regression = (more.learned.new, more.learned.regression) if more.learned else (None, None)
        save = functools.partial(export.save, neighbourhood=more.neighbourhood, new=new, regression=regression)
        if more.visitors:
            save = functools.partial(save, of_visitors=more.visitors.prior, segments=more.visitors.segments)
        sides = dataset, rows, cols, blocks, state.objective, cold_start, row_weight
        save(model.saved_model, *sides, new_ids=model.new_item_ids)
        tensorboard.write_projector(model.logs, dataset, cols.table, cols.counts, catalogue)

    cluster.agree(write_factors)
    counts = [cluster.all_gather(one.side.counts, one.side.size) for one in files]
    cluster.agree(write_saved_model)


def finish(model: Model, manifest: ModelManifest) -> None:
    """Remove the checkpoints and write the manifest, which makes the model a finished one."""
    storage.remove(model.checkpoints)
    manifest.files = checksums.describe_all(model.root)
    manifest.write(model.manifest)


def _read_back(files: _SideFiles, counts: np.ndarray) -> Side:
    """Return all rows of a side that several processes wrote."""
    table, weights = factor_tables.read_table(files.factors), factor_tables.read_table(files.weights)
    return Side(table, counts, weights[:, 0], files.side.size)
