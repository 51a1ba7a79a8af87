"""Visitors that no person can be: more views, or more items, in a day than anyone reads."""

from __future__ import annotations

import datetime
import json
from collections import Counter

import numpy as np
import pyarrow as pa

from artifacts.names import CONTENT_ID, TIME_MS, VISITOR_ID
from configs.settings import SourceSettings

_DAY_MS = 86_400_000


def leave_out(rows: pa.Table, source: SourceSettings) -> tuple[pa.Table, list[bytes], Counter[str]]:
    """Takes out all rows of the visitors that pass `max_views_a_day` or `max_items_a_day` on any day, in UTC.

    Args:
        rows: columns of pipeline.interactions.sessions.INTERACTIONS, a row a view; all views of some visitors.

    Returns:
        the other rows; a line of JSON a visitor left out, with their busiest day; and the account.
    """
    if not source.filters_bots or not rows.num_rows:
        return rows, [], Counter()
    visitors = rows[VISITOR_ID].combine_chunks()
    codes, days = visitors.indices.to_numpy().astype(np.int64), rows[TIME_MS].to_numpy() // _DAY_MS
    first, span = days.min(), int(days.max() - days.min()) + 1
    items = rows[CONTENT_ID].combine_chunks()
    # A day of a visitor is one number; so is an item on such a day. Both are below 2^63 for what fits in memory.
    of_row = codes * span + (days - first)
    found, views = np.unique(of_row, return_counts=True)
    pairs = np.unique(np.searchsorted(found, of_row) * len(items.dictionary) + items.indices.to_numpy())
    seen = np.bincount(pairs // len(items.dictionary), minlength=len(found))
    too_many = np.zeros(len(found), bool)
    for counts, bound in ((views, source.max_views_a_day), (seen, source.max_items_a_day)):
        too_many |= counts > (bound or np.inf)
    bots = np.unique(found[too_many] // span)
    kept = ~np.isin(codes, bots)
    lines = []
    for bot in bots.tolist():
        own = slice(*np.searchsorted(found, [bot * span, (bot + 1) * span]))
        busiest = own.start + int(np.argmax(np.where(too_many[own], views[own], 0)))
        day = datetime.date(1970, 1, 1) + datetime.timedelta(days=int(found[busiest] % span + first))
        lines.append(_line(visitors.dictionary[bot].as_py(), day, int(views[busiest]), int(seen[busiest])))
    account = Counter({"views.rejected.bot": int(len(kept) - kept.sum()), "visitors.skipped.bot": len(bots)})
    return rows.filter(pa.array(kept)), lines, account


def _line(visitor: bytes, day: datetime.date, views: int, items: int) -> bytes:
    row = {"reason": "bot", "unit": "visitors", "visitorId": visitor.decode("utf-8", "backslashreplace")}
    return json.dumps(row | {"day": str(day), "views": views, "items": items}, ensure_ascii=False).encode()
