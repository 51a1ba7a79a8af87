"""A trained model in one file, a NumPy archive (.npz) without pickles: factors, weights, rows, ids and settings."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from artifacts import storage
from artifacts.manifests import SweepRecord
from artifacts.sparse_rows import SparseRows
from trainer.als import wals
from trainer.als.loop import Factorization
from trainer.als.solver import Solver
from trainer.inputs.ids import Ids
from trainer.inputs.training_data import TrainingData

_VERSION = 1
_ROWS = ("indptr", "indices", "values", "weights", "again")


class Trained(NamedTuple):
    """A trained model: the constructor's arguments as JSON has them, what was fitted, and on which data."""

    arguments: dict[str, Any]
    state: Factorization
    data: TrainingData


def write(path: str, model: Trained) -> None:
    """Write a model, local or gs://; the file appears when it is complete."""
    state = model.state
    about = {
        "version": _VERSION,
        "arguments": model.arguments,
        "objective": asdict(state.objective),
        "solver": asdict(state.solver),
        "history": [sweep.model_dump(mode="json") for sweep in state.history],
    }
    arrays = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    for name, side, ids in zip(("rows", "cols"), (state.rows, state.cols), model.data.ids, strict=True):
        arrays |= {f"{name}_factors": side.table, f"{name}_weights": side.weights, f"{name}_ids": _packed(ids.values)}
    arrays |= {f"data_{name}": getattr(model.data.all_rows, name) for name in _ROWS}
    with storage.open_to_write(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type] # its stub has allow_pickle among the arrays


def read(path: str) -> Trained:
    """Read a model; raise ValueError if the file is not one, or of another version."""
    try:
        with storage.open_to_read(path) as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        about = json.loads(arrays["about"].tobytes())
        version = about["version"]
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a model that WALSMatrixFactorization.save wrote") from error
    if version != _VERSION:
        raise ValueError(f"{path} has version {version}, this code reads {_VERSION}; train and save again")
    shape = len(arrays["rows_factors"]), len(arrays["cols_factors"])
    rows = SparseRows(np.arange(shape[0], dtype=np.int64), *(arrays[f"data_{name}"] for name in _ROWS))
    cols = rows.transpose(shape[1])
    sides = [
        wals.Side(arrays[f"{name}_factors"], own.lengths, arrays[f"{name}_weights"], len(own))
        for name, own in (("rows", rows), ("cols", cols))
    ]
    solver = Solver(**about["solver"] | {"devices": tuple(about["solver"]["devices"])})
    history = [SweepRecord.model_validate(sweep) for sweep in about["history"]]
    objective = wals.Objective(**about["objective"])
    state = Factorization(sides[0], sides[1], [rows], [cols], objective, solver, history=history)
    ids = _unpacked(arrays["rows_ids"]), _unpacked(arrays["cols_ids"])
    return Trained(about["arguments"], state, TrainingData([rows], [cols], shape, ids))


def _packed(ids: np.ndarray) -> np.ndarray:
    """Return ids as the bytes of an Arrow stream, which keeps text, bytes and numbers apart."""
    table, stream = pa.table({"id": pa.array(ids)}), io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(stream.getvalue(), np.uint8)


def _unpacked(packed: np.ndarray) -> Ids:
    return Ids.of(pa.ipc.open_stream(packed.tobytes()).read_all().column("id").to_numpy())
