"""The base of all sections of settings, and the line that reports what is wrong in them."""

from __future__ import annotations

import datetime
from collections.abc import Hashable, Iterator, Mapping
from typing import Annotated, Any, Self, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from configs.errors import UserError, nearest

# Old and new key of a setting, or of a value as "KEY VALUE": the error about the old one names the new one.
RENAMED = {
    "source.content_dimension_index": "source.item_dimension_index",
    "source.content_parameter": "source.item_parameter",
    "source.content_column": "source.item_column",
    "source.max_contents_a_day": "source.max_items_a_day",
    "prediction.explain": "prediction.explanation",
    "prediction.kind targets": "audiences",
    "prediction.kind similar_contents": "similar_items",
    "report.map_contents": "report.map_items",
    "targets_dir": "audiences_dir",
    "similar_contents_dir": "similar_items_dir",
}

# Shapes of values in the words of YAML, by the type of pydantic's error.
_SHAPES = {"tuple_type": "a list", "model_type": "a mapping, KEY: VALUE", "dict_type": "a mapping, KEY: VALUE"}
_BRANCHES = ("literal[", "constrained-")  # pydantic's names of the types that one setting may have, after its key


class Section(BaseModel):
    """Settings that belong together; the text after a setting describes it.

    An unknown key is an error, and nothing changes a section once it is read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_true_for_numbers(cls, tree: Any) -> Any:
        for name, value in tree.items() if isinstance(tree, Mapping) else ():
            if isinstance(value, bool) and name in cls.model_fields and _is_number(cls.model_fields[name].annotation):
                raise ValueError(f"{name} must be a number, not {str(value).lower()}")
        return tree

    @model_validator(mode="after")
    def _refuse_problems(self) -> Self:
        for name, value in self:
            if isinstance(value, str) and "\0" in value:
                raise ValueError(f"{name} contains a NUL character; remove it")
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        """Yield what is wrong with values that are right by themselves."""
        return iter(())


def _is_number(annotation: Any) -> bool:
    """Return whether a setting is a number and cannot be true or false, which pydantic would take for 1 and 0."""
    kinds = {annotation, *_parts(annotation)}
    return not kinds.isdisjoint((int, float)) and bool not in kinds


def _parts(annotation: Any) -> Iterator[Any]:
    for part in get_args(annotation):
        if isinstance(part, Hashable):
            yield part
        yield from _parts(part)


S = TypeVar("S", bound=Section)


def as_date(value: Any) -> Any:
    """Return 20240131, which is how the export writes a date and which YAML reads as a number, as 2024-01-31."""
    text = str(value)
    if len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text if isinstance(value, int | float) else value  # other numbers would be seconds since 1970


Date = Annotated[datetime.date, BeforeValidator(as_date), Field(ge=datetime.date(1970, 1, 1))]


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    """Yield the dotted key of every setting of a model, e.g. training.seed."""
    for name, field in model.model_fields.items():
        inner = section_of(field.annotation)
        yield from (f"{name}.{key}" for key in keys_of(inner)) if inner else (name,)


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field contains, None for a field that is a setting itself."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def validate(model: type[S], tree: dict[str, Any], name: str, origins: Mapping[str, str] | None = None) -> S:
    """Return the settings of a tree; raise UserError with one line that names each mistake, after where it is from.

    A mistake is from `name`, or from the flag that origins has for its key.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        findings: dict[str, list[str]] = {}
        for finding in error.errors():
            findings.setdefault(_origin(finding, origins or {}) or name, []).append(_describe(finding, model))
        line = "; ".join(f"{origin}: {'; '.join(lines)}" for origin, lines in findings.items())
        raise UserError(" ".join(line.split())) from error


def _origin(finding: Any, origins: Mapping[str, str]) -> str | None:
    """Return the flag that a mistake is from; a rule between settings is from the flags whose keys it names."""
    wrong = ".".join(str(part) for part in finding["loc"])
    for key, flag in origins.items():
        if wrong == key or wrong.startswith(f"{key}."):
            return flag
        if finding["type"] == "value_error":
            if key in finding["msg"]:
                return flag
        elif key.startswith(f"{wrong}."):  # a key below a setting that has none
            return flag
    return None


def _describe(finding: Any, model: type[BaseModel]) -> str:
    parts = [part for part in map(str, finding["loc"]) if not part.startswith(_BRANCHES)]
    key, kind, value = ".".join(parts), finding["type"], finding["input"]
    old = key if kind == "extra_forbidden" else f"{key} {value}"
    if old in RENAMED:
        return f"{old} is now called {RENAMED[old]}"
    if kind == "extra_forbidden":
        return f"unknown key {key}{_known(finding['loc'], model)}{nearest(key, list(keys_of(model)))}"
    message = finding["msg"].removeprefix("Value error, ")
    if kind.startswith("date") and kind.endswith("_parsing"):
        message = f"{value} is not a date ({finding['ctx']['error']}); write it as 2024-01-31"
    elif kind in ("date_type", "date_from_datetime_inexact"):
        message = "is not a date, or has a time of day; write it as 2024-01-31"
    elif kind in _SHAPES:
        message = f"must be {_SHAPES[kind]}"
    elif kind == "string_type" and isinstance(value, (bool, int, float)):
        message = f"{value} must be text; put it in quotes"
    return f"{key or 'settings'}: {message}"


def _known(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    section: type[BaseModel] | None = model
    for part in loc[:-1]:
        field = section.model_fields.get(str(part)) if section else None
        section = section_of(field.annotation) if field else None
    return f" (known: {', '.join(section.model_fields)})" if section else ""
