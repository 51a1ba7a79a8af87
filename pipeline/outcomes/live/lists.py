"""The lists of a run, and what its visitors had by then, as rows by visitor."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from artifacts import storage
from artifacts.names import CONTENT_ID, VISITOR_ID
from artifacts.tfrecords import read_row_batches
from artifacts.vocabulary import iterate_ids
from configs.errors import UserError
from pipeline.interactions.columns import ID
from pipeline.outcomes.live.runs import Run
from pipeline.prediction.visitors import rows_by_block

RUN, RULE, RANK, LEFT_OUT = "run", "rule", "rank", "left_out"
VARIANT, PROPENSITY = "variant", "propensity"  # null where predictions have no such column
COMPARED = -1  # the run of the lists that exposures are compared with
# One row per entry of a list; and one per item that a visitor had in the dataset, by its itemId, with whether
# recommendations leave it out. run: its place in time.
PREDICTED = pa.schema({
    VISITOR_ID: ID, RUN: pa.int16(), RULE: pa.string(), CONTENT_ID: ID, RANK: pa.int32(),
    VARIANT: pa.string(), PROPENSITY: pa.float64(),
})  # fmt: skip
HAD = pa.schema({VISITOR_ID: ID, RUN: pa.int16(), "itemId": pa.int32(), LEFT_OUT: pa.bool_()})
_BLOCK = 20_000  # visitors whose rows are one batch
_PARSED = 1000  # visitors whose lists are Python objects at a time, which take ten times the memory of columns


def of_run(run: Run, number: int, path: str) -> Iterator[pa.RecordBatch]:
    """Yield the entries of a file or a stream of a run, columns of PREDICTED; raise UserError if it cannot be read."""
    if run.table is None or number == COMPARED:  # the compared lists are files, whatever the runs are
        yield from predicted(path, number)
        return
    from pipeline.outcomes.live import table  # Google's clients take a second to import

    for batch in table.entries(path, run.table):
        visitors, items, ranks, rules = batch.columns[:4]
        none = pa.nulls(len(batch))
        more = [
            (batch[name] if name in batch.schema.names else none).cast(PREDICTED.field(name).type)
            for name in (VARIANT, PROPENSITY)
        ]
        yield _batch(visitors, number, rules, items, ranks, Extra(*more))


def predicted(path: str, run: int) -> Iterator[pa.RecordBatch]:
    """Yield the entries of a file of recommendations, columns of PREDICTED; raise UserError if it cannot be read."""
    parsed = _parsed(path, run)
    while some := list(itertools.islice(parsed, _BLOCK // _PARSED)):
        yield from pa.Table.from_batches(some).unify_dictionaries().combine_chunks().to_batches()


def _parsed(path: str, run: int) -> Iterator[pa.RecordBatch]:
    """Yield the entries of some visitors at a time."""
    for block in _blocks(path):
        try:
            rows = [
                (
                    one[VISITOR_ID].encode(),
                    one[RULE],
                    entry[CONTENT_ID].encode(),
                    entry[RANK],
                    one.get(VARIANT),
                    entry.get(PROPENSITY),
                )
                for one in block
                for entry in one["recommendations"]
            ]
            visitors, rules, items, ranks, variants, propensities = zip(*rows, strict=True) if rows else ((),) * 6
            yield _batch(
                *(pa.array(visitors, pa.binary()), run, pa.array(rules, pa.string()), pa.array(items, pa.binary())),
                pa.array(ranks, pa.int32()),
                Extra(pa.array(variants, pa.string()), pa.array(propensities, pa.float64())),
            )
        except (AttributeError, KeyError, TypeError, pa.ArrowException):
            raise UserError(f"{path} has a line that is not a prediction; predict again") from None


class Extra(NamedTuple):
    """The columns that only some predictions have: of an experiment, and of exploration."""

    variants: pa.Array
    propensities: pa.Array


def _batch(
    visitors: pa.Array, run: int, rules: pa.Array, items: pa.Array, ranks: pa.Array, extra: Extra
) -> pa.RecordBatch:
    size = len(visitors)
    numbers = pa.array(np.full(size, run, np.int16))
    ids = [column.cast(pa.binary()).dictionary_encode() for column in (visitors, items)]
    return pa.RecordBatch.from_arrays(
        [ids[0], numbers, rules, ids[1], ranks.cast(pa.int32()), *extra], schema=PREDICTED
    )


def _blocks(path: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the answers of a file, some at a time."""
    try:
        with storage.open_to_read(path) as file:
            if path.endswith(".parquet"):
                for batch in pq.ParquetFile(file).iter_batches(batch_size=_PARSED):
                    yield batch.to_pylist()
            else:
                for lines in _batched(file):
                    yield [orjson.loads(line) for line in lines]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read; predict again") from error


def _batched(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    lines = iter(lines)
    while block := list(itertools.islice(lines, _PARSED)):
        yield block


def had(run: Run, number: int, shard: int) -> Iterator[pa.RecordBatch]:
    """Yield what the visitors of a shard had in the dataset of a run, columns of HAD; see `predicted`."""
    keys = range(shard, run.users, run.user_shards)
    ids = iterate_ids(run.dataset.vocab_users, shard, run.user_shards)
    for rows in rows_by_block(read_row_batches(run.rows_of_shard(shard)), keys, _BLOCK):
        names = pa.array(list(itertools.islice(ids, len(rows))), pa.binary())
        codes = np.repeat(np.arange(len(rows), dtype=np.int32), rows.lengths)
        left_out = ~rows.again if len(rows.again) else np.ones(rows.entries, bool)
        yield pa.RecordBatch.from_arrays(
            [
                pa.DictionaryArray.from_arrays(pa.array(codes), names),
                pa.array(np.full(len(codes), number, np.int16)),
                pa.array(rows.indices.astype(np.int32)),
                pa.array(left_out),
            ],
            schema=HAD,
        )
