"""JSON of TensorFlow Serving's REST API <-> arrays. Sizes are bounded here; a reason names places, never values."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from configs.settings import ServingSettings
from serving.errors import Refusal
from serving.models.model import DEFAULT_SIGNATURE, Signature, Tensor

K = "k"


@dataclass(frozen=True)
class Question:
    """A request: which signature, its inputs by name, how many rows, and whether the answer goes by columns."""

    signature: str
    inputs: dict[str, np.ndarray]
    rows: int
    by_columns: bool


def parse(body: bytes, signatures: Mapping[str, Signature], limits: ServingSettings) -> Question:
    """A request's body -> what it asks.

    Raises:
        Refusal: it is no such request, or asks for more than the limits.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"JSON Parse error: {error}") from None
    if not isinstance(request, dict):
        raise Refusal(400, "the body must be a JSON object with 'instances' or 'inputs'")
    name = request.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise Refusal(400, "'signature_name' key must be a string value")
    signature = signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise Refusal(400, f"Serving signature name not found in signature def; there are {', '.join(signatures)}")
    if ("instances" in request) == ("inputs" in request):
        raise Refusal(400, "give one of 'instances' (rows) and 'inputs' (columns)")
    by_columns = "inputs" in request
    columns = _columns(request["inputs"], signature) if by_columns else _rows(request["instances"], signature, limits)
    inputs = {key: _array(columns[key], tensor, limits) for key, tensor in signature.inputs.items()}
    return Question(signature.name, inputs, _count(inputs, signature, limits), by_columns)


def _columns(given: Any, signature: Signature) -> dict[str, Any]:
    names = list(signature.inputs)
    if not isinstance(given, dict) or set(given) == {"b64"}:
        if len(names) > 1:
            raise Refusal(400, f"'inputs' must be an object with {', '.join(names)}")
        return {names[0]: given}
    for name in names:
        if name not in given:
            raise Refusal(400, f"Missing named input: {name} in 'inputs' object")
    return given


def _rows(given: Any, signature: Signature, limits: ServingSettings) -> dict[str, Any]:
    names = list(signature.inputs)
    if not isinstance(given, list) or not given:
        raise Refusal(400, "'instances' must be a list with at least one row")
    if len(given) > limits.max_batch:
        raise Refusal(400, f"{len(given)} rows are more than {limits.max_batch}, the most of one request")
    if len(names) == 1 and not isinstance(given[0], dict):
        return {names[0]: given}
    for number, row in enumerate(given):
        if not isinstance(row, dict) or set(row) != set(names):
            raise Refusal(400, f"instances[{number}] must be an object with exactly {', '.join(names)}")
    return {name: [row[name] for row in given] for name in names}


def _array(value: Any, tensor: Tensor, limits: ServingSettings) -> np.ndarray:
    shape, flat = _flat(value, tensor.name)
    if tensor.shape is not None and len(shape) != len(tensor.shape):
        raise Refusal(400, f"{tensor.name} must have {len(tensor.shape)} dimensions, not {len(shape)}")
    if tensor.shape is not None and len(shape) > 1 and shape[1] > limits.max_history:
        raise Refusal(400, f"{tensor.name}: {shape[1]} a row are more than {limits.max_history}, the most of one row")
    if tensor.dtype == "string":
        array = np.empty(len(flat), object)
        array[:] = [_bytes(item, tensor.name, limits.max_id_bytes) for item in flat]
    else:
        array = _numbers(flat, tensor)
    if tensor.name == K:
        array, shape = _checked_k(array, shape, limits)
    return array.reshape(shape)


def _flat(value: Any, name: str) -> tuple[list[int], list[Any]]:
    """Nested lists -> the shape and the elements, in order."""
    shape, level = [], [value]
    while level and isinstance(level[0], list):
        shape.append(len(level[0]))
        if any(not isinstance(part, list) or len(part) != shape[-1] for part in level):
            raise Refusal(400, f'{name}: all rows must have one length; fill short ones up with "" and 0')
        level = [item for part in level for item in part]
    if any(isinstance(item, list) for item in level):
        raise Refusal(400, f"{name}: lists and values are mixed")
    return shape, level


def _bytes(item: Any, name: str, most: int) -> bytes:
    if isinstance(item, str):
        found = item.encode()
    elif isinstance(item, dict) and set(item) == {"b64"} and isinstance(item["b64"], str):
        try:
            found = base64.b64decode(item["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise Refusal(400, f"{name}: a b64 value is no base64") from None
    else:
        raise Refusal(400, f'{name} must be strings, or {{"b64": "..."}} for bytes that are no UTF-8')
    if len(found) > most:
        raise Refusal(400, f"{name}: an id of {len(found):,} bytes is longer than {most:,}")
    return found


def _numbers(flat: list[Any], tensor: Tensor) -> np.ndarray:
    dtype = np.dtype(tensor.dtype.as_numpy_dtype)
    whole = dtype.kind in "iu"
    if not all(type(item) is int or (type(item) is float and not whole) for item in flat):
        raise Refusal(400, f"{tensor.name} must be {'whole ' if whole else ''}numbers")
    about = np.iinfo(dtype) if whole else np.finfo(dtype)
    least, most = (int(about.min), int(about.max)) if whole else (float(about.min), float(about.max))
    if not all(least <= item <= most for item in flat):
        raise Refusal(400, f"{tensor.name}: a number is out of range for {tensor.dtype.name}")
    return np.array(flat, dtype)


def _checked_k(array: np.ndarray, shape: list[int], limits: ServingSettings) -> tuple[np.ndarray, list[int]]:
    """k within its limits; as one number where all rows have the same, which lets requests share a call."""
    if not len(array) or array.min() < 1 or array.max() > limits.max_k:
        raise Refusal(400, f"k must lie between 1 and {limits.max_k}")
    return (array[:1], []) if len(shape) == 1 and (array == array[0]).all() else (array, shape)


def _count(inputs: dict[str, np.ndarray], signature: Signature, limits: ServingSettings) -> int:
    sizes = {len(inputs[name]) for name, tensor in signature.inputs.items() if tensor.shape}
    if len(sizes) > 1:
        raise Refusal(400, f"the inputs have different numbers of rows: {', '.join(map(str, sorted(sizes)))}")
    (rows,) = sizes or {1}
    if not 1 <= rows <= limits.max_batch:
        raise Refusal(400, f"{rows} rows; give between 1 and {limits.max_batch}")
    return rows


def encode(outputs: Mapping[str, np.ndarray], by_columns: bool) -> bytes:
    """Arrays -> the body of an answer."""
    if by_columns:
        by_name = {name: readable(value) for name, value in outputs.items()}
        answer = {"outputs": by_name if len(by_name) > 1 else next(iter(by_name.values()))}
    elif len(outputs) == 1:
        answer = {"predictions": readable(next(iter(outputs.values())))}
    else:
        names = list(outputs)
        columns = [list(readable(value)) for value in outputs.values()]
        answer = {"predictions": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]}
    return dumps(answer)


def dumps(answer: Any) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def readable(value: np.ndarray) -> Any:
    """Byte strings -> what JSON can hold; other arrays as they are."""
    return _text(value.tolist()) if value.dtype == object else np.ascontiguousarray(value)


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(item) for item in value]
    return text(value)


def text(name: bytes) -> Any:
    """An id as JSON: a string, or base64 where it is no UTF-8."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(name).decode()}
