"""Tables of the quality of recommendations."""

from __future__ import annotations

from tables.cells import count, interval, number, results, signed, table

_SHORT = {"sample, articles": "articles", "sample, shop": "shop", "sample, pages": "pages",
          "Google's GA4 shop": "GA4", "Google's GA360 pages": "GA360", "Gowalla, a third": "Gowalla"}  # fmt: skip


def dataset_quality() -> str:
    columns = ("last.fm", "last.fm, binary", "sample")
    rows = (
        (system, *(interval(found.get(column)) for column in columns))
        for system, found in results("dataset_quality")["recall_at_20"].items()
    )
    return table(("system", "last.fm", "last.fm, `rating.kind=binary`", "the sample"), rows)


def signal_strength() -> str:
    """Return the ways to use the strength of signals on two data sets."""
    found = results("signal_strength")
    rows = []
    for name in ("RetailRocket", "Google's GA4 sample"):
        for row in found[name]["rows"]:
            over = row["over one weight"]
            differs = row["way"] != "one weight for all"
            rows.append(
                (
                    name,
                    row["way"],
                    number(row["recall"], 4),
                    signed(over["recall"]) if differs else None,
                    number(row["ndcg"], 4),
                    signed(over["ndcg"]) if differs else None,
                )
            )
    return table(("data", "use of the signals", "recall@20", "over one weight", "NDCG@20", "over one weight"), rows)


def defaults() -> str:
    """Return recall@20 of the default settings and of each alternative, per data set."""
    columns: dict[str, None] = {}
    rows: dict[str, dict[str, str | None]] = {}
    for row in results("defaults")["rows"]:
        label = f"`{row['setting']}` {row['value']}" if row["setting"] else "the defaults"
        name = _SHORT.get(row["data"], row["data"])
        columns[name] = None
        rows.setdefault(label, {})[name] = number(row["recall"], 4)
    return table(("", *columns), ((label, *(cells[name] for name in columns)) for label, cells in rows.items()))


def few_items() -> str:
    """Return NDCG by how the term's weight follows the number of a visitor's items, minus one weight for all."""
    rows = []
    for row in results("few_items")["rows"]:
        same, *others = row["rules"]
        differences = (f"{rule['gain']:+.4f} ({rule['error']:.4f})" for rule in others)
        rows.append((row["data"], row["visitors"], number(row["without"], 4), number(same["ndcg"], 4), *differences))
    names = (f"f = {rule['rule']}" for rule in results("few_items")["rows"][0]["rules"][1:])
    return table(("data", "visitors", "NDCG@20 without the term", "f = 1", *names), rows)


def few_items_bands() -> str:
    """Return how much the term counts, and what it gains, by number of items."""
    rows = []
    for row in results("few_items")["rows"]:
        (root,) = (rule["bands"] for rule in row["rules"] if rule["rule"] == "n^-1/2")
        for band, share in row["shares"].items():
            if share is not None:
                gain = row["gains"][band]
                rows.append((row["data"], band, number(share), f"{gain:+.4f}", f"{gain + root[band]:+.4f}"))
    return table(("data", "items", "share of the term", "gain, f = 1", "gain, f = n^-1/2"), rows)


def scales() -> str:
    """Return the losses of rules for lambda that are fitted without the kind of data, by data set."""
    rules = results("scales")["rules"]
    names = [_SHORT.get(name, name) for name in rules[0]["losses"]]
    rows = []
    for rule in rules:
        power = f"{rule['power']:.2f}" if rule["power"] else None
        losses = (f"{100 * loss:.1f} %" for loss in (rule["mean"], *rule["losses"].values()))
        rows.append((rule["rule"], power, *losses))
    return table(("lambda by", "power", "mean loss", *names), rows)


def validation() -> str:
    """Return how far hold-outs of train by time and at random agree with the last days, by data set."""
    header = ("data", "rank correlation, by time", "at random", "recall@20 on test, the defaults", "chosen by time",
              "chosen at random", "best of all")  # fmt: skip
    rows = (
        (
            row["data"],
            *(number(row[kind]["correlation"]) for kind in ("time", "random")),
            *(number(value, 4) for value in (row["defaults"], row["time"]["chosen"], row["random"]["chosen"])),
            number(row["best_on_test"], 4),
        )
        for row in results("validation")["rows"]
    )
    return table(header, rows)


