"""A warm start: the factors of an earlier model for the ids that remain, projections for those that are new.

The model alone is enough: its SavedModel holds the ids (as assets, in the order of their bytes) and the factors in that
order, so the dataset it was trained on may have gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from artifacts import storage
from artifacts.manifests import CarriedOver, ModelManifest, StartAccount
from artifacts.names import VOCAB_ITEMS, VOCAB_USERS
from artifacts.paths import Dataset, Model, join
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from configs.settings import RatingSettings, TrainingSettings
from ranking.sparse_rows import SparseRows
from trainer.als import wals
from trainer.als.basis import rotate
from trainer.als.batches import Batches
from trainer.als.loop import Factorization
from trainer.als.solver import Solver

# What a fit minimises; how it runs (solver, sweeps, seed) may differ from the earlier one.
_SAME = (
    "embedding_dimension",
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


@dataclass(frozen=True)
class Start:
    """Where a fit starts: an earlier model, or none and why.

    Attributes:
        model: directory of the earlier model; None where none was asked for.
        digest: of its manifest, None for a cold start. cold: why the start is cold nevertheless, in words.
    """

    model: str | None = None
    digest: str | None = None
    cold: str | None = None

    @property
    def warm(self) -> bool:
        return self.digest is not None

    def sweeps(self, settings: TrainingSettings) -> int:
        """Sweeps of the fit: of a warm one a third of the passes, unless the settings say how many."""
        if not self.warm:
            return settings.max_sweeps
        return settings.warm_start_sweeps or 2 * max(1, settings.max_sweeps // 6)

    def describe(self) -> str:
        """In a line, for people."""
        if self.warm:
            return f"warm start from {self.model}"
        return f"cold start: {self.cold}" if self.cold else "cold start"


def choose(settings: TrainingSettings, model_dir: str, rating: RatingSettings) -> Start:
    """Whether the model that the settings name can be started from: a finished one of the same objective and ratings.

    Raises:
        UserError: it is the very directory that the new model goes to.
    """
    root = settings.warm_start
    if root is None:
        return Start()
    if root.rstrip("/") == model_dir.rstrip("/"):
        raise UserError(f"training.warm_start is {root}, where the new model goes; name another model_dir")
    if not storage.exists(Model(root).manifest):
        return Start(root, cold=f"{root} is not a finished model")
    manifest = ModelManifest.read(Model(root).manifest)
    for name in _SAME:
        before, now = getattr(manifest.settings, name), getattr(settings, name)
        if before != now:
            return Start(root, cold=f"{root} was trained with {name} {before}, now {now}")
    for name, now in rating:
        before = getattr(manifest.dataset.rating, name)
        if before != now:
            return Start(root, cold=f"{root} was trained with rating.{name} {before}, now {now}")
    return Start(root, manifest.digest())


def carry_over(start: Start, state: Factorization, dataset: Dataset) -> StartAccount:
    """Put the earlier factors into the tables of a fit before its first sweep, and return an account for the manifest.

    An id keeps the factors that the earlier model answers with, whatever its index is now. New items are projected from
    the users that remain, then new users from all items; an item that no remaining user has starts with zeros.

    Raises:
        UserError: the model's tables do not fit its ids.
    """
    if not start.warm or start.model is None:
        return StartAccount(model=start.model, cold=start.cold)
    counts = {}
    cluster, saved = state.cluster, Model(start.model).saved_model
    sides = (
        ("users", VOCAB_USERS, dataset.vocab_users, state.rows, state.row_blocks, state.cols),
        ("items", VOCAB_ITEMS, dataset.vocab_items, state.cols, state.col_blocks, state.rows),
    )
    fresh = {}
    for name, vocabulary, path, side, _, _ in sides:
        fresh[name] = _carry(saved, name, vocabulary, path, side, cluster.rank, cluster.size)
        remain, new = cluster.sum(np.array([np.count_nonzero(~fresh[name]), np.count_nonzero(fresh[name])], float))
        counts[name] = CarriedOver(carried_over=int(remain), projected=int(new))
    for name, _, _, side, blocks, fixed in reversed(sides):
        _project(blocks, fresh[name], side, fixed, state)
    return StartAccount(model=start.model, digest=start.digest, **counts)


def _carry(saved: str, name: str, vocabulary: str, path: str, side: wals.Side, rank: int, processes: int) -> np.ndarray:
    """Fills a side's table, zeros for new ids; gives which ids are new, bool [own rows]."""
    earlier = Vocabulary.read(join(saved, "assets", vocabulary))
    table = _variable(saved, name)
    if table.shape != (len(earlier), side.table.shape[1]):
        raise UserError(f"{saved} has factors of shape {list(table.shape)} for {len(earlier)} ids; train it again")
    places = earlier.indices_of(Vocabulary.read(path).ids[rank::processes])
    side.table[:] = np.where(places[:, None] >= 0, table[places], 0)
    return places < 0


def _variable(saved: str, name: str) -> np.ndarray:
    """float32 [n, k]: one of the tables in a SavedModel, without loading its graphs."""
    try:
        reader = tf.train.load_checkpoint(join(saved, "variables", "variables"))
        return reader.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE")
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(
            f"{saved} is damaged ({' '.join(str(error).split())}); leave training.warm_start out"
        ) from error


def _project(
    blocks: Iterable[SparseRows], fresh: np.ndarray, side: wals.Side, fixed: wals.Side, state: Factorization
) -> None:
    """Solves the new rows of a side with the other one as it is."""
    solver = Solver(threads=state.solver.threads).exact()
    batches = Batches(
        [block.take(np.flatnonzero(fresh[block.keys])) for block in blocks], state.k, solver, state.cluster
    )
    basis = wals.shared_basis(fixed, state.cluster)
    rotate(fixed.table, basis.vectors)
    wals.solve(batches, side, fixed, basis, state.objective)
    side.table[fresh] = side.table[fresh] @ basis.vectors.T.astype(np.float32)
    rotate(fixed.table, basis.vectors.T)
