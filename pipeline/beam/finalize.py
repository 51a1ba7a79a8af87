"""A job that nobody waits for, as a Flex Template's launcher submits it: its own last step makes the dataset whole.

What the waiting command does after the pipeline, a worker does at its end: manifest, check, move. It may be tried more
than once, so each try begins where the one before broke off, and one that finds its run's dataset in place is done.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from apache_beam.io.filesystems import FileSystems

from artifacts import locks, publish
from artifacts.paths import Dataset
from artifacts.storage import open_to_read
from configs.errors import UserError
from configs.settings import Settings
from pipeline import validate, verify
from pipeline.dataset import accounts
from pipeline.sources.inputs import Input


@dataclass(frozen=True)
class LastStep:
    """What is done with the summary when all files are written.

    run: tells this run's dataset from any other. replace: whether a dataset that is at `root` by then may go.
    """

    settings: Settings
    files: Input
    test_files: Input | None
    root: str
    staging: str
    run: str
    started: float
    replace: bool

    def __call__(self, summary: dict[str, Any]) -> None:
        """Makes the manifest, checks the files against it and moves all to `root`.

        Raises:
            UserError: the dataset is of no use, damaged, or not like the last good one; or its place is taken.
        """
        with locks.claim(self.root):
            if self._is_there():
                return
            self._refuse_other()
            accounts.tidy(self.staging)
            path = Dataset(self.staging).manifest
            if FileSystems.exists(path):  # of a try before
                FileSystems.delete([path])
            content = accounts.dataset_manifest(
                summary, self.settings, self.files, self.staging, self.started, self.test_files
            )
            content["run"] = self.run
            content["compared"] = validate.check(content, self.settings.validation, self.root)
            accounts.write_manifest(path, "dataset", content)
            found = verify.read_any_manifest(self.staging)
            problem = next(verify.problems(self.staging, found), None)
            if problem:
                raise UserError(f"{self.staging}: {problem}; make it again")
            publish.publish(self.staging, self.root)

    def _is_there(self) -> bool:
        path = Dataset(self.root).manifest
        if not FileSystems.exists(path):
            return False
        with open_to_read(path) as file:
            return json.loads(file.read()).get("run") == self.run

    def _refuse_other(self) -> None:
        if not self.replace and FileSystems.exists(Dataset(self.root).manifest):
            raise UserError(f"{self.root} has got a dataset meanwhile, and --replace was not given; it stays as it is")
