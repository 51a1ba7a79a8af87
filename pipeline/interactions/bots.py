"""Bots: visitors with more views, or more items, on a day than a person reads."""

from __future__ import annotations

import json
from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from artifacts.names import CONTENT_ID, DAY_MS, TIME_MS, VISITOR_ID
from configs.settings import SourceSettings


class Kept(NamedTuple):
    """The rows of all other visitors; a JSON line per bot, with its busiest day; and the account."""

    rows: pa.Table
    rejects: list[bytes]
    counts: Counter[str]


def leave_out(rows: pa.Table, source: SourceSettings) -> Kept:
    """Leave out all rows of visitors that exceed `max_views_a_day` or `max_items_a_day` on any day, in UTC.

    rows: columns of pipeline.interactions.sessions.INTERACTIONS, one row per view; all views of some visitors.
    """
    if not source.filters_bots or not rows.num_rows:
        return Kept(rows, [], Counter())
    visitors = rows[VISITOR_ID].combine_chunks()
    codes, days = visitors.indices.to_numpy().astype(np.int64), rows[TIME_MS].to_numpy() // DAY_MS
    first, span = days.min(), int(days.max() - days.min()) + 1
    items = rows[CONTENT_ID].combine_chunks()
    # A day of a visitor is one number; so is an item on such a day. Both are below 2^63 for what fits in memory.
    of_row = codes * span + (days - first)
    visitor_days, views = np.unique(of_row, return_counts=True)
    pairs = np.unique(np.searchsorted(visitor_days, of_row) * len(items.dictionary) + items.indices.to_numpy())
    seen = np.bincount(pairs // len(items.dictionary), minlength=len(visitor_days))
    too_many = np.zeros(len(visitor_days), bool)
    for counts, bound in ((views, source.max_views_a_day), (seen, source.max_items_a_day)):
        too_many |= counts > (bound or np.inf)
    bots = np.unique(visitor_days[too_many] // span)
    kept = ~np.isin(codes, bots)
    lines = []
    for bot in bots.tolist():
        days_of_bot = slice(*np.searchsorted(visitor_days, [bot * span, (bot + 1) * span]))
        busiest = days_of_bot.start + int(np.argmax(np.where(too_many[days_of_bot], views[days_of_bot], 0)))
        line = {
            "reason": "bot",
            "unit": "visitors",
            "visitorId": visitors.dictionary[bot].as_py().decode("utf-8", "backslashreplace"),
            "day": str(np.datetime64(int(visitor_days[busiest] % span + first), "D")),
            "views": int(views[busiest]),
            "items": int(seen[busiest]),
        }
        lines.append(json.dumps(line, ensure_ascii=False).encode())
    account = Counter({"views.rejected.bot": int(len(kept) - kept.sum()), "visitors.skipped.bot": len(bots)})
    return Kept(rows.filter(pa.array(kept)), lines, account)
