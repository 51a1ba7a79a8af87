"""The tables of a version, in a folder of its SavedModel that TensorFlow Serving ignores: .npy files, and one of JSON.

Processes that map the files share one copy of them in memory. A SavedModel without the folder is served by TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from artifacts import storage
from artifacts.factor_tables import write_array
from artifacts.paths import join
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError

FOLDER = "assets.extra/tables"  # below a SavedModel
ABOUT = "tables.json"
FEATURES = "item_features_fn", "user_features_fn"  # SavedModels in the folder, of the attributes that a model takes
_SCHEMA = 1
_PARTS = ("indptr", "indices", "values", "weights", "again")


def write(saved_model: str, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the tables of a SavedModel; `about`, which JSON can express, comes last."""
    root = join(saved_model, FOLDER)
    for name, array in arrays.items():
        write_array(join(root, f"{name}.npy"), np.ascontiguousarray(array))
    text = json.dumps({"schema_version": _SCHEMA, **about}, ensure_ascii=False)
    storage.write_bytes(join(root, ABOUT), text.encode())


def of_rows(name: str, rows: SparseRows) -> dict[str, np.ndarray]:
    """Return the arrays of rows keyed 0, 1, ..., for `write`; `Tables.rows` returns the rows again."""
    return {f"{name}.{part}": getattr(rows, part) for part in _PARTS}


class Tables:
    """The tables of a version on this machine; an array is mapped when it is first asked for."""

    def __init__(self, saved_model: str):
        """Read what the tables are about; raise UserError if they are of another version of this software."""
        self.root = join(saved_model, FOLDER)
        self.about: dict[str, Any] = json.loads(storage.read_bytes(join(self.root, ABOUT)))
        if self.about.get("schema_version") != _SCHEMA:
            raise UserError(f"{self.root} is of another version of this software; train the model again")

    @staticmethod
    def are_in(saved_model: str) -> bool:
        """Return whether a SavedModel has tables."""
        return storage.exists(join(saved_model, FOLDER, ABOUT))

    def has(self, name: str) -> bool:
        """Return whether an array has this name."""
        return Path(self.root, f"{name}.npy").exists()

    def array(self, name: str) -> np.ndarray:
        """Return an array, which shares its memory with other processes; raise UserError if it is damaged."""
        path = join(self.root, f"{name}.npy")
        try:
            # Private pages count as writable, so that Numba compiles nothing again; no one writes to them.
            return np.asarray(np.load(path, mmap_mode="c"))
        except ValueError:  # an empty array cannot be mapped
            return np.load(path)
        except (OSError, EOFError) as error:
            raise UserError(f"{path} cannot be read: {error}; copy the version again") from error

    def rows(self, name: str) -> SparseRows:
        """Return rows keyed 0, 1, ..."""
        indptr, *parts = (self.array(f"{name}.{part}") for part in _PARTS)
        return SparseRows(np.arange(len(indptr) - 1, dtype=np.int64), indptr, *parts)
