"""Visitors' ids: hashed with a key, and the list of visitors to leave out. Keys are never printed or written.

A hashed id is the HMAC-SHA-256 of the id's bytes, in 64 hexadecimal digits: a visitor has the same id every night, and
without the key nobody can reverse a hash or try ids.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from artifacts import id_lists
from artifacts.storage import read_bytes
from configs.errors import UserError
from configs.settings import PrivacySettings

_LEAST_BYTES = 16  # of a key: shorter ones can be guessed


def read_key(settings: PrivacySettings) -> bytes | None:
    """Return the key that the settings name; None if ids are not hashed.

    Raises:
        UserError: the key is missing or too short. The message never contains the key.
    """
    if settings.hash_key_file:
        setting = f"privacy.hash_key_file {settings.hash_key_file}"
        try:
            key = read_bytes(settings.hash_key_file)
        except OSError as error:
            raise UserError(f"{setting} cannot be read; it is the key that hashes visitorIds") from error
    elif settings.hash_key_env:
        setting = f"privacy.hash_key_env {settings.hash_key_env}"
        if settings.hash_key_env not in os.environ:
            raise UserError(f"{setting} is not set here; workers elsewhere need privacy.hash_key_file")
        key = os.environ[settings.hash_key_env].encode("utf-8", "surrogateescape")
    else:
        return None
    key = key.rstrip(b"\r\n")
    if len(key) < _LEAST_BYTES:
        raise UserError(f"{setting} is shorter than {_LEAST_BYTES} bytes; make one with: openssl rand -hex 32")
    return key


def hashed(key: bytes, visitor_id: bytes) -> bytes:
    """Return the HMAC-SHA-256 (RFC 2104) of an id, 64 hexadecimal digits."""
    return hmac.digest(key, visitor_id, "sha256").hex().encode()


def key_name(key: bytes | None) -> str | None:
    """Return a name that tells one key from another and reveals nothing of it, for a dataset's manifest."""
    return None if key is None else hashlib.sha256(b"name of the key " + hashed(key, b"")).hexdigest()[:16]


def read_deleted(settings: PrivacySettings, key: bytes | None) -> frozenset[bytes]:
    """Return the ids of the deletion list and, with a key, their hashes; empty without a list.

    So a list of ids and a list of their hashes have the same effect.

    Raises:
        UserError: the list cannot be read. A list may be empty.
    """
    if not settings.deleted_visitors:
        return frozenset()
    try:
        data = read_bytes(settings.deleted_visitors)
    except OSError as error:
        raise UserError(f"privacy.deleted_visitors {settings.deleted_visitors} cannot be read") from error
    ids = listed(data, f"privacy.deleted_visitors {settings.deleted_visitors}")
    return ids if key is None else ids | {hashed(key, name) for name in ids}


def listed(data: bytes, file: str) -> frozenset[bytes]:
    """Return the ids of a deletion list, in all forms that its lines can mean.

    Raises:
        UserError: the file, whose name is for the message, is not text in UTF-8 or UTF-16.
    """
    return frozenset(form for line in id_lists.parse_lines(data, file) for form in id_lists.forms(line))
