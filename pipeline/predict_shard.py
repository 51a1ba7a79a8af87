"""One shard of visitors -> its files of predictions: a Beam DoFn, and the streams it goes through."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import google_crc32c
import numpy as np
import orjson
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils.shared import Shared

from configs.artifacts import Dataset, Model, Predictions, shard_name
from pipeline import factors, scoring, textform, tfrecords
from pipeline.examples import Rows
from pipeline.vocabulary import iterate_vocabulary, read_vocabulary

SUFFIXES = {"text": ".txt", "jsonl": ".jsonl"}


@dataclass(frozen=True)
class Plan:
    """What a worker needs to know: where things lie, and how much of them there is."""

    dataset: Dataset
    model: Model
    users: int
    items: int
    user_shards: int
    item_shards: int
    compressed: bool
    top_k: int
    include_seen: bool
    block_size: int
    formats: tuple[str, ...]


class Catalogue:
    """All contents, ordered by their ids' bytes, so that the lower place wins a tie.

    factors float32[items, k]; place_of int64[items]: place of each itemId; escaped, quoted: the ids as the text
    form and JSON write them.
    """

    def __init__(self, plan: Plan):
        ids = read_vocabulary(plan.dataset.vocab_items)
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
        self.factors = factors.read_table(plan.model.item_factors, plan.item_shards, plan.items)[order]
        self.place_of = np.empty(len(ids), np.int64)
        self.place_of[order] = np.arange(len(ids))
        self.escaped = [textform.escape(ids[item]) for item in order]
        self.quoted = [orjson.dumps(ids[item].decode()) for item in order]


class PredictShard(beam.DoFn):
    """shard -> a description of each of its files: name, records, recommendations, bytes, crc32c."""

    def __init__(self, plan: Plan, root: str):
        self._plan, self._root, self._shared = plan, root, Shared()

    def setup(self) -> None:
        self._catalogue = self._shared.acquire(lambda: Catalogue(self._plan))

    def process(self, shard: int) -> Iterator[dict]:
        plan = self._plan
        with contextlib.ExitStack() as stack:
            prefix = Predictions(self._root).text
            names = {form: shard_name(prefix, shard, plan.user_shards, SUFFIXES[form]) for form in plan.formats}
            files = {form: stack.enter_context(_File(name)) for form, name in names.items()}
            short = 0
            for visitors, places, scores in self._recommendations(shard):
                counts = (places >= 0).sum(1)
                short += int((counts < plan.top_k).sum())
                for form, file in files.items():
                    lines = _LINES[form](self._catalogue, visitors, places, scores, counts)
                    file.write(lines, len(visitors), int(counts.sum()))
        for form, file in files.items():
            yield file.describe() | {"format": form, "with_fewer": short}

    def _recommendations(self, shard: int) -> Iterator[tuple[list[bytes], np.ndarray, np.ndarray]]:
        """Blocks of visitors: their ids, and the places and scores of their recommendations."""
        plan, catalogue = self._plan, self._catalogue
        rows = len(range(shard, plan.users, plan.user_shards))
        path = shard_name(plan.dataset.items_for_user, shard, plan.user_shards, ".gz" if plan.compressed else "")
        seen = seen_by_block(tfrecords.read_row_batches(path), plan.user_shards, rows, plan.block_size)
        blocks = factors.read_blocks(plan.model.user_factors, shard, plan.user_shards, rows, plan.block_size)
        ids = itertools.islice(iterate_vocabulary(plan.dataset.vocab_users), shard, None, plan.user_shards)
        for users, (offsets, items) in zip(blocks, seen, strict=True):
            visitors = list(itertools.islice(ids, len(users)))
            if plan.include_seen:
                offsets, items = np.zeros_like(offsets), items[:0]
            places = catalogue.place_of[items]
            yield visitors, *scoring.top_k(users, catalogue.factors, offsets, places, plan.top_k)


def seen_by_block(
    batches: Iterable[Rows], shards: int, rows: int, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Regroups a shard's records, keys ascending, into blocks of `size` of its rows, also those without a record.

    Yields:
        offsets int64[b + 1] and itemIds int64[offsets[b]] of each block.
    """
    held_rows, held_items, start = np.zeros(0, np.int64), np.zeros(0, np.int64), 0
    for batch in itertools.chain(batches, [None]):
        complete = rows  # rows below this have all their entries
        if batch is not None:
            complete = int(batch.keys[-1]) // shards
            held_rows = np.concatenate([held_rows, np.repeat(batch.keys // shards, np.diff(batch.offsets))])
            held_items = np.concatenate([held_items, batch.indices])
        while start < rows and min(start + size, rows) <= complete:
            stop = min(start + size, rows)
            cut = int(np.searchsorted(held_rows, stop))
            counts = np.bincount(held_rows[:cut] - start, minlength=stop - start)
            yield np.concatenate([[0], np.cumsum(counts)]), held_items[:cut]
            held_rows, held_items, start = held_rows[cut:], held_items[cut:], stop


def _text_lines(
    catalogue: Catalogue, visitors: list[bytes], places: np.ndarray, scores: np.ndarray, counts: np.ndarray
) -> bytes:
    escaped = catalogue.escaped
    return b"".join(
        textform.format_line(visitor, [escaped[place] for place in row[:count]]) + b"\n"
        for visitor, row, count in zip(visitors, places.tolist(), counts.tolist(), strict=True)
    )


def _json_lines(
    catalogue: Catalogue, visitors: list[bytes], places: np.ndarray, scores: np.ndarray, counts: np.ndarray
) -> bytes:
    quoted, lines = catalogue.quoted, []
    for row, visitor in enumerate(visitors):
        count = int(counts[row])
        # The shortest digits that give the same float32, for the whole row at once.
        digits = orjson.dumps(scores[row, :count], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
        found = zip(places[row, :count].tolist(), digits[:count], range(1, count + 1), strict=True)
        given = b",".join(
            b'{"contentId":%s,"score":%s,"rank":%d}' % (quoted[place], score, rank) for place, score, rank in found
        )
        lines.append(b'{"visitorId":%s,"recommendations":[%s]}\n' % (orjson.dumps(visitor.decode()), given))
    return b"".join(lines)


_LINES = {"text": _text_lines, "jsonl": _json_lines}


class _File:
    """A file that is written beside its place and renamed when it is whole."""

    def __init__(self, path: str):
        self._path, self._beside = path, f"{path}.{uuid.uuid4().hex}"
        self._crc = google_crc32c.Checksum()
        self._records = self._recommendations = self._bytes = 0

    def __enter__(self) -> _File:
        self._file = FileSystems.create(self._beside, compression_type=CompressionTypes.UNCOMPRESSED)
        return self

    def write(self, data: bytes, records: int, recommendations: int) -> None:
        self._file.write(data)
        self._crc.update(data)
        self._records += records
        self._recommendations += recommendations
        self._bytes += len(data)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._file.close()
        if kind is None:
            FileSystems.rename([self._beside], [self._path])

    def describe(self) -> dict:
        return {
            "name": self._path.rsplit("/", 1)[1],
            "records": self._records,
            "recommendations": self._recommendations,
            "bytes": self._bytes,
            "crc32c": self._crc.hexdigest().decode(),
        }
