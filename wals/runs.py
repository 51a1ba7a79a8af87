"""List the datasets, models and predictions below a directory: wals runs data"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from artifacts import manifests, storage
from artifacts.manifests import MANIFEST, DatasetManifest, Manifest, ModelManifest, PredictionsManifest
from configs import cli, tables
from configs.errors import UserError
from configs.nouns import counted

_SYSTEM = "WALS"
_EPILOG = """\
Figures and settings are those of the manifests. The metrics of a model and of its predictions are those of
evaluation.headline in the evaluation that `wals evaluate` wrote. A setting is shown if it differs from its default.

examples:
  wals runs
  wals runs data gs://bucket/wals --json
"""


class Run(NamedTuple):
    """An output, as its manifest describes it."""

    path: str
    kind: str
    date: str
    bytes: int
    counts: str
    metric: str
    settings: str


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and print the list."""
    parser = cli.plain_parser("wals runs", "List datasets, models and predictions.", epilog=_EPILOG)
    parser.add_argument("roots", nargs="*", default=["data"], metavar="DIR", help="where to look (default: data)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per output")
    args = parser.parse_args(argv)
    runs = [run for root in args.roots for run in find(root.rstrip("/"))]
    if args.json:
        print("".join(f"{json.dumps(run._asdict())}\n" for run in runs), end="")
    else:
        show(runs)


def find(root: str) -> Iterator[Run]:
    """Yield the finished outputs below a directory, by their paths."""
    files = storage.list_files(root)
    metrics = dict(_metrics(root, files))
    for name in sorted(files):
        if name.rpartition("/")[2] != MANIFEST:
            continue
        path = f"{root}/{name}".removesuffix(f"/{MANIFEST}")
        try:
            manifest = manifests.read_any(path)
        except UserError:
            yield Run(path, "not readable by this version", "", 0, "", "", "")
            continue
        if isinstance(manifest, DatasetManifest | ModelManifest | PredictionsManifest):
            yield _describe(path, manifest, files[name].changed, metrics)


def _metrics(root: str, files: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the digest of each model that was evaluated, and its headline metrics."""
    for name in files:
        if "evaluation" not in name.rpartition("/")[2] or not name.endswith(".json"):
            continue
        try:
            content = json.loads(storage.read_bytes(f"{root}/{name}"))
            asked, ours = content["settings"], content["systems"][_SYSTEM]
            names = [f"{metric}@{max(asked['k'])}" for metric in asked["headline"]]
            yield content["model"]["digest"], ", ".join(f"{name} {ours[name]['value']:.4f}" for name in names)
        except (ValueError, KeyError, TypeError):
            continue  # a file of another kind


def _describe(path: str, manifest: Manifest, changed: str, metrics: dict[str, str]) -> Run:
    size = sum(file.bytes for file in manifest.all_files().values())
    if isinstance(manifest, DatasetManifest):
        counts = manifest.counts
        date, text = manifest.created, f"{counts.users:,} x {counts.items:,}, {counted(counts.interactions, 'pair')}"
        return Run(path, manifest.kind, date[:16], size, text, "", _differing(manifest.settings))
    if isinstance(manifest, ModelManifest):
        text = f"{manifest.users:,} x {manifest.items:,}, {manifest.embedding_dimension} dimensions"
        date, metric = "" if storage.is_remote(path) else _date(changed), metrics.get(manifest.digest(), "")
        return Run(path, manifest.kind, date, size, text, metric, _differing(manifest.settings, "training."))
    assert isinstance(manifest, PredictionsManifest)  # noqa: S101 - for the types alone
    text = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in list(manifest.counts.items())[:2])
    return Run(
        path,
        manifest.kind,
        manifest.run_time[:16],
        size,
        text,
        metrics.get(manifest.model_fingerprint, ""),
        _differing(manifest.settings.prediction, "prediction."),
    )


def _date(changed: str) -> str:
    """Return the time of a local file's change, in UTC."""
    return datetime.datetime.fromtimestamp(int(changed) / 1e9, datetime.UTC).isoformat()[:16]


def _differing(settings: BaseModel, prefix: str = "") -> str:
    """Return the settings that differ from their defaults, as KEY=VALUE."""
    tree = settings.model_dump(mode="json", exclude_defaults=True)
    return " ".join(f"{key}={json.dumps(value)}" for key, value in _leaves(tree, prefix))


def _leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def show(runs: Sequence[Run]) -> None:
    """Print two lines per output: what it is, and the settings that differ."""
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    if not runs:
        print("nothing yet: wals preprocess makes a dataset")
    for run in runs:
        parts = (run.kind, run.date, f"{run.bytes / 1e6:,.1f} MB" if run.bytes else "", run.counts, run.metric)
        tables.say(console, escape(f"{run.path}: {', '.join(filter(None, parts))}"))
        if run.settings:
            tables.say(console, escape(f"    {run.settings}"))
