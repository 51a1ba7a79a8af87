"""Files of ids, one per line: whom to answer, and which items may be answers."""

from __future__ import annotations

from collections.abc import Sequence

from artifacts.storage import open_to_read
from configs.errors import UserError


def read_ids(path: str, setting: str) -> list[bytes]:
    """Return the ids of a list in its order, each once; without byte order mark, and without the CR of Windows lines.

    Args:
        setting: the setting whose value is the path, for messages.

    Raises:
        UserError: the file is missing, or has no ids.
    """
    try:
        with open_to_read(path) as file:
            data = file.read()
    except FileNotFoundError:
        raise UserError(f"{setting}: {path} does not exist") from None
    except OSError as error:
        raise UserError(f"{setting}: {path} cannot be read: {error}") from error
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    ids = dict.fromkeys(line.removesuffix(b"\r") for line in lines)
    ids.pop(b"", None)
    if not ids:
        raise UserError(f"{setting}: {path} has no ids; write one per line")
    return list(ids)


def allowed(ids: Sequence[bytes], allow: str | None, block: str | None) -> list[bool]:
    """Return for each id whether the files `prediction.allow` and `prediction.block`, if set, let it be an answer."""
    only = set(read_ids(allow, "prediction.allow")) if allow else None
    never = set(read_ids(block, "prediction.block")) if block else set()
    return [(only is None or name in only) and name not in never for name in ids]
