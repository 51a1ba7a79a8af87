"""The account of the features in the manifest, from what the job counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from artifacts import features
from artifacts.manifests import FeaturesAccount, FieldFeatures
from pipeline.dataset.features.blocks import COUNTS
from pipeline.dataset.features.choice import Choice

DROPPED = ("below_min_items", "over_max_values", "not_a_number", "not_a_time", "not_finite", "cut")


def of_items(choice: Choice, counts: Counter[str], files: Iterable[str]) -> FeaturesAccount:
    """Return the account; counts: of the job, by dotted name. files: the names of the dataset's files."""
    fields, offset = [], 0
    for field in choice.fields:
        of_field = {
            reason: counts[f"{COUNTS}.{reason}.{field.name}"] for reason in ("size", "rows", "missing", *DROPPED)
        }
        size, rows, missing = (of_field.pop(name) for name in ("size", "rows", "missing"))
        dropped = {reason: count for reason, count in of_field.items() if count}
        fields.append(
            FieldFeatures(**field._asdict(), offset=offset, size=size, rows=rows, missing=missing, dropped=dropped)
        )
        offset += size
    return FeaturesAccount(
        fields=fields,
        width=offset,
        shards=sum(name.startswith(f"{features.ITEMS}-") for name in files),
        without=counts[f"{COUNTS}.without"],
        new=counts[f"{COUNTS}.new"],
        new_without=counts[f"{COUNTS}.new_without"],
        new_unfit=counts[f"{COUNTS}.new_unfit"],
        as_of_ms=counts[f"{COUNTS}.as_of_ms"] or None,
        left_out=choice.left_out,
    )
