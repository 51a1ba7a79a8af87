"""Tables of the quality on Gowalla."""

from __future__ import annotations

from typing import Any

from tables.cells import interval, results, table


def wals_quality() -> str:
    header = ("", "k", "w0", "lambda", "nu", "b", "a", "passes", "training, s", "Recall@20", "NDCG@20")

    def row(found: dict[str, Any]) -> tuple[object, ...]:
        settings = found.get("settings", {})
        recall, ndcg = (found["recall"], found["ndcg"]) if "recall" in found else found["curve"][-1][1:]
        ridge = f"{found['lambda']:.5f}" if "lambda" in found else None
        weights = (settings.get("nu"), settings.get("popularity"), settings.get("activity"))
        size = str(found["k"]), settings.get("w0"), ridge
        return (
            found["side"],
            *size,
            *weights,
            found["passes"],
            f"{found['seconds']:.1f}",
            f"{recall:.4f}",
            f"{ndcg:.4f}",
        )

    return table(header, map(row, results("wals_quality")["rows"]))


def gowalla() -> str:
    """Return recall and NDCG on Gowalla's test by number of factors, plain and with the term, with intervals."""
    header = ("settings", "k", "gamma", "Recall@20, plain", "NDCG@20, plain", "Recall@20, term", "NDCG@20, term")

    def row(found: dict[str, Any]) -> tuple[object, ...]:
        gamma = None if found["gamma"] is None else f"{found['gamma']:g}"
        cells = (interval(found[name].get(side)) for side in ("plain", "term") for name in ("recall", "ndcg"))
        return found["name"], str(found["k"]), gamma, *cells

    return table(header, map(row, sorted(results("gowalla")["rows"], key=lambda one: (one["name"], one["k"]))))


def gowalla_hold_outs() -> str:
    """Return recall and NDCG of each ridge on two kinds of hold-outs of Gowalla's train."""
    rows: dict[str, list[str]] = {}
    for row in results("gowalla_hold_outs")["rows"]:
        rows.setdefault(row["ridge"], []).append(f"{row['recall']:.4f} / {row['ndcg']:.4f}")
    return table(("ridge", "a random fifth", "items differ in their share"), ((key, *row) for key, row in rows.items()))


def ideas() -> str:
    """Return recall and NDCG of the ideas that were tried on hold-outs of Gowalla's train."""
    held_out = {"random": "a random fifth", "items differ": "items differ in their share"}
    kinds = list(held_out)
    rows = sorted(results("ideas")["rows"], key=lambda row: (row["k"], kinds.index(row["hold_out"])))  # stable
    return table(
        ("k", "held out", "idea", "best pass", "Recall@20", "NDCG@20"),
        (
            (str(row["k"]), held_out[row["hold_out"]], row["idea"], str(row["passes"]))
            + (f"{row['recall']:.4f}", f"{row['ndcg']:.4f}")
            for row in rows
        ),
    )


def neighbourhood_greatest() -> str:
    rows = (
        (
            str(found["k"]),
            f"{found['greatest']:g}",
            *(interval(found[name]["greatest"]) for name in ("recall", "ndcg")),
        )
        for found in results("neighbourhood")["rows"]
    )
    return table(("k", "gamma", "Recall@20, difference", "NDCG@20, difference"), rows)
