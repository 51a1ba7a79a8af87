"""Tables on items and visitors that were hidden from a training, which the model answers by their attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from report.quality.cells import CHANGE, VALUE, Row, Table, greatest, interval, row


def new_items(measured: Mapping[str, Any] | None) -> list[Table]:
    """Return tables on hidden items, empty if they were not measured."""
    return list(_new_items(measured)) if measured else []


def new_visitors(measured: Mapping[str, Any] | None) -> list[Table]:
    """Return tables on hidden visitors, empty if they were not measured."""
    return list(_new_visitors(measured)) if measured else []


def _new_items(measured: Mapping[str, Any]) -> Iterator[Table]:
    among = measured["among_new"]
    metrics = greatest(list(next(iter(among.values()))))
    yield Table(
        f"{measured['items']:,} items hidden from a training, ranked among themselves",
        "metric",
        list(among),
        [VALUE] * len(among),
        [row(metric, among) for metric in metrics],
    )
    if groups := measured.get("one_list"):
        systems, recall = list(next(iter(groups.values()))), metrics[0]
        rows = [row(recall, by_system)._replace(metric=group) for group, by_system in groups.items()]
        title = f"All items in one list: {recall} of what is held out, by its views in train"
        yield Table(title, "held out", systems, [VALUE] * len(systems), rows)
    if alone := measured.get("known_alone"):
        rows = [Row(group, [interval(cells[metric]) for metric in metrics]) for group, cells in alone.items()]
        yield Table(
            "Lists of known items: with attributes minus without", "held out", metrics, [CHANGE] * len(metrics), rows
        )


def _new_visitors(measured: Mapping[str, Any]) -> Iterator[Table]:
    systems, over = measured["systems"], measured.get("over_popularity", {})
    metrics = greatest(list(next(iter(systems.values()))))
    rows = []
    for system, cells in systems.items():
        change = interval(over[system][metrics[0]]) if system in over else None
        rows.append(Row(system, [*(interval(cells[metric]) for metric in metrics), change]))
    names, forms = [*metrics, f"{metrics[0]} minus popularity"], [VALUE] * len(metrics) + [CHANGE]
    yield Table(
        f"{measured['visitors']:,} visitors hidden from a training, without views", "system", names, forms, rows
    )
    if after := measured.get("after_one_view"):
        gain = measured["gain_after_one_view"]
        by_metric = [
            Row(metric, [*(interval(cells[metric]) for cells in after.values()), interval(gain[metric])])
            for metric in metrics
        ]
        forms = [VALUE] * len(after) + [CHANGE]
        yield Table("The same visitors after one view", "metric", [*after, "difference"], forms, by_metric)
