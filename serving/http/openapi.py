"""The OpenAPI description: pydantic models of the answers, and predict requests from the model's signatures."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from configs.settings import ServingSettings
from serving.models.model import DEFAULT_SIGNATURE, K, Model, Signature, Tensor

COMPONENT = "#/components/schemas/"


class Bytes(BaseModel):
    """An id that is not UTF-8, in base64."""

    b64: str


Id = str | Bytes


class Error(BaseModel):
    """The reason for an error."""

    error: str


class Item(BaseModel):
    """An item of a list, with title and category if the catalogue has them."""

    rank: int
    contentId: Id  # noqa: N815 - the field's name in the answer
    title: str | None = None
    category: str | None = None


class Scored(Item):
    score: float


class Rated(Item):
    rating: float


class Contribution(Item):
    contribution: float


class Visitor(BaseModel):
    """A visitor of an audience."""

    rank: int
    visitorId: Id  # noqa: N815
    score: float


class OfVisitor(BaseModel):
    visitorId: Id  # noqa: N815
    modelVersion: int  # noqa: N815


class OfItem(BaseModel):
    contentId: Id  # noqa: N815
    modelVersion: int  # noqa: N815


class Recommendations(OfVisitor):
    rule: Literal["factors", "projection", "popularity"]
    recommendations: list[Scored]


class History(OfVisitor):
    total: int = Field(description="Number of all items of the visitor, not only of those listed.")
    history: list[Rated]


class Audience(OfItem):
    audience: list[Visitor]


class SimilarItems(OfItem):
    similar_items: list[Scored]


class Explanation(OfVisitor, OfItem):
    score: float = Field(description="Sum of all contributions.")
    explanation: list[Contribution]


class Readiness(BaseModel):
    ready: bool
    model: str
    version: int | None = None
    reason: str | None = None


class VersionState(BaseModel):
    error_code: str
    error_message: str


class VersionStatus(BaseModel):
    version: str
    state: Literal["LOADING", "AVAILABLE", "END"]
    status: VersionState


class ModelStatus(BaseModel):
    model_version_status: list[VersionStatus]


class Metadata(BaseModel):
    model_spec: dict[str, str]
    metadata: dict[str, Any]


_PARAMETERS = {
    "visitorId": "The site's id of the visitor.",
    "contentId": "The site's id of the item.",
    K: "Most entries of the answer.",
}


def parameter(name: str, limits: ServingSettings) -> dict[str, Any]:
    """Return the OpenAPI description of a query parameter."""
    if name == K:
        kind = {"type": "integer", "minimum": 1, "maximum": limits.max_k, "default": min(10, limits.max_k)}
    else:
        kind = {"type": "string", "minLength": 1, "maxLength": limits.max_id_bytes}
    return {"name": name, "in": "query", "required": name != K, "description": _PARAMETERS[name], "schema": kind}


def complete(document: dict[str, Any], model: Model | None, limits: ServingSettings) -> dict[str, Any]:
    """Add the signatures of the live version to FastAPI's document."""
    components = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # answered as `Error`
        components.pop(name, None)
    signatures = list(model.signatures.values()) if model else []
    for signature in signatures:
        components[f"{signature.name} request"] = _request(signature, limits)
        components[f"{signature.name} answer"] = _answer(signature)
    known = {"name": [limits.name], "version": [model.number] if model else []}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            for described in operation.get("parameters", []):
                if described["in"] == "path" and known.get(described["name"]):
                    described["schema"]["enum"] = known[described["name"]]
        if path.endswith(":predict"):
            methods["post"]["requestBody"] = {"required": True, "content": _any_of(signatures, "request")}
            methods["post"]["responses"]["200"]["content"] = _any_of(signatures, "answer")
    return document


def _any_of(signatures: list[Signature], part: Literal["request", "answer"]) -> dict[str, Any]:
    references = {"anyOf": [{"$ref": f"{COMPONENT}{signature.name} {part}"} for signature in signatures]}
    return {"application/json": {"schema": references if signatures else {"type": "object"}}}


def _request(signature: Signature, limits: ServingSettings) -> dict[str, Any]:
    name = {"signature_name": {"type": "string", "enum": [signature.name]}}
    required = [] if signature.name == DEFAULT_SIGNATURE else ["signature_name"]
    tensors = signature.inputs.values()
    columns = _object({tensor.name: _column(tensor, limits) for tensor in tensors})
    rows = _object({tensor.name: _cell(tensor, limits) for tensor in tensors})
    instances = {"type": "array", "minItems": 1, "maxItems": limits.max_batch, "items": rows}
    forms = (("inputs", columns), ("instances", instances))
    return {
        "anyOf": [
            {"type": "object", "properties": name | {form: value}, "required": [*required, form]}
            for form, value in forms
        ]
    }


def _answer(signature: Signature) -> dict[str, Any]:
    tensors = list(signature.outputs.values())
    if len(tensors) == 1:
        columns, rows = _output(tensors[0], 0), _output(tensors[0], 1)
    else:
        columns = _object({tensor.name: _output(tensor, 0) for tensor in tensors})
        rows = _object({tensor.name: _output(tensor, 1) for tensor in tensors})
    return {"anyOf": [_object({"outputs": columns}), _object({"predictions": {"type": "array", "items": rows}})]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _column(tensor: Tensor, limits: ServingSettings) -> dict[str, Any]:
    """Return the schema of an input for all rows."""
    cell = _cell(tensor, limits)
    rows = {"type": "array", "items": cell, "minItems": 1, "maxItems": limits.max_batch}
    return {"anyOf": [cell, rows]} if tensor.name == K else rows


def _cell(tensor: Tensor, limits: ServingSettings) -> dict[str, Any]:
    """Return the schema of an input for one row."""
    if tensor.name == K:
        return {"type": "integer", "minimum": 1, "maximum": limits.max_k}
    element = _element(tensor)
    if tensor.dtype == "string":
        element["anyOf"][0]["maxLength"] = limits.max_id_bytes
    for _ in (tensor.shape or ())[1:]:
        element = {"type": "array", "items": element, "maxItems": limits.max_history}
    return element


def _output(tensor: Tensor, skipped: int) -> dict[str, Any]:
    """Return the schema of an output without its first `skipped` dimensions."""
    schema = _element(tensor)
    for _ in (tensor.shape or ())[skipped:]:
        schema = {"type": "array", "items": schema}
    return schema


def _element(tensor: Tensor) -> dict[str, Any]:
    if tensor.dtype == "string":
        return {"anyOf": [{"type": "string"}, {"$ref": f"{COMPONENT}Bytes"}]}
    return {"type": "integer" if tensor.dtype.is_integer else "number"}
