"""The lists of items that answers may, or may not, contain: files that are read again when they change."""

from __future__ import annotations

import glob
import logging

from artifacts import storage
from artifacts.id_lists import IdList, decode, read_file
from configs.errors import UserError
from configs.settings import ServingSettings

LOG = logging.getLogger("serving")
_LINE_ENDS = (b"\n", b"\r", b"\n\0", b"\r\0", b"\0\n", b"\0\r")  # in UTF-16, too


class ListFile:
    """The ids of a file, as it was when it was last complete."""

    def __init__(self, path: str, setting: str):
        """Read the file; raise UserError if it cannot be read, has no ids, or its last line has no end."""
        self._path, self._setting = path, setting
        self._stamp = self._seen = self._stamp_now()
        self._problem = ""
        self.ids = self._read()

    def refresh(self) -> bool:
        """Read the file again if it has changed and rests since the last look; return whether the ids are its own.

        A file that is being written, or cannot be read, leaves the ids as they are; the log states so once.
        """
        try:
            stamp, seen = self._stamp_now(), self._seen
            self._seen = stamp
            if stamp != self._stamp and stamp == seen:
                self.ids, self._stamp = self._read(), stamp
                LOG.info("%s %s: read again, %d ids", self._setting, self._path, len(self.ids))
        except UserError as error:
            if str(error) != self._problem:
                LOG.error("%s; the list read before stays in use", error)
            self._problem = str(error)
            return False
        self._problem = ""
        return stamp == self._stamp

    def _stamp_now(self) -> list[storage.StoredFile]:
        try:
            return storage.glob(glob.escape(self._path))
        except OSError as error:
            raise UserError(f"{self._setting} {self._path} cannot be read: {error}") from error

    def _read(self) -> frozenset[bytes]:
        name, data = f"{self._setting} {self._path}", read_file(self._path, self._setting)
        if data and not data.endswith(_LINE_ENDS):
            raise UserError(f"{name}: its last line has no end, so it may be half-written; end the line")
        ids = IdList.parse(decode(data, name)).ids
        if not ids:
            raise UserError(f"{name} has no ids; write one per line")
        return ids


class Lists:
    """The lists of serving.allow and serving.block."""

    def __init__(self, settings: ServingSettings):
        """Read the files; raise UserError if one cannot be read, or see `ListFile`."""
        self._allow = ListFile(settings.allow, "serving.allow") if settings.allow else None
        self._block = ListFile(settings.block, "serving.block") if settings.block else None

    @property
    def ids(self) -> tuple[frozenset[bytes] | None, frozenset[bytes]]:
        """The items that answers may contain, None for all, and those that they may not."""
        return self._allow.ids if self._allow else None, self._block.ids if self._block else frozenset()

    def refresh(self) -> int:
        """Read the files again that have changed; return the number of those whose newest state is not in use."""
        return sum(not file.refresh() for file in (self._allow, self._block) if file)
