"""The base of all sections of settings, and the text of what pydantic finds wrong in them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


class Section(BaseModel):
    """Settings that belong together. An unknown key is an error, and nothing changes a section once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def as_date(value: Any) -> Any:
    """Return 20240131, which is how the export writes a date and which YAML reads as a number, as 2024-01-31."""
    text = str(value)
    if len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return value


Date = Annotated[datetime.date, BeforeValidator(as_date), Field(ge=datetime.date(1970, 1, 1))]


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    """Yield the dotted key of every setting of a model, e.g. training.seed."""
    for name, field in model.model_fields.items():
        inner = section_of(field.annotation)
        yield from (f"{name}.{key}" for key in keys_of(inner)) if inner else (name,)


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field contains, None for a field that is a setting itself."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """Return pydantic's findings as one line, each with the key it is about."""
    return " ".join("; ".join(_describe(finding, model) for finding in error.errors()).split())


def _describe(finding: Any, model: type[BaseModel]) -> str:
    key, kind, value = ".".join(str(part) for part in finding["loc"]), finding["type"], finding["input"]
    if kind == "extra_forbidden":
        return f"unknown key {key}{_known(finding['loc'], model)}"
    message = finding["msg"].removeprefix("Value error, ")
    if kind.startswith("date") and kind.endswith("_parsing"):
        message = f"{value} is not a date ({finding['ctx']['error']}); write it as 2024-01-31"
    elif kind == "string_type" and isinstance(value, (bool, int, float)):
        message = f"{value} must be text; put it in quotes"
    return f"{key or 'settings'}: {message}"


def _known(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    section: type[BaseModel] | None = model
    for part in loc[:-1]:
        field = section.model_fields.get(str(part)) if section else None
        section = section_of(field.annotation) if field else None
    return f" (known: {', '.join(section.model_fields)})" if section else ""
