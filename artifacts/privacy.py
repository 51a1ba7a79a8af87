"""Visitors' ids: hashed with a key, and the list of visitors to leave out. Keys are never printed or written.

A hashed id is the HMAC-SHA-256 of the id's bytes, in 64 hexadecimal digits: the same visitor is the same id every
night, and who has not the key cannot go back, nor try ids out.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable

from configs.errors import UserError
from configs.settings import PrivacySettings

_LEAST_BYTES = 16  # of a key: shorter ones can be tried out

Read = Callable[[str], bytes]


def read_key(settings: PrivacySettings, read: Read) -> bytes | None:
    """The key that the settings name; None where ids stay as they are.

    Args:
        read: gives a file's bytes, local or gs://; raises OSError.

    Raises:
        UserError: it is missing or too short. The message never holds the key.
    """
    if settings.hash_key_file:
        where = f"privacy.hash_key_file {settings.hash_key_file}"
        try:
            key = read(settings.hash_key_file)
        except OSError as error:
            raise UserError(f"{where} cannot be read; it holds the key that hashes visitorIds") from error
    elif settings.hash_key_env:
        where = f"privacy.hash_key_env {settings.hash_key_env}"
        if settings.hash_key_env not in os.environ:
            raise UserError(f"{where} is not set here; workers elsewhere need privacy.hash_key_file")
        key = os.environ[settings.hash_key_env].encode("utf-8", "surrogateescape")
    else:
        return None
    key = key.rstrip(b"\r\n")
    if len(key) < _LEAST_BYTES:
        raise UserError(f"{where} is shorter than {_LEAST_BYTES} bytes; make one by: openssl rand -hex 32")
    return key


def hashed(key: bytes, visitor_id: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) of an id, 64 hexadecimal digits."""
    return hmac.digest(key, visitor_id, "sha256").hex().encode()


def key_name(key: bytes | None) -> str | None:
    """What tells one key from another without telling anything of it; stands in a dataset's manifest."""
    return None if key is None else hashlib.sha256(b"name of the key " + hashed(key, b"")).hexdigest()[:16]


def read_deleted(settings: PrivacySettings, key: bytes | None, read: Read) -> frozenset[bytes]:
    """The ids to leave out: those of the list, and their hashes where there is a key; none where there is no list.

    So a list of ids and a list of their hashes do the same, wherever they are read.

    Raises:
        UserError: the list cannot be read. An empty one is one.
    """
    if not settings.deleted_visitors:
        return frozenset()
    try:
        data = read(settings.deleted_visitors)
    except OSError as error:
        raise UserError(f"privacy.deleted_visitors {settings.deleted_visitors} cannot be read") from error
    ids = listed(data)
    return ids | _hashes(key, ids)


def listed(data: bytes) -> frozenset[bytes]:
    """The ids of a deletion list, one a line as they are; but no byte order mark, and no Windows line ends."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return frozenset(line.removesuffix(b"\r") for line in lines) - {b""}


def _hashes(key: bytes | None, ids: Iterable[bytes]) -> set[bytes]:
    return set() if key is None else {hashed(key, name) for name in ids}
