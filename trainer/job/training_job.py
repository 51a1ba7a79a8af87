"""A training job: dataset directory -> model directory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import tensorflow as tf

from artifacts import checksums, factor_tables, manifests, storage
from artifacts.manifests import HeldOutMetric, ModelManifest, StartAccount, SweepRecord, TrainedOn
from artifacts.paths import Dataset, Model
from artifacts.storage import locks
from configs.errors import UserError
from configs.settings import ColdStartSettings, TrainingSettings
from ranking.machine import memory
from ranking.sparse_rows import SparseRows
from trainer.als import tf_collectives, weights
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization, Sweep, fit, random_table
from trainer.als.solver import Solver
from trainer.als.wals import Objective, Side
from trainer.inputs import dataset_rows
from trainer.inputs.dataset_rows import DatasetInfo, RowFiles
from trainer.job import progress, projector, warm_start
from trainer.job.checkpoints import Checkpoints
from trainer.job.early_stopping import HeldOutEntries
from trainer.job.preemption import Preemption
from trainer.job.tensorboard import Summaries
from trainer.saved_model import export

_BYTES = 8  # of an entry in memory: index and value, each side
_MEASURED = 10_000  # users whose held-out entries training.stop_metric looks at


def train(
    settings: TrainingSettings,
    dataset_dir: str,
    model_dir: str,
    replace: bool,
    cold_start: ColdStartSettings = ColdStartSettings(),  # noqa: B008 - frozen
    catalogue: str | None = None,
    cluster: Cluster | None = None,
) -> ModelManifest:
    """Train on a dataset, write the model, its manifest last, and return the manifest.

    catalogue: a CSV with titles, for TensorBoard's projector.

    Raises:
        UserError: no such dataset, a model there already, a checkpoint of something else, wrong weights.
    """
    started, cluster = time.time(), cluster or tf_collectives.from_environment()
    with contextlib.ExitStack() as stack:
        # One run at a time; of several workers the chief holds the place.
        cluster.agree(lambda: stack.enter_context(locks.claim(model_dir)) if cluster.rank == 0 else None)
        stop = stack.enter_context(Preemption(at_once=cluster.size > 1))
        return _train(settings, dataset_dir, Model(model_dir), replace, cold_start, catalogue, cluster, stop, started)


def _train(
    settings: TrainingSettings,
    dataset_dir: str,
    model: Model,
    replace: bool,
    cold_start: ColdStartSettings,
    catalogue: str | None,
    cluster: Cluster,
    stop: Preemption,
    started: float,
) -> ModelManifest:
    info = cluster.agree(lambda: _read_info(dataset_dir, cluster))
    origin = cluster.agree(lambda: warm_start.choose(settings, model.root, info.rating))
    sweeps, chief = origin.sweeps(settings), cluster.rank == 0
    checkpoints = Checkpoints(model.checkpoints, _identity(settings, info) | {"started_from": origin.digest})
    cluster.agree(lambda: _make_room(model, checkpoints, replace) if chief else None)
    with progress.progress(sweeps, quiet=not chief) as display:
        display.say(f"reading {info.interactions:,} interactions of {info.users:,} users and {info.items:,} items")
        blocks = cluster.agree(lambda: _read(settings, info, cluster))
        state = assemble(settings, Dataset(info.root), blocks, (info.users, info.items), cluster)
        _check_whole(info, state)
        held_out = cluster.agree(lambda: _held_out(settings, info, state))
        display.say(origin.describe())
        account = warm_start.carry_over(origin, state, Dataset(info.root))
        resumed = cluster.agree(lambda: checkpoints.restore(state, display.say))
        if resumed:
            display.say(f"going on after sweep {resumed}, from {model.checkpoints}")
        display.say(f"solver: {state.solver.describe(settings.embedding_dimension)}{_where(state, cluster)}")
        display.sweeps_done(state.history)
        summaries = Summaries(model.logs, cluster.rank)

        def leave() -> None:
            display.say(f"SIGTERM: stopped after sweep {len(state.history)}; the same command goes on from there")
            stop.leave()

        def after_sweep(sweep: Sweep) -> None:
            display.after_sweep(sweep)
            summaries.write(sweep, state)
            if stop.told and len(state.history) % 2:  # within a pass; at its end the checkpoint comes anyway
                checkpoints.save(state)
                leave()

        def after_pass(state: Factorization) -> str | None:
            reason = held_out.after_pass(state) if held_out else None
            if held_out:
                display.say(f"{held_out.metric}@{held_out.k} on held-out entries: {held_out.values[-1]:.4f}")
            checkpoints.save(state)
            if stop.told:
                leave()
            return reason

        reason = fit(state, sweeps, settings.tolerance, after_sweep, after_pass)
        summaries.close()
        display.say(f"{reason}; writing {model.root}")
        state.turn_back()
        _write(model, info, state, settings, cold_start, catalogue)
    manifest = _manifest(settings, info, state, reason, resumed, started, account, cold_start)
    if held_out:
        manifest.held_out = HeldOutMetric(metric=f"{held_out.metric}@{held_out.k}", passes=held_out.values)
    cluster.agree(lambda: _finish(model, manifest) if chief else None)
    return manifest


def _finish(model: Model, manifest: ModelManifest) -> None:
    storage.remove(model.checkpoints)
    manifest.files = checksums.describe_all(model.root)
    manifest.write(model.manifest)
    progress.summary(model.root, manifest)


def _read_info(dataset_dir: str, cluster: Cluster) -> DatasetInfo:
    """The dataset's manifest; several workers need shards that they can share evenly."""
    info = dataset_rows.read_info(dataset_dir)
    for prefix in (Dataset(info.root).items_for_user, Dataset(info.root).users_for_item):
        if (shards := len(info.shards(prefix))) % cluster.size:
            raise UserError(
                f"{info.root} has {shards} shards a side, and {cluster.size} workers cannot share them evenly; "
                f"make the dataset with dataset.shards a multiple of {cluster.size}"
            )
    return info


