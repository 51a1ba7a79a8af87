"""The OpenAPI description: pydantic models of the answers, and predict requests from the model's signatures."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from configs.settings import ServingSettings
from serving.models.model import Model
from serving.models.signatures import DEFAULT_SIGNATURE, K, Signature, Tensor

MOST_VERSION = 10**18 - 1
COMPONENT = "#/components/schemas/"


class Bytes(BaseModel):
    """An id that is not UTF-8, in base64."""

    b64: str


Id = str | Bytes


class Error(BaseModel):
    """The reason for an error."""

    error: str


class Item(BaseModel):
    """An item of a list, with title, category, and the addresses of its page and picture, if they are known."""

    rank: int
    contentId: Id  # noqa: N815 - the field's name in the answer
    title: str | None = None
    category: str | None = None
    link: str | None = None
    picture: str | None = None


class Visitor(BaseModel):
    """A visitor of an audience."""

    rank: int
    visitorId: Id  # noqa: N815


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
    "query": "The beginning of an item's id or title, or words that it has.",
    K: "Most entries of the answer.",
    "version": "The version that answers, in place of the newest and of the visitor's variant.",
}


def parameter(name: str, limits: ServingSettings) -> dict[str, Any]:
    """Return the OpenAPI description of a query parameter."""
    if name == K:
        kind = {"type": "integer", "minimum": 1, "maximum": limits.max_k, "default": min(10, limits.max_k)}
    elif name == "version":
        kind = {"type": "integer", "minimum": 1, "maximum": MOST_VERSION}
    else:
        kind = {"type": "string", "minLength": 1, "maxLength": limits.max_id_bytes}
    return {
        "name": name,
        "in": "query",
        "required": name not in (K, "version"),
        "description": _PARAMETERS[name],
        "schema": kind,
    }


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
            if operation["responses"].get("422", {}).get("description") == "Validation Error":
                del operation["responses"]["422"]  # FastAPI's own
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
    cells = {tensor.name: _cell(tensor, limits) for tensor in signature.inputs.values()}
    rows = {"minItems": 1, "maxItems": limits.max_batch}
    columns = {key: _list(cell, **rows) for key, cell in cells.items()}
    if K in cells:
        columns[K] = {"anyOf": [cells[K], columns[K]]}
    forms = {"inputs": _object(columns), "instances": _list(_object(cells), **rows)}
    return {
        "anyOf": [
            {"type": "object", "properties": name | {form: value}, "required": [*required, form]}
            for form, value in forms.items()
        ]
    }


def _answer(signature: Signature) -> dict[str, Any]:
    cells = {tensor.name: _nested(_element(tensor), tensor) for tensor in signature.outputs.values()}
    columns = {name: _list(cell) for name, cell in cells.items()}

    def unnamed(parts: dict[str, Any]) -> dict[str, Any]:  # a single output has no name in the answer
        return _object(parts) if len(parts) > 1 else next(iter(parts.values()))

    return {"anyOf": [_object({"outputs": unnamed(columns)}), _object({"predictions": _list(unnamed(cells))})]}


def _cell(tensor: Tensor, limits: ServingSettings) -> dict[str, Any]:
    """Return the schema of an input for one row."""
    if tensor.name == K:
        return {"type": "integer", "minimum": 1, "maximum": limits.max_k}
    element = _element(tensor)
    if tensor.is_text:
        element["anyOf"][0]["maxLength"] = limits.max_id_bytes
    return _nested(element, tensor, maxItems=limits.max_history)


def _element(tensor: Tensor) -> dict[str, Any]:
    if tensor.is_text:
        return {"anyOf": [{"type": "string"}, {"$ref": f"{COMPONENT}Bytes"}]}
    return {"type": "integer" if tensor.dtype.kind == "i" else "number"}


def _nested(element: dict[str, Any], tensor: Tensor, **bounds: int) -> dict[str, Any]:
    """Return the schema of one row of a tensor: lists of all dimensions but the first."""
    for _ in (tensor.shape or ())[1:]:
        element = _list(element, **bounds)
    return element


def _list(items: dict[str, Any], **bounds: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **bounds}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}
