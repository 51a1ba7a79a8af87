"""The base of all manifests: kind, schema version, the files of the output, reading and writing."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from artifacts import storage
from artifacts.checksums import FileDescription, digest_of
from configs import __version__
from configs.errors import UserError

MANIFEST = "manifest.json"


class Part(BaseModel):
    """A part of a manifest. An unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class Manifest(Part):
    """The description of an output, which is its last file."""

    COMMAND: ClassVar[str]  # makes the output again
    LATER: ClassVar[frozenset[str]] = frozenset()  # files that other jobs may add to the finished output

    kind: str
    schema_version: int
    code_version: str = __version__
    files: dict[str, FileDescription] = {}  # that a rerun makes again bit for bit: the fingerprint's
    other_files: dict[str, FileDescription] = {}  # graphs, whose bytes differ from run to run, and rejected rows

    _content: Any = PrivateAttr(None)  # the JSON that was read

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Return the kinds of output that have this manifest."""
        return get_args(cls.model_fields["kind"].annotation)

    @classmethod
    def read(cls, path: str) -> Self:
        """Read the manifest of a finished output; raise UserError if there is none, or see `parse`.

        path: the manifest itself, for example `Dataset(root).manifest`.
        """
        root = path.removesuffix(f"/{MANIFEST}")
        missing = f"{root} is not a finished {noun(cls.kinds()[0])} (no {MANIFEST} in it)"
        return cls.parse(read_text(path, f"{missing}; check the path, or run {cls.COMMAND}"), path)

    @classmethod
    def parse(cls, text: str | bytes, path: str) -> Self:
        """Check the text of a manifest and return it; `path` is where the text is from.

        Raise UserError if it is not JSON, is of another kind or schema version, is incomplete, or names a file outside
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
        if kind not in cls.kinds():
            expected = _with_article(cls.kinds()[0])
            raise UserError(f"{path} is the manifest of {_with_article(kind)}, not of {expected}; check the path")
        version, readable = content.get("schema_version"), cls.model_fields["schema_version"].default
        if version != readable:
            raise UserError(f"{path} has schema version {version}, this code reads {readable}; {remedy}")
        parts = [part for part in (content.get("files"), content.get("other_files")) if isinstance(part, dict)]
        if not all(_is_below(name) for part in parts for name in part):
            raise UserError(f"{path} names files outside its directory; this software does not write such manifests")
        try:
            manifest = cls.model_validate(content)
        except ValidationError as error:
            raise UserError(f"{path} {_first_problem(error)}; {remedy}") from error
        manifest._content = content
        return manifest

    def write(self, path: str) -> None:
        """Write the manifest, the last file of an output, which makes the output whole."""
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


def read_text(path: str, missing: str) -> bytes:
    """Return the text of a manifest; raise UserError, with the text `missing` if it does not exist."""
    try:
        text = storage.read_if_exists(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if text is None:
        raise UserError(missing)
    return text


def kind_of(text: str | bytes) -> str | None:
    """Return the kind that a manifest names, None if the text is not a manifest."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind = content.get("kind") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None


def noun(kind: str) -> str:
    """Return the noun for an output of a kind: a dataset is one thing, predictions are a directory of them."""
    plural = kind in ("predictions", "audiences", "similar_items", "similar_visitors")
    return f"{kind.replace('_', ' ')} directory" if plural else kind


def _with_article(kind: str) -> str:
    """Return the noun for an output of a kind with its article: a dataset, an audiences directory."""
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {noun(kind)}"


def refuse_other_kind(root: str, text: bytes, kind: str) -> None:
    """Raise UserError if the manifest in a directory is of another kind, or not a manifest."""
    actual = kind_of(text)
    if actual != kind:
        contained = _with_article(actual) if actual else "something else"
        raise UserError(f"{root} contains {contained}, not {_with_article(kind)}; name another directory")


def _is_below(name: str) -> bool:
    """Return whether a file's name leads to a path below the directory that it is joined to."""
    return not (name.startswith("/") or "\\" in name or "://" in name or {"", ".", ".."} & set(name.split("/")))


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(map(str, problem["loc"])) or "content"
    return f"lacks {field}" if problem["type"] == "missing" else f"has a wrong {field}: {problem['msg']}"
