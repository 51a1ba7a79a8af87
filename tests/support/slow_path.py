"""The pipeline as one would write it first, a dict a pair and a tf.train.Example a row: oracle of the fast path."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from artifacts.paths import shard_name


def interactions(views: Iterable[tuple[bytes, bytes, int]]) -> dict[tuple[bytes, bytes], int]:
    """(visitorId, contentId, dwell in ms) of each view -> the summed dwell of each pair that has one."""
    sums: dict[tuple[bytes, bytes], int] = defaultdict(int)
    for visitor, content, dwell in views:
        sums[visitor, content] += dwell
    return {pair: dwell for pair, dwell in sums.items() if dwell > 0}


def vocabulary(ids: Iterable[bytes]) -> list[bytes]:
    """Most frequent first, ties by bytes, descending."""
    counts = Counter(ids)
    return sorted(counts, key=lambda ident: (counts[ident], ident), reverse=True)


def dataset(pairs: dict[tuple[bytes, bytes], int], shards: int, piece: int, folder: Path) -> dict[str, bytes]:
    """Return every file of rows and both vocabularies, by name; ratings by the median, scale 0.3, cap 1."""
    users, items = (vocabulary(pair[side] for pair in pairs) for side in (0, 1))
    user_of, item_of = ({ident: n for n, ident in enumerate(ids)} for ids in (users, items))
    median = np.float32(statistics.median_high(pairs.values()))
    sides = {"items_for_user": defaultdict(dict), "users_for_item": defaultdict(dict)}
    for (visitor, content), dwell in pairs.items():
        rating = min(np.float32(1), np.float32(0.3) * np.float32(dwell) / median)
        sides["items_for_user"][user_of[visitor]][item_of[content]] = rating
        sides["users_for_item"][item_of[content]][user_of[visitor]] = rating
    files = {"vocab_users": b"".join(i + b"\n" for i in users), "vocab_items": b"".join(i + b"\n" for i in items)}
    for side, rows in sides.items():
        for shard in range(shards):
            path = folder / shard_name(side, shard, shards)
            with tf.io.TFRecordWriter(str(path)) as writer:
                for key in sorted(key for key in rows if key % shards == shard):
                    entries = sorted(rows[key].items())
                    for start in range(0, len(entries), piece):
                        writer.write(example(key, entries[start : start + piece]))
            files[path.name] = path.read_bytes()
    return files


def example(key: int, entries: list[tuple[int, np.float32]]) -> bytes:
    """Return the record of a row, its features in the order of their names."""
    found = tf.train.Example()
    features = found.features.feature
    features["key"].int64_list.value.append(key)
    features["indices"].int64_list.value.extend(index for index, _ in entries)
    features["values"].float_list.value.extend(value for _, value in entries)
    return found.SerializeToString(deterministic=True)
