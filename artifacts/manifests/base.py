"""The base of all manifests: kind, schema version, the files of the output, reading and writing."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from artifacts import storage
from artifacts.checksums import FileDescription, digest_of
from configs import __version__
from configs.errors import UserError

MANIFEST = "manifest.json"


class Part(BaseModel):
    """A part of a manifest. An unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class Manifest(Part):
    """The description of an output, which is its last file.

    Attributes:
        files: every file that a rerun makes again bit for bit; the fingerprint is computed from these.
        other_files: all other files below the root: graphs, whose bytes differ from run to run.
    """

    KINDS: ClassVar[tuple[str, ...]]
    SCHEMA_VERSION: ClassVar[int]
    COMMAND: ClassVar[str]  # makes the output again

    kind: str = ""  # by default the first of KINDS
    schema_version: int = 0  # by default SCHEMA_VERSION
    code_version: str = __version__
    files: dict[str, FileDescription] = Field(default_factory=dict)
    other_files: dict[str, FileDescription] = Field(default_factory=dict)

    _content: dict[str, Any] | None = PrivateAttr(None)  # the JSON that was read

    def __init__(self, **fields: Any):
        super().__init__(**{"kind": self.KINDS[0], "schema_version": self.SCHEMA_VERSION} | fields)

    @classmethod
    def read(cls, path: str) -> Self:
        """Read the manifest of a finished output.

        Args:
            path: the manifest itself, for example `Dataset(root).manifest`.

        Raises:
            UserError: it does not exist, or this code cannot read the output that it describes.
        """
        try:
            text = storage.read_bytes(path)
        except (FileNotFoundError, NotADirectoryError):
            root = path.removesuffix(f"/{MANIFEST}")
            missing = f"{root} is not a finished {cls.KINDS[0]} (no {MANIFEST} in it)"
            raise UserError(f"{missing}; check the path, or run {cls.COMMAND}") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error}") from error
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str | bytes, path: str) -> Self:
        """Check the text of a manifest and return it.

        Args:
            path: where the text is from, for messages.

        Raises:
            UserError: it is not JSON, or of another kind or schema version, or incomplete, or it names a file outside
                its directory.
        """
        remedy = f"rerun {cls.COMMAND}"
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not a manifest ({error}); {remedy}") from error
        kind = kind_of(text)
        if kind is None:
            raise UserError(f"{path} is not a manifest (it has no kind); {remedy}")
        if kind not in cls.KINDS:
            raise UserError(f"{path} is the manifest of a {kind}, not of a {cls.KINDS[0]}; check the path")
        version = content.get("schema_version")
        if version != cls.SCHEMA_VERSION:
            raise UserError(f"{path} has schema version {version}, this code reads {cls.SCHEMA_VERSION}; {remedy}")
        names = [name for part in ("files", "other_files") for name in content.get(part) or ()]
        if not all(map(is_below, names)):
            raise UserError(f"{path} names files outside its directory; this software does not write such manifests")
        try:
            manifest = cls(**content)
        except (ValidationError, TypeError) as error:
            raise UserError(f"{path} {_first_problem(error)}; {remedy}") from error
        manifest._content = content
        return manifest

    def write(self, path: str) -> None:
        """Write the manifest, which makes the output whole: the last file of an output.

        Raises:
            OSError: it cannot be written.
        """
        storage.write_bytes(path, self.to_json().encode())
        self._content = None  # the fields may have changed since it was read

    def to_json(self) -> str:
        """Return the text that `write` writes."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    def all_files(self) -> dict[str, FileDescription]:
        """Return every file below the root except the manifest, by its name relative to the root."""
        return self.files | self.other_files

    def fingerprint(self) -> str:
        """Return what tells one dataset from another: a digest of the names and checksums of `files`."""
        return digest_of(sorted((name, file.crc32c) for name, file in self.files.items()))

    def digest(self) -> str:
        """Return what tells one model from another: a digest of everything in the manifest, as it was read."""
        return digest_of(self.model_dump(mode="json") if self._content is None else self._content)


def kind_of(text: str | bytes) -> str | None:
    """Return the kind that a manifest names, None if the text is not a manifest."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind = content.get("kind") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None


def is_below(name: str) -> bool:
    """Return whether a file's name leads to a path below the directory that it is joined to."""
    return not (name.startswith("/") or "\\" in name or "://" in name or {"", ".", ".."} & set(name.split("/")))


def _first_problem(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return f"is not a manifest ({error})"
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(map(str, problem["loc"])) or "content"
    return f"lacks {field}" if problem["type"] == "missing" else f"has a wrong {field}: {problem['msg']}"
