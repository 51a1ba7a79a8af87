"""The table of settings in README.md, made of the code: python -m configs.reference README.md"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from configs.settings import Settings

BEGIN, END = "<!-- settings: make reference -->\n", "<!-- end of settings -->\n"


def table() -> str:
    """A Markdown table of every setting: its key, its default, what it does."""
    lines = ["| setting | default | what it does |", "|---|---|---|"]
    for key, field in _fields(Settings, ""):
        default = field.get_default(call_default_factory=True)
        shown = "" if default is None or default == {} else f"`{json.dumps(default)}`"
        text = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{key}` | {shown} | {text} |")
    return "\n".join(lines) + "\n"


def put_into(text: str) -> str:
    """The text of a page with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(put_into(page.read_text(encoding="utf-8")), encoding="utf-8")
