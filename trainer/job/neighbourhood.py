"""The item-item term of a training: its matrix, and the choice of its weight on a part of the training data."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from artifacts.manifests.neighbourhood import GammaTrial, NeighbourhoodAccount
from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.settings import NeighbourhoodSettings, TrainingSettings
from configs.settings.search import ValidationSettings
from ranking.heap import Best
from ranking.neighbourhood import Neighbourhood, Term, on_a_grid
from ranking.topk import top_k
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization, fit
from trainer.evaluation import metrics
from trainer.inputs import validation_split
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.job import assembly
from trainer.neighbourhood import related

# Weights to compare, as shares of the one at which the term of an answer is as great as its product of factors.
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2)
_K = 20
_HELD_OUT = ValidationSettings(share=0.2, users=5000)

AfterPass = Callable[[Factorization], str | None]


def matrix(settings: NeighbourhoodSettings, rows: SparseRows, items: int) -> SparseRows:
    """Return B of the rows of all visitors, keyed 0 .. n - 1 in order."""
    relation = related.Relation(settings.item_exponent, settings.related_exponent, settings.shrinkage)
    return on_a_grid(related.nearest(rows, items, min(settings.neighbours, items), relation), settings.power)


def of_dataset(
    settings: NeighbourhoodSettings, training: TrainingSettings, info: DatasetInfo, rows: SparseRows, watch: AfterPass
) -> tuple[Neighbourhood | None, NeighbourhoodAccount]:
    """Return the term of a model of all rows, None if its weight is 0, and its part of the manifest.

    Args:
        rows: of all visitors, keyed 0 .. n - 1 in order.
        watch: called after each pass of the training by which the weight is chosen, if it is.
    """
    started, gamma, visitors, trials = time.perf_counter(), settings.gamma, 0, list[GammaTrial]()
    if gamma == "auto":
        parts = validation_split.split(rows, _HELD_OUT)
        visitors = int(np.count_nonzero(parts.held_out.lengths))
        trials = _compare(settings, training, info, parts, watch)
        gamma = best(trials)
    neighbourhood = Neighbourhood(matrix(settings, rows, info.items), gamma) if gamma else None
    return neighbourhood, NeighbourhoodAccount(
        settings=settings,
        gamma=gamma,
        entries=neighbourhood.related.entries if neighbourhood else 0,
        visitors=visitors,
        trials=trials,
        seconds=round(time.perf_counter() - started, 3),
    )


def best(trials: Sequence[GammaTrial]) -> float:
    """Return the smallest weight with half of the greatest gain in NDCG over weight 0; 0 if the gain may be chance.

    A gain may be chance if it is less than two standard errors, paired by visitor. Half of the greatest, because a
    random hold-out can flatter the term: items that a visitor had in one sitting are on both sides of it.
    """
    sure = [trial for trial in trials if trial.gain > 2 * trial.error]
    greatest = max((trial.gain for trial in sure), default=0.0)
    return min((trial.gamma for trial in sure if trial.gain >= greatest / 2), default=0.0)


def _compare(
    settings: NeighbourhoodSettings,
    training: TrainingSettings,
    info: DatasetInfo,
    parts: validation_split.Split,
    watch: AfterPass,
) -> list[GammaTrial]:
    """Return the trials of a model of what is not held out; none if nothing is held out."""
    if not parts.held_out.entries:
        return []
    blocks, sizes = [[parts.train], [parts.train.transpose(info.items)]], (info.users, info.items)
    state = assembly.assemble(training, Dataset(info.root), blocks, sizes, Cluster())
    fit(state, training.max_sweeps, training.tolerance, after_pass=watch)
    return compare(settings, state.rows.table, state.cols.table, parts)


def compare(
    settings: NeighbourhoodSettings, users: np.ndarray, items: np.ndarray, parts: validation_split.Split
) -> list[GammaTrial]:
    """Return weights, 0 first, with their metrics on what is held out.

    Args:
        users: float32 [n, d]. items: float32 [m, d]. Both are factors of a model that was trained on the rest.
    """
    train, held_out = parts.train, parts.held_out
    b, asked = matrix(settings, train, len(items)), np.flatnonzero(held_out.lengths)
    scale = _scale(users[asked], items, b, train.take(asked))
    trials, without = list[GammaTrial](), np.zeros(0)
    for gamma in sorted({0.0, *(float(f"{share * scale:.2g}") for share in _SHARES)}):
        measured = metrics.of_each_user(users, items, held_out, train, _K, Neighbourhood(b, gamma))
        recall, ndcg = (getattr(metrics.Columns.of(measured), name) for name in ("recall", "ndcg"))
        without = ndcg if gamma == 0 else without
        gains = ndcg - without
        gain, error = gains.mean(), gains.std() / len(gains) ** 0.5
        trials.append(GammaTrial(gamma=gamma, recall=recall.mean(), ndcg=ndcg.mean(), gain=gain, error=error))
    return trials


def _scale(users: np.ndarray, items: np.ndarray, b: SparseRows, rows: SparseRows) -> float:
    """Return the weight at which the greatest terms of users are as great, on average, as their greatest products."""
    products, terms = (
        _mean(top_k(factors, items, rows, _K, term=Term(Neighbourhood(b, gamma), rows)))
        for factors, gamma in ((users, 0.0), (np.zeros_like(users), 1.0))
    )
    return products / terms if products > 0 and terms > 0 else 0.0


def _mean(best: Best) -> float:
    given = best.scores[best.indices >= 0]
    return float(given.mean(dtype=np.float64)) if len(given) else 0.0


def describe(account: NeighbourhoodAccount) -> str:
    """Return a line on the term: its weight, the weights that were compared, and the time."""
    text = f"neighbourhood: gamma {account.gamma:g}, {account.entries:,} related items, {account.seconds:.1f} s"
    if not account.trials:
        return text
    trials = ", ".join(f"{trial.gamma:g}: {trial.ndcg:.4f}" for trial in account.trials)
    return f"{text}; NDCG@20 on what {account.visitors:,} visitors have in a held-out fifth: {trials}"
