"""What the queries of pipeline/sql give -> interactions, with an account of what they left out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import AMOUNT, CONTENT_ID, TIME_MS, VISITOR_ID
from pipeline.interactions.sessions import INTERACTIONS
from pipeline.readers.files import RawBatch
from pipeline.sources import columns
from pipeline.sources.extract import RECORDS, Extract, Ledger, faults

REASON, ROWS = "reason", "records"


def extract(raw: RawBatch, path: str) -> Extract:
    """Checks the ids of the pairs.

    Args:
        raw: records with the columns reason, visitorId, contentId, amount, time_ms and records: how many views or
            events each stands for. With a reason (`skipped.no_item`, `rejected.visit_id_invalid`) it is no pair.
        path: what they were read from, for the account.

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
