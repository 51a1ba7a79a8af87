"""A warm start: the factors of an earlier model for the ids that remain, projections for new ids.

Only the model is needed, not the dataset on which it was trained: its SavedModel contains the ids (as assets) and the
factors in their order.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from artifacts import storage
from artifacts.manifests import CarriedOver, ModelManifest, StartAccount
from artifacts.names import VOCAB_ITEMS, VOCAB_USERS
from artifacts.paths import Dataset, Model, join
from artifacts.sparse_rows import SparseRows
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from configs.settings import RatingSettings, TrainingSettings
from trainer.als import wals
from trainer.als.basis import rotate
from trainer.als.batches import Batches
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization
from trainer.als.solver import Solver

# The settings of the objective, which must be the same, as k must; solver, sweeps and seed may differ.
_SAME = (
    "unobserved_weight",
    "regularization_coeff",
    "frequency_exponent",
    "row_weights",
    "col_weights",
    "row_weights_file",
    "col_weights_file",
    "row_weights_exponent",
    "col_weights_exponent",
)


def choose(settings: TrainingSettings, model_dir: str, rating: RatingSettings, items: int) -> StartAccount:
    """Return the start: warm if the named model is finished and has the same objective, k and ratings.

    items: of the new model; an automatic k follows it.

    Raise UserError if it is in the directory of the new model, or its manifest cannot be read.
    """
    root = settings.warm_start
    if root is None:
        return StartAccount()
    if root.rstrip("/") == model_dir.rstrip("/"):
        raise UserError(f"training.warm_start is {root}, the directory of the new model; name another model_dir")
    if not storage.exists(Model(root).manifest):
        return StartAccount(model=root, cold=f"{root} is not a finished model")
    manifest = ModelManifest.read(Model(root).manifest)
    k = wals.dimension(settings.embedding_dimension, items)
    if manifest.embedding_dimension != k:
        before = manifest.embedding_dimension
        return StartAccount(model=root, cold=f"{root} was trained with embedding_dimension {before}, now {k}")
    for name in _SAME:
        before, now = getattr(manifest.settings, name), getattr(settings, name)
        if before != now and now != "auto":  # an automatic lambda follows the number of items
            return StartAccount(model=root, cold=f"{root} was trained with {name} {before}, now {now}")
    for name, now in rating:
        before = getattr(manifest.dataset.rating, name)
        if before != now:
            return StartAccount(model=root, cold=f"{root} was trained with rating.{name} {before}, now {now}")
    return StartAccount(model=root, digest=manifest.digest())


def sweeps(start: StartAccount, settings: TrainingSettings) -> int:
    """Return the sweeps of the fit; by default a warm one has a third of the passes."""
    if start.digest is None:
        return settings.max_sweeps
    return settings.warm_start_sweeps or 2 * max(1, settings.max_sweeps // 6)


def describe(start: StartAccount) -> str:
    """Return a description of one line."""
    if start.digest is not None:
        return f"warm start from {start.model}"
    return f"cold start: {start.cold}" if start.cold else "cold start"


def carry_over(start: StartAccount, state: Factorization, dataset: Dataset) -> StartAccount:
    """Put the earlier factors into the tables of a fit before its first sweep; return the account for the manifest.

    An id keeps the factors with which the earlier model answers, also if its index changed. New items are projected
    from the users that remain, then new users from all items; an item that no remaining user has starts with zeros.
    """
    if start.digest is None or start.model is None:
        return start
    saved, cluster = Model(start.model).saved_model, state.cluster
    new_users = _carry(saved, VOCAB_USERS, "users", dataset.vocab_users, state.rows, cluster)
    new_items = _carry(saved, VOCAB_ITEMS, "items", dataset.vocab_items, state.cols, cluster)
    _project(new_items, state.cols, state.rows, state.col_blocks, state)
    _project(new_users, state.rows, state.cols, state.row_blocks, state)
    counts = {"users": _count(new_users, cluster), "items": _count(new_items, cluster)}
    return start.model_copy(update=counts)


def _count(new: np.ndarray, cluster: Cluster) -> CarriedOver:
    """Return the rows that were carried over and those that were projected, over all processes."""
    remaining, projected = cluster.sum(np.array([np.count_nonzero(~new), np.count_nonzero(new)], float))
    return CarriedOver(carried_over=int(remaining), projected=int(projected))


def _carry(saved: str, vocabulary: str, table: str, current: str, side: wals.Side, cluster: Cluster) -> np.ndarray:
    """Fill a side's table, with zeros for new ids; return the new ones of this process's rows, bool [n_own].

    vocabulary, table: the SavedModel's asset and variable. current: path of the new dataset's vocabulary.
    """
    earlier, factors = Vocabulary.read(join(saved, "assets", vocabulary)), _variable(saved, table)
    if factors.shape != (len(earlier), side.table.shape[1]):
        raise UserError(f"{saved} has factors of shape {list(factors.shape)} for {len(earlier)} ids; train it again")
    indices = earlier.indices_of(Vocabulary.read(current).ids[cluster.rank :: cluster.size])
    side.table[:] = np.where(indices[:, None] >= 0, factors[indices], 0)
    return indices < 0


def _variable(saved: str, name: str) -> np.ndarray:
    """Read one of the tables in a SavedModel, float32 [n, k], without loading its graphs."""
    try:
        reader = tf.train.load_checkpoint(join(saved, "variables", "variables"))
        return reader.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE")
    except (tf.errors.OpError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{saved} is damaged ({reason}); leave training.warm_start out") from error


def _project(
    new: np.ndarray, side: wals.Side, fixed: wals.Side, blocks: Iterable[SparseRows], state: Factorization
) -> None:
    """Solve the new rows of a side with the other side fixed."""
    rows = [block.take(np.flatnonzero(new[block.keys])) for block in blocks]
    batches = Batches(rows, state.k, Solver(threads=state.solver.threads).exact(), state.cluster)
    basis = wals.shared_basis(fixed, state.cluster)
    rotate(fixed.table, basis.vectors)
    wals.solve(batches, side, fixed, basis, state.objective)
    side.table[new] = side.table[new] @ basis.vectors.T.astype(np.float32)
    rotate(fixed.table, basis.vectors.T)
