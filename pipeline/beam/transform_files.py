"""TFT's transform_fn and its metadata -> the files that `tft.TFTransformOutput` reads.

`tft_beam.WriteTransformFn` moves directories, which fails for good when a bundle is retried or runs twice. Here each
file is copied to a temporary name and then renamed, which may be repeated.
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

_ANALYSIS_ONLY = ".tft_metadata"  # a part of the transform_fn that only TFT's analysis uses


@dataclass
class WriteTransformFn(beam.PTransform):
    """Writes the result of `tft_beam.AnalyzeDataset`; its output has elements once the files are written."""

    root: str  # the parent of the two directories
    temporary: str  # a directory in the same storage, which the job removes

    def _extract_input_pvalues(self, transform_fn: tuple[beam.PCollection, Any]) -> tuple[Any, list[beam.PCollection]]:
        """Return the input and the collections within it, as Beam asks for them."""
        saved_model, metadata = transform_fn
        return transform_fn, [saved_model, metadata.deferred_metadata]

    def expand(self, transform_fn: tuple[beam.PCollection, Any]) -> beam.PCollection:
        saved_model, metadata = transform_fn
        graph = join(self.root, tft.TFTransformOutput.TRANSFORM_FN_DIR)
        schema = join(self.root, tft.TFTransformOutput.TRANSFORMED_METADATA_DIR)
        copied = saved_model | "CopyGraph" >> beam.Map(copy, graph, self.temporary)
        written = metadata.deferred_metadata | "WriteMetadata" >> beam.Map(
            _write_metadata, schema, self.temporary, metadata.asset_map
        )
        return (copied, written) | beam.Flatten()


def _write_metadata(metadata: Any, directory: str, temporary: str, asset_map: dict[str, str]) -> None:
    source = join(temporary, uuid.uuid4().hex)
    metadata_io.write_metadata(metadata, source)
    if asset_map:
        with tf.io.gfile.GFile(join(source, tft.TFTransformOutput.ASSET_MAP), "w") as file:
            file.write(json.dumps(asset_map))
    copy(source, directory, temporary)


def copy(source: str, directory: str, temporary: str) -> None:
    """Copy the files of a directory, each by an atomic rename."""
    for folder, _, names in tf.io.gfile.walk(source):
        below = folder.rstrip("/")[len(source.rstrip("/")) + 1 :]
        if below.split("/")[0] == _ANALYSIS_ONLY:
            continue
        target = join(directory, below) if below else directory
        tf.io.gfile.makedirs(target)
        tf.io.gfile.makedirs(temporary)
        for name in names:
            unnamed = join(temporary, uuid.uuid4().hex)
            tf.io.gfile.copy(join(folder, name), unnamed)
            tf.io.gfile.rename(unnamed, join(target, name), overwrite=True)
