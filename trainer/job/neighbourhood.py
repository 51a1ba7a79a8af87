"""The item-item term of a training: its matrix, and the choice of its weight on a part of the training data."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from artifacts.items_table import ItemsTable
from artifacts.manifests.neighbourhood import GammaTrial, NeighbourhoodAccount
from artifacts.names import CATEGORY, VISITORS
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
from trainer.evaluation.weak_groups import WeakGroups
from trainer.inputs import dataset_rows, validation_split
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.job import assembly
from trainer.neighbourhood import related

# Weights to compare, as shares of the one at which the term of an answer is as great as its product of factors.
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2)
_K, _ROOT = 20, "sqrt(items of the visitor)"
_HELD_OUT = ValidationSettings(share=0.2, users=5000)
_NOTHING = GammaTrial(gamma=0.0, recall=0.0, ndcg=0.0, gain=0.0, error=0.0)

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
    started, visitors, trials = time.perf_counter(), 0, list[GammaTrial]()
    gamma, few_items = settings.gamma, settings.few_items is True
    if gamma == "auto":
        parts = _hold_out(info, rows)
        visitors = int(np.count_nonzero(parts.held_out.lengths))
        trials = _compare(settings, training, info, parts, watch)
        chosen = best(trials)
        gamma, few_items = chosen.gamma, chosen.few_items
    neighbourhood = Neighbourhood(matrix(settings, rows, info.items), gamma, few_items) if gamma else None
    return neighbourhood, NeighbourhoodAccount(
        settings=settings,
        gamma=gamma,
        few_items=few_items,
        entries=neighbourhood.related.entries if neighbourhood else 0,
        visitors=visitors,
        trials=trials,
        seconds=round(time.perf_counter() - started, 3),
    )


def best(trials: Sequence[GammaTrial]) -> GammaTrial:
    """Return the trial to choose; one of weight 0 if any gain in NDCG over weight 0 may be chance.

    A gain may be chance if it is less than two standard errors, paired by visitor. The greatest other gain decides
    between the same weight for all and more for visitors with few items. Of these weights with at least half of that
    gain, the smallest is chosen for which the fewest groups of visitors are behind item kNN. Half, because what is held
    out can flatter the term: items that a visitor had in one sitting are on both sides of it.
    """
    sure = [trial for trial in trials if trial.gain > 2 * trial.error]
    if not sure:
        return _NOTHING
    greatest = max(sure, key=lambda trial: trial.gain)
    enough = (trial for trial in sure if trial.gain >= greatest.gain / 2 and trial.few_items == greatest.few_items)
    return min(enough, key=lambda trial: (trial.behind, trial.gamma))


def _hold_out(info: DatasetInfo, rows: SparseRows) -> validation_split.Split:
    """Return a split of the rows: of each visitor's last day if the dataset has times, else at random."""
    days = dataset_rows.view_days(info, list(info.row_files(Dataset(info.root).items_for_user)))
    if days is None:
        return validation_split.split(rows, _HELD_OUT)
    return validation_split.last_of_each(rows, days, _HELD_OUT)


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
    items = ItemsTable.read(Dataset(info.root).items, info.items, (VISITORS,), (CATEGORY,))
    groups = WeakGroups.of(items, parts.train, parts.held_out, _K)
    return compare(settings, state.rows.table, state.cols.table, parts, groups)


def compare(
    settings: NeighbourhoodSettings,
    users: np.ndarray,
    items: np.ndarray,
    parts: validation_split.Split,
    groups: WeakGroups | None = None,
) -> list[GammaTrial]:
    """Return weights, 0 first, with their metrics on what is held out.

    Args:
        users: float32 [n, d]. items: float32 [m, d]. Both are factors of a model that was trained on the rest.
        groups: of the visitors with held-out items, those that may be behind item kNN.
    """
    train, held_out, trials = parts.train, parts.held_out, list[GammaTrial]()
    related, asked = matrix(settings, train, len(items)), np.flatnonzero(held_out.lengths)

    def measure(term: Neighbourhood | None) -> tuple[np.ndarray, np.ndarray]:
        columns = metrics.Columns.of(metrics.of_each_user(users, items, held_out, train, _K, term))
        return columns.recall, columns.ndcg

    def add(recall: np.ndarray, ndcg: np.ndarray, **weight: float) -> None:
        gains = ndcg - without[1]
        gain, error = gains.mean(), gains.std() / len(gains) ** 0.5
        behind = groups.behind(recall, ndcg) if groups else 0
        figures = {"recall": recall.mean(), "ndcg": ndcg.mean(), "gain": gain, "error": error, "behind": behind}
        trials.append(GammaTrial(**weight, **figures))

    without = measure(None)
    add(*without, gamma=0.0)
    for few_items in (False, True) if settings.few_items == "auto" else (settings.few_items,):
        term = Neighbourhood(related, 1.0, few_items)
        scale = _scale(users[asked], items, term, train.take(asked))
        for gamma in sorted({float(f"{share * scale:.2g}") for share in _SHARES} - {0.0}):
            add(*measure(replace(term, gamma=gamma)), gamma=gamma, few_items=few_items)
    return trials


def _scale(users: np.ndarray, items: np.ndarray, term: Neighbourhood, rows: SparseRows) -> float:
    """Return the weight at which the greatest terms of users are as great, on average, as their greatest products.

    term: of weight 1.
    """
    products, terms = (
        _mean(top_k(factors, items, rows, _K, term=Term(replace(term, gamma=gamma), rows)))
        for factors, gamma in ((users, 0.0), (np.zeros_like(users), 1.0))
    )
    return products / terms if products > 0 and terms > 0 else 0.0


def _mean(best: Best) -> float:
    given = best.scores[best.indices >= 0]
    return float(given.mean(dtype=np.float64)) if len(given) else 0.0


def describe(account: NeighbourhoodAccount) -> str:
    """Return a line on the term: its weight, the weights that were compared, and the time."""
    root = f" / {_ROOT}" if account.few_items else ""
    text = f"neighbourhood: gamma {account.gamma:g}{root}, {account.entries:,} related items, {account.seconds:.1f} s"
    if not account.trials:
        return text
    same, by_root = (
        ", ".join(f"{trial.gamma:g}: {trial.ndcg:.4f}" for trial in account.trials if trial.few_items == few_items)
        for few_items in (False, True)
    )
    trials = f"{same}; over {_ROOT}: {by_root}" if by_root else same
    return f"{text}; NDCG@20 on what is held out of {account.visitors:,} visitors: {trials}"
