"""The items that were added between two trainings: one file, which batch prediction and the server read.

It is a Parquet file with a row per item: `contentId`, `title` and `category`; each attribute as the graph of the
features takes it, in a column KIND:NAME; and who has viewed the item since. A change replaces the file by an atomic
rename, under a lock, and raises its version. No factors are in it, so that the file fits every model.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artifacts import storage
from artifacts.features.fields import Field, input_names
from artifacts.names import CATEGORY, CONTENT_ID, TITLE
from artifacts.storage import locks
from configs.errors import UserError
from configs.settings.features import OF_WORDS

FROM_ATTRIBUTES = "factors_from_attributes"  # the signature of a SavedModel that makes factors of the items
VISITORS, RATINGS = "visitorIds", "ratings"
_KIND, _SCHEMA = "added_items", 1
_ABOUT = b"wals"  # key of the file's metadata
_COLUMNS = pa.schema(
    [
        (CONTENT_ID, pa.binary()),
        (TITLE, pa.string()),
        (CATEGORY, pa.string()),
        (VISITORS, pa.list_(pa.binary())),
        (RATINGS, pa.list_(pa.float32())),
    ]
)
_PATIENCE_S = 10.0  # to wait for another change
_ROWS, _CELLS = 1024, 1 << 18  # most items, and most views with their padding, of a request


class Change(NamedTuple):
    """The numbers of items, or of views, that a change added and changed."""

    version: int
    added: int
    changed: int = 0
    unknown: int = 0  # views of other items; ids that are not in the file


class View(NamedTuple):
    """A view of an added item."""

    item: bytes
    visitor: bytes
    rating: float = 1.0


@dataclass(frozen=True)
class AddedItems:
    """The content of the file, in the order in which the items were added or changed last."""

    table: pa.Table
    version: int = 0

    @classmethod
    def read(cls, path: str) -> AddedItems:
        """Read the file, no items if it does not exist; raise UserError if it is damaged or something else."""
        try:
            data = storage.read_if_exists(path)
        except OSError as error:
            raise UserError(f"added_items {path} cannot be read: {error.strerror or error}") from error
        if data is None:
            return cls(_COLUMNS.empty_table())
        try:
            table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
            about = json.loads((table.schema.metadata or {})[_ABOUT])
        except (pa.ArrowException, OSError, KeyError, ValueError):
            raise UserError(
                f"added_items {path} is damaged, or not made by wals items; remove it and add again"
            ) from None
        if (about.get("kind"), about.get("schema_version")) != (_KIND, _SCHEMA):
            raise UserError(f"added_items {path} is of another version of this software; remove it and add again")
        return cls(table.replace_schema_metadata(None), int(about["version"]))

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def ids(self) -> list[bytes]:
        """The contentIds."""
        return self.table[CONTENT_ID].to_pylist()

    def titles(self) -> dict[str, tuple[str, str]]:
        """Return title, by default the id, and category of the items that have one of them, by contentId."""
        texts = (self.table[name].fill_null("").to_pylist() for name in (TITLE, CATEGORY))
        names = (name.decode("utf-8", "replace") for name in self.ids)
        return {
            name: (title or name, category)
            for name, title, category in zip(names, *texts, strict=True)
            if title or category
        }

    def without(self, ids: Collection[bytes]) -> AddedItems:
        """Return the items that are not among some ids."""
        kept = pa.array([name not in ids for name in self.ids], pa.bool_())
        return AddedItems(self.table.filter(kept), self.version)

    def requests(self, fields: Sequence[Field], left_out: Collection[bytes] = ()) -> Iterator[dict[str, np.ndarray]]:
        """Yield the inputs of the signature factors_from_attributes for the items, some after the others.

        fields: those of the model's features; one that the items do not have, or have as another kind, is missing.
        left_out: visitors whose views do not count.
        """
        viewers, ratings = (self.table[name].to_pylist() for name in (VISITORS, RATINGS))
        views = [
            [(name, rating) for name, rating in zip(names or (), values or (), strict=True) if name not in left_out]
            for names, values in zip(viewers, ratings, strict=True)
        ]
        names, start = input_names(fields), 0
        while start < len(views):
            width, end = max(1, len(views[start])), start + 1
            while end < min(len(views), start + _ROWS):
                wider = max(width, len(views[end]))
                if wider * (end + 1 - start) > _CELLS:
                    break
                width, end = wider, end + 1
            part = self.table.slice(start, end - start)
            inputs = {name: _input(part, field) for name, field in zip(names, fields, strict=True)}
            yield inputs | _padded(views[start:end], width, names)
            start = end


def add(path: str, rows: pa.Table) -> Change:
    """Add items, or change those that are there already; their views stay.

    rows: contentId binary, each once, and any of title, category and attributes (`column_of`).
    """

    def added(before: AddedItems) -> tuple[pa.Table, Change]:
        ids = rows[CONTENT_ID].to_pylist()
        viewers, ratings = (before.table[name].to_pylist() for name in (VISITORS, RATINGS))
        old = {name: pair for name, *pair in zip(before.ids, viewers, ratings, strict=True)}
        views = [old.get(name, (None, None)) for name in ids]
        columns = {name: rows[name] for name in rows.column_names}
        for number, name in enumerate((VISITORS, RATINGS)):
            columns[name] = pa.array([pair[number] for pair in views], _COLUMNS.field(name).type)
        kept = before.without(set(ids)).table
        table = pa.concat_tables([kept, pa.table(columns)], promote_options="default")
        changed = before.table.num_rows - kept.num_rows
        return table, Change(before.version + 1, len(ids) - changed, changed)

    return _change(path, added)


def add_views(path: str, views: Sequence[View]) -> Change:
    """Add views of added items; of a visitor and an item the last rating counts."""

    def viewed(before: AddedItems) -> tuple[pa.Table, Change]:
        of_item: dict[bytes, dict[bytes, float]] = {
            name: dict(zip(visitors or (), ratings or (), strict=True))
            for name, visitors, ratings in zip(
                before.ids, *(before.table[name].to_pylist() for name in (VISITORS, RATINGS)), strict=True
            )
        }
        earlier, known = sum(map(len, of_item.values())), [view for view in views if view.item in of_item]
        for view in known:
            of_item[view.item][view.visitor] = view.rating
        table = before.table
        for name, values in (
            (VISITORS, map(list, of_item.values())),
            (RATINGS, (list(own.values()) for own in of_item.values())),
        ):
            column = pa.array(list(values), _COLUMNS.field(name).type)
            table = table.set_column(table.schema.get_field_index(name), name, column)
        added = sum(map(len, of_item.values())) - earlier
        return table, Change(before.version + 1, added, len(known) - added, len(views) - len(known))

    return _change(path, viewed)


def remove(path: str, ids: Collection[bytes]) -> Change:
    """Remove items; `changed` of the result is how many."""

    def left(before: AddedItems) -> tuple[pa.Table, Change]:
        table = before.without(ids).table
        gone = before.table.num_rows - table.num_rows
        return table, Change(before.version + 1, 0, gone, len(ids) - gone)

    return _change(path, left)


def placed(ids: Sequence[bytes], answers: Sequence[Mapping[str, np.ndarray]]) -> tuple[list[bytes], np.ndarray]:
    """Return the items and their factors float32 [n, d]; those without features and views come last, with zeros.

    Of these, the latest come first: nothing else ranks them (ranking.attributes.newest).

    answers: those of FROM_ATTRIBUTES to the `requests` of these ids; at least one.
    """
    factors, features, views = (
        np.concatenate([answer[name] for answer in answers]) for name in ("factors", "features", "views")
    )
    is_placed = (features > 0) | (views > 0)
    rows = np.append(np.flatnonzero(is_placed), np.flatnonzero(~is_placed)[::-1])
    return [ids[row] for row in rows.tolist()], np.where(is_placed[:, None], factors, np.float32(0))[rows]


def column_of(field: Field) -> str:
    """Return the name of the column with an attribute, whose kind is a part of it: KIND:NAME."""
    return f"{field.kind}:{field.name}"


def _change(path: str, new: Callable[[AddedItems], tuple[pa.Table, Change]]) -> Change:
    with locks.claim(path, _PATIENCE_S):
        table, change = new(AddedItems.read(path))
        about = {"kind": _KIND, "schema_version": _SCHEMA, "version": change.version}
        sink = io.BytesIO()
        marked = table.replace_schema_metadata({_ABOUT: json.dumps(about).encode()})
        pq.write_table(marked, sink, compression="zstd", write_page_checksum=True)
        try:
            storage.write_bytes(path, sink.getvalue())
        except OSError as error:
            raise UserError(f"added_items {path} cannot be written: {error.strerror or error}") from error
    return change


def _input(table: pa.Table, field: Field) -> np.ndarray:
    """Return an attribute as the graph takes it; what is missing is an empty text, NaN, or an embedding of zeros."""
    name, size = column_of(field), table.num_rows
    column = table[name].combine_chunks() if name in table.column_names else pa.nulls(size)
    if field.kind in OF_WORDS:
        texts = column.cast(pa.binary()).fill_null(b"")
        return np.array(texts.to_pylist(), object)
    if field.kind != "embedding":
        return column.cast(pa.float32()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    values = np.zeros((size, field.dimension), np.float32)
    if not pa.types.is_null(column.type):
        fits = pc.equal(pc.list_value_length(column), field.dimension).fill_null(False).to_numpy(zero_copy_only=False)
        values[fits] = column.filter(pa.array(fits)).flatten().to_numpy().reshape(-1, field.dimension)
    return values


def _padded(views: Sequence[Sequence[tuple[bytes, float]]], width: int, taken: Sequence[str]) -> dict[str, Any]:
    """Return visitors and ratings [n, width], padded; the name of an input that an attribute has begins with _."""
    visitors, ratings = np.full((len(views), width), b"", object), np.zeros((len(views), width), np.float32)
    for row, own in enumerate(views):
        if own:
            visitors[row, : len(own)], ratings[row, : len(own)] = zip(*own, strict=True)
    values = {VISITORS: visitors, RATINGS: ratings}
    return {f"_{name}" if name in taken else name: array for name, array in values.items()}
