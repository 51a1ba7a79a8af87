"""TFT's transform_fn and its metadata -> the files that `tft.TFTransformOutput` reads.

`tft_beam.WriteTransformFn` moves directories, which cannot be done twice: a bundle that is retried behind its move, or
done by two workers, fails for good. Here each file is copied aside and renamed to its place, as often as need be.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import metadata_io

from artifacts.paths import join

_ANALYSIS_ONLY = ".tft_metadata"  # within a transform_fn, for TFT's own use on the way


@dataclass
class WriteTransformFn(beam.PTransform):
    """Writes what `tft_beam.AnalyzeDataset` gives; its output is there when the files are.

    root: where the two directories go. temporary: a directory in the same storage, which somebody removes.
    """

    root: str
    temporary: str

    def _extract_input_pvalues(self, transform_fn: tuple[beam.PCollection, Any]) -> tuple[Any, list[beam.PCollection]]:
        """Beam's way to say which parts of the input are collections."""
        saved_model, metadata = transform_fn
        return transform_fn, [saved_model, metadata.deferred_metadata]

    def expand(self, transform_fn: tuple[beam.PCollection, Any]) -> beam.PCollection:
        saved_model, metadata = transform_fn
        graph, schema = (
            join(self.root, name)
            for name in (tft.TFTransformOutput.TRANSFORM_FN_DIR, tft.TFTransformOutput.TRANSFORMED_METADATA_DIR)
        )
        copied = saved_model | "CopyGraph" >> beam.Map(_copy, graph, self.temporary)
        written = metadata.deferred_metadata | "WriteMetadata" >> beam.Map(
            _write_metadata, schema, self.temporary, metadata.asset_map
        )
        return (copied, written) | beam.Flatten()


def _write_metadata(metadata: Any, to: str, temporary: str, asset_map: dict[str, str]) -> None:
    place = join(temporary, uuid.uuid4().hex)
    metadata_io.write_metadata(metadata, place)
    if asset_map:
        with tf.io.gfile.GFile(join(place, tft.TFTransformOutput.ASSET_MAP), "w") as file:
            file.write(json.dumps(asset_map))
    _copy(place, to, temporary)


def _copy(source: str, to: str, temporary: str) -> None:
    """Copies a directory's files, each whole or not at all."""
    for folder, _, names in tf.io.gfile.walk(source):
        below = folder.rstrip("/")[len(source.rstrip("/")) + 1 :]
        if below.split("/")[0] == _ANALYSIS_ONLY:
            continue
        target = join(to, below) if below else to
        tf.io.gfile.makedirs(target)
        tf.io.gfile.makedirs(temporary)
        for name in names:
            beside = join(temporary, uuid.uuid4().hex)
            tf.io.gfile.copy(join(folder, name), beside)
            tf.io.gfile.rename(beside, join(target, name), overwrite=True)
