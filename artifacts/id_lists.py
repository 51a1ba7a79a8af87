"""Files of ids, one a line, that say who is answered and what may be given."""

from __future__ import annotations

from collections.abc import Sequence

from artifacts.storage import open_to_read
from configs.errors import UserError


def read_ids(path: str, setting: str) -> list[bytes]:
    """The ids of a list in its order, each once; byte for byte, but for a line's CR and a byte order mark.

    Raises:
        UserError: the file is missing or names nothing; `setting` is what gave its path.
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
        raise UserError(f"{setting}: {path} holds no ids; write one a line")
    return list(ids)


def allowed(ids: Sequence[bytes], allow: str | None, block: str | None) -> list[bool]:
    """Which of the ids may be given, by the files `prediction.allow` and `prediction.block`, where there are any."""
    only = set(read_ids(allow, "prediction.allow")) if allow else None
    never = set(read_ids(block, "prediction.block")) if block else set()
    return [(only is None or name in only) and name not in never for name in ids]
