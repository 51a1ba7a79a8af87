"""Compare signals whose strength is in the value, in the entry's weight, or in both.

    python -m benchmarks.wals.strength [--trials 30] [--write]

RetailRocket: views, carts and buys of 2,174 visitors, and a published held-out purchase of each. Google's public GA4
sample: view_item, add_to_cart and purchase; the truth is the last item that each visitor with three or more bought.

Each way of using the signals gets the same number of random settings. They are judged by the last purchase left in
train of each visitor with two or more, which is held out for that with its views and carts, since test's purchases have
none either. The best settings of each way are then trained on all of train and measured on test: once each. Items that
the visitor bought in train are left out; items that were only seen are candidates. Differences are paired, with 95 %
intervals by a bootstrap over visitors.

The amount of a pair is views + `cart` carts + `buy` buys. Its value is min(1, scale x amount / median amount), or 1.
Its weight E is log2(1 + amount / median amount), as rating.weight has it, or 1.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine

WAYS = ("purchases alone", "one weight for all", "value", "weight", "value and weight")
FACTORS, PASSES, K = 64, 8, 20
RESAMPLES = 2000
LOOKS = "RetailRocket: three times per way; Google's sample: once."


@dataclass(frozen=True)
class Settings:
    """Settings of one trial; `ridge` is lambda_i of a mean row."""

    cart: float
    buy: float
    scale: float
    w0: float
    ridge: float
    nu: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Settings:
        return cls(
            cart=float(rng.choice([2, 4, 8])),
            buy=float(rng.choice([5, 10, 20, 40])),
            scale=float(np.exp(rng.uniform(np.log(0.05), np.log(1.5)))),
            w0=float(np.exp(rng.uniform(np.log(0.002), np.log(0.3)))),
            ridge=float(np.exp(rng.uniform(np.log(0.1), np.log(5)))),
            nu=float(rng.choice([0.0, 0.5, 1.0])),
        )


def retailrocket() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the events of train (visitorId, contentId, time, kind) and the held-out purchases."""
    root = machine.shared_data() / "retailrocket"
    parts = [pd.read_csv(root / f"{kind}.csv.gz").assign(kind=kind) for kind in ("view", "cart", "buy")]
    return pd.concat(parts, ignore_index=True), pd.read_csv(root / "test.csv.gz")


def google_ga4() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the same of Google's sample: the last item of those who bought three or more is held out."""
    path = machine.shared_data() / "google" / "ga4_events.parquet"
    table = pd.read_parquet(path, columns=["user_pseudo_id", "event_timestamp", "event_name", "items"])
    kinds = {"view_item": "view", "add_to_cart": "cart", "purchase": "buy"}
    rows = [
        (visitor, item["item_id"], time, kinds[event])
        for visitor, time, event, items in table.itertuples(index=False)
        if event in kinds and items is not None
        for item in items
        if item["item_id"] not in (None, "", "(not set)")
    ]
    return hold_out(pd.DataFrame(rows, columns=["visitorId", "contentId", "time", "kind"]), least=3)


