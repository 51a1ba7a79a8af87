"""An outcome with items that were shown and not clicked, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from artifacts.exposures import unclicked
from artifacts.exposures.unclicked import SCHEMA
from artifacts.manifests import OutcomeManifest
from tests.support.manifests import describe_below
from tests.support.nights import write_outcome


def written(root: Path, *shards: Sequence[tuple[bytes, bytes, float]]) -> str:
    """Write an outcome with these rows (visitor, item, number of exposures), in shards; return its root."""
    write_outcome(str(root), [], "2024-01-01")
    for shard, rows in enumerate(shards):
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        table = pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)
        unclicked.write(str(root), shard, len(shards), table)
    manifest = OutcomeManifest.read(f"{root}/manifest.json")
    manifest.other_files = describe_below(root, *sorted(map(str, root.glob("unclicked-*"))))
    manifest.write(f"{root}/manifest.json")
    return str(root)
