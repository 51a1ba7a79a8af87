"""The data of the benchmarks: Gowalla's pairs, and made interactions of any size. Kept as NumPy arrays once read."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp

SEED = 42  # of the made interactions


def gowalla(part: str = "train") -> sp.csr_matrix:
    """Gowalla, the LightGCN split: float32 [29858, 40981] of ones; `part` is train or test."""
    from benchmarks.support import machine

    path = machine.shared_data() / "gowalla" / f"{part}.csv.gz"
    kept = machine.output() / f"gowalla-{part}.npz"
    if not kept.exists():
        pairs = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.int32)
        shape = (29_858, 40_981)
        _save(kept, sp.csr_matrix((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape))
    return load(kept)


def made(millions: int) -> Path:
    """So many million interactions of the sample generator, 50,000 visitors and 5,000 items a million; all 1."""
    import pyarrow.dataset as files

    from benchmarks.support import machine
    from pipeline import sample

    kept, export = machine.output() / f"made-{millions}m.npz", machine.output() / f"made-{millions}m"
    if not kept.exists():
        size = {"visitors": 50_000, "items": 5_000, "interactions": 1_000_000}
        flags = [f"--{name}={number * millions}" for name, number in size.items()]
        sample.main([f"--output_dir={export}", "--layouts=table", f"--seed={SEED}", "--replace", *flags])
        table = files.dataset(export / "table").to_table(["visitorId", "contentId"])
        coordinates = []
        for name in ("visitorId", "contentId"):
            column = table[name].combine_chunks().dictionary_encode()
            coordinates.append(column.indices.to_numpy().astype(np.int32))
        _save(kept, sp.csr_matrix((np.ones(len(table), np.float32), tuple(coordinates)), dtype=np.float32))
    return kept


def table(interactions: int, visitors: int | None = None) -> Path:
    """Return a directory of Parquet files of so many made interactions.

    A long tail of visitors (40,000 a million, or so many) and items (4,000 a million, at most 20,000), with the
    dwell of each.
    """
    from benchmarks.support import machine, processes

    visitors = visitors or interactions // 25
    kept = machine.output() / f"table-{interactions}-{visitors}"
    size = {"visitors": visitors, "items": max(100, min(20_000, interactions // 250)), "interactions": interactions}
    if not (kept / "done").exists():
        flags = [f"--{name}={number}" for name, number in size.items()]
        command = [sys.executable, "-m", "pipeline.sample", "--layouts=table", f"--seed={SEED}", "--replace"]
        processes.run([*command, f"--output_dir={kept}", *flags])
        (kept / "done").touch()
    return kept / "table"


def _save(path: Path, matrix: sp.csr_matrix) -> None:
    matrix.sort_indices()
    np.savez(path, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, shape=matrix.shape)


def load(path: str | Path) -> sp.csr_matrix:
    """Return a matrix that this module has kept."""
    with np.load(path) as kept:
        shape = tuple(int(size) for size in kept["shape"])
        matrix = sp.csr_matrix((kept["data"], kept["indices"], kept["indptr"]), shape)
    matrix.has_sorted_indices = matrix.has_canonical_format = True
    return matrix
