"""Settings and a dataset -> a fit before its first sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import TrainingSettings
from ranking.fold_in import Objective
from ranking.machine import memory
from ranking.threads import each
from trainer.als import regularization, weights
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization, random_table
from trainer.als.solver import Solver
from trainer.als.wals import Side, dimension
from trainer.inputs import dataset_rows
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.job.early_stopping import HeldOutEntries

_BYTES_PER_ENTRY = 8  # in memory, for each side: index and value


def read_blocks(settings: TrainingSettings, info: DatasetInfo, cluster: Cluster) -> list[Iterable[SparseRows]]:
    """Return this process's rows of the users and of the items: in memory, or read again in each sweep."""
    dataset = Dataset(info.root)
    blocks: list[Iterable[SparseRows]] = []
    needed = 2 * _BYTES_PER_ENTRY * info.interactions / cluster.size
    fits = needed <= (settings.memory_limit_gb * 1e9 if settings.memory_limit_gb else memory() / 2)
    for prefix in (dataset.items_for_user, dataset.users_for_item):
        files = info.row_files(prefix, cluster.rank, cluster.size)
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
    """Return a fit with these settings before its first sweep.

    Args:
        blocks: the users' rows and the items' rows of this process; any entries of the dataset.
        sizes: users and items, over all processes.
        threads: that solve rows; None for one per core.
    """
    sides, k = [], dimension(settings.embedding_dimension, sizes[1])

    def start(number: int) -> np.ndarray:
        return random_table(sizes[number], k, settings.seed, number, settings.init_stddev, cluster)

    tables = each(start, range(2))
    for number, (size, table) in enumerate(zip(sizes, tables, strict=True)):
        counts = dataset_rows.count(blocks[number], len(table))
        own_weights = _weights(settings, dataset, number, size, cluster)
        if exponent := (settings.row_weights_exponent, settings.col_weights_exponent)[number]:
            own_weights = own_weights * weights.by_frequency(counts, exponent, cluster)
        sides.append(Side(table, counts, own_weights, size))
    w0, exponent, ridge = settings.unobserved_weight, settings.frequency_exponent, settings.regularization_coeff
    if ridge == "auto":
        entries = cluster.sum(np.array([float(sides[0].counts.sum())]))[0]
        ridge = regularization.automatic(sizes, int(entries), w0, exponent)
    objective = Objective(w0, ridge, exponent)
    solver = Solver(
        settings.solver,
        steps=settings.cg_steps,
        block=settings.block_size,
        threads=threads,
        devices=_devices(settings),
        table_dtype=settings.table_dtype,
    )
    return Factorization(sides[0], sides[1], blocks[0], blocks[1], objective, solver, cluster)


def held_out_entries(
    settings: TrainingSettings, info: DatasetInfo, state: Factorization, users: int = 10_000
) -> HeldOutEntries | None:
    """Return the entries on which training.stop_metric is measured, of at most `users` users; None if it is unset."""
    if settings.stop_metric is None:
        return None
    cluster = state.cluster
    if info.manifest.split.kind == "none":
        raise UserError(
            f"training.stop_metric needs held-out entries, and {info.root} was made without a split; "
            "set split.kind and make the dataset again"
        )
    truth = SparseRows.concatenated(list(info.row_files(Dataset(info.root).held_out, cluster.rank, cluster.size)))
    return HeldOutEntries.of(truth, state.row_blocks, users // cluster.size, settings.stop_metric, settings.patience)


def check_complete(info: DatasetInfo, state: Factorization) -> None:
    """Raise UserError if rows are missing: a file cut off between two records reads as a complete one."""
    counted = state.cluster.sum(np.array([side.counts.sum() for side in (state.rows, state.cols)], np.float64))
    for name, entries in zip(("users", "items"), counted, strict=True):
        if int(entries) != info.interactions:
            raise UserError(
                f"{info.root}: the rows of its {name} contain {int(entries):,} interactions, but its manifest lists "
                f"{info.interactions:,}; make the dataset again"
            )


def _weights(settings: TrainingSettings, dataset: Dataset, number: int, size: int, cluster: Cluster) -> np.ndarray:
    """Return float32 [n], of the rows of this process: R of the users (number 0), C of the items (number 1)."""
    name = ("row_weights", "col_weights")[number]
    scalar, path = getattr(settings, name), getattr(settings, f"{name}_file")
    if path is None:
        return weights.vector(scalar, size, name)[cluster.rank :: cluster.size]
    vocabulary = (dataset.vocab_users, dataset.vocab_items)[number]
    read = weights.from_file(path, f"training.{name}_file", vocabulary, size, scalar)
    if cluster.rank == 0:
        print(f"training.{name}_file: {read.found:,} of its {read.listed:,} ids are in the dataset")
    return read.values[cluster.rank :: cluster.size]


def _devices(settings: TrainingSettings) -> tuple[str, ...]:
    """Return the devices that solve rows; empty for the CPU's own solvers."""
    known = {device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()}
    if settings.devices is None:
        return tuple(sorted(name for name in known if name.startswith("GPU:")))
    for name in settings.devices:
        if name not in known:
            raise UserError(f"training.devices: TensorFlow has no {name} here; name some of {', '.join(sorted(known))}")
    return settings.devices
