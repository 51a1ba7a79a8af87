"""Signatures as TensorFlow Serving's metadata describe them, in JSON: what may be asked, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format


def described(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the signature definitions of a SavedModel by name, without the marker of an object graph."""
    signatures = {}
    for name in sorted(definitions):
        if name.startswith("__"):
            continue
        fields = json_format.MessageToDict(
            definitions[name], preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        fields.pop("defaults", None)
        for tensors in (fields["inputs"], fields["outputs"]):
            for tensor in tensors.values():
                tensor.setdefault("tensor_shape", {"dim": [], "unknown_rank": False})
        signatures[name] = fields
    return signatures
