"""Tell which ids are items, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.sources import columns
from pipeline.sources.items.missing import reasons_of


class Fate(NamedTuple):
    """Reason why a row has no item: skipped, such as one without an id, or rejected."""

    is_rejected: bool
    reason: str


class Fates(NamedTuple):
    """Fates of distinct ids [n]."""

    kinds: list[Fate | None]  # the first is None, that of an item
    of_id: np.ndarray  # int64[n + 1]: the place in `kinds` of each id's, and behind them of a null's


def fates(ids: pa.BinaryArray, names: Iterable[str]) -> Fates:
    """Return the fates of distinct ids; names: SourceSettings.names_of_no_id."""
    kinds: list[Fate | None] = [None]
    of_id = np.zeros(len(ids) + 1, np.int64)
    missing = reasons_of(ids, names)
    faults = np.append(columns.faults_of_ids(ids), np.array([None]))
    for is_rejected, reasons, prefix in ((True, faults, "content_id_"), (False, missing, "")):
        for reason in sorted(set(reasons[reasons != None])):  # noqa: E711 - elementwise
            of_id[reasons == reason] = len(kinds)
            kinds.append(Fate(is_rejected, prefix + reason))
    return Fates(kinds, of_id)
