"""The fields of a record that describe its visitor, by their dotted names."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

VISITOR_TYPE = "visitor_type"  # new or returning, by the number of the session
PROPERTY, PROPERTIES = "user_property.", "user_properties"
DIMENSION = "dimension."


def is_column(field: str) -> bool:
    """Return whether a field is a column of the record, or part of one, such as geo.country."""
    return field != VISITOR_TYPE and not field.startswith((PROPERTY, DIMENSION))


def nested(names: Iterable[str]) -> list[pa.Field]:
    """Return the columns that have fields of text with these dotted names; others are left out.

    >>> nested(["geo.country", "platform", "visitor_type"])
    [pyarrow.Field<geo: struct<country: string>>, pyarrow.Field<platform: string>]
    """
    parts: dict[str, list[str]] = {}
    for name in filter(is_column, names):
        column, _, rest = name.partition(".")
        parts.setdefault(column, []).extend([rest] if rest else [])
    return [pa.field(name, pa.struct(nested(rest)) if rest else pa.string()) for name, rest in sorted(parts.items())]
