"""Values in the place of an item's id that are not ids: nothing, and names such as (not set)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NO_ITEM, NOT_AN_ID = "no_item", "not_an_id."
# Why an occurrence counts nothing although it has an item.
LIST, NO_AMOUNT = "list_of_items", "no_amount"


def without_missing(ids: pa.DictionaryArray, names: Iterable[str]) -> tuple[pa.DictionaryArray, np.ndarray]:
    """Return ids, null where a value is not one; and why, object[n]: NO_ITEM or NOT_AN_ID with the name, else None.

    Args:
        ids: pipeline.interactions.columns.ID, with nulls.
        names: SourceSettings.names_of_no_id.
    """
    reasons = reasons_of(ids.dictionary, names)
    codes = ids.indices.fill_null(len(reasons) - 1).to_numpy()
    missing = (reasons != None)[codes]  # noqa: E711 - elementwise
    if not missing.any():
        return ids, np.full(len(ids), None, object)
    return pa.DictionaryArray.from_arrays(
        pa.array(np.where(missing, 0, codes), pa.int32(), mask=missing), ids.dictionary
    ), reasons[codes]


def reasons_of(ids: pa.BinaryArray, names: Iterable[str]) -> np.ndarray:
    """Return why each of some ids [n], and behind them a null, is not one, object[n + 1]; None for an id."""
    reason_of: dict[bytes | None, str] = {b"": NO_ITEM, None: NO_ITEM}
    for name in filter(None, names):
        # The page rules percent-encode a space.
        reason_of |= dict.fromkeys((name.encode(), name.replace(" ", "%20").encode()), NOT_AN_ID + name)
    places = pc.index_in(ids, value_set=pa.array(list(reason_of), pa.binary())).fill_null(len(reason_of)).to_numpy()
    return np.array([*reason_of.values(), None], object)[np.append(places, 0)]
