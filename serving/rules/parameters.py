"""The rules of a request as query parameters: what they may be, and what the answer states of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from serving.errors import Refusal
from serving.rules.limits import NO_RULES, Limits, Rules

MOST = 100  # values of a parameter that may be repeated
_ID = Annotated[str, Field(min_length=1, max_length=1024)]
_LISTS = ("exclude", "category", "excludeCategory")


class Parameters(BaseModel):
    """The parameters, by their names in a query."""

    model_config = ConfigDict(alias_generator=to_camel, allow_inf_nan=False)

    include_seen: bool = Field(False, description="Also recommend the visitor's own items.")
    exclude: list[_ID] = Field([], max_length=MOST, description="An item to leave out; may be repeated.")
    category: list[_ID] = Field([], max_length=MOST, description="Only items of these categories; may be repeated.")
    exclude_category: list[_ID] = Field([], max_length=MOST, description="No items of these; may be repeated.")
    max_per_category: int | None = Field(None, ge=1, le=1000, description="Most items of one category in the list.")
    min_score: float | None = Field(None, description="Lowest score of an entry; not of popularity or explored slots.")
    max_age_days: float | None = Field(
        None, gt=0, le=100_000, description="Largest age of an item, from its first view to the last one of all."
    )
    mmr_lambda: float | None = Field(
        None, alias="lambda", ge=0, le=1, description="MMR: 1 chooses by score alone, 0 by difference alone."
    )
    candidates: int = Field(
        NO_RULES.candidates, ge=1, le=1000, description="Number of the best items from which MMR chooses."
    )
    explore: bool = Field(True, description="Let slots be explored, as the settings say.")
    variant: str | None = Field(
        None, min_length=1, max_length=200, description="Variant of the experiment, in place of the visitor's own."
    )

    def rules(self) -> Rules:
        """Return the rules; texts are Latin-1, in which a character is a byte."""
        values = self.model_dump(exclude={"exclude", "category", "exclude_category"})
        return Rules(
            exclude=tuple(name.encode("latin-1") for name in self.exclude),
            categories=tuple(map(_text, self.category)),
            without_categories=tuple(map(_text, self.exclude_category)),
            **values | {"variant": self.variant and _text(self.variant)},
        )


def described(for_visitors: bool) -> list[dict[str, Any]]:
    """Return the OpenAPI descriptions of the query parameters; those of one visitor are left out otherwise."""
    descriptions = []
    for name, schema in Parameters.model_json_schema()["properties"].items():
        if name in _OF_VISITORS and not for_visitors:
            continue
        kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
        kept = {key: value for key, value in kinds[0].items() if key not in ("title", "description")}
        descriptions.append(
            {"name": name, "in": "query", "required": False, "description": schema["description"], "schema": kept}
        )
    return descriptions


_OF_VISITORS = ("includeSeen", "explore", "variant")


def parse(values: Mapping[str, Sequence[str]], for_visitors: bool) -> Rules:
    """Return the rules of a query's values; raise Refusal (422) if one is not within its bounds."""
    names = [field.alias or name for name, field in Parameters.model_fields.items()]
    known = {name: values[name] for name in names if name in values and (for_visitors or name not in _OF_VISITORS)}
    if not known:
        return NO_RULES
    for name, given in known.items():
        if name not in _LISTS and len(given) > 1:
            raise Refusal(422, f"give {name} once")
    sent = {name: list(given) if name in _LISTS else given[0] for name, given in known.items()}
    try:
        return Parameters.model_validate(sent).rules()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        reason = first["msg"].removeprefix("Input should be ")
        raise Refusal(422, f"{first['loc'][0]} must be {reason}" if reason != first["msg"] else
                      f"{first['loc'][0]}: {reason}") from None  # fmt: skip


def stated(limits: Limits) -> dict[str, Any]:
    """Return what an answer states of its rules: those in effect, by their parameters; of ids, the number."""
    rules, applied = limits.rules, dict[str, Any]()
    for name, field in Parameters.model_fields.items():
        key = {"category": "categories", "exclude_category": "without_categories"}.get(name, name)
        value = getattr(rules, key)
        if value != getattr(NO_RULES, key) and name != "candidates":
            applied[field.alias or name] = len(value) if name == "exclude" else value
    if rules.mmr_lambda is not None:
        applied["candidates"] = rules.candidates
    return applied | {name: True for name, ids in (("allow", limits.allow), ("block", limits.block)) if ids}


def _text(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Refusal(422, "category and variant must be UTF-8") from None
