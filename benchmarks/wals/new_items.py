"""Items that nobody has viewed yet, on CiteULike: recommended by their tags.

    python -m benchmarks.wals.new_items [--test] [--write]

The split is that of Heater (https://github.com/Zziwei/Heater--Cold-Start-Recommendation): train has 13,584 articles,
vali and test have 1,018 and 2,378 others, which nobody has in train. Candidates are the articles of vali (or test),
recall is hits / relevant, means are over all users with relevant articles. Without --test the settings are compared on
vali, and test is not read. With --test, the chosen settings are measured on test, in place of vali.

Then a fifth of each user's train pairs is held out too, and all articles are ranked in one list: what items of few
views gain, what the others lose, and how long the factors of new items should be.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import time
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine
from benchmarks.wals.search import hold_out
from configs.settings import TrainingSettings
from ranking.attributes import one_list
from ranking.topk import top_k
from trainer import WALSMatrixFactorization
from trainer.als.collectives import Cluster
from trainer.als.weights import by_frequency
from trainer.attributes import reach, ridge
from trainer.evaluation import metrics
from trainer.job import attributes

K, SIZES, RESAMPLES = 256, (20, 50, 100), 1000
ACTIVITY, MU = 0.35, 1.0  # chosen on vali
FEW_VIEWS, LENGTH = 10, 0.5  # the defaults, chosen on pairs held out of train
GENERAL = 50  # articles of a tag that is general: users wrote the tags while they saved the articles
GROUPS = {"1-5": (1, 5), "6-10": (6, 10), "11 and more": (11, None)}
LOOKS = (
    "On vali: 128, 256 and 512 factors, w0, lambda, the exponents of the weights, mu, and rare tags left out. On pairs "
    "held out of train: 25 ways out of few views. Test was measured by this file with --test six times: the second "
    "time after known items kept their trained lengths, and the regression stopped at a residual of 0.01; then with "
    "three ways back to the trained direction of articles of many views, of which train and another data set decided; "
    "the last time with a residual of 0.02, by vali."
)


class Split(NamedTuple):
    """Users x articles, float32 ones: train of the warm articles, and what is relevant of the new ones."""

    train: sp.csr_matrix
    relevant: sp.csr_matrix
    warm: list[str]
    new: list[str]


def read(*parts: str) -> Split:
    """Read CiteULike; `parts` are vali, test or both."""
    root = machine.shared_data() / "citeulike"

    def pairs(name: str) -> list[list[str]]:
        with gzip.open(root / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
            return list(csv.reader(file))[1:]

    train, relevant = pairs("train"), [pair for part in parts for pair in pairs(part)]
    users = {name: row for row, name in enumerate(sorted({user for user, _ in train + relevant}))}
    matrices, names = [], []
    for some in (train, relevant):
        articles = sorted({article for _, article in some})
        columns = {name: column for column, name in enumerate(articles)}
        places = [users[user] for user, _ in some], [columns[article] for _, article in some]
        matrix = sp.csr_matrix((np.ones(len(some), np.float32), places), (len(users), len(articles)))
        matrix.sort_indices()
        matrices.append(matrix)
        names.append(articles)
    return Split(*matrices, *names)


def features(split: Split, least: int = 1) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return L2-normalised tf-idf of the tags of warm and of new articles; tags of fewer warm ones are left out."""
    with gzip.open(machine.shared_data() / "citeulike" / "tags.csv.gz", "rt", encoding="utf-8") as file:
        tags = {article: sorted({*text.split("|")} - {""}) for article, text in csv.reader(file)}
    counts: dict[str, int] = {}
    for article in split.warm:
        for tag in tags.get(article, ()):
            counts[tag] = counts.get(tag, 0) + 1
    columns = {tag: number for number, tag in enumerate(sorted(tag for tag in counts if counts[tag] >= least))}

    def rows(articles: list[str]) -> sp.csr_matrix:
        entries = [
            (row, columns[tag], np.log(len(split.warm) / counts[tag]))
            for row, article in enumerate(articles)
            for tag in tags.get(article, ())
            if tag in columns
        ]
        row, column, value = (np.array(values) for values in zip(*entries, strict=True))
        matrix = sp.csr_matrix((value, (row, column)), (len(articles), len(columns)))
        lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        return sp.csr_matrix(sp.diags(1 / np.where(lengths > 0, lengths, 1)) @ matrix, dtype=np.float32)

    return rows(split.warm), rows(split.new)


def train_on(matrix: sp.csr_matrix, activity: float = ACTIVITY) -> Any:
    """Return a fit with the default settings, K factors and the weights of users by their activity."""
    popularity = TrainingSettings().col_weights_exponent
    model = WALSMatrixFactorization(
        embedding_dimension=K,
        row_weights=by_frequency(np.diff(matrix.indptr), activity),
        col_weights=by_frequency(np.bincount(matrix.indices, minlength=matrix.shape[1]), popularity),
    )
    model.fit(matrix, passes=6)
    return model


