"""Convert between the JSON of TensorFlow Serving's REST API and arrays.

All sizes are bounded here. An error names the place of a wrong value, never the value.
"""

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
from serving.models.signatures import DEFAULT_SIGNATURE, Arrays, Call, K, Signature, Tensor


@dataclass(frozen=True)
class PredictRequest(Call):
    """A predict request: a call, and the form of the answer."""

    by_columns: bool


def parse(body: bytes, signatures: Mapping[str, Signature], limits: ServingSettings) -> PredictRequest:
    """Parse the body of a predict request; raise Refusal if it is something else, or exceeds a limit."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"JSON Parse error: {error}") from None
    if not isinstance(request, dict):
        raise Refusal(400, "the body must be a JSON object with 'instances' or 'inputs'")
    signature = _signature(request.get("signature_name", DEFAULT_SIGNATURE), signatures)
    by_columns = "inputs" in request
    if ("instances" in request) == by_columns:
        raise Refusal(400, "give one of 'instances' (rows) and 'inputs' (columns)")
    columns = _columns(request["inputs"], signature) if by_columns else _rows(request["instances"], signature, limits)
    inputs = {key: _array(columns[key], tensor, limits) for key, tensor in signature.inputs.items()}
    rows = _row_count(inputs, signature, limits)
    if K in inputs:
        inputs[K] = _checked_k(inputs[K], rows, limits)
    return PredictRequest(signature.name, inputs, rows, by_columns)


def _signature(name: Any, signatures: Mapping[str, Signature]) -> Signature:
    if not isinstance(name, str):
        raise Refusal(400, "'signature_name' key must be a string value")
    signature = signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise Refusal(400, f"Serving signature name not found in signature def; use one of {', '.join(signatures)}")
    return signature


def _columns(value: Any, signature: Signature) -> dict[str, Any]:
    names = list(signature.inputs)
    if not isinstance(value, dict) or set(value) == {"b64"}:
        if len(names) > 1:
            raise Refusal(400, f"'inputs' must be an object with {', '.join(names)}")
        return {names[0]: value}
    for name in names:
        if name not in value:
            raise Refusal(400, f"Missing named input: {name} in 'inputs' object")
    if len(value) > len(names):
        raise Refusal(400, f"'inputs' must be an object with exactly {', '.join(names)}")
    return value


def _rows(value: Any, signature: Signature, limits: ServingSettings) -> dict[str, Any]:
    names = list(signature.inputs)
    if not isinstance(value, list) or not value:
        raise Refusal(400, "'instances' must be a list with at least one row")
    if len(value) > limits.max_batch:
        raise Refusal(400, f"a request may have at most {limits.max_batch} rows, not {len(value)}")
    if len(names) == 1 and not isinstance(value[0], dict):
        return {names[0]: value}
    for number, row in enumerate(value):
        if not isinstance(row, dict) or set(row) != set(names):
            raise Refusal(400, f"instances[{number}] must be an object with exactly {', '.join(names)}")
    return {name: [row[name] for row in value] for name in names}


def _array(value: Any, tensor: Tensor, limits: ServingSettings) -> np.ndarray:
    shape, flat = _flatten(value, tensor)
    if len(shape) > 1 and shape[1] > limits.max_history:
        raise Refusal(400, f"{tensor.name}: a row may have at most {limits.max_history} entries, not {shape[1]}")
    if tensor.is_text:
        array = np.empty(len(flat), object)
        array[:] = [_bytes(element, tensor.name, limits.max_id_bytes) for element in flat]
    else:
        array = _numbers(flat, tensor)
    return array.reshape(shape)


def _flatten(value: Any, tensor: Tensor) -> tuple[list[int], list[Any]]:
    """Return the shape and the elements of nested lists. The shape is never deeper than the tensor's."""
    depth = 1 if tensor.shape is None else len(tensor.shape)  # a free rank is that of k: one number, or one per row
    shape: list[int] = []
    level = [value]
    while level and isinstance(level[0], list):
        if len(shape) == depth:
            raise Refusal(400, f"{tensor.name} must have at most {depth} dimension{'s' * (depth != 1)}")
        shape.append(len(level[0]))
        if any(not isinstance(part, list) or len(part) != shape[-1] for part in level):
            raise Refusal(400, f'{tensor.name}: all rows must have one length; pad short rows with "" and 0')
        level = [element for part in level for element in part]
    if tensor.shape is not None and len(shape) < depth:
        raise Refusal(400, f"{tensor.name} must have {depth} dimension{'s' * (depth != 1)}, not {len(shape)}")
    if any(isinstance(element, list) for element in level):
        raise Refusal(400, f"{tensor.name}: lists and values are mixed")
    return shape, level


