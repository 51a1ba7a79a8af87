"""The end of a Beam job: a summary of what its workers counted, the manifest, and the output in its place.

A command that waits reads the summary from a file that the job's last step wrote. A job that nobody waits for, such as
one that a Flex Template launches, does the same work in its last step, on a worker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apache_beam.io.filesystems import FileSystems

from artifacts import locks, publish
from artifacts.manifests import stamp
from artifacts.paths import Output, join
from artifacts.storage import open_to_read
from configs.errors import UserError
from pipeline import verify

SUMMARY, TEMPORARY = "summary.json", "tmp"  # below the staging directory of a running job

Summary = Mapping[str, Any]


def write_summary(summary: Summary, path: str) -> None:
    """Write what the job counted, for the command that waits for it."""
    publish.write_file(path, json.dumps(summary).encode())


def take_summary(staging: str) -> Any:
    """Read what the job counted, and remove its temporary files."""
    path = join(staging, SUMMARY)
    with open_to_read(path) as file:
        summary = json.loads(file.read())
    FileSystems.delete([path])
    remove_temporary(staging)
    return summary


def remove_temporary(staging: str) -> None:
    """Remove the job's temporary files, and what bundles left behind that ran twice."""
    publish.remove(join(staging, TEMPORARY))
    publish.remove_leftovers(join(staging, "rejected"))


def write_manifest(path: str, kind: str, content: Mapping[str, Any]) -> None:
    """Write the manifest, which completes the output; files without a description are described first."""
    root = path.rpartition("/")[0]
    names = {file[len(root) + 1 :] for file in publish.list_files(root)} - content["files"].keys()
    others = {name: verify.describe(join(root, name)) for name in sorted(names)}
    publish.write_file(path, stamp(kind, {**content, "other_files": others}).encode())


@dataclass(frozen=True)
class PublishFromWorker:
    """The last step of a job that nobody waits for: make the manifest, check the files, move them to `root`.

    Beam may run it more than once. Each attempt starts over, and one that finds this run's output in place does
    nothing.

    kind: of the output. make_manifest: returns its content from the summary. run: identifies this run. replace: whether
    an output that exists at `root` by then may be replaced.
    """

    kind: str
    make_manifest: Callable[[Summary], dict[str, Any]]
    root: str
    staging: str
    run: str
    replace: bool

    def __call__(self, summary: Summary) -> None:
        """Publish the output.

        Raises:
            UserError: the output is damaged, or `make_manifest` refuses it, or its place is taken.
        """
        with locks.claim(self.root):
            if self._is_published():
                return
            if not self.replace and FileSystems.exists(Output(self.root).manifest):
                raise UserError(
                    f"{self.root}: another run has written a {self.kind} there, which stays; pass --replace"
                )
            remove_temporary(self.staging)
            path = Output(self.staging).manifest
            if FileSystems.exists(path):  # from an earlier attempt
                FileSystems.delete([path])
            write_manifest(path, self.kind, self.make_manifest(summary) | {"run": self.run})
            problem = next(verify.problems(self.staging, verify.read_any_manifest(self.staging)), None)
            if problem:
                raise UserError(f"{self.staging}: {problem}; make it again")
            publish.publish(self.staging, self.root)

    def _is_published(self) -> bool:
        path = Output(self.root).manifest
        if not FileSystems.exists(path):
            return False
        with open_to_read(path) as file:
            return json.loads(file.read()).get("run") == self.run
