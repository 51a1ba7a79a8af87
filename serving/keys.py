"""API keys, for the addresses that change something."""

from __future__ import annotations

import hashlib
import hmac

from artifacts.id_lists import read_text
from configs.errors import UserError
from serving.errors import Refusal

_SHORTEST = 16  # characters of a key that is not to be guessed


class Keys:
    """The keys in a file, one per line; without a file no request needs one."""

    def __init__(self, path: str | None):
        """Read the file; raise UserError if it cannot be read, or has no keys or one that is too short."""
        self._digests: tuple[bytes, ...] | None = None
        if path is None:
            return
        keys = [line.strip() for line in read_text(path, "API keys").splitlines() if line.strip()]
        if not keys or min(map(len, keys)) < _SHORTEST:
            raise UserError(f"{path} must have API keys of {_SHORTEST} characters or more, one per line")
        self._digests = tuple(map(_digest, keys))

    def require(self, authorization: str | None) -> None:
        """Raise Refusal (401) unless a header `Bearer KEY` has one of the keys; how long it takes tells nothing."""
        if self._digests is None:
            return
        scheme, _, key = (authorization or "").partition(" ")
        given = _digest(key.strip())
        same = [hmac.compare_digest(given, known) for known in self._digests]
        if scheme.lower() != "bearer" or not any(same):
            raise Refusal(401, "this address needs an API key: send the header Authorization: Bearer KEY")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