def measure(users: np.ndarray, items: np.ndarray, relevant: sp.csr_matrix, seen: sp.csr_matrix | None = None) -> dict:
    """Return recall at SIZES and NDCG@20, means over the users with relevant items, and their standard errors."""
    return means(lists_of(users, items, relevant, seen))


def lists_of(
    users: np.ndarray, items: np.ndarray, relevant: sp.csr_matrix, seen: sp.csr_matrix | None = None
) -> np.ndarray:
    """Return the metrics of each user with relevant items, float64 [users, sizes, columns]."""
    truth = SparseRows.from_matrix(relevant)
    rated = np.flatnonzero(truth.lengths)
    left_out = SparseRows.empty(len(rated)) if seen is None else SparseRows.from_matrix(seen).take(rated)
    lists = top_k(users[rated], items, left_out, max(SIZES)).indices
    return metrics.of_lists(lists, truth.take(rated), np.array(SIZES), np.zeros(items.shape[0]))


def cold(split: Split, model: Any) -> dict[str, dict]:
    """Return the figures of new articles among new articles, by system."""
    users, items = model.get_row_factors(), model.get_col_factors()
    found = {}
    for name, least in (("ridge", 1), (f"ridge, tags of {GENERAL} or more articles", GENERAL)):
        warm, new = features(split, least)
        started = time.process_time()
        prior = ridge.fit(warm, items, MU)
        found[name] = {"features": warm.shape[1], "cpu_s": time.process_time() - started}
        found[name] |= measure(users, prior.factors(new), split.relevant)
    warm, new = features(split)
    profiles = sp.csr_matrix(split.train @ warm)  # the sum of the tags that a user's articles have
    truth = SparseRows.from_matrix(split.relevant)
    rated = np.flatnonzero(truth.lengths)
    scores = (profiles[rated] @ new.T).toarray()
    found["content cosine"] = of_scores(scores, truth.take(rated))
    popularity = np.bincount(split.train.indices, minlength=split.train.shape[1])[:, None].astype(np.float32)
    predicted = ridge.fit(warm, np.log1p(popularity), MU).factors(new)
    found["predicted popularity"] = measure(np.ones((split.train.shape[0], 1), np.float32), predicted, split.relevant)
    random = np.random.default_rng(0).random((len(rated), len(split.new)))
    found["random"] = of_scores(random, truth.take(rated))
    return found


def of_scores(scores: np.ndarray, truth: SparseRows) -> dict:
    """Return the figures of scores [users, items]; equal ones go to the lower index."""
    lists = np.argsort(-scores, axis=1, kind="stable")[:, : max(SIZES)]
    return means(metrics.of_lists(lists, truth, np.array(SIZES), np.zeros(scores.shape[1])))


def means(each: np.ndarray) -> dict:
    """Return the means over users of metrics float64 [users, sizes, columns], and their standard errors."""
    columns = metrics.Columns.of(each)
    values = {f"recall@{k}": columns.recall[:, number] for number, k in enumerate(SIZES)}
    values["ndcg@20"] = columns.ndcg[:, 0]
    return {
        name: {"value": float(column.mean()), "error": float(column.std() / np.sqrt(len(column)))}
        for name, column in values.items()
    }


