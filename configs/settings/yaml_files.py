"""Reading YAML: a BOM is accepted, a key that is given twice is an error, and dates stay text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from configs.errors import UserError

# PyYAML raises the others for an explicit tag on a wrong value, such as !!int "".
_INVALID = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys and leaves dates to the settings, whose errors are clearer."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise UserError(f"key {key.value} is given twice, in lines {lines[key.value]} and {line}")
                lines[key.value] = line
        return super().construct_mapping(node, deep)


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int | str:
    """Return a number: 010 is ten, not eight as in YAML 1.1, and 1:30 is text, not 90."""
    text = str(node.value).replace("_", "")
    if ":" in text:
        return text
    return int(text) if text.lstrip("+-").isdigit() else loader.construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: str, name: str, example: str) -> dict[str, Any]:
    """Return the mapping of a YAML file, local or gs://, with or without a BOM; an empty file is an empty mapping.

    Raise UserError if it cannot be read, is not YAML, has a key twice, or is not a mapping. The message starts with
    `name` and refers to `example`, a file of the same kind.
    """
    try:
        tree = yaml.load(_read_bytes(path).removeprefix(b"\xef\xbb\xbf"), _Loader) or {}  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise UserError(f"{name} does not exist; see {example} for one") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from error
    except UserError as error:
        raise UserError(f"{name}: {error}; remove one of them") from None
    except RecursionError:
        raise UserError(f"{name} is nested too deeply") from None
    except _INVALID as error:
        raise UserError(f"{name} is not YAML: {_without_line(error)}") from None
    if not isinstance(tree, dict):
        raise UserError(f"{name} contains no settings by name; see {example} for one")
    return tree


def _without_line(error: Exception) -> str:
    """Return what is wrong and where, without the line itself, which can name visitors."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def _read_bytes(path: str) -> bytes:
    """Read a file from a disk, or from gs:// for machines without a disk of ours; raise OSError."""
    if not path.startswith("gs://"):
        with open(path, "rb") as file:
            return file.read()
    from google.api_core.exceptions import GoogleAPICallError, NotFound
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage import Client

    bucket, _, name = path.removeprefix("gs://").partition("/")
    try:
        return Client().bucket(bucket).blob(name).download_as_bytes()
    except NotFound:
        raise FileNotFoundError(path) from None
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise OSError(0, " ".join(str(error).split())) from error


def parse_value(text: str) -> Any:
    """Return the value of a KEY=VALUE flag: YAML if it can be parsed as such, else the text itself."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (*_INVALID, RecursionError, UserError):
        return text


def insert(tree: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Set dotted keys (`source.kind`) in a tree of mappings; a None is null."""
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        branch = tree
        for part in parents:
            if not isinstance(branch.get(part), dict):
                branch[part] = {}
            branch = branch[part]
        branch[last] = value


def nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys as a tree of mappings."""
    tree: dict[str, Any] = {}
    insert(tree, overrides)
    return tree