def _bytes(element: Any, name: str, most: int) -> bytes:
    if isinstance(element, str):
        data = element.encode()
    elif isinstance(element, dict) and set(element) == {"b64"} and isinstance(element["b64"], str):
        try:
            data = base64.b64decode(element["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise Refusal(400, f"{name}: a b64 value is not base64") from None
    else:
        raise Refusal(400, f'{name} must be strings, or {{"b64": "..."}} for bytes that are not UTF-8')
    if len(data) > most:
        raise Refusal(400, f"{name}: an id may have at most {most:,} bytes, not {len(data):,}")
    return data


def _numbers(flat: list[Any], tensor: Tensor) -> np.ndarray:
    dtype = tensor.dtype
    whole = dtype.kind in "iu"
    if not all(type(element) is int or (type(element) is float and not whole) for element in flat):
        raise Refusal(400, f"{tensor.name} must be {'whole ' if whole else ''}numbers")
    limits = np.iinfo(dtype) if whole else np.finfo(dtype)
    lowest, highest = (int(limits.min), int(limits.max)) if whole else (float(limits.min), float(limits.max))
    if not all(lowest <= element <= highest for element in flat):
        raise Refusal(400, f"{tensor.name}: a number is out of range for {tensor.dtype.name}")
    return np.array(flat, dtype)


def _checked_k(k: np.ndarray, rows: int, limits: ServingSettings) -> np.ndarray:
    """Return k, as a scalar if all rows have the same: requests with one k can share a call."""
    if not k.size or k.min() < 1 or k.max() > limits.max_k:
        raise Refusal(400, f"k must be between 1 and {limits.max_k}")
    if k.size not in (1, rows):
        raise Refusal(400, f"k must be one number, or one number per row: {rows} rows, {k.size} numbers")
    first = k.reshape(-1)[0]
    return np.array(first, k.dtype) if (k == first).all() else k


def _row_count(inputs: Arrays, signature: Signature, limits: ServingSettings) -> int:
    sizes = {len(inputs[name]) for name, tensor in signature.inputs.items() if tensor.shape}
    if len(sizes) > 1:
        raise Refusal(400, f"the inputs have different numbers of rows: {', '.join(map(str, sorted(sizes)))}")
    (rows,) = sizes or {1}
    if not 1 <= rows <= limits.max_batch:
        raise Refusal(400, f"a request must have between 1 and {limits.max_batch} rows, not {rows}")
    return rows


def encode(outputs: Mapping[str, np.ndarray], by_columns: bool) -> bytes:
    """Return the body of an answer."""
    # Lists of ids, and arrays of numbers in the one layout that orjson takes.
    columns = {
        name: value.tolist() if value.dtype == object else np.ascontiguousarray(value)
        for name, value in outputs.items()
    }
    if by_columns:
        answer = {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    elif len(columns) == 1:
        answer = {"predictions": next(iter(columns.values()))}
    else:
        rows = zip(*columns.values(), strict=True)
        answer = {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}
    return dumps(answer)


def dumps(answer: Any) -> bytes:
    """Return JSON; an id becomes a string, or `{"b64": ...}` if it is not UTF-8, and an array of numbers a list."""
    return orjson.dumps(answer, default=_id_to_json, option=orjson.OPT_SERIALIZE_NUMPY)


def _id_to_json(name: bytes) -> str | dict[str, str]:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(name).decode()}
