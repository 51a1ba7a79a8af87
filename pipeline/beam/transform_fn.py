"""TF-Transform on blocks: references to record batches -> a transform_fn -> the same blocks, encoded by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_transform.beam as tft_beam
from tensorflow_transform import DatasetMetadata
from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

from pipeline.beam.block_store import BlockStore


def adapter(block: pa.Schema, feature_spec: Mapping[str, Any]) -> tensor_adapter.TensorAdapterConfig:
    """Return how TFT reads blocks of a schema as the features of a spec."""
    schema = DatasetMetadata.from_feature_spec(feature_spec).schema
    representations = tensor_representation_util.InferTensorRepresentationsFromMixedSchema(schema)
    return tensor_adapter.TensorAdapterConfig(block, representations)


@dataclass
class Learn(beam.PTransform):
    """References to blocks -> the transform_fn of a preprocessing_fn: its graph and what its analyzers learned."""

    preprocessing_fn: Callable[[Any], Any]
    adapter: tensor_adapter.TensorAdapterConfig
    store: BlockStore
    temporary: str

    def expand(self, references: beam.PCollection) -> Any:
        blocks = references | "Load" >> beam.Map(self.store.get_block).with_output_types(pa.RecordBatch)
        with tft_beam.Context(temp_dir=self.temporary):
            return (blocks, self.adapter) | "Analyze" >> tft_beam.AnalyzeDataset(self.preprocessing_fn)


@dataclass
class Encode(beam.PTransform):
    """References to blocks -> record batches of what the preprocessing_fn returns, by a transform_fn.

    The blocks are loaded again behind a reshuffle: so references, not blocks, wait for the end of the analysis.
    """

    transform_fn: Any
    adapter: tensor_adapter.TensorAdapterConfig
    store: BlockStore
    temporary: str

    def expand(self, references: beam.PCollection) -> beam.PCollection:
        load = beam.Map(self.store.get_block).with_output_types(pa.RecordBatch)
        blocks = references | "Wait" >> beam.Reshuffle() | "Load" >> load
        with tft_beam.Context(temp_dir=self.temporary):
            transform = tft_beam.TransformDataset(output_record_batches=True)
            encoded, _ = ((blocks, self.adapter), self.transform_fn) | "Transform" >> transform
        return encoded | "Batches" >> beam.Map(lambda pair: pair[0]).with_output_types(pa.RecordBatch)
