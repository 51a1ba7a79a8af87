"""SavedModels without graphs or with some signatures: to trace and save all of them takes five seconds.

`without_graphs` is for tests of what a training computes, keeps and resumes. The directory of the SavedModel has its
assets, a file in place of the graphs, and the tables from which a warm start begins. `only` is for tests that ask a few
signatures. What a whole SavedModel answers is in tests/trainer/saved_model/.
`python -m tests.support.quick_export trainer.task ...` runs a command without graphs.
"""

from __future__ import annotations

import contextlib
import runpy
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.settings import ColdStartSettings
from ranking.fold_in import Objective, Projection
from trainer.als import wals
from trainer.saved_model import export


def _save(
    path: str,
    dataset: Dataset,
    rows: wals.Side,
    cols: wals.Side,
    blocks: Iterable[SparseRows],
    objective: Objective,
    settings: ColdStartSettings,
    *_: Any,
    **__: Any,
) -> None:
    histories = SparseRows.stacked(list(blocks), rows.size)
    users = export._answering(rows, histories, Projection(cols.table, cols.weights, objective), settings)
    tables = tf.train.Checkpoint(users=tf.Variable(users), items=tf.Variable(cols.table))
    tables.write(str(Path(path) / "variables" / "variables"))
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


@contextlib.contextmanager
def only(*names: str) -> Iterator[None]:
    """Save only the named signatures of all models that this process writes in the meantime."""

    def save(module: tf.Module, path: str, signatures: dict[str, Any]) -> None:
        tables = tf.Module()  # without the functions, which TensorFlow would trace
        for name, value in vars(module).items():
            if not name.startswith("_"):
                setattr(tables, name, value)
        write(tables, path, {name: signatures[name] for name in names})

    write = tf.saved_model.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.saved_model, "save", save)
        yield


if __name__ == "__main__":
    del sys.argv[0]
    with without_graphs():
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
