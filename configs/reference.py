"""All settings with their defaults, generated from the code: wals reference; docs/generate.py publishes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from configs import cli
from configs.settings import Settings
from configs.settings.section import section_of


def page() -> str:
    """Return Markdown with a heading for each section and each setting, in the order of `Settings`.

    A setting has a heading of its own, so that the site's search finds it by its name, and a link can lead to it.
    """
    parts = [f"## {section}\n\n{text}\n\n{_entries(fields)}" for section, text, fields in sections()]
    return "\n".join(parts)


def sections() -> Iterator[tuple[str, str, list[tuple[str, FieldInfo]]]]:
    """Yield each section's name, description and settings by their dotted key; those without a section come last."""
    without_section = []
    for name, field in Settings.model_fields.items():
        if section := section_of(field.annotation):
            about = " ".join((section.__doc__ or "").split())
            yield name, about, list(_fields(section, name))
        else:
            without_section.append((name, field))
    yield "directories and others", "Settings at the top level of the file.", without_section


def _fields(section: type[BaseModel], name: str) -> Iterator[tuple[str, FieldInfo]]:
    for key, field in section.model_fields.items():
        inner = section_of(field.annotation)
        yield from _fields(inner, f"{name}.{key}") if inner else [(f"{name}.{key}", field)]


def _entries(fields: list[tuple[str, FieldInfo]]) -> str:
    return "\n".join(_entry(*field) for field in fields)


def _entry(key: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    shown = "unset" if default is None else f"`{json.dumps(default)}`"
    text = " ".join((field.description or "").split())
    return f"### `{key}`\n\nDefault: {shown}. {text}\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the page."""
    epilog = "example: wals reference > settings.md"
    cli.plain_parser("wals reference", "Print all settings as Markdown.", epilog=epilog).parse_args(argv)
    print(page(), end="")


if __name__ == "__main__":
    sys.exit(cli.run(main))
