"""The preprocessing pipeline, from files to files. Wiring only: what the steps do stands in other modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_transform.beam as tft_beam
from tensorflow_transform import DatasetMetadata
from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

from artifacts.paths import Dataset, join
from configs.settings import Settings
from pipeline.beam.block_store import BlockStore
from pipeline.dataset import dataset_statistics, held_out_files
from pipeline.dataset.accounts import TEMPORARY
from pipeline.dataset.item_statistics import WriteItems
from pipeline.dataset.preprocessing_fn import FEATURE_SPEC, make_preprocessing_fn
from pipeline.dataset.row_files import WriteRows
from pipeline.dataset.transform_files import WriteTransformFn
from pipeline.interactions.blocks import BLOCK
from pipeline.sources.inputs import Input
from pipeline.sources.kinds import has_times
from pipeline.sources.transform import ReadInteractions


def preprocess(
    pipeline: beam.Pipeline,
    settings: Settings,
    files: Input,
    root: str,
    store: BlockStore,
    last: Callable[[dict[str, Any]], object],
    test_files: Input | None = None,
) -> None:
    """Builds the pipeline that writes a dataset's files below `root`.

    Args:
        last: what a worker does when all files are written, with the summary of which the manifest is made.
    """
    dataset, has_time = Dataset(root), has_times(settings.source)
    read = ReadInteractions(
        files, settings.source, settings.rating, store, settings.split, test_files, settings.privacy
    )
    found = pipeline | "Interactions" >> read
    rejected = found.rejects | "Rejected" >> beam.io.WriteToText(join(dataset.rejected, "rejected"), ".jsonl")

    metadata = DatasetMetadata.from_feature_spec(FEATURE_SPEC)
    representations = tensor_representation_util.InferTensorRepresentationsFromMixedSchema(metadata.schema)
    config = tensor_adapter.TensorAdapterConfig(BLOCK, representations)
    preprocessing_fn = make_preprocessing_fn(settings.rating, settings.dataset, store, settings.source.end_date)
    with tft_beam.Context(temp_dir=join(root, TEMPORARY)):
        # Loaded twice, so that not the blocks but their references wait for the analysis to end.
        analyzed = found.blocks | "Load" >> beam.Map(store.get_block).with_output_types(pa.RecordBatch)
        transformed = (
            found.blocks
            | "Wait" >> beam.Reshuffle()
            | "LoadAgain" >> beam.Map(store.get_block).with_output_types(pa.RecordBatch)
        )
        transform_fn = (analyzed, config) | "Analyze" >> tft_beam.AnalyzeDataset(preprocessing_fn)
        encoded, _ = ((transformed, config), transform_fn) | "Transform" >> tft_beam.TransformDataset(
            output_record_batches=True
        )
        written = transform_fn | "WriteTransformFn" >> WriteTransformFn(dataset.transform_fn, join(root, TEMPORARY))
        before = found.counts | "SumBefore" >> beam.CombineGlobally(sum_counts)
        interactions = before | "CountInteractions" >> beam.Map(lambda counts: counts["pairs.read"])
        held_out = held_out_files.write(found.held_out, config, transform_fn, interactions, settings, root, store)

    batches = encoded | "Batches" >> beam.Map(lambda pair: pair[0]).with_output_types(pa.RecordBatch)
    rows = batches | "Rows" >> WriteRows(root, interactions, settings.dataset.shards, settings.dataset.gzip, store)
    items = batches | "Items" >> WriteItems(dataset.items, transform_fn[0], settings.dataset, has_time)
    statistic = batches | "Statistics" >> beam.Map(dataset_statistics.count, settings.rating, has_time)
    files = [rows.files, items, *held_out.files] | "AllFiles" >> beam.Flatten()
    after = [rows.counts, statistic, *held_out.counts] | "AllCounts" >> beam.Flatten()
    after = after | "SumAfter" >> beam.CombineGlobally(sum_counts)
    (
        pipeline
        | "Once" >> beam.Create([last])
        | "Last"
        >> beam.Map(
            summarise,
            beam.pvalue.AsSingleton(before),
            beam.pvalue.AsSingleton(after),
            beam.pvalue.AsIter(rows.medians),
            beam.pvalue.AsIter(files),
            beam.pvalue.AsIter(rejected),  # for their files to be there
            beam.pvalue.AsIter(written),
        )
    )


def sum_counts(counts: Iterable[Counter[str]]) -> Counter[str]:
    """Adds up Counters by name."""
    total: Counter[str] = Counter()
    for some in counts:
        total.update(some)
    return total


def summarise(
    last: Callable[[dict[str, Any]], object],
    before: Counter[str],
    after: Counter[str],
    medians: Iterable[float],
    files: Iterable[dict],
    *_: object,
) -> None:
    """Hands what a dataset's manifest is made of to the last step."""
    described = sorted(files, key=lambda file: file["name"])
    last({"counts": sum_counts([before, after]), "median": next(iter(medians), None), "files": described})
