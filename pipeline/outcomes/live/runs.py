"""Runs: recommendations that were live, each from its run_time to the next run's, with the dataset they are from."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from artifacts.manifests import DatasetManifest, PredictionsManifest
from artifacts.names import DAY_MS
from artifacts.paths import Dataset, Predictions, join, shard_name
from artifacts.privacy import key_name
from configs import cli
from configs.errors import UserError
from configs.settings import Settings
from pipeline.sources import privacy

_FORMATS = (".parquet", ".jsonl")  # that have the rule of each list; the first one that is there is read
_TABLE = ".table.parquet"  # one row per entry, for BigQuery


@dataclass(frozen=True)
class Run:
    """One run. files: of its lists, from the names in its manifest; start_ms, end_ms: when it was live."""

    version: str
    root: str
    dataset: Dataset
    files: tuple[str, ...]
    start_ms: int
    end_ms: int
    length: int  # of its lists, at most
    include_seen: bool
    users: int
    items: int
    user_shards: int
    suffix: str  # of the dataset's files
    bytes: int

    def rows_of_shard(self, shard: int) -> str:
        """Return the file with the rows of a shard of the dataset's visitors."""
        return shard_name(self.dataset.items_for_user, shard, self.user_shards, self.suffix)


def of_settings(settings: Settings) -> tuple[Run, ...]:
    """Return the runs that the settings name, by their times.

    Raise UserError if one is not of recommendations, has files without rules alone, or is from none of the datasets, or
    if its visitors' ids were hashed with another key than the settings name.
    """
    options = settings.outcome
    roots = options.predictions or (cli.required(settings.predictions_dir, "predictions_dir"),)
    datasets = options.datasets or (cli.required(settings.dataset_dir, "dataset_dir"),)
    found = {name: DatasetManifest.read(Dataset(name.rstrip("/")).manifest) for name in datasets}
    by_fingerprint = {manifest.fingerprint(): (name, manifest) for name, manifest in found.items()}
    key = key_name(privacy.open_rules(settings.privacy)[0])
    runs = []
    for root in roots:
        predictions = Predictions(root.rstrip("/"))
        made = PredictionsManifest.read(predictions.manifest)
        if made.kind != "predictions":
            raise UserError(f"{root} has {made.kind.replace('_', ' ')}; name a directory of recommendations")
        if made.dataset_fingerprint not in by_fingerprint:
            raise UserError(f"{root} is not from {', '.join(datasets)}; name its dataset with outcome.datasets")
        name, dataset = by_fingerprint[made.dataset_fingerprint]
        if key != dataset.visitors_hashed_with:
            raise UserError(f"{name}: its visitorIds were hashed with another key, or with none; set privacy as it was")
        runs.append(_run(predictions, made, Dataset(name.rstrip("/")), dataset, options.days))
    return _in_order(runs)


def _run(
    predictions: Predictions, made: PredictionsManifest, dataset: Dataset, described: DatasetManifest, days: int
) -> Run:
    prefix = predictions.text.rpartition("/")[2]
    names = [name for name in sorted(made.files) if name.startswith(f"{prefix}-") and not name.endswith(_TABLE)]
    files = next(filter(None, ([name for name in names if name.endswith(form)] for form in _FORMATS)), None)
    if files is None:
        raise UserError(
            f"{predictions.root} has neither Parquet nor JSON lines; predict with one in prediction.formats"
        )
    start = datetime.datetime.fromisoformat(made.run_time)
    start_ms, options = round(start.timestamp() * 1000), made.settings.prediction
    return Run(
        version=made.model_version,
        root=predictions.root,
        dataset=dataset,
        files=tuple(join(predictions.root, name) for name in files),
        start_ms=start_ms,
        end_ms=start_ms + days * DAY_MS,
        length=options.top_k,
        include_seen=options.include_seen,
        users=described.counts.users,
        items=described.counts.items,
        user_shards=described.shards["items_for_user"],
        suffix=".gz" if described.compression == "gzip" else "",
        bytes=sum(made.files[name].bytes for name in files),
    )


def _in_order(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return runs by their times, each live until the next one."""
    ordered = sorted(runs, key=lambda run: run.start_ms)
    for one, other in pairwise(ordered):
        if one.start_ms == other.start_ms:
            raise UserError(f"{one.root} and {other.root} have the same run_time; name one of them")
    ends = [min(one.end_ms, other.start_ms) for one, other in pairwise(ordered)] + [run.end_ms for run in ordered[-1:]]
    return tuple(replace(run, end_ms=end_ms) for run, end_ms in zip(ordered, ends, strict=True))