def _check_whole(info: DatasetInfo, state: Factorization) -> None:
    """A file cut off between two records reads as a whole one: what is missing shows in the sum."""
    found = state.cluster.sum(np.array([side.counts.sum() for side in (state.rows, state.cols)], np.float64))
    for name, entries in zip(("users", "items"), found, strict=True):
        if int(entries) != info.interactions:
            raise UserError(
                f"{info.root}: the rows of its {name} hold {int(entries):,} interactions, and its manifest says "
                f"{info.interactions:,}; make the dataset again"
            )


def _where(state: Factorization, cluster: Cluster) -> str:
    on = f", on {', '.join(state.solver.devices)}" if state.solver.devices else ""
    return on + (f", {cluster.size} workers" if cluster.size > 1 else "")


def _held_out(settings: TrainingSettings, info: DatasetInfo, state: Factorization) -> HeldOutEntries | None:
    """What training.stop_metric is measured on."""
    if settings.stop_metric is None:
        return None
    prefix, cluster = Dataset(info.root).held_out, state.cluster
    if not info.has(prefix):
        raise UserError(f"training.stop_metric needs held-out entries, and {info.root} was made without a split")
    files = RowFiles(info.shards(prefix), info.users, info.items, cluster.rank, cluster.size)
    truth = SparseRows.concatenated(list(files))
    users = _MEASURED // cluster.size
    return HeldOutEntries.of(truth, state.row_blocks, users, settings.stop_metric, settings.patience)


def _identity(settings: TrainingSettings, info: DatasetInfo) -> dict[str, Any]:
    return {"dataset": info.fingerprint, "users": info.users, "items": info.items} | settings.model_dump(mode="json")


def _make_room(model: Model, checkpoints: Checkpoints, replace: bool) -> None:
    """Refuses a directory that holds something else; with `replace`, removes a model that is there."""
    root = model.root.rstrip("/")
    if not storage.exists(root):
        return
    if not storage.is_directory(root):
        raise UserError(f"{root} is a file; name a directory for the model")
    found = {name.split("/")[0] for name in storage.list_files(root)} | set(storage.list_directories(root))
    own = {path[len(root) + 1 :].split("/")[0] for path in (model.checkpoints, model.logs, model.saved_model)}
    own |= {"factors", "manifest.json"}
    if found - own:
        raise UserError(f"{root} holds {sorted(found - own)[0]}, no model; name another directory")
    if "manifest.json" in found:
        if not replace:
            raise UserError(f"{root} holds a model; name another directory or pass --replace")
        if (kind := manifests.kind_of(storage.read_bytes(model.manifest))) != "model":
            raise UserError(f"{root} holds {kind or 'something else'}, no model; name another directory")
        storage.remove(model.manifest)  # first: what is half removed is no model
    elif (found and not replace) or checkpoints.matches():
        # The checkpoint decides whether it may go on; of what a killed run began to write nothing is left.
        found -= {path[len(root) + 1 :] for path in (model.checkpoints, model.logs)}
    for name in sorted(found - {"manifest.json"}):
        storage.remove(f"{root}/{name}")


def _read(settings: TrainingSettings, info: DatasetInfo, cluster: Cluster) -> list[Iterable[SparseRows]]:
    """The users' rows and the items' rows of this process: in memory, or to be read anew each time."""
    dataset = Dataset(info.root)
    blocks: list[Iterable[SparseRows]] = []
    needed = 2 * _BYTES * info.interactions / cluster.size
    fits = needed <= (settings.memory_limit_gb * 1e9 if settings.memory_limit_gb else memory() / 2)
    for prefix, size, others in (
        (dataset.items_for_user, info.users, info.items),
        (dataset.users_for_item, info.items, info.users),
    ):
        files = RowFiles(info.shards(prefix), size, others, cluster.rank, cluster.size)
        blocks.append(files.load() if fits else files)
    return blocks


