"""The command that checks finished outputs against their manifests: wals verify DIR ..."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from artifacts import checksums, manifests, storage
from artifacts.manifests import MANIFEST, DatasetManifest, Manifest
from configs import cli
from configs.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Check each directory and print the result; raise UserError if one is not finished, or is damaged."""
    parser = cli.plain_parser(
        "wals verify",
        "Check datasets, models and predictions against their manifests: the size and checksum of each "
        "file, the sums of the counts, and that all files are described.",
        epilog="example: wals verify data/dataset data/model data/predictions",
    )
    parser.add_argument("roots", nargs="+", metavar="DIR", help="a dataset, a model or predictions, local or gs://")
    findings = []
    for root in parser.parse_args(argv).roots:
        root = root.rstrip("/")
        manifest = manifests.read_any(root)
        of_root = list(problems(root, manifest))
        _show(root, manifest, of_root)
        findings += [f"{root}: {problem}" for problem in of_root]
    if findings:
        more = f" (and {len(findings) - 1} more, above)" if len(findings) > 1 else ""
        raise UserError(f"{findings[0]}{more}; make it again")


def problems(root: str, manifest: Manifest) -> Iterator[str]:
    """Yield a line per problem: a file that is missing, damaged or unknown, and counts that do not add up."""
    files = manifest.all_files()
    for name in sorted(storage.list_files(root).keys() - files.keys() - {MANIFEST} - manifest.LATER):
        yield f"{name} is not in the manifest"
    yield from checksums.problems(root, files)
    if isinstance(manifest, DatasetManifest):
        yield from manifest.wrong_sums()


def _show(root: str, manifest: Manifest, wrong: Sequence[str]) -> None:
    files = manifest.all_files()
    rows: list[tuple[str, int | str]] = [("files", len(files)), ("bytes", sum(file.bytes for file in files.values()))]
    rows += [(name.replace("_", " "), n) for name, n in manifest.model_dump(mode="json").get("counts", {}).items()]
    rows += [("damaged", problem) for problem in wrong] or [("whole", "yes")]
    cli.print_table(f"{manifest.kind} {root}", rows)


if __name__ == "__main__":
    sys.exit(cli.run(main))
