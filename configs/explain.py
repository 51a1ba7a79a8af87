"""The settings of a source, spelled out: the YAML that `pipeline.preprocess --explain_source` prints."""

from __future__ import annotations

from typing import Any

import yaml

from configs.errors import UserError
from configs.settings import Signal, SourceSettings


def explain(source: SourceSettings) -> str:
    """Return the signals, page rules and attributes of a source as YAML that means the same without the preset."""
    if source.kind == "table":
        raise UserError("kind table has columns in place of signals; --explain_source is for kind ga4 and ga360")
    rules = source.page_rules.model_dump()
    section = {
        "kind": source.kind,
        "signals": [_signal(signal) for signal in source.all_signals],
        "page": {name: list(value) if isinstance(value, tuple) else value for name, value in rules.items()},
        "attributes": dict(source.item_attributes),
    }
    return yaml.safe_dump({"source": section}, sort_keys=False, allow_unicode=True, width=120)


def _signal(signal: Signal) -> dict[str, Any]:
    """Return what a signal sets; what is left out has its default."""
    events = list(signal.event) if len(signal.event) > 1 else signal.event[0]
    return {"event": events} | signal.model_dump(exclude={"event"}, exclude_defaults=True)
