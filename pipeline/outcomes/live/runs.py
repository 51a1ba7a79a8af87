"""Runs: recommendations that were live, each from its run_time to the next run's, with the dataset they are from."""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from artifacts.manifests import DatasetManifest, ExperimentRecord, PredictionsManifest
from artifacts.manifests.experiment import ExperimentOfRows
from artifacts.names import DAY_MS
from artifacts.paths import Dataset, Predictions, join, shard_name
from artifacts.privacy import key_name
from configs import cli
from configs.errors import UserError
from configs.nouns import counted
from configs.settings import BIGQUERY, BigQuerySettings, Settings
from pipeline.sources import privacy

_FORMATS = (".parquet", ".jsonl")  # that have the rule of each list; the first one that is there is read
_TABLE = ".table.parquet"  # one row per entry, for BigQuery


@dataclass(frozen=True)
class Run:
    """One run. files: of its lists, or streams of a table; start_ms, end_ms: when it was live."""

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
    table: BigQuerySettings | None = None  # how the streams are read; None for files
    experiment: ExperimentRecord | ExperimentOfRows | None = None
    is_compared: bool = False  # whether its exposures can be compared with the lists of outcome.compare

    @property
    def versions(self) -> set[str]:
        """The versions that a site can send of its lists: that of the run, and those of its variants."""
        variants = self.experiment.variants.values() if self.experiment else ()
        return {self.version, *(one.model_version for one in variants)}

    def rows_of_shard(self, shard: int) -> str:
        """Return the file with the rows of a shard of the dataset's visitors."""
        return shard_name(self.dataset.items_for_user, shard, self.user_shards, self.suffix)


def of_settings(settings: Settings) -> tuple[Run, ...]:
    """Return the runs that the settings name, by their times; those of a table as far as a dataset is older.

    Raise UserError if one is not of recommendations, has files without rules alone, or is from none of the datasets, or
    if its visitors' ids were hashed with another key than the settings name.
    """
    options = settings.outcome
    roots = options.predictions or (cli.required(settings.predictions_dir, "predictions_dir"),)
    datasets = options.datasets or (cli.required(settings.dataset_dir, "dataset_dir"),)
    found = {name: DatasetManifest.read(Dataset(name.rstrip("/")).manifest) for name in datasets}
    by_fingerprint = {manifest.fingerprint(): (name, manifest) for name, manifest in found.items()}
    key = key_name(privacy.open_rules(settings.privacy)[0])
    for name, dataset in found.items():
        if key != dataset.visitors_hashed_with:
            raise UserError(f"{name}: its visitorIds were hashed with another key, or with none; set privacy as it was")
    runs, other = list[Run](), compared(settings)
    for root in roots:
        if root.startswith(BIGQUERY):
            runs += _of_table(root, found, settings, other)
            continue
        predictions = Predictions(root.rstrip("/"))
        made = PredictionsManifest.read(predictions.manifest)
        if made.kind != "predictions":
            raise UserError(f"{root} has {made.kind.replace('_', ' ')}; name a directory of recommendations")
        if made.dataset_fingerprint not in by_fingerprint:
            raise UserError(f"{root} is not from {', '.join(datasets)}; name its dataset with outcome.datasets")
        name, dataset = by_fingerprint[made.dataset_fingerprint]
        run = _run(predictions, made, Dataset(name.rstrip("/")), dataset, options.days)
        runs.append(replace(run, is_compared=_is_compared(made.settings.exploration is not None, dataset, other)))
    if other is not None and not any(run.is_compared for run in runs):
        raise UserError(
            f"no predictions of the dataset of {options.compare} were made with exploration, so that nothing was shown "
            "at random; set exploration.share, and compare after some days"
        )
    return _in_order(runs)


class OtherLists(NamedTuple):
    """The lists that exposures are compared with: their version, their dataset, and their files."""

    version: str
    dataset_fingerprint: str
    files: tuple[str, ...]


def compared(settings: Settings) -> OtherLists | None:
    """Return the lists of outcome.compare, None if it is unset; raise UserError if they cannot be compared."""
    if settings.outcome.compare is None:
        return None
    predictions = Predictions(settings.outcome.compare.rstrip("/"))
    made = PredictionsManifest.read(predictions.manifest)
    if made.kind != "predictions":
        raise UserError(f"{predictions.root} has {made.kind.replace('_', ' ')}; name a directory of recommendations")
    if made.settings.exploration or made.experiment:
        raise UserError(f"{predictions.root} has lists of an experiment or with exploration; predict without them")
    return OtherLists(made.model_version, made.dataset_fingerprint, _files(predictions, made))


