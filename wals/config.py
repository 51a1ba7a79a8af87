"""Print the settings of a command, and where each is from: wals config --config configs/nightly.yaml"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from configs import cli, places
from configs.settings import Settings, layers
from configs.settings.section import section_of

_EPILOG = """\
What is printed is itself a config. A value is from a file, from --set, a default, or follows from other settings.

examples:
  wals config
  wals config --config configs/nightly.yaml --all
  wals config --set training.seed=7
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and print the settings; raise UserError if one is wrong."""
    parser = cli.parser("wals config", "Print the resolved settings, and where each is from.", epilog=_EPILOG)
    parser.add_argument("--all", action="store_true", help="print the settings that have their defaults, too")
    args = parser.parse_args(argv)
    path = args.config or places.default()
    settings, flags = cli.settings_from(args, {}), cli.assigned(args.assignments)[1]
    origins = {key: layer.path for layer in layers.read(path) for key in layers.keys(layer.tree)} | flags
    print("\n".join(lines(settings, Settings(), origins, args.all)))


def lines(settings: BaseModel, default: BaseModel, origins: dict[str, str], whole: bool) -> Iterator[str]:
    """Yield the settings as YAML, each with a comment on its origin; `whole`: defaults, too."""
    for name, field in type(settings).model_fields.items():
        value, usual = getattr(settings, name), getattr(default, name)
        if section_of(field.annotation) is None:
            yield from _line(name, value, usual, origins.get(name), whole)
            continue
        inside = {key.partition(".")[2]: origin for key, origin in origins.items() if key.startswith(f"{name}.")}
        if below := list(lines(value, usual, inside, whole)):
            yield f"{name}:"
            yield from (f"  {line}" for line in below)


def _line(name: str, value: Any, usual: Any, origin: str | None, whole: bool) -> Iterator[str]:
    if origin is None and value == usual and not whole:
        return
    shown = json.dumps(_plain(value), ensure_ascii=False, default=str)  # JSON is YAML, on one line
    yield f"{name}: {shown}  # {origin or ('default' if value == usual else 'follows from other settings')}"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
