"""Trainings that write no graphs: tracing and saving the signatures of a SavedModel takes four seconds.

For tests of what a training computes, keeps and resumes. The directory of the SavedModel has its assets and a file in
place of the graphs, so a warm start cannot begin from such a model. What a SavedModel answers is in
tests/trainer/saved_model/.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artifacts.paths import Dataset
from trainer.saved_model import export


def _save(path: str, dataset: Dataset, rows: Any, cols: Any, blocks: Iterable[Any], *_: Any) -> None:
    list(blocks)  # the export reads the users' rows
    assets = Path(path) / "assets"
    assets.mkdir(parents=True)
    for vocabulary in (dataset.vocab_users, dataset.vocab_items):
        shutil.copy(vocabulary, assets)
    (Path(path) / "saved_model.pb").write_bytes(b"no graphs")


@contextlib.contextmanager
def without_graphs() -> Iterator[None]:
    """Leave out the graphs of all models that this process writes in the meantime."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "save", _save)
        yield