def assemble(
    settings: TrainingSettings,
    dataset: Dataset,
    blocks: Sequence[Iterable[SparseRows]],
    sizes: tuple[int, int],
    cluster: Cluster,
    threads: int | None = None,
) -> Factorization:
    """A fit of these settings before its first sweep.

    Args:
        blocks: the users' rows and the items' rows, of this process; any entries of the dataset.
        sizes: users and items, over all processes.
        threads: that solve rows; None for one a core.
    """
    sides, k = [], settings.embedding_dimension
    for number, size in enumerate(sizes):
        table = random_table(size, k, settings.seed, number, settings.init_stddev, cluster)
        counts = dataset_rows.count(blocks[number], len(table))
        own = _weights(settings, dataset, number, size)[cluster.rank :: cluster.size]
        if exponent := (settings.row_weights_exponent, settings.col_weights_exponent)[number]:
            own = own * weights.by_frequency(counts, exponent, cluster)
        sides.append(Side(table, counts, own, size))
    objective = Objective(settings.unobserved_weight, settings.regularization_coeff, settings.frequency_exponent)
    solver = Solver(
        settings.solver,
        steps=settings.cg_steps,
        block=settings.block_size,
        threads=threads,
        devices=_devices(settings),
        table_dtype=settings.table_dtype,
    )
    return Factorization(sides[0], sides[1], blocks[0], blocks[1], objective, solver, cluster)


def _weights(settings: TrainingSettings, dataset: Dataset, side: int, size: int) -> np.ndarray:
    """float32 [size]: R for side 0, C for side 1."""
    if side == 0:
        scalar, path, vocabulary = settings.row_weights, settings.row_weights_file, dataset.vocab_users
    else:
        scalar, path, vocabulary = settings.col_weights, settings.col_weights_file, dataset.vocab_items
    if path is None:
        return weights.vector(scalar, size, "row_weights" if side == 0 else "col_weights")
    return weights.from_file(path, vocabulary, size, scalar)


def _devices(settings: TrainingSettings) -> tuple[str, ...]:
    """The devices that solve rows; none for the processor's own solvers.

    Raises:
        UserError: TensorFlow has no such device.
    """
    known = {device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()}
    if settings.devices is None:
        return tuple(sorted(name for name in known if name.startswith("GPU:")))
    for name in settings.devices:
        if name not in known:
            raise UserError(f"training.devices: TensorFlow has no {name} here, but {', '.join(sorted(known))}")
    return settings.devices


def _write(
    model: Model,
    info: DatasetInfo,
    state: Factorization,
    settings: TrainingSettings,
    cold_start: ColdStartSettings,
    catalogue: str | None,
) -> None:
    """The factors, by all processes; then the SavedModel, which holds all of them, by the first."""
    dataset, cluster = Dataset(info.root), state.cluster
    sides = (
        (state.rows, model.user_factors, model.user_weights, dataset.items_for_user),
        (state.cols, model.item_factors, model.item_weights, dataset.users_for_item),
    )

    def write_factors() -> None:
        for side, factors, own_weights, rows in sides:
            shards = len(info.shards(rows))
            factor_tables.write_table(factors, side.table, shards, cluster.rank, cluster.size)
            factor_tables.write_table(own_weights, side.weights[:, None], shards, cluster.rank, cluster.size)

    cluster.agree(write_factors)
    counts = [cluster.all_gather(side.counts, side.size) for side, *_ in sides]

    def write_saved_model() -> None:
        rows, cols, blocks = state.rows, state.cols, state.row_blocks
        if cluster.size > 1:
            rows, cols = (
                Side(factor_tables.read_table(factors), counts[number], factor_tables.read_table(own)[:, 0], side.size)
                for number, (side, factors, own, _) in enumerate(sides)
            )
            blocks = RowFiles(info.shards(dataset.items_for_user), info.users, info.items)
        default_row_weight = float(settings.row_weights or 0)
        export.save(model.saved_model, dataset, rows, cols, blocks, state.objective, cold_start, default_row_weight)
        projector.write(model.logs, dataset, cols.table, counts[1], catalogue)

    cluster.agree(lambda: write_saved_model() if cluster.rank == 0 else None)


def _manifest(
    settings: TrainingSettings,
    info: DatasetInfo,
    state: Factorization,
    reason: str,
    resumed: int,
    started: float,
    start: StartAccount,
    cold_start: ColdStartSettings,
) -> ModelManifest:
    dataset = Dataset(info.root)
    return ModelManifest(
        dataset=TrainedOn(root=info.root, fingerprint=info.fingerprint, rating=info.rating),
        settings=settings,
        solver=state.solver.describe(settings.embedding_dimension),
        users=info.users,
        items=info.items,
        interactions=info.interactions,
        embedding_dimension=settings.embedding_dimension,
        user_factor_shards=len(info.shards(dataset.items_for_user)),
        item_factor_shards=len(info.shards(dataset.users_for_item)),
        stopped=reason,
        resumed_after_sweep=resumed,
        seconds=round(time.time() - started, 3),
        history=[SweepRecord(**asdict(sweep)) for sweep in state.history],
        start=start,
        cold_start=cold_start,
    )
