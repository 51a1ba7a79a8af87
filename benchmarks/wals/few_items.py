"""Compare weights of the item-item term that depend on a visitor's number of items with one weight for all.

    python -m benchmarks.wals.few_items [--data "last.fm" ...] [--write]

Each model is trained without what `neighbourhood.gamma: auto` holds out of train: an item of each visitor's last day,
or a random fifth. The term of a visitor with n items has the weight gamma f(n). For each f, gamma is chosen as the
weight of the greatest NDCG@20 of one half of the visitors, and measured on the other half, and the other way around. So
the difference of an f to f = 1 is of visitors that chose neither gamma; its error is that of a mean, paired by visitor.
What the data sets hold out for tests is not read.

`shares` is how much the term counts at present, by number of items: the greatest term of a list, as a multiple of its
greatest product of factors, relative to all visitors.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from benchmarks.support import data, machine
from benchmarks.wals.gowalla import ITEMS, factors, matrix_of
from benchmarks.wals.quality import SETTINGS
from benchmarks.wals.segments import dataset_of
from configs.settings import NeighbourhoodSettings, TrainingSettings
from configs.settings.search import ValidationSettings
from ranking.neighbourhood import Neighbourhood, Term
from ranking.topk import top_k
from trainer.als.collectives import Cluster
from trainer.als.loop import fit
from trainer.evaluation import metrics
from trainer.inputs import dataset_rows, validation_split
from trainer.job import assembly, neighbourhood

GOWALLA = {f"Gowalla, k {k}": k for k in (64, 256)}
NAMES = (
    "last.fm",
    "sample, articles",
    "sample, shop",
    "sample, pages",
    "RetailRocket",
    "Google's GA4 shop",
    "CiteULike",
    *GOWALLA,
)
K, SHARES = 20, (0.0, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0)
HELD_OUT = ValidationSettings(share=0.2, users=5000)
SAME = "1"
RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    SAME: np.ones_like,
    "1 + 2/n": lambda n: 1 + 2 / n,
    "1 + 5/n": lambda n: 1 + 5 / n,
    "1 + 20/n": lambda n: 1 + 20 / n,
    "n^-1/2": lambda n: n**-0.5,
    "1/n": lambda n: 1 / n,
}


class Model(NamedTuple):
    """Factors of users and items, and what they were trained on and without."""

    users: np.ndarray
    items: np.ndarray
    parts: validation_split.Split


def model_of(name: str) -> Model:
    """Return the model of a data set, without what the choice of a weight holds out."""
    if name in GOWALLA:
        parts = validation_split.split(SparseRows.from_matrix(data.gowalla("train")), HELD_OUT)
        return Model(*factors(*SETTINGS[GOWALLA[name]], matrix_of(parts.train, ITEMS)), parts)
    info, training = dataset_rows.read_info(str(dataset_of(name))), TrainingSettings()
    blocks = info.row_files(Dataset(info.root).items_for_user).load()
    rows, days = SparseRows.stacked(blocks, info.users), dataset_rows.view_days(info, blocks)
    random = days is None
    parts = validation_split.split(rows, HELD_OUT) if random else validation_split.last_of_each(rows, days, HELD_OUT)
    both = [[parts.train], [parts.train.transpose(info.items)]]
    state = assembly.assemble(training, Dataset(info.root), both, (info.users, info.items), Cluster())
    fit(state, training.max_sweeps, training.tolerance)
    return Model(state.rows.table, state.cols.table, parts)


def greatest(model: Model, term: Neighbourhood, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the greatest product of factors of each visitor that is asked for, and the greatest term."""
    rows, users = model.parts.train.take(asked), model.users[asked]
    without = Neighbourhood(term.related, 0.0)
    lists = (
        top_k(users, model.items, rows, 1, term=Term(without, rows)),
        top_k(np.zeros_like(users), model.items, rows, 1, term=Term(term, rows)),
    )
    products, terms = (best.scores[:, 0].astype(np.float64) for best in lists)
    return products, terms


def by_band(values: np.ndarray, bands: np.ndarray) -> dict[str, float | None]:
    """Return the mean of each group of visitors by number of items, None for fewer than 100 visitors."""
    names = list(metrics.ACTIVITY)
    return {
        name: float(values[bands == number].mean()) if np.count_nonzero(bands == number) >= 100 else None
        for number, name in enumerate(names)
    }


def crossed(tables: dict[str, np.ndarray], halves: np.ndarray) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Return the NDCG of each visitor by the weight that the other half chose, and both choices, by rule.

    Args:
        tables: of each rule, NDCG float64 [weights, visitors]. halves: bool [visitors].
    """
    found = {}
    for rule, table in tables.items():
        chosen = [int(np.argmax(table[:, half].mean(1))) for half in (~halves, halves)]
        found[rule] = np.where(halves, table[chosen[0]], table[chosen[1]]), chosen
    return found


def compare(name: str) -> dict[str, Any]:
    """Return the row of a data set."""
    model = model_of(name)
    parts, related = model.parts, neighbourhood.matrix(NeighbourhoodSettings(), model.parts.train, len(model.items))
    asked = np.flatnonzero(parts.held_out.lengths)
    products, terms = greatest(model, Neighbourhood(related, 1.0), asked)
    counts = parts.train.lengths[asked].astype(np.float64)
    bands = np.searchsorted([limit for limit in metrics.ACTIVITY.values() if limit], counts)
    scale, tables = products.mean() / terms.mean(), {}
    for rule, weigh in RULES.items():
        weights, users = weigh(counts), np.zeros_like(model.users)
        weights /= weights.mean()
        users[asked] = model.users[asked] / weights[:, None]  # ranks as weights times the term do
        tables[rule] = np.array(
            [
                metrics.Columns.of(
                    metrics.of_each_user(users, model.items, parts.held_out, parts.train, K, Neighbourhood(related, g))
                ).ndcg
                for g in scale * np.array(SHARES)
            ]
        )
    halves = np.arange(len(asked)) % 2 == 1
    found = crossed(tables, halves)
    same, without = found[SAME][0], tables[SAME][0]
    row: dict[str, Any] = {"data": name, "visitors": len(asked), "k": model.users.shape[1], "rules": []}
    row["shares"] = {
        band: None if value is None else value / (terms.mean() / products.mean())
        for band, value in by_band(terms / np.maximum(products, 1e-9), bands).items()
    }
    row["without"] = float(without.mean())
    row["gains"] = by_band(same - without, bands)
    for rule, (ndcg, chosen) in found.items():
        gains = ndcg - same
        entry = {"rule": rule, "ndcg": float(ndcg.mean()), "weights": [SHARES[place] for place in chosen]}
        entry |= {"gain": float(gains.mean()), "error": float(gains.std() / len(gains) ** 0.5)}
        row["rules"].append(entry | {"bands": by_band(gains, bands)})
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--write", action="store_true", help="put the figures in place of these in few_items.json")
    arguments = parser.parse_args()
    for name in arguments.data:
        row = compare(name)
        print(json.dumps(row, indent=1), flush=True)
        if arguments.write:
            path = machine.RESULTS / "few_items.json"
            written = json.loads(path.read_text())["rows"] if path.exists() else []
            rows = sorted(
                [*(one for one in written if one["data"] != name), row], key=lambda one: NAMES.index(one["data"])
            )
            machine.save("few_items", {"seed": 42, "looks_at_test": "none", "rows": rows})


if __name__ == "__main__":
    main()
