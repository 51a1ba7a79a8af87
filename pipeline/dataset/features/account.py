"""The account of the features in the manifest, from what the job counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from artifacts.manifests import FeaturesAccount, FieldFeatures
from artifacts.names import Side
from pipeline.dataset.features.choice import Choice

DROPPED = ("over_max_values", "not_a_number", "not_a_time", "not_finite", "cut")


def of_side(side: Side, choice: Choice, counts: Counter[str], files: Iterable[str]) -> FeaturesAccount:
    """Return the account of one side; counts: of the job, by dotted name. files: the names of the dataset's files."""
    fields, offset, names = [], 0, ("size", "rows", "missing", f"below_min_{side.plural}", *DROPPED)
    for field in choice.fields:
        of_field = {reason: counts[f"{side.features}.{reason}.{field.name}"] for reason in names}
        size, rows, missing = (of_field.pop(name) for name in ("size", "rows", "missing"))
        dropped = {reason: count for reason, count in of_field.items() if count}
        fields.append(
            FieldFeatures(**field._asdict(), offset=offset, size=size, rows=rows, missing=missing, dropped=dropped)
        )
        offset += size
    return FeaturesAccount(
        fields=fields,
        width=offset,
        shards=sum(name.startswith(f"{side.features}-") for name in files),
        without=counts[f"{side.features}.without"],
        new=counts[f"{side.features}.new"],
        new_without=counts[f"{side.features}.new_without"],
        new_unfit=counts[f"{side.features}.new_unfit"],
        as_of_ms=counts[f"{side.features}.as_of_ms"] or None,
        left_out=choice.left_out,
    )
