"""Tell which ids are items, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.sources import columns
from pipeline.sources.items.missing import NO_ITEM, without_missing


class Fate(NamedTuple):
    """Reason why a row has no item: skipped, such as one without an id, or rejected."""

    is_rejected: bool
    reason: str


def fates(ids: pa.BinaryArray, names: Iterable[str]) -> list[Fate | None]:
    """Return the fate of each distinct id, None for an item; and behind them that of a null.

    Args:
        names: SourceSettings.names_of_no_id.
    """
    each = pa.DictionaryArray.from_arrays(pa.array(np.arange(len(ids), dtype=np.int32)), ids)
    _, missing = without_missing(each, names)
    faults = columns.faults_of_ids(ids)
    found = [
        Fate(False, why) if why else Fate(True, f"content_id_{fault}") if fault else None
        for why, fault in zip(missing, faults, strict=True)
    ]
    return [*found, Fate(False, NO_ITEM)]
