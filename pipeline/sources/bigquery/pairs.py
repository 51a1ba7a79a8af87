"""Rows of the queries in pipeline/sources/sql -> interactions, with an account of the rows left out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import AMOUNT, CONTENT_ID, TIME_MS, VISITOR_ID
from configs.errors import UserError
from configs.settings import SourceSettings
from pipeline.interactions.sessions import INTERACTIONS
from pipeline.readers.records import RawBatch
from pipeline.sources import columns
from pipeline.sources.extract import RECORDS, Extract, Ledger, faults
from pipeline.sources.source import Read, Source

REASON, ROWS = "reason", "records"


class BigQueryPairs(Source):
    """Pairs that BigQuery has already summed; the queries apply the rules of GA360 and GA4."""

    def __init__(self, settings: SourceSettings, read: Read):
        if settings.filters_bots:
            raise UserError(
                "max_views_a_day and max_items_a_day need one row per view, which BigQuery's tables are not read as: "
                "export the tables to files, or unset them"
            )
        super().__init__(settings, read, str(settings.input))

    def _rows_of(self, raw: RawBatch, path: str) -> Extract:
        return extract(raw, path)


def extract(raw: RawBatch, path: str) -> Extract:
    """Check the ids of the pairs.

    Args:
        raw: records with the columns reason, visitorId, contentId, amount, time_ms and records: the number of views or
            events of each. With a reason (`skipped.no_item`, `rejected.visit_id_invalid`) it is not a pair.
        path: the input, for the account.

    Returns:
        columns of pipeline.interactions.sessions.INTERACTIONS; amounts may be 0.
    """
    batch, numbers = raw.columns, raw.numbers
    ledger = Ledger(path, numbers)
    rows = batch.column(ROWS).to_numpy().astype(np.int64)
    ledger.counts[f"{RECORDS}.read"] = int(rows.sum())
    without = batch.column(REASON).is_valid().to_numpy(zero_copy_only=False)
    for place in np.flatnonzero(without).tolist():
        fate, _, reason = batch.column(REASON)[place].as_py().partition(".")
        if fate == "skipped":
            ledger.skip(RECORDS, reason, rows[place])
        else:
            ledger.reject(RECORDS, reason, int(numbers[place]), rows=int(rows[place]))
            ledger.counts[f"{RECORDS}.rejected.{reason}"] += int(rows[place]) - 1
    pairs, rows = batch.filter(pa.array(~without)), rows[~without]
    visitors, items = (columns.coded_ids(pairs.column(name)) for name in (VISITOR_ID, CONTENT_ID))
    reasons = faults("content_id", items)
    visitor_faults = faults("visitor_id", visitors)
    reasons[visitor_faults != None] = visitor_faults[visitor_faults != None]  # noqa: E711 - elementwise
    sound = ledger.reject_where(RECORDS, reasons, numbers[~without], visitorId=visitors, contentId=items)
    for place in np.flatnonzero(~sound).tolist():
        ledger.counts[f"{RECORDS}.rejected.{reasons[place]}"] += int(rows[place]) - 1
    amounts = pc.cast(pairs.column(AMOUNT), pa.float64())
    table = pa.RecordBatch.from_arrays([visitors, items, amounts, pairs.column(TIME_MS)], schema=INTERACTIONS)
    return Extract(table.filter(pa.array(sound)), ledger.rejects, ledger.counts)
