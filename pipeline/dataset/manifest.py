"""The manifest of a dataset, from what a job counted and the files that it wrote."""

from __future__ import annotations

import datetime
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c

from artifacts import publish
from artifacts.names import HELD_OUT
from artifacts.paths import Dataset
from artifacts.privacy import key_name
from artifacts.vocabulary import iterate_vocabulary
from configs.settings import Settings
from pipeline import validate
from pipeline.dataset import dataset_statistics
from pipeline.dataset.checks import by_reason, check_counts, days_seen
from pipeline.dataset.grouping import SIDES, Sizes
from pipeline.interactions import splits
from pipeline.sources import privacy
from pipeline.sources.input_files import Input
from pipeline.verify import describe


@dataclass(frozen=True)
class Job:
    """One run of preprocessing: its settings, the files that it reads, and where its dataset goes.

    files, test_files: of train and of a test set given as files. root: the dataset's directory. staging: the directory
    where the job writes it. started: seconds since 1970.
    """

    settings: Settings
    files: Input
    test_files: Input | None
    root: str
    staging: str
    started: float
    sizes: Sizes = Sizes()  # noqa: RUF009 - frozen

    def make_manifest(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest's content from the job's summary (`counts`, `median` and `files`), and write statistics.

        Raises:
            UserError: the dataset is of no use. GateError: it differs too much from the last good one.
        """
        settings, dataset = self.settings, Dataset(self.staging)
        counts: Counter[str] = Counter(summary["counts"])
        check_counts(counts, settings, dataset.rejected)
        publish.write_file(dataset.statistics, dataset_statistics.describe(counts, settings.rating))
        users, items = _describe_vocabulary(dataset.vocab_users), _describe_vocabulary(dataset.vocab_items)
        files = {file["name"]: {key: file[key] for key in file if key != "name"} for file in summary["files"]}
        files |= {self._name(dataset.vocab_users): users, self._name(dataset.vocab_items): items}
        files[self._name(dataset.statistics)] = describe(dataset.statistics)
        rejected = by_reason(counts, "rejected")
        sides = (*SIDES, HELD_OUT) if settings.split.holds_out else SIDES
        content = {
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self.started, 3),
            "counts": {
                "files_read": len(self.files.files) + len(self.test_files.files if self.test_files else ()),
                "files_outside_window": self.files.outside,
                "rows_read": counts["records.read"],
                "rows_rejected": sum(rejected.values()),
                "interactions": counts["pairs.used"],
                "users": users["records"],
                "items": items["records"],
            },
            "rejected": rejected,
            "skipped": by_reason(counts, "skipped"),
            "split": _split(counts, settings),
            "capped_at_max_dwell": counts["pairs.capped_at_max_dwell"],
            "median": summary["median"],
            "days": days_seen(counts),
            "shards": {side: sum(name.startswith(side) for name in files) for side in sides},
            "compression": "gzip" if settings.dataset.gzip else "none",
            "bigquery": dict(self.files.about) or None,
            "files": files,
            "visitors_hashed_with": key_name(privacy.rules(settings.privacy)[0]),
            "settings": settings.model_dump(mode="json", include={"source", "rating", "split", "dataset"}),
        }
        return content | {"compared": validate.check(content, settings.validation, self.root)}

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self.staging}/")


def _split(counts: Counter[str], settings: Settings) -> dict[str, Any]:
    """Return what was held out, and what could not be; `kind` alone where there is no split."""
    split = settings.split
    if not split.holds_out:
        return {"kind": "none"}
    return {
        "kind": "test_input" if split.test_input else split.kind,
        "held_out": counts[splits.HELD_OUT],
        "visitors_with": counts[splits.VISITORS],
        "visitors_without": counts[splits.WITHOUT],
        "already_in_train": counts[splits.IN_TRAIN],
        "unknown_visitor": counts[splits.NO_VISITOR],
        "unknown_item": counts[splits.NO_ITEM],
    }


def _describe_vocabulary(path: str) -> dict[str, Any]:
    """Return the number of ids, the bytes and the checksum of a vocabulary."""
    records, size, checksum = 0, 0, google_crc32c.Checksum()
    for line in iterate_vocabulary(path):
        records, size = records + 1, size + len(line) + 1
        checksum.update(line + b"\n")
    return {"records": records, "bytes": size, "crc32c": checksum.hexdigest().decode()}
