"""What a split keeps from training -> its TFRecord files, by train's vocabularies and median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import tensorflow_transform.beam as tft_beam

from artifacts.names import HELD_OUT
from configs.settings import Settings
from pipeline.beam.block_store import BlockStore
from pipeline.dataset.row_files import WriteRows
from pipeline.interactions import splits


@dataclass(frozen=True)
class HeldOutFiles:
    """files and counts as of pipeline.dataset.row_files, none of them where nothing is held out."""

    files: list[beam.PCollection]
    counts: list[beam.PCollection]


def write(
    blocks: beam.PCollection,
    config: Any,
    transform_fn: Any,
    interactions: beam.PCollection,
    settings: Settings,
    root: str,
    store: BlockStore,
) -> HeldOutFiles:
    """Encodes blocks of held-out interactions, within a tft_beam.Context, and writes `held_out-*`.

    Args:
        blocks, config: references of what is encoded, and how TFT reads it. transform_fn: what TFT learned from train.
        interactions: a singleton, how many there are in train: the files are as many as those of `items_for_user`.
    """
    if not settings.split.holds_out:
        return HeldOutFiles([], [])
    loaded = blocks | "LoadHeldOut" >> beam.Map(store.get_block)
    encoded, _ = ((loaded, config), transform_fn) | "EncodeHeldOut" >> tft_beam.TransformDataset(
        output_record_batches=True
    )
    rows = (
        encoded
        | "HeldOutBatches" >> beam.Map(lambda pair: pair[0])
        | "HeldOutRows"
        >> WriteRows(root, interactions, settings.dataset.shards, settings.dataset.gzip, store, (HELD_OUT,))
    )
    return HeldOutFiles([rows.files], [rows.counts | "HeldOutCounts" >> beam.Map(splits.of_encoded)])
