"""The tables of settings, made of the code: python -m configs.reference prints, docs/generate.py publishes them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from configs.settings import Settings

_OWN = "directories and others"


def page() -> str:
    """Markdown: a heading and a table for each section, in the order of `Settings`."""
    parts = []
    for section, text, fields in sections():
        lines = ["| setting | default | what it does |", "|---|---|---|", *(_row(*field) for field in fields)]
        parts.append("\n".join([f"## {section}", "", text, "", *lines, ""]))
    return "\n".join(parts)


def sections() -> Iterator[tuple[str, str, list[tuple[str, FieldInfo]]]]:
    """Each section's name, what it is about, and its settings by their whole key; those of no section come last."""
    own = []
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            about = " ".join((field.annotation.__doc__ or "").split())
            fields = field.annotation.model_fields.items()
            yield name, about, [(f"{name}.{key}", inner) for key, inner in fields]
        else:
            own.append((name, field))
    yield _OWN, "At the top of the file.", own


def _row(key: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    shown = "" if default is None or default == {} else f"`{json.dumps(default)}`"
    text = (field.description or "").replace("|", "\\|")
    return f"| `{key}` | {shown} | {text} |"


if __name__ == "__main__":
    print(page(), end="")