def _is_compared(is_explored: bool, dataset: DatasetManifest, other: OtherLists | None) -> bool:
    return is_explored and other is not None and dataset.fingerprint() == other.dataset_fingerprint


def _run(
    predictions: Predictions, made: PredictionsManifest, dataset: Dataset, described: DatasetManifest, days: int
) -> Run:
    files = _files(predictions, made)
    start = datetime.datetime.fromisoformat(made.run_time)
    start_ms, options = round(start.timestamp() * 1000), made.settings.prediction
    return Run(
        version=made.model_version,
        root=predictions.root,
        dataset=dataset,
        files=files,
        start_ms=start_ms,
        end_ms=start_ms + days * DAY_MS,
        length=options.top_k,
        include_seen=options.include_seen,
        users=described.counts.users,
        items=described.counts.items,
        user_shards=described.shards["items_for_user"],
        suffix=_suffix(described),
        bytes=sum(made.files[path.removeprefix(f"{predictions.root}/")].bytes for path in files),
        experiment=made.experiment,
    )


def _of_table(
    url: str, datasets: Mapping[str, DatasetManifest], settings: Settings, other: OtherLists | None
) -> list[Run]:
    """Return the runs of a table, each with the newest of the datasets that is older than it.

    The table does not name the dataset. Runs before all datasets are left out: raise UserError if all are.
    """
    from pipeline.outcomes.live import table  # Google's clients take a second to import

    made = sorted(datasets.items(), key=lambda one: datetime.datetime.fromisoformat(one[1].created))
    created = [datetime.datetime.fromisoformat(manifest.created) for _, manifest in made]
    runs, all_runs = [], table.runs(url, settings.bigquery)
    for found in all_runs:
        if place := bisect.bisect_right(created, found.time):
            name, manifest = made[place - 1]
            start_ms = round(found.time.timestamp() * 1000)
            run = Run(
                version=found.version,
                root=url,
                dataset=Dataset(name.rstrip("/")),
                files=found.streams,
                start_ms=start_ms,
                end_ms=start_ms + settings.outcome.days * DAY_MS,
                length=found.length,
                include_seen=settings.prediction.include_seen,
                users=manifest.counts.users,
                items=manifest.counts.items,
                user_shards=manifest.shards["items_for_user"],
                suffix=_suffix(manifest),
                bytes=found.bytes,
                table=settings.bigquery,
                experiment=found.experiment,
                is_compared=_is_compared(found.is_explored, manifest, other),
            )
            runs.append(run)
    if not runs:
        raise UserError(
            f"{url} has {counted(len(all_runs), 'run')}, and none after its dataset was made; "
            "name the datasets with outcome.datasets"
        )
    if older := len(all_runs) - len(runs):
        print(f"{url}: left out {counted(older, 'run')} before {created[0]:%Y-%m-%d %H:%M}, when its dataset was made")
    return runs


def _suffix(dataset: DatasetManifest) -> str:
    """Return the suffix of a dataset's files."""
    return ".gz" if dataset.compression == "gzip" else ""


def _files(predictions: Predictions, made: PredictionsManifest) -> tuple[str, ...]:
    """Return the files of lists with rules, of one format; raise UserError if there are none."""
    prefix = predictions.text.rpartition("/")[2]
    names = [name for name in sorted(made.files) if name.startswith(f"{prefix}-") and not name.endswith(_TABLE)]
    files = next(filter(None, ([name for name in names if name.endswith(form)] for form in _FORMATS)), None)
    if files is None:
        raise UserError(
            f"{predictions.root} has neither Parquet nor JSON lines; predict with one in prediction.formats"
        )
    return tuple(join(predictions.root, name) for name in files)


def _in_order(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return runs by their times, each live until the next one."""
    ordered = sorted(runs, key=lambda run: run.start_ms)
    for one, other in pairwise(ordered):
        if one.start_ms == other.start_ms:
            raise UserError(f"{one.root} and {other.root} have the same run_time; name one of them")
    ends = [min(one.end_ms, other.start_ms) for one, other in pairwise(ordered)] + [run.end_ms for run in ordered[-1:]]
    return tuple(replace(run, end_ms=end_ms) for run, end_ms in zip(ordered, ends, strict=True))