def hold_out(events: pd.DataFrame, least: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return train without all events of the last item of each visitor who bought `least` or more, and these pairs."""
    pair = ["visitorId", "contentId"]
    bought = events[events.kind == "buy"].groupby(pair, as_index=False).time.max()
    bought = bought[bought.groupby("visitorId").contentId.transform("size") >= least]
    last = bought.sort_values(["visitorId", "time", "contentId"]).groupby("visitorId", as_index=False).last()[pair]
    marked = events.merge(last.assign(held=True), on=pair, how="left")
    return events[marked.held.isna().to_numpy()].reset_index(drop=True), last


def coded(tables: list[pd.DataFrame]) -> tuple[int, int]:
    """Add to each table the codes of its visitors and items; return how many there are."""
    sizes = []
    for name, code in (("visitorId", "visitor"), ("contentId", "item")):
        codes = {value: number for number, value in enumerate(sorted({v for t in tables for v in t[name]}))}
        sizes.append(len(codes))
        for table in tables:
            table[code] = table[name].map(codes)
    return sizes[0], sizes[1]


def matrices(events: pd.DataFrame, way: str, settings: Settings, shape: tuple[int, int]) -> tuple[sp.csr_matrix, ...]:
    """Return values A and weights E, float32 [visitors, items] with the same entries."""
    used = events[events.kind == "buy"] if way == "purchases alone" else events
    weight = used.kind.map({"view": 1.0, "cart": settings.cart, "buy": settings.buy}).to_numpy()
    amounts = sp.coo_matrix((weight, (used.visitor, used.item)), shape).tocsr()
    ones = amounts.copy()
    ones.data = np.ones_like(ones.data)
    values, weights = ones.astype(np.float32), ones.astype(np.float32)
    if "value" in way:
        values.data = np.minimum(1, settings.scale * amounts.data / np.median(amounts.data)).astype(np.float32)
    if way.endswith("weight"):
        weights.data = np.log2(1 + amounts.data / np.median(amounts.data)).astype(np.float32)
    return values, weights


def trained(
    events: pd.DataFrame, way: str, settings: Settings, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors of visitors and items."""
    from trainer import WALSMatrixFactorization

    values, weights = matrices(events, way, settings, shape)
    mean = values.nnz / shape[0] + settings.w0 * shape[1]
    model = WALSMatrixFactorization(
        embedding_dimension=FACTORS,
        unobserved_weight=settings.w0,
        regularization_coeff=settings.ridge / mean**settings.nu,
        frequency_exponent=settings.nu,
        seed=0,
    ).fit(values, passes=PASSES, entry_weights=weights)
    return model.get_row_factors(), model.get_col_factors()


def pairs(events: pd.DataFrame, shape: tuple[int, int]) -> SparseRows:
    """Return who has which item by any of these events."""
    once = events.drop_duplicates(["visitor", "item"])
    matrix = sp.csr_matrix((np.ones(len(once), np.float32), (once.visitor, once.item)), shape)
    matrix.sort_indices()
    return SparseRows.from_matrix(matrix)


def lists(events: pd.DataFrame, way: str, settings: Settings, shape: tuple[int, int]) -> np.ndarray:
    """Train and return the best K items of each visitor, int64 [visitors, K]; none that was bought in train."""
    from ranking.topk import top_k

    return top_k(*trained(events, way, settings, shape), pairs(events[events.kind == "buy"], shape), K).indices


def score(best: np.ndarray, truth: pd.DataFrame) -> np.ndarray:
    """Return recall@20 and NDCG@20 of each held-out purchase, float64 [n, 2]."""
    hits = best[truth.visitor] == truth.item.to_numpy()[:, None]
    found, rank = hits.any(1), hits.argmax(1)
    return np.column_stack([found, np.where(found, 1 / np.log2(rank + 2), 0)])


def interval(differences: np.ndarray) -> list[float]:
    """Return mean and 95 % interval of paired differences [n], by a bootstrap over visitors."""
    rng = np.random.default_rng(0)
    means = [differences[rng.integers(0, len(differences), len(differences))].mean() for _ in range(RESAMPLES)]
    return [float(differences.mean()), *map(float, np.quantile(means, [0.025, 0.975]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30, help="settings for each way")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/signal_strength.json")
    arguments = parser.parse_args()
    figures: dict = {
        "seed": 0,
        "looks_at_test": LOOKS,
        "trials": arguments.trials,
        "factors": FACTORS,
        "passes": PASSES,
    }
    for name, read in (("RetailRocket", retailrocket), ("Google's GA4 sample", google_ga4)):
        figures[name] = compare(name, *read(), arguments.trials)
    if arguments.write:
        machine.save("signal_strength", figures)


def compare(name: str, events: pd.DataFrame, test: pd.DataFrame, trials: int) -> dict:
    """Return the figures of each way on one data set."""
    train, held = hold_out(events, least=2)
    shape = coded([events, test, train, held])
    print(f"{name}: {shape[0]} visitors, {shape[1]} items, {len(test)} in test, {len(held)} to choose by", flush=True)
    scores, rows = {}, []
    for way in WAYS:
        rng = np.random.default_rng(1)  # the same settings for each way
        tried = [Settings.draw(rng) for _ in range(trials)]
        sums = [float(score(lists(train, way, settings, shape), held).mean(0).sum()) for settings in tried]
        best = tried[int(np.argmax(sums))]
        scores[way] = score(lists(events, way, best, shape), test)
        recall, ndcg = map(float, scores[way].mean(0))
        rows.append({"way": way, "recall": recall, "ndcg": ndcg, "held_out_sum": max(sums), "settings": vars(best)})
        print(f"{way:20}  recall@20 {recall:.4f}  NDCG@20 {ndcg:.4f}  held out {max(sums):.4f}  {best}", flush=True)
    for row in rows:
        differences = scores[row["way"]] - scores["one weight for all"]
        row["over one weight"] = {"recall": interval(differences[:, 0]), "ndcg": interval(differences[:, 1])}
        print(row["way"], row["over one weight"])
    return {"visitors": shape[0], "items": shape[1], "test": len(test), "held_out": len(held), "rows": rows}


if __name__ == "__main__":
    main()
