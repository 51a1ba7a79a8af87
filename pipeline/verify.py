"""Is an output whole and undamaged? python -m pipeline.verify DIR ..."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import google_crc32c

from artifacts import manifests
from artifacts.names import HELD_OUT
from artifacts.paths import join
from configs import cli
from configs.errors import UserError

_AT_ONCE = 1 << 22  # bytes


def main(argv: Sequence[str] | None = None) -> None:
    """Checks each directory that is named, and prints what was found.

    Raises:
        UserError: one of them is not whole, or damaged.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.verify",
        description="Checks datasets, models and predictions against their manifests: each file's bytes and checksum, "
        "the sums of the counts, and that no file is left over.",
        allow_abbrev=False,
    )
    parser.add_argument("roots", nargs="+", metavar="DIR", help="a dataset, a model or predictions, local or gs://")
    findings = []
    for root in parser.parse_args(argv).roots:
        root = root.rstrip("/")
        content = read_any_manifest(root)
        found = list(problems(root, content))
        _show(root, content, found)
        findings += [f"{root}: {problem}" for problem in found]
    if findings:
        more = f" (and {len(findings) - 1} more, above)" if len(findings) > 1 else ""
        raise UserError(f"{findings[0]}{more}; make it again")


def read_any_manifest(root: str) -> dict[str, Any]:
    """The manifest of a finished output of any kind.

    Raises:
        UserError: there is none.
    """
    from artifacts import publish
    from artifacts.storage import open_to_read

    path = join(root, publish.MANIFEST)
    try:
        with open_to_read(path) as file:
            text = file.read()
    except OSError as error:
        raise UserError(f"{root} is no finished output (no {publish.MANIFEST} in it)") from error
    kind = manifests.kind_of(text)
    if kind is None:
        raise UserError(f"{path} is not a manifest; check the path")
    return manifests.parse(text, kind, path)


def problems(root: str, content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with an output, a line each: files missing, damaged or left over, and counts that do not add up."""
    from artifacts import publish

    described = manifests.all_files(content)
    found = {path[len(root) + 1 :] for path in publish.list_files(root)} - {publish.MANIFEST}
    for name in sorted(described.keys() - found):
        yield f"{name} is missing"
    for name in sorted(found - described.keys()):
        yield f"{name} is not in the manifest"
    for name in sorted(described.keys() & found):
        expected, actual = described[name], describe(join(root, name))
        for what in ("bytes", "crc32c"):
            if actual[what] != expected[what]:
                yield f"{name} has {what} {actual[what]} where the manifest says {expected[what]}"
                break
    if content["kind"] == "dataset":
        yield from _wrong_sums(content)


def describe(path: str) -> dict[str, Any]:
    """Bytes and CRC-32C (hexadecimal) of a file, read in pieces."""
    from artifacts.storage import open_to_read

    size, checksum = 0, google_crc32c.Checksum()
    with open_to_read(path) as file:
        while piece := file.read(_AT_ONCE):
            size += len(piece)
            checksum.update(piece)
    return {"bytes": size, "crc32c": checksum.hexdigest().decode()}


def _wrong_sums(content: Mapping[str, Any]) -> Iterator[str]:
    counts = content["counts"]
    for side in content["shards"]:
        total = sum(file["interactions"] for name, file in content["files"].items() if name.startswith(f"{side}-"))
        expected = content["split"]["held_out"] if side == HELD_OUT else counts["interactions"]
        if total != expected:
            yield f"{side} holds {total} interactions where the manifest counts {expected}"


def _show(root: str, content: Mapping[str, Any], found: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    files = manifests.all_files(content)
    table = Table(title=f"{content['kind']} {root}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right", overflow="fold")
    table.add_row("files", f"{len(files):,}")
    table.add_row("bytes", f"{sum(file['bytes'] for file in files.values()):,}")
    for name, count in content.get("counts", {}).items():
        table.add_row(name.replace("_", " "), f"{count:,}" if isinstance(count, int) else json.dumps(count))
    for problem in found:
        table.add_row("[red]damaged[/red]", problem)
    if not found:
        table.add_row("whole", "yes")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(cli.run(main))
