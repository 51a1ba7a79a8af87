"""The OpenAPI description: answers for people as pydantic models, predict requests made of the signatures served."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from configs.settings import ServingSettings
from serving.http.codec import K
from serving.models.model import DEFAULT_SIGNATURE, Model, Signature, Tensor

COMPONENT = "#/components/schemas/"


class Bytes(BaseModel):
    """An id that is no UTF-8, in base64."""

    b64: str


Id = str | Bytes


class Error(BaseModel):
    """Why there is no answer."""

    error: str


class Item(BaseModel):
    """An item of a list; title and category where the catalogue has them."""

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


class Recommendations(BaseModel):
    visitorId: Id  # noqa: N815
    rule: Literal["factors", "projection", "popularity"]
    modelVersion: int  # noqa: N815
    recommendations: list[Scored]


class History(BaseModel):
    visitorId: Id  # noqa: N815
    total: int = Field(description="Of all items the visitor has, not only of those listed.")
    modelVersion: int  # noqa: N815
    history: list[Rated]


class SimilarItems(BaseModel):
    contentId: Id  # noqa: N815
    modelVersion: int  # noqa: N815
    similar_items: list[Scored]


class Explanation(BaseModel):
    visitorId: Id  # noqa: N815
    contentId: Id  # noqa: N815
    score: float = Field(description="The sum of all contributions.")
    modelVersion: int  # noqa: N815
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
    K: "How many, at most.",
}


def parameter(name: str, limits: ServingSettings) -> dict[str, Any]:
    """A parameter behind `?`, in OpenAPI's words."""
    if name == K:
        kind = {"type": "integer", "minimum": 1, "maximum": limits.max_k, "default": min(10, limits.max_k)}
    else:
        kind = {"type": "string", "minLength": 1, "maxLength": limits.max_id_bytes}
    return {"name": name, "in": "query", "required": name != K, "description": _PARAMETERS[name], "schema": kind}


def complete(document: dict[str, Any], model: Model | None, limits: ServingSettings) -> dict[str, Any]:
    """FastAPI's document with the signatures of the model that answers."""
    components = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # answered as `Error`
        components.pop(name, None)
    signatures = list(model.signatures.values()) if model else []
    for signature in signatures:
        components[f"{signature.name} request"] = _request(signature, limits)
        components[f"{signature.name} answer"] = _answer(signature)
    for path, methods in document["paths"].items():
        known = {"name": [limits.name], "version": [model.number] if model else []}
        for operation in methods.values():
            operation["responses"].pop("422", None)
            for given in operation.get("parameters", []):
                if given["in"] == "path" and known.get(given["name"]):
                    given["schema"]["enum"] = known[given["name"]]
        if path.endswith(":predict"):
            methods["post"]["requestBody"] = {"required": True, "item": _any_of(signatures, "request")}
            methods["post"]["responses"]["200"]["item"] = _any_of(signatures, "answer")
    return document


def _any_of(signatures: list[Signature], what: str) -> dict[str, Any]:
    known = {"anyOf": [{"$ref": f"{COMPONENT}{signature.name} {what}"} for signature in signatures]}
    return {"application/json": {"schema": known if signatures else {"type": "object"}}}


def _request(signature: Signature, limits: ServingSettings) -> dict[str, Any]:
    default = signature.name == DEFAULT_SIGNATURE
    names = {"signature_name": {"type": "string", "enum": [signature.name]}}
    tensors = signature.inputs.values()
    most = (limits.max_batch, limits.max_history)
    columns = _object({tensor.name: _input(tensor, limits, tensor.shape, most) for tensor in tensors})
    rows = _object({one.name: _input(one, limits, one.shape and one.shape[1:], most[1:]) for one in tensors})
    several = {"type": "array", "minItems": 1, "maxItems": limits.max_batch, "items": rows}
    needed = [] if default else ["signature_name"]
    ways = {
        way: {"type": "object", "properties": names | {way: given}, "required": [*needed, way]}
        for way, given in (("inputs", columns), ("instances", several))
    }
    return {"anyOf": list(ways.values())}


def _answer(signature: Signature) -> dict[str, Any]:
    tensors = list(signature.outputs.values())
    if len(tensors) == 1:
        columns = _nested(_element(tensors[0]), tensors[0].shape)
        rows = _nested(_element(tensors[0]), tensors[0].shape and tensors[0].shape[1:])
    else:
        columns = _object({tensor.name: _nested(_element(tensor), tensor.shape) for tensor in tensors})
        rows = _object(
            {tensor.name: _nested(_element(tensor), tensor.shape and tensor.shape[1:]) for tensor in tensors}
        )
    return {"anyOf": [_object({"outputs": columns}), _object({"predictions": {"type": "array", "items": rows}})]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _input(
    tensor: Tensor, limits: ServingSettings, shape: tuple[int, ...] | None, most: tuple[int, ...]
) -> dict[str, Any]:
    """`most`: how many each dimension may hold."""
    if tensor.name == K:
        one = {"type": "integer", "minimum": 1, "maximum": limits.max_k}
        several = {"type": "array", "items": one, "minItems": 1, "maxItems": limits.max_batch}
        return {"anyOf": [one, several]} if len(most) > 1 else one
    element = _element(tensor)
    if tensor.dtype == "string":
        element["anyOf"][0]["maxLength"] = limits.max_id_bytes
    for depth in reversed(range(len(shape or ()))):
        element = {"type": "array", "items": element, "maxItems": most[depth]}
        if len(most) > 1 and depth == 0:
            element["minItems"] = 1
    return element


def _element(tensor: Tensor) -> dict[str, Any]:
    if tensor.dtype == "string":
        return {"anyOf": [{"type": "string"}, {"$ref": f"{COMPONENT}Bytes"}]}
    return {"type": "integer" if tensor.dtype.is_integer else "number"}


def _nested(element: dict[str, Any], shape: tuple[int, ...] | None) -> dict[str, Any]:
    for _ in shape or ():
        element = {"type": "array", "items": element}
    return element
