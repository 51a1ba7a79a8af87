"""Settings that were renamed: an old key or value is an error that names the new one."""

from __future__ import annotations

from typing import Any

from configs.errors import UserError

KEYS = {
    "source.content_dimension_index": "source.item_dimension_index",
    "source.content_parameter": "source.item_parameter",
    "source.content_column": "source.item_column",
    "source.max_contents_a_day": "source.max_items_a_day",
    "prediction.explain": "prediction.explanation",
    "report.map_contents": "report.map_items",
    "targets_dir": "audiences_dir",
    "similar_contents_dir": "similar_items_dir",
}
VALUES = {
    ("prediction.kind", "targets"): "audiences",
    ("prediction.kind", "similar_contents"): "similar_items",
}


def refuse(tree: dict[str, Any], name: str) -> None:
    """Refuse a tree of settings that has an old key or value.

    Raises:
        UserError: names each old key with its new one.
    """
    findings = [f"{old} is now called {new}" for old, new in KEYS.items() if _find(tree, old) is not None]
    findings += [f"{key} {old} is now called {new}" for (key, old), new in VALUES.items() if _find(tree, key) == old]
    if findings:
        raise UserError(f"{name}: {'; '.join(findings)}")


def _find(tree: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return None
        tree = tree[part]
    return "" if tree is None else tree  # a key without a value is there all the same
