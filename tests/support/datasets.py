"""Small datasets as the pipeline lays them out, written without it: for the trainer's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
import tensorflow as tf

from artifacts.names import CONTENT_ID, INDICES, KEY, POPULARITY, RECENT_POPULARITY, VALUES, VISITORS
from artifacts.paths import Dataset, shard_name
from tests.support.manifests import dataset_manifest, describe_below


def example(key: int, indices, values) -> bytes:
    """Return a row as a serialised tf.train.Example."""
    feature = {
        KEY: tf.train.Feature(int64_list=tf.train.Int64List(value=[key])),
        INDICES: tf.train.Feature(int64_list=tf.train.Int64List(value=indices)),
        VALUES: tf.train.Feature(float_list=tf.train.FloatList(value=values)),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write_rows(prefix: str, matrix: sp.csr_matrix, shards: int = 2, compressed: bool = False, piece: int = 10**9):
    """Write one side; rows without entries have no record; a row longer than `piece` has several."""
    paths = []
    for shard in range(shards):
        path = shard_name(prefix, shard, shards, ".gz" if compressed else "")
        with tf.io.TFRecordWriter(path, "GZIP" if compressed else None) as writer:
            for key in range(shard, matrix.shape[0], shards):
                row = matrix[[key]]
                for start in range(0, row.nnz, piece):
                    part = slice(start, start + piece)
                    writer.write(example(key, row.indices[part].tolist(), row.data[part].tolist()))
        paths.append(path)
    return paths


def write_items(dataset: Dataset, ids: list[str], visitors: np.ndarray, **more) -> None:
    """Write items.parquet as far as the tests need it; `more` columns by name."""
    columns = {CONTENT_ID: ids, VISITORS: np.asarray(visitors, np.int64), POPULARITY: np.asarray(visitors, np.float64)}
    columns[RECENT_POPULARITY] = pa.nulls(len(ids), pa.float64())
    pq.write_table(pa.table(columns | more), dataset.items)


def write_dataset(root: Path, matrix: sp.spmatrix, users=None, items=None, held_out=None, days=None, **layout) -> str:
    """Write a dataset of users x items with its manifest and vocabularies; return its root.

    held_out: a matrix of the same shape, that a split kept from training.
    days: an array of the same shape, the day of each entry.
    """
    root.mkdir(parents=True, exist_ok=True)
    dataset, matrix = Dataset(str(root)), sp.csr_matrix(matrix, dtype=np.float32)
    matrix.sort_indices()
    paths = write_rows(dataset.items_for_user, matrix, **layout)
    transposed = matrix.T.tocsr()
    transposed.sort_indices()
    paths += write_rows(dataset.users_for_item, transposed, **layout)
    users = users or [b"v%d" % number for number in range(matrix.shape[0])]
    items = items or [b"c%d" % number for number in range(matrix.shape[1])]
    for path, ids in ((dataset.vocab_users, users), (dataset.vocab_items, items)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"".join(name + b"\n" for name in ids))
        paths.append(path)
    write_items(dataset, [name.decode("utf-8", "replace") for name in items], matrix.getnnz(0))
    split, shards = {"kind": "none"}, layout.get("shards", 2)
    if held_out is not None:
        held_out = sp.csr_matrix(held_out, dtype=np.float32)
        held_out.sort_indices()
        paths += write_rows(dataset.held_out, held_out, **layout)
        split = {"kind": "random", "held_out": held_out.nnz}
    if days is not None:
        for shard in range(layout.get("shards", 2)):
            own = [days[key, matrix[[key]].indices] for key in range(shard, matrix.shape[0], layout.get("shards", 2))]
            paths.append(shard_name(dataset.view_days, shard, layout.get("shards", 2), ".npy"))
            np.save(paths[-1], np.concatenate(own).astype(np.uint16))
    files = describe_below(root, *paths)
    for shard, path in enumerate(path for path in paths if Path(path).name.startswith("held_out")):
        records = int(np.count_nonzero(held_out.getnnz(1)[shard::shards]))
        files[Path(path).name] = files[Path(path).name].model_copy(update={"records": records})
    manifest = dataset_manifest(
        matrix.shape[0],
        matrix.shape[1],
        matrix.nnz,
        files=files,
        split=split,
        shards={"items_for_user": shards, "users_for_item": shards} | ({} if days is None else {"view_days": shards}),
        compression="gzip" if layout.get("compressed") else "none",
    )
    manifest.write(dataset.manifest)
    return str(root)
