"""Files of the trainer, local or gs:// alike, through TensorFlow's file system."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import google_crc32c
import numpy as np
import tensorflow as tf

from artifacts.paths import join, shard_name
from configs.errors import UserError


def write_bytes(path: str, data: bytes) -> None:
    """Writes a file whole or not at all: beside its place, then renamed."""
    tf.io.gfile.makedirs(path.rsplit("/", 1)[0])
    beside = f"{path}.{uuid.uuid4().hex}.partial"
    with tf.io.gfile.GFile(beside, "wb") as file:
        file.write(data)
    tf.io.gfile.rename(beside, path, overwrite=True)


def read_bytes(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def write_json(path: str, content: Any) -> None:
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def write_array(path: str, array: np.ndarray) -> int:
    """Writes a .npy file, whole or not at all; gives the CRC-32C of its bytes."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())
    return google_crc32c.value(buffer.getvalue())


def read_array(path: str) -> np.ndarray:
    """Reads a .npy file.

    Raises:
        UserError: it is no such file, or damaged.
    """
    try:
        return np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, tf.errors.NotFoundError) as error:
        raise UserError(f"{path} is missing or damaged ({' '.join(str(error).split())})") from error


def describe_all(root: str) -> dict[str, dict[str, Any]]:
    """Bytes and CRC-32C (hexadecimal) of every file below a directory, by name."""
    described = {}
    for folder, _, names in tf.io.gfile.walk(root):
        for name in names:
            path = join(folder, name)
            relative = path[len(root.rstrip("/")) + 1 :]
            described[relative] = {"bytes": tf.io.gfile.stat(path).length, "crc32c": checksum(path)}
    return dict(sorted(described.items()))


def checksum(path: str) -> str:
    """The CRC-32C of a file, hexadecimal; read in pieces."""
    found = google_crc32c.Checksum()
    with tf.io.gfile.GFile(path, "rb") as file:
        while piece := file.read(1 << 22):
            found.update(piece)
    return found.hexdigest().decode()


def is_remote(path: str) -> bool:
    """Whether the storage looks after its bits itself."""
    return "://" in path


def write_table(prefix: str, table: np.ndarray, shards: int, rank: int = 0, processes: int = 1) -> None:
    """Writes a [n, k] table as float32 shards: shard s of n holds the rows s, s + n, s + 2n, ...

    Of several processes each writes the shards of its own rows; `shards` is then a multiple of `processes`.
    """
    for shard in range(rank, shards, processes):
        part = table[shard // processes :: shards // processes]
        write_array(shard_name(prefix, shard, shards, ".npy"), np.ascontiguousarray(part, np.float32))


def read_table(prefix: str) -> np.ndarray:
    """Reads what `write_table` wrote, however many shards: float32 [n, k].

    Raises:
        UserError: there are no shards, or not all of them, or they do not fit together.
    """
    paths = sorted(tf.io.gfile.glob(f"{prefix}-?????-of-?????.npy"))
    if not paths:
        raise UserError(f"no factors at {prefix}-*; check the model's path")
    shards = int(paths[0].rsplit("-of-", 1)[1][:5])
    if paths != [shard_name(prefix, shard, shards, ".npy") for shard in range(shards)]:
        raise UserError(f"{prefix}-*: some of the {shards} shards are missing; train again")
    parts = [read_array(path) for path in paths]
    rows = sum(len(part) for part in parts)
    if any(part.shape != (len(range(s, rows, shards)), parts[0].shape[1]) for s, part in enumerate(parts)):
        raise UserError(f"{prefix}-*: the shards do not belong together; train again")
    table = np.empty((rows, parts[0].shape[1]), np.float32)
    for shard, part in enumerate(parts):
        table[shard::shards] = part
    return table


def exists(path: str) -> bool:
    return tf.io.gfile.exists(path)


def remove(path: str) -> None:
    """Removes a file or a directory with all that is in it, if it is there."""
    if tf.io.gfile.isdir(path):
        tf.io.gfile.rmtree(path)
    elif tf.io.gfile.exists(path):
        tf.io.gfile.remove(path)
