"""Tables of new items and new visitors: how well they are answered, and what that costs."""

from __future__ import annotations

from tables.cells import results, signed, table


def new_items() -> str:
    """Return the systems on articles that nobody has viewed."""
    systems = results("new_items")["cold"]
    names = ("recall@20", "recall@50", "recall@100", "ndcg@20")
    rows = ((name, *(f"{found[metric]['value']:.3f}" for metric in names)) for name, found in systems.items())
    return table(("among new articles", "Recall@20", "Recall@50", "Recall@100", "NDCG@20"), rows)


def published_new_items() -> str:
    """Return published figures of new articles, with what they were measured by."""
    rows = (
        (row["system"], row["features"], row["candidates"],
         *(f"{row[metric]:.3f}" if metric in row else "" for metric in ("recall@20", "recall@100")))
        for row in results("published_new_items")["rows"]
    )  # fmt: skip
    return table(("system", "features", "candidates", "Recall@20", "Recall@100"), rows)


def few_views() -> str:
    """Return the recall of articles by their views, with and without attributes."""
    rows = (
        ("NDCG@20 of all" if row["views"] == "all, ndcg" else row["views"], f"{row['today']:.3f}", f"{row['with']:.3f}",
         signed(row["difference"]))
        for row in results("new_items")["few views"]
    )  # fmt: skip
    return table(("views of the article", "without attributes", "with", "difference"), rows)


def hidden_items() -> str:
    """Return how well hidden items of two sites are recommended among themselves, by system."""
    rows = (
        (f"{found['data']}, {found['items']:,} items", system,
         *(f"{cells[name]['value']:.3f} ({cells[name]['low']:.3f} to {cells[name]['high']:.3f})" for name in cells))
        for found in results("hidden_items")["rows"]
        for system, cells in found["among"].items()
    )  # fmt: skip
    return table(("hidden", "system", "Recall@5", "Recall@20", "NDCG@20"), rows)


def hidden_visitors() -> str:
    """Return how well visitors without views are answered, by system."""
    rows = (
        (
            f"{found['data']}, {found['visitors']} visitors",
            system,
            *(f"{cells[name]['value']:.3f}" for name in cells),
            _over_popularity(found, system),
        )
        for found in results("hidden_visitors")["rows"]
        for system, cells in found["systems"].items()
    )
    return table(("hidden", "system", "Recall@20", "NDCG@20", "Recall@20 minus popularity"), rows)


def _over_popularity(found: dict, system: str) -> str:
    cells = found["over_popularity"].get(system)
    return signed([*cells["recall@20"].values()]) if cells else ""


def hidden_after_one_view() -> str:
    """Return the same after one view, with and without attributes."""
    rows = (
        (found["data"], *(f"{cells['recall@20']['value']:.3f}" for cells in found["after_one_view"].values()),
         signed([*found["gain_after_one_view"]["recall@20"].values()]))
        for found in results("hidden_visitors")["rows"]
        if found["after_one_view"]
    )  # fmt: skip
    return table(("data", "views alone", "attributes and views", "difference"), rows)


def hidden_in_one_list() -> str:
    """Return the recall of all items in one list, with and without attributes."""
    rows = (
        (
            found["data"],
            group,
            *(
                f"{cells[system]['recall@20']['value']:.3f}" if system in cells else ""
                for system in ("attributes", "without attributes", "newest in the last places")
            ),
        )
        for found in results("hidden_items")["rows"]
        for group, cells in found["one_list"].items()
    )
    return table(
        ("data", "held out, by its views in train", "Recall@20 with attributes", "without", "newest last"), rows
    )


def added_items() -> str:
    """Return how long items that are added take until they are recommended, and which visitors get them."""
    found = results("added_items")
    rows = (
        (way, *(f"{found[name][cell]:.3f} s" for cell in ("median", "greatest")))
        for way, name in (
            ("`POST /items`, from the request on", "post_seconds"),
            ("`wals items add`, from its end on", "after_command_seconds"),
        )
    )
    return table((f"{found['items']} items, until an answer has them", "median", "greatest"), rows)


def added_for() -> str:
    """Return the share of visitors who get an item that is added."""
    found = results("added_items")
    names = {"right": "who read its category", "wrong": "who do not"}
    rows = (
        (names[kind], f"{found['asked'][kind]:,}", f"{100 * share:.0f} %")
        for kind, share in found["share_of_visitors"].items()
    )
    return table(("visitors", "asked", "have the item"), rows)


def attributes_cost() -> str:
    """Return what factors from attributes cost next to a training."""
    rows = (
        (found["name"], f"{found['items']:,}", f"{found['per_item']}, of {found['features']:,}", f"{found['passes']}",
         *(f"{found[part]:.1f}" for part in ("training", "regression", "known items")), f"{found['ratio']:.2f}",
         f"{found['peak_gb']:.1f} GB")
        for found in results("attributes_cost")["rows"]
    )  # fmt: skip
    header = ("made data", "items", "features per item", "passes", "training", "regression", "known items", "ratio")
    return table((*header, "memory"), rows)


def feature_scale() -> str:
    """Return what features of a million items, with as many tags, take in preprocessing."""
    rows = (
        (found["run"], f"{found.get('features', 0):,}", f"{found.get('dropped', {}).get('over_max_values', 0):,}",
         f"{found['cpu_seconds']:.0f}", f"{found['peak_gb']:.1f} GB")
        for found in results("feature_scale")["rows"]
    )  # fmt: skip
    return table(("run", "features", "tags left out", "processor seconds", "memory"), rows)


def hidden_known_alone() -> str:
    """Return what attributes change in lists of known items alone."""
    rows = (
        (
            found["data"],
            f"{found['reach']:.0f}",
            group,
            *(
                signed([cells[f"{metric}@20"][end] for end in ("value", "low", "high")])
                for metric in ("recall", "ndcg")
            ),
        )
        for found in results("hidden_items")["rows"]
        for group, cells in found["known_alone"].items()
    )
    header = ("data", "views from which on attributes do not count", "held out, by its views in train")
    return table((*header, "Recall@20, with minus without", "NDCG@20"), rows)


def attributes_in_training() -> str:
    """Return what attributes within the training change."""
    rows = (
        ("in each pass" if row["within"] else "after the training",
         *(f"{row[part]['recall@20']['value']:.3f} / {row[part]['ndcg@20']['value']:.3f}" for part in ("new", "known")),
         f"{row['cpu_s']:.1f}")
        for row in results("attributes_in_training")["rows"]
    )  # fmt: skip
    return table(("attributes", "new articles", "known articles", "processor seconds"), rows)


def one_list() -> str:
    """Return the ranking of all articles in one list by the length of the new ones' factors."""
    rows = (
        ("without attributes" if row["exponent"] is None else f"`new_items_length` {row['exponent']:g}",
         *(f"{row[part]['recall@20']['value']:.3f}" for part in ("all", "known", "new")),
         f"{row['all']['ndcg@20']['value']:.3f}", signed(row["known, minus today"]))
        for row in results("new_items")["one list"]
    )  # fmt: skip
    header = ("", "Recall@20", "of known", "of new", "NDCG@20", "of known, minus that without attributes")
    return table(header, rows)