def whole(split: Split) -> dict:
    """Return the figures of one list of all articles, with a fifth of each user's train pairs held out."""
    known, held_out = hold_out(split.train)
    views = np.bincount(known.indices, minlength=known.shape[1])
    started = time.process_time()
    model = train_on(known)
    seconds = {"training": time.process_time() - started}
    users, items = model.get_row_factors(), model.get_col_factors()
    warm, new = features(split)
    started = time.process_time()
    prior = ridge.fit(warm[views > 0], items[views > 0], MU)
    seconds["regression"] = time.process_time() - started
    started = time.process_time()
    state = model._state
    by_item = known.T.tocsr()
    by_item.sort_indices()
    predicted, rows = prior.factors(warm), SparseRows.from_matrix(by_item)
    tables = reach.Tables(users, items, one_list.metric(users))
    trial = reach_of(state, tables, predicted, rows, (np.diff(warm.indptr) > 0) & (views > 0))
    folded = attributes.folded(state, predicted, rows)
    near, share = trial.reach.nearness(views, FEW_VIEWS), one_list.lengthening(views, FEW_VIEWS, LENGTH)
    table = one_list.of_known(items, folded, near, share, tables.metric)
    table[views == 0] = 0
    seconds["known items"] = time.process_time() - started
    seconds["ratio"] = sum(seconds.values()) / seconds["training"]
    lists = {
        "today": of_groups(users, items, held_out, known, views),
        "with attributes": of_groups(users, table, held_out, known, views),
    }
    chosen = {"gain": trial.gain, "views": trial.views, "none from": trial.reach.none * FEW_VIEWS}
    found: dict[str, Any] = {"reach": chosen, "few views": compare(lists), "cpu_s": seconds, "one list": []}
    relevant = sp.hstack([held_out, split.relevant], "csr")
    seen = sp.csr_matrix((known.data, known.indices, known.indptr), (known.shape[0], relevant.shape[1]))
    predicted = prior.factors(new)
    predicted[np.diff(new.indptr) == 0] = 0  # without tags, a new article is not recommended
    before = np.zeros(0)
    for exponent in (None, 0, 0.5, 1):
        factor = 0.0 if exponent is None else one_list.scale(items[views > 0], prior.factors(warm[views > 0]), exponent)
        every = np.concatenate([items if exponent is None else table, np.float32(factor) * predicted])
        row: dict[str, Any] = {"exponent": exponent, "scale": factor}
        row["all"] = measure(users, every, relevant, seen)
        each = lists_of(users, every, only(relevant, slice(0, known.shape[1])), seen)
        row["known"] = means(each)
        recall = metrics.Columns.of(each).recall[:, 0]
        before = recall if exponent is None else before
        row["known, minus today"] = interval(recall - before)
        row["new"] = measure(users, every, only(relevant, slice(known.shape[1], None)), seen)
        found["one list"].append(row)
    return found


def reach_of(state: Any, tables: reach.Tables, prior: np.ndarray, rows: SparseRows, shown: np.ndarray) -> reach.Trial:
    """Return the reach of attributes, as a training chooses it: rows of all items, and those that have attributes."""
    chosen = np.flatnonzero(reach.sample(rows.lengths, FEW_VIEWS, shown))

    def fold_in(start: np.ndarray, left: SparseRows) -> np.ndarray:
        return attributes.folded(state, start, left)

    return reach.choose(rows.take(chosen), chosen, prior[chosen], tables, fold_in, Cluster())


def only(relevant: sp.csr_matrix, columns: slice) -> sp.csr_matrix:
    """Return the matrix with the entries of some columns alone."""
    kept = np.zeros(relevant.shape[1], bool)
    kept[columns] = True
    result = sp.csr_matrix(relevant @ sp.diags(kept.astype(np.float32)))
    result.eliminate_zeros()
    result.sort_indices()
    return result


def of_groups(
    users: np.ndarray, items: np.ndarray, held_out: sp.csr_matrix, known: sp.csr_matrix, views: np.ndarray
) -> dict[str, np.ndarray]:
    """Return recall@20 in one list of what is held out of each user, by the views of the relevant item."""
    result = {}
    for name, (low, high) in (GROUPS | {"all": (1, None)}).items():
        kept = (views >= low) & (views <= (np.inf if high is None else high))
        relevant = sp.csr_matrix(held_out @ sp.diags(kept.astype(np.float32)))
        relevant.eliminate_zeros()
        relevant.sort_indices()
        columns = metrics.Columns.of(lists_of(users, items, relevant, known))
        result[name] = columns.recall[:, 0]
        if name == "all":
            result["all, ndcg"] = columns.ndcg[:, 0]
    return result


def compare(lists: dict[str, dict[str, np.ndarray]]) -> list[dict]:
    """Return the means of both systems, and the paired difference with its 95 % interval by a bootstrap over users."""
    rows = []
    for name, before in lists["today"].items():
        after = lists["with attributes"][name]
        row = {"views": name, "today": float(before.mean()), "with": float(after.mean())}
        rows.append(row | {"difference": interval(after - before)})
    return rows


def interval(differences: np.ndarray) -> list[float]:
    """Return the mean, and the ends of its 95 % interval by a bootstrap over users."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(differences, len(differences)).mean() for _ in range(RESAMPLES)]
    return [float(differences.mean()), *(float(end) for end in np.quantile(draws, (0.025, 0.975)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", action="store_true", help="measure on test, in place of vali")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/new_items.json")
    arguments = parser.parse_args()
    split = read("test" if arguments.test else "vali")
    found: dict[str, Any] = {"part": "test" if arguments.test else "vali", "k": K, "mu": MU, "few_views": FEW_VIEWS}
    found |= {"a": ACTIVITY, "articles": len(split.new), "pairs": split.relevant.nnz}
    found |= {"cold": cold(split, train_on(split.train)), **whole(split)}
    print(found)
    if arguments.write:
        machine.save("new_items", {"seed": 0, "looks_at_test": LOOKS, **found})


if __name__ == "__main__":
    main()
