"""The manifest of a dataset, from what a job counted and the files that it wrote."""

from __future__ import annotations

import datetime
import time
from collections import Counter
from dataclasses import dataclass

from artifacts import checksums, storage
from artifacts.checksums import FileDescription
from artifacts.manifests import (
    DatasetCounts,
    DatasetManifest,
    DatasetSections,
    Days,
    RecommendedAccount,
    SplitAccount,
)
from artifacts.names import HELD_OUT, ITEM, USER, VIEW_DAYS
from artifacts.paths import Dataset
from artifacts.privacy import key_name
from artifacts.vocabulary import iterate_ids
from configs.settings import PrivacySettings, Settings, SourceSettings
from pipeline.beam.finalize import Summary
from pipeline.dataset import comparison, dataset_statistics
from pipeline.dataset.checks import by_reason, check_counts, days_seen, unread_events
from pipeline.dataset.features import account
from pipeline.dataset.features.choice import Choice
from pipeline.dataset.grouping import SIDES, Sizes
from pipeline.dataset.row_files import AGAIN_PAIRS
from pipeline.interactions import recommended, splits
from pipeline.sources import privacy
from pipeline.sources.input_files import Input
from pipeline.sources.table import DIALECT


@dataclass(frozen=True)
class Job:
    """One run of preprocessing: its settings, the files that it reads, and where its dataset goes."""

    settings: Settings
    files: Input
    test_files: Input | None  # of a test set given as files
    root: str  # the dataset's directory
    staging: str  # where the job writes it
    started: float  # seconds since 1970
    catalogue: str | None = None  # where the job put it (`catalogue.stage`)
    sizes: Sizes = Sizes()  # noqa: RUF009 - frozen
    choice: Choice = Choice((), {})  # noqa: RUF009 - frozen; of the items' attributes that become features
    user_catalogue: str | None = None  # as `catalogue`
    user_choice: Choice = Choice((), {})  # noqa: RUF009 - frozen; as `choice`

    def make_manifest(self, summary: Summary) -> DatasetManifest:
        """Return the manifest from the job's summary (`counts`, `median` and `files`), and write the statistics.

        Raise UserError if the dataset is of no use, GateError if it differs too much from the last good one.
        """
        settings, dataset = self.settings, Dataset(self.staging)
        counts: Counter[str] = Counter(summary["counts"])
        check_counts(counts, settings, dataset.rejected)
        for line in unread_events(counts, settings.source):
            print(line)
        storage.write_bytes(dataset.statistics, dataset_statistics.describe(counts, settings.rating))
        files, rejected = self._described(summary), by_reason(counts, "rejected")
        sides = SIDES + (HELD_OUT,) * settings.split.holds_out + (VIEW_DAYS,) * settings.source.has_times
        manifest = DatasetManifest(
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seconds=round(time.time() - self.started, 3),
            counts=DatasetCounts(
                files_read=len(self.files.files) + len(self.test_files.files if self.test_files else ()),
                files_outside_window=self.files.outside,
                rows_read=counts["records.read"],
                rows_rejected=sum(rejected.values()),
                interactions=counts["pairs.used"],
                users=files[self._name(dataset.vocab_users)].records or 0,
                items=files[self._name(dataset.vocab_items)].records or 0,
            ),
            rejected=rejected,
            skipped=by_reason(counts, "skipped"),
            split=_split_account(counts, settings),
            capped_at_max_dwell=counts["pairs.capped_at_max_dwell"],
            recommended_again=counts[AGAIN_PAIRS] if settings.source.recommends_again else None,
            recommended=_recommended(counts, settings.source),
            median=summary["median"],
            days=Days(**days_seen(counts)),
            shards={side: sum(name.startswith(side) for name in files) for side in sides},
            compression="gzip" if settings.dataset.gzip else "none",
            bigquery=dict(self.files.about) or None,
            files=files,
            csv_dialects={name.removeprefix(DIALECT): n for name, n in counts.items() if name.startswith(DIALECT)},
            deletion_list=_found_of_list(counts, settings.privacy),
            attributes=_below(counts, "attributes"),
            catalogue=_below(counts, ITEM.catalogue) if self.catalogue else None,
            item_features=account.of_side(ITEM, self.choice, counts, files) if self.choice.fields else None,
            user_attributes=_below(counts, USER.attributes),
            user_catalogue=_below(counts, USER.catalogue) if self.user_catalogue else None,
            user_features=account.of_side(USER, self.user_choice, counts, files) if self.user_choice.fields else None,
            visitors_hashed_with=key_name(privacy.rules(settings.privacy)[0]),
            settings=DatasetSections(
                source=settings.source,
                rating=settings.rating,
                split=settings.split,
                dataset=settings.dataset,
                item_features=settings.item_features,
                user_features=settings.user_features,
            ),
        )
        manifest.compared = comparison.compare(manifest, settings.validation, self.root)
        return manifest

    def _described(self, summary: Summary) -> dict[str, FileDescription]:
        """Return the descriptions of the dataset's own files, by name; TFT's graphs are not among them."""
        dataset = Dataset(self.staging)
        files = {name: FileDescription.model_validate(file) for name, file in summary["files"].items()}
        for path in (dataset.vocab_users, dataset.vocab_items):
            files[self._name(path)] = checksums.describe(path, records=sum(1 for _ in iterate_ids(path)))
        return files | {self._name(dataset.statistics): checksums.describe(dataset.statistics)}

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self.staging}/")


def _below(counts: Counter[str], name: str) -> dict[str, int]:
    return {key.removeprefix(f"{name}."): count for key, count in sorted(counts.items()) if key.startswith(f"{name}.")}


def _found_of_list(counts: Counter[str], settings: PrivacySettings) -> dict[str, int] | None:
    """Return how many lines the deletion list has, and how many of them name a visitor of the data."""
    if not settings.deleted_visitors:
        return None
    found = sum(name.startswith(privacy.DELETED_LINE) for name in counts)
    return {"lines": len(set(privacy.rules(settings)[1].values())), "found": found}


def _recommended(counts: Counter[str], source: SourceSettings) -> RecommendedAccount | None:
    """Return how much interest follows clicks on recommendations."""
    if not source.recommended.list_name:
        return None
    names = (recommended.CLICKS, recommended.WHOLE, recommended.AFTER)
    return RecommendedAccount(**{name.partition(".")[2]: counts[name] for name in names})


def _split_account(counts: Counter[str], settings: Settings) -> SplitAccount:
    """Return what was held out, and what could not be."""
    split = settings.split
    if not split.holds_out:
        return SplitAccount()
    return SplitAccount(
        kind="test_input" if split.test_input else split.kind,
        held_out=counts[splits.HELD_OUT],
        visitors_with=counts[splits.VISITORS],
        visitors_without=counts[splits.WITHOUT],
        already_in_train=counts[splits.IN_TRAIN],
        unknown_visitor=counts[splits.NO_VISITOR],
        unknown_item=counts[splits.NO_ITEM],
    )
