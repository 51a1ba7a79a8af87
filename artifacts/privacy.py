"""Visitors' ids: hashed with a key, and the list of visitors to leave out. Keys are never printed or written.

A hashed id is the HMAC-SHA-256 of the id's bytes, in 64 hexadecimal digits: a visitor has the same id every night, and
without the key nobody can reverse a hash or try ids.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from artifacts.id_lists import IdList, read_text
from artifacts.storage import read_bytes
from configs.errors import UserError
from configs.settings import PrivacySettings

_LEAST_BYTES = 16  # of a key: shorter ones can be guessed


def read_key(settings: PrivacySettings) -> bytes | None:
    """Return the key that the settings name; None if ids are not hashed.

    Raise UserError if it is missing or too short; the message never contains the key.
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


def read_deleted(settings: PrivacySettings, key: bytes | None) -> dict[bytes, int]:
    """Return the ids of the deletion list, which may be empty, and with a key their hashes, with their lines.

    So a list of ids and a list of their hashes have the same effect.
    """
    if not settings.deleted_visitors:
        return {}
    lines = IdList.parse(read_text(settings.deleted_visitors, "privacy.deleted_visitors")).lines
    ids = {form: number for number, line in enumerate(lines) for form in line}
    return ids if key is None else {hashed(key, form): number for form, number in ids.items()} | ids
