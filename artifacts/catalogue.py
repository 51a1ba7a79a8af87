"""Titles, categories, links and pictures of items: of an items.parquet, and of the catalogue, the site's own table.

A catalogue has a row per item: its contentId, and any other columns. It is a CSV, JSON lines (.jsonl, .ndjson, .json),
Parquet (.parquet) or a table of BigQuery, which only preprocessing reads; that joins all of its columns to the dataset.
"""

from __future__ import annotations

import io
import re
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artifacts import id_lists, storage
from artifacts.items_table import ItemsTable
from artifacts.names import CATEGORY, CONTENT_ID, ITEM, TITLE, Side
from artifacts.paths import Dataset
from artifacts.vocabulary import INEXACT, id_of_number, ids_of_numbers
from configs.errors import UserError

COLUMNS = (CONTENT_ID, TITLE, CATEGORY)
_BIGQUERY = "bq://"

# Columns with the address of an item's page and of its picture, as feeds of products name them; the first wins.
LINK_COLUMNS, PICTURE_COLUMNS = ("link", "url"), ("image_link", "image_url", "image")
# Nothing else becomes a link: not javascript:, and no host that could end a directive of the page's policy.
_WEB = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?([/?#][^\s\x00-\x1f\x7f]{0,2000})?")

Links = dict[str, tuple[str, str]]  # link and picture by contentId, "" for one that the item does not have
Catalogue = dict[str, tuple[str, str]]  # title and category by contentId; an item without a title has its id as title


def of_dataset(dataset: Dataset, path: str | None, required: bool = False) -> Catalogue:
    """Return titles and categories: those of a catalogue win over items.parquet; if `required`, it must exist.

    A catalogue that is a table of BigQuery has been joined to items.parquet already.
    """
    names = of_items(dataset.items)
    return overlaid(names, read(path)) if path and (required or is_file(path)) else names


def of_items(path: str) -> Catalogue:
    """Return the titles and categories in an items.parquet, without the items that have neither."""
    return names_of_items(ItemsTable.read(path, optional=(TITLE, CATEGORY)).table)


def names_of_items(table: pa.Table) -> Catalogue:
    """Return the titles and categories in the table of an items.parquet, see `of_items`."""
    rows = zip(*(_texts_or_empty(table, name) for name in COLUMNS), strict=True)
    return {item: (title or item, category) for item, title, category in rows if title or category}


def overlaid(names: Catalogue, above: Catalogue) -> Catalogue:
    """Return names in which those above win; what is unknown above is as below."""
    result = dict(names)
    for item, (title, category) in above.items():
        old_title, old_category = names.get(item, (item, ""))
        result[item] = (old_title if title == item else title), category or old_category
    return result


def read(path: str) -> Catalogue:
    """Return title and category by contentId, of the rows of `read_table`; see `names_in`."""
    return names_in(read_table(path))


def names_in(table: pa.Table) -> Catalogue:
    """Return title and category by contentId, of the rows of `read_table`; of rows with one contentId, the last."""
    result: Catalogue = {}
    for item, title, category in zip(*(_texts_or_empty(table, name) for name in COLUMNS), strict=True):
        for name in (item.strip(), item):  # as in any list of ids
            result[name] = title or name, category
    result.pop("", None)
    return result


def links_in(table: pa.Table) -> Links:
    """Return the link and the picture of the items that have one, of a catalogue or an items.parquet.

    An address that is not a complete one of http or https, with a host in ASCII, counts as missing.
    """
    columns = [_first_text(table, names) for names in (LINK_COLUMNS, PICTURE_COLUMNS)]
    if not any(columns):
        return {}
    ids, result = table[CONTENT_ID].cast(pa.string()).fill_null("").to_pylist(), Links()
    for item, *addresses in zip(ids, *(column or [""] * len(ids) for column in columns), strict=True):
        link, picture = (address if _WEB.fullmatch(address) else "" for address in addresses)
        if link or picture:
            result[item] = result[item.strip()] = link, picture
    return result


def _first_text(table: pa.Table, names: tuple[str, ...]) -> list[str]:
    """Return the first of these columns that is text, null as ""; nothing if there is none."""
    texts = [table[name] for name in names if name in table.column_names and pa.types.is_string(table[name].type)]
    return texts[0].fill_null("").to_pylist() if texts else []


def in_bigquery(path: str) -> bool:
    """Return whether a catalogue is a table of BigQuery."""
    return path.startswith(_BIGQUERY)


def is_file(path: str) -> bool:
    """Return whether a catalogue is a file that exists."""
    return not in_bigquery(path) and storage.exists(path)


def read_table(path: str, side: Side = ITEM) -> pa.Table:
    """Return the columns of a file, local or gs://, see `checked`; those of a CSV are text.

    side: of the rows; the site's own table of visitors is read in the same way.

    Raise UserError if it cannot be read or is not of its kind, or see `checked`.
    """
    if in_bigquery(path):
        raise UserError(f"{side.catalogue} {path}: only pipeline.preprocess reads tables of BigQuery; name a file here")
    ending = path.rpartition(".")[2].lower()
    if ending == "parquet":
        table = _parquet(path, side)
    elif ending in ("jsonl", "ndjson", "json"):
        table = _json_lines(path, side)
    else:
        table = _csv(path, side)
    return checked(table, path, side)


def checked(table: pa.Table, path: str, side: Side = ITEM) -> pa.Table:
    """Return a catalogue with contentId (or visitorId), title and category as text; empty text is null.

    Raise UserError if it has no such id, or a column twice, or one of these columns is not text or numbers, or an id
    is a time.
    """
    names, what, texts = table.column_names, f"{side.catalogue} {path}", {side.id, TITLE, CATEGORY}
    if side.id not in names:
        raise UserError(f"{what} has no column {side.id}: name the column of the {side.plural}' ids so")
    if len(set(names)) < len(names) or "" in names:
        raise UserError(f"{what} has a column twice or one without a name; each needs its own")
    columns = {}
    for name in names:
        column = table[name].combine_chunks()
        if name == side.id and pa.types.is_temporal(column.type):
            raise UserError(f"{what}, column {name} is {column.type} and no id; write it as text")
        columns[name] = as_text(column, f"{what}, column {name}") if name in texts else _plain(column)
    return pa.table(columns)


def as_text(column: pa.Array, where: str) -> pa.Array:
    """Return values as text, null where empty; numbers as ids are written (`ids_of_numbers`).

    Raise UserError, which begins with `where`, if they are neither text nor numbers, text that is not UTF-8, or floats
    that may have lost digits.
    """
    column = _plain(column)
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        column = ids_of_numbers(column)
        if pc.any(pc.equal(column, INEXACT)).as_py():
            raise UserError(f"{where} has floats that may have lost digits; write it as text or as integers")
    try:
        texts = column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise UserError(f"{where} is {column.type}; write it as text in UTF-8 or as numbers") from None
    return _plain(texts)


def _plain(column: pa.Array) -> pa.Array:
    """Return values without dictionary, and null in place of empty text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type) or pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    return column


def _texts_or_empty(table: pa.Table, name: str) -> list[str]:
    if name not in table.column_names:
        return [""] * table.num_rows
    return table[name].cast(pa.string()).fill_null("").to_pylist()


def _csv(path: str, side: Side) -> pa.Table:
    rows = id_lists.rows(path, side.catalogue)
    header = [name.strip() for name in next(rows, ("", []))[1]]
    values: list[list[str]] = []
    for where, row in rows:
        if len(row) != len(header):
            raise UserError(
                f"{where} has {len(row)} columns where {len(header)} are due; quote values that have the delimiter"
            )
        values.append(row)
    columns = zip(*values, strict=True) if values else ([] for _ in header)
    return pa.table([pa.array(column, pa.string()) for column in columns], names=header)


def _json_lines(path: str, side: Side) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(id_lists.lines(id_lists.read_text(path, side.catalogue)), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{side.catalogue} {path}, line {number} is not a JSON object; write one object per line")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def _array(values: list[Any]) -> pa.Array:
    """Return values of JSON as an array; those of several types as text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array(map(_text_of_json, values), pa.string())


def _text_of_json(value: Any) -> str | None:
    """Return a value as text; a whole float as an integer, where its digits are certain."""
    if isinstance(value, float):
        number = id_of_number(value)
        return None if number is None else (str(value) if number == INEXACT else number.decode())
    return value if isinstance(value, str | None) else orjson.dumps(value).decode()


def _parquet(path: str, side: Side) -> pa.Table:
    try:
        return pq.ParquetFile(io.BytesIO(id_lists.read_file(path, side.catalogue))).read()
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{side.catalogue} {path} cannot be read: {' '.join(str(error).split())}; write it again"
        ) from None
