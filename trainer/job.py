"""A training job: dataset directory -> model directory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import tensorflow as tf

from configs import manifest
from configs.artifacts import Dataset, Model
from configs.errors import UserError
from configs.settings import ColdStartSettings, TrainingSettings
from trainer import data, export, report, storage, warm, weights
from trainer.checkpoints import Checkpoints
from trainer.cluster import Alone, Cluster
from trainer.data import DatasetInfo, RowFiles
from trainer.solver import Solver
from trainer.sparse import SparseRows
from trainer.summaries import Summaries
from trainer.train import Factorization, Sweep, fit, random_table
from trainer.wals import Objective, Side


def train(
    settings: TrainingSettings,
    dataset_dir: str,
    model_dir: str,
    replace: bool,
    cold_start: ColdStartSettings = ColdStartSettings(),  # noqa: B008 - frozen
) -> dict[str, Any]:
    """Trains on a dataset and writes the model, its manifest last; gives the manifest.

    Raises:
        UserError: no such dataset, a model there already, a checkpoint of something else, wrong weights.
    """
    started, cluster, model = time.time(), Alone(), Model(model_dir)
    info = data.read_info(dataset_dir)
    origin = warm.choose(settings, model_dir, info.rating)
    sweeps = origin.sweeps(settings)
    checkpoints = Checkpoints(model.checkpoints, _identity(settings, info) | {"started_from": origin.digest})
    _make_room(model, checkpoints, replace)
    with report.progress(sweeps) as display:
        display.say(f"reading {info.interactions:,} interactions of {info.users:,} users and {info.items:,} items")
        state = _start(settings, info, cluster)
        display.say(origin.describe())
        account = warm.carry_over(origin, state, Dataset(info.root))
        resumed = checkpoints.restore(state)
        if resumed:
            display.say(f"going on after sweep {resumed}, from {model.checkpoints}")
        display.say(f"solver: {state.solver.describe(settings.embedding_dimension)}")
        display.sweeps_done(state.history)
        summaries = Summaries(model.logs)

        def after_sweep(sweep: Sweep) -> None:
            display.after_sweep(sweep)
            summaries.write(sweep, state)

        reason = fit(state, sweeps, settings.tolerance, after_sweep, checkpoints.save)
        summaries.close()
        display.say(f"{reason}; writing {model_dir}")
        state.turn_back()
        _write(model, info, state, settings, cold_start)
    content = _manifest(settings, info, state, reason, resumed, started)
    content["start"] = account
    content["cold_start"] = cold_start.model_dump(mode="json")
    storage.remove(model.checkpoints)
    content["files"] = storage.describe_all(model_dir)
    storage.write_bytes(model.manifest, manifest.stamp("model", content).encode())
    report.summary(model_dir, content)
    return content


def _identity(settings: TrainingSettings, info: DatasetInfo) -> dict[str, Any]:
    return {"dataset": info.fingerprint, "users": info.users, "items": info.items} | settings.model_dump(mode="json")


def _make_room(model: Model, checkpoints: Checkpoints, replace: bool) -> None:
    """Refuses a directory that holds something else; with `replace`, removes a model that is there."""
    root = model.root.rstrip("/")
    if not tf.io.gfile.exists(root):
        return
    if not tf.io.gfile.isdir(root):
        raise UserError(f"{root} is a file; name a directory for the model")
    found = {name.rstrip("/") for name in tf.io.gfile.listdir(root)}
    own = {path[len(root) + 1 :].split("/")[0] for path in (model.checkpoints, model.logs, model.saved_model)}
    own |= {"factors", "manifest.json"}
    if found - own:
        raise UserError(f"{root} holds {sorted(found - own)[0]}, no model; name another directory")
    if "manifest.json" in found:
        if not replace:
            raise UserError(f"{root} holds a model; name another directory or pass --replace")
        if (kind := manifest.kind_of(storage.read_bytes(model.manifest))) != "model":
            raise UserError(f"{root} holds {kind or 'something else'}, no model; name another directory")
        storage.remove(model.manifest)  # first: what is half removed is no model
    elif (found and not replace) or checkpoints.matches():
        return  # the checkpoint decides whether it may go on
    for name in sorted(found - {"manifest.json"}):
        storage.remove(f"{root}/{name}")


def _start(settings: TrainingSettings, info: DatasetInfo, cluster: Cluster) -> Factorization:
    dataset, blocks = Dataset(info.root), []
    for prefix, size, others in (
        (dataset.items_for_user, info.users, info.items),
        (dataset.users_for_item, info.items, info.users),
    ):
        blocks.append(RowFiles(info.shards(prefix), size, others, cluster.rank, cluster.size).load())
    return assemble(settings, dataset, blocks, (info.users, info.items), cluster)


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
        counts = data.count(blocks[number], len(table))
        own = _weights(settings, dataset, number, size)[cluster.rank :: cluster.size]
        if number == 1 and settings.col_weights_exponent:
            own = own * weights.by_frequency(counts, settings.col_weights_exponent, cluster)
        sides.append(Side(table, counts, own, size))
    objective = Objective(settings.unobserved_weight, settings.regularization_coeff, settings.frequency_exponent)
    solver = Solver(settings.solver, steps=settings.cg_steps, threads=threads)
    return Factorization(*sides, *blocks, objective, solver, cluster)


def _weights(settings: TrainingSettings, dataset: Dataset, side: int, size: int):
    """float32 [size]: R for side 0, C for side 1."""
    if side == 0:
        scalar, path, vocabulary = settings.row_weights, settings.row_weights_file, dataset.vocab_users
    else:
        scalar, path, vocabulary = settings.col_weights, settings.col_weights_file, dataset.vocab_items
    if path is None:
        return weights.vector(scalar, size, "row_weights" if side == 0 else "col_weights")
    return weights.from_file(path, vocabulary, size, scalar)


def _write(
    model: Model, info: DatasetInfo, state: Factorization, settings: TrainingSettings, cold_start: ColdStartSettings
) -> None:
    dataset, rows, cols = Dataset(info.root), state.rows, state.cols
    users, items = len(info.shards(dataset.items_for_user)), len(info.shards(dataset.users_for_item))
    storage.write_table(model.user_factors, rows.table, users)
    storage.write_table(model.item_factors, cols.table, items)
    storage.write_table(model.user_weights, rows.weights[:, None], users)
    storage.write_table(model.item_weights, cols.weights[:, None], items)
    stranger = float(settings.row_weights or 0)
    export.save(model.saved_model, dataset, rows, cols, state.row_blocks, state.objective, cold_start, stranger)


def _manifest(
    settings: TrainingSettings, info: DatasetInfo, state: Factorization, reason: str, resumed: int, started: float
) -> dict[str, Any]:
    dataset = Dataset(info.root)
    return {
        "dataset": {"root": info.root, "fingerprint": info.fingerprint, "rating": info.rating},
        "settings": settings.model_dump(mode="json"),
        "solver": state.solver.describe(settings.embedding_dimension),
        "users": info.users,
        "items": info.items,
        "interactions": info.interactions,
        "embedding_dimension": settings.embedding_dimension,
        "user_factor_shards": len(info.shards(dataset.items_for_user)),
        "item_factor_shards": len(info.shards(dataset.users_for_item)),
        "stopped": reason,
        "resumed_after_sweep": resumed,
        "seconds": round(time.time() - started, 3),
        "history": [asdict(sweep) for sweep in state.history],
    }
