"""The end of a Beam job: a summary of what its workers counted, the manifest, and the output in its place.

A command that waits reads the summary from a file that the job's last step wrote. A job that nobody waits for, such as
one that a Flex Template launches, does the same work in its last step, on a worker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from artifacts import checksums, manifests, publish, storage
from artifacts.manifests import DatasetManifest, Manifest
from artifacts.paths import Dataset, join
from artifacts.storage import locks
from configs.errors import UserError

SUMMARY, TEMPORARY = "summary.json", "tmp"  # below the staging directory of a running job

Summary = Mapping[str, Any]


def write_summary(summary: Summary, path: str) -> None:
    """Write what the job counted, for the command that waits for it."""
    storage.write_bytes(path, json.dumps(summary).encode())


def take_summary(staging: str) -> Any:
    """Read what the job counted, and remove its temporary files."""
    path = join(staging, SUMMARY)
    summary = json.loads(storage.read_bytes(path))
    storage.remove(path)
    remove_temporary(staging)
    return summary


def remove_temporary(staging: str) -> None:
    """Remove the job's temporary files, and what bundles left behind that ran twice."""
    storage.remove(join(staging, TEMPORARY))
    rejected = Dataset(staging).rejected
    for name in storage.list_directories(rejected):
        if name.startswith("beam-temp-"):  # a directory that Beam's own sink forgets if a bundle was retried
            storage.remove(join(rejected, name))


def write_manifest(manifest: Manifest, root: str) -> None:
    """Write the manifest, which completes the output; files that it does not describe yet are described first."""
    names = storage.list_files(root).keys() - manifest.files.keys() - {manifests.MANIFEST}
    manifest.other_files = {name: checksums.describe(join(root, name)) for name in sorted(names)}
    manifest.write(join(root, manifests.MANIFEST))


@dataclass(frozen=True)
class PublishFromWorker:
    """The last step of a dataset's job that nobody waits for: make the manifest, check the files, move them to `root`.

    Beam may run it more than once. Each attempt starts over; one that finds the dataset of `run` in place does nothing.
    A dataset of another run is replaced only if `replace` is set.
    """

    make_manifest: Callable[[Summary], DatasetManifest]
    root: str
    staging: str
    run: str
    replace: bool

    def __call__(self, summary: Summary) -> None:
        """Publish the dataset; raise UserError if it is of no use or damaged, or its place is taken."""
        with locks.claim(self.root):
            if self._is_published():
                return
            if not self.replace and storage.exists(Dataset(self.root).manifest):
                raise UserError(f"{self.root}: another run has written a dataset there, which stays; pass --replace")
            remove_temporary(self.staging)
            storage.remove(Dataset(self.staging).manifest)  # from an earlier attempt
            manifest = self.make_manifest(summary)
            manifest.run = self.run
            write_manifest(manifest, self.staging)
            problem = next(checksums.problems(self.staging, manifest.all_files()), next(manifest.wrong_sums(), None))
            if problem:
                raise UserError(f"{self.staging}: {problem}; make it again")
            publish.publish(self.staging, self.root)

    def _is_published(self) -> bool:
        try:
            return DatasetManifest.read(Dataset(self.root).manifest).run == self.run
        except UserError:  # there is none, or an older version's
            return False