def segments() -> str:
    """Return the groups of visitors that are behind a baseline, by data set."""
    header = ("data", "visitors", "gamma", "WALS", "item kNN", "popularity", "groups", "weak spots", "trade-offs")
    return table(
        header,
        (
            (
                row["data"],
                row["visitors"],
                f"{row['gamma']:g}" + (" / sqrt(n)" if row.get("few_items") else "") if "gamma" in row else None,
                *(
                    " / ".join(f"{row['systems'][name][metric]['value']:.4f}" for metric in ("recall", "ndcg"))
                    for name in ("WALS", "item kNN", "popularity")
                ),
                row["groups"],
                _groups(row["weak_spots"]),
                _groups(row["trade_offs"]),
            )
            for row in results("segments")["rows"]
        ),
    )


def _groups(lines: list[str]) -> str:
    """Return the groups that lines on weak spots name, with the better system."""
    return "; ".join(f"{line.split(': ')[0]}: {line.split(': ')[1].split(' is better')[0]}" for line in lines)


def diversity() -> str:
    """Return what lists by MMR lose and gain, by data set and lambda."""
    names = ("recall", "ndcg", "ils", "coverage")
    rows = (
        (row["data"], row["lambda"], *(f"{row[name]['value']:.4f}" for name in names))
        for row in results("diversity")["rows"]
    )
    return table(("data", "lambda", "recall@20", "NDCG@20", "intra-list similarity", "coverage"), rows)


def minimal() -> str:
    """Return a config with a source and an input alone next to the settings that the configs repeated."""
    rows = []
    for found in results("minimal")["rows"]:
        cells = [f"{found[metric]['minimal']['value']:.4f}" for metric in ("recall", "ndcg")]
        differences = [found[metric]["difference"] for metric in ("recall", "ndcg")]
        same = "the same, bit for bit" if found["same_as_shipped"] else "others"
        signs = (signed([cell[end] for end in ("value", "low", "high")]) for cell in differences)
        rows.append((found["data"], found["visitors"], *cells, same, *signs))
    header = ("data", "visitors", "Recall@20", "NDCG@20", "factors of `configs/local.yaml`",
              "Recall@20, minus the repeated settings", "NDCG@20")  # fmt: skip
    return table(header, rows)


def comparators() -> str:
    """Return systems on RetailRocket's held-out purchases, over all items and among 99 drawn ones."""
    names = (*(("all", f"{metric}@{cut}") for cut in (10, 20, 40) for metric in ("recall", "ndcg")),
             ("sampled", "recall@10"), ("sampled", "ndcg@10"))  # fmt: skip
    rows = (
        (row["system"], *(f"{row[protocol][name][0]:.4f}" for protocol, name in names))
        for row in results("comparators")["rows"]
    )
    header = (f"{'Recall' if name.startswith('recall') else 'NDCG'}@{name.split('@')[1]}" for _, name in names[:6])
    return table(("system", *header, "among 100: HR@10", "NDCG@10"), rows)


def outcome_coverage() -> str:
    """Return how often the intervals of an outcome contain the truth."""
    found = results("outcome_coverage")
    header = ("figure", "truth", "mean of the estimates", f"intervals with the truth, of {found['seeds']}")
    rows = (
        (row["figure"], f"{row['truth']:.4f}", f"{row['mean']:.4f}", f"{row['covered']:.1%}") for row in found["rows"]
    )
    return table(header, rows)


def resting() -> str:
    """Return the true clicks per exposure by the weight of an exposure without a click."""
    found = results("resting")
    weights = found["weights"]
    header = ("error of the model", *(f"weight {weight:g}" if weight else "no rest" for weight in weights))
    rows = (
        (f"{row['error']:g}", *(f"{row[f'ctr_{weight:g}']:.4f} ± {row[f'error_{weight:g}']:.4f}" for weight in weights))
        for row in found["rows"]
    )
    return table(header, rows)


def outcome_memory() -> str:
    """Return the time and memory of an outcome by the number of exposures."""
    header = ("exposures", "clicks", "export, MB", "processor s", "peak memory, GB", "CTR", "95 % interval", "truth")
    rows = (
        (count(row["exposures"]), count(row["clicks"]), count(row["export_mb"]), count(row["processor_seconds"]),
         number(row["gb"]), f"{row['ctr']:.5f}", f"{row['low']:.5f} to {row['high']:.5f}", f"{row['truth']:g}")
        for row in results("outcome_memory")["rows"]
    )  # fmt: skip
    return table(header, rows)
