"""The preprocessing pipeline: export files -> interactions -> vocabularies and ratings -> the files of a dataset.

`build` is the way of the data; each composite PTransform below has one role in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsIter, AsSingleton
from apache_beam.runners.runner import PipelineResult
from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig

from artifacts.checksums import FileDescription
from artifacts.names import HELD_OUT, ITEM, USER, Side
from artifacts.paths import Dataset, join
from configs.settings import SourceSettings
from pipeline.beam import options as beam_options
from pipeline.beam.block_store import BlockStore
from pipeline.beam.finalize import TEMPORARY, Summary
from pipeline.beam.transform_files import WriteTransformFn
from pipeline.beam.transform_fn import Encode, Learn, adapter
from pipeline.dataset import dataset_statistics, item_statistics
from pipeline.dataset.features.transforms import FeatureFiles, FeatureJob, WriteItemFeatures
from pipeline.dataset.features.visitors import WriteUserFeatures
from pipeline.dataset.grouping import SIDES
from pipeline.dataset.item_statistics import WriteItems
from pipeline.dataset.manifest import Job
from pipeline.dataset.preprocessing_fn import feature_spec, make_preprocessing_fn
from pipeline.dataset.row_files import RowFiles, WriteRows
from pipeline.interactions import splits
from pipeline.interactions.blocks import BLOCK, MARKED_BLOCK
from pipeline.sources.read_interactions import Interactions, ReadInteractions


def run(job: Job, options: PipelineOptions, last: Callable[[Summary], object], wait: bool = True) -> PipelineResult:
    """Run the pipeline of a job, or only start it, and return Beam's result."""
    store = BlockStore(beam_options.shared_folder(options, join(job.staging, TEMPORARY, "blocks")))
    return beam_options.run(lambda pipeline: build(pipeline, job, store, last), options, wait)


def build(pipeline: beam.Pipeline, job: Job, store: BlockStore, last: Callable[[Summary], object]) -> None:
    """Build the pipeline that writes a dataset's files; `last` gets its summary, on a worker, when all are written."""
    settings, dataset, temporary = job.settings, Dataset(job.staging), join(job.staging, TEMPORARY)
    timed = settings.source.has_times
    interactions = pipeline | "Interactions" >> ReadInteractions(
        job.files,
        settings.source,
        settings.rating,
        store,
        settings.split,
        job.test_files,
        settings.privacy,
        job.sizes.block,
    )
    counts = interactions.counts | "SumCounts" >> beam.CombineGlobally(sum_counts)
    pairs = counts | "CountPairs" >> beam.Map(lambda counts: counts["pairs.read"])

    read = _adapter(settings.source)
    learn = make_preprocessing_fn(settings.rating, settings.dataset, store, settings.source.end_date)
    transform_fn = interactions.blocks | "Learn" >> Learn(learn, read, store, temporary)
    encode = Encode(transform_fn, read, store, temporary)
    encoded = interactions.blocks | "Encode" >> encode

    rejects = interactions.rejects | "WriteRejects" >> beam.io.WriteToText(join(dataset.rejected, "rejected"), ".jsonl")
    graph = transform_fn | "WriteTransformFn" >> WriteTransformFn(dataset.transform_fn, temporary)
    rows = encoded | "Rows" >> WriteRows(job.staging, pairs, settings.dataset, store, SIDES, job.sizes, timed)
    test_rows = interactions.held_out | "HeldOut" >> WriteHeldOut(job, pairs, encode)
    items = encoded | "Items" >> WriteItems(
        dataset.items, transform_fn[0], interactions.attributes, settings, job.catalogue
    )
    statistics = encoded | "Statistics" >> beam.Map(dataset_statistics.count, settings.rating, timed)
    features = items.file | "Features" >> WriteFeatures(job, interactions.attributes, store)
    of_users = transform_fn[0] | "UserFeatures" >> WriteFeaturesOfUsers(job, interactions, items.file, store)

    pipeline | "Finish" >> Finish(
        last,
        counts=[
            counts,
            rows.counts,
            test_rows.counts,
            items[item_statistics.COUNTS],
            statistics,
            features.counts,
            of_users.counts,
        ],
        medians=rows.medians,
        files=[rows.files, test_rows.files, items.file, features.files, of_users.files],
        others=[rejects, graph, features.graph, of_users.graph],
    )


def _adapter(source: SourceSettings) -> TensorAdapterConfig:
    """Return how TFT reads the blocks of a source."""
    block = MARKED_BLOCK if source.recommends_again else BLOCK
    return adapter(block, feature_spec(block))


@dataclass
class WriteHeldOut(beam.PTransform):
    """References to held-out blocks -> `held_out-*`, as many files as `items_for_user` has; none without a split."""

    job: Job
    pairs: beam.PCollection  # a singleton, the number of interactions in train
    encode: Encode

    def expand(self, references: beam.PCollection) -> RowFiles:
        job = self.job
        if not job.settings.split.holds_out:
            return RowFiles(*(references.pipeline | name >> beam.Create([]) for name in ("Files", "Counts", "Medians")))
        write = WriteRows(job.staging, self.pairs, job.settings.dataset, self.encode.store, (HELD_OUT,), job.sizes)
        rows = references | "Encode" >> self.encode | "Rows" >> write
        return RowFiles(rows.files, rows.counts | "Counts" >> beam.Map(splits.of_encoded), rows.medians)


@dataclass
class WriteFeatures(beam.PTransform):
    """items.parquet, once it is written -> the files of the items' features; none if the settings ask for none."""

    job: Job
    attributes: beam.PCollection  # of the data
    store: BlockStore

    def expand(self, items: beam.PCollection) -> FeatureFiles:
        job = self.job
        if not job.choice.fields:
            return FeatureFiles.none(items.pipeline)
        features = feature_job(job, ITEM, self.store)
        return items | "OfItems" >> WriteItemFeatures(features, self.attributes)


@dataclass
class WriteFeaturesOfUsers(beam.PTransform):
    """The path of TFT's transform_fn -> the files of the visitors' features; none if the settings ask for none."""

    job: Job
    interactions: Interactions
    items: beam.PCollection
    store: BlockStore

    def expand(self, transform_fn: beam.PCollection) -> FeatureFiles:
        if not self.job.user_choice.fields:
            return FeatureFiles.none(transform_fn.pipeline)
        features, read = feature_job(self.job, USER, self.store), self.interactions
        return transform_fn | "OfUsers" >> WriteUserFeatures(features, read.visitors, read.shards, self.items)


def feature_job(job: Job, side: Side, store: BlockStore) -> FeatureJob:
    """Return what the features of a side need."""
    fields, table = (job.choice, job.catalogue) if side == ITEM else (job.user_choice, job.user_catalogue)
    return FeatureJob(side, fields.fields, job.settings, table, job.staging, store, join(job.staging, TEMPORARY))


@dataclass
class Finish(beam.PTransform):
    """All counts, medians and descriptions of files -> a summary, which `last` receives once."""

    last: Callable[[Summary], object]
    counts: list[beam.PCollection]
    medians: beam.PCollection
    files: list[beam.PCollection]
    others: list[beam.PCollection]  # of files without a description, which must also be written by then

    def expand(self, pipeline: beam.pvalue.PBegin) -> beam.PCollection:
        total = self.counts | "AllCounts" >> beam.Flatten() | "SumCounts" >> beam.CombineGlobally(sum_counts)
        files = self.files | "AllFiles" >> beam.Flatten()
        return (
            pipeline
            | "Once" >> beam.Create([self.last])
            | "Last"
            >> beam.Map(summarise, AsSingleton(total), AsIter(self.medians), AsIter(files), *map(AsIter, self.others))
        )


def sum_counts(counters: Iterable[Counter[str]]) -> Counter[str]:
    """Add up Counters by name."""
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def summarise(
    last: Callable[[Summary], object],
    counts: Counter[str],
    medians: Iterable[float],
    files: Iterable[tuple[str, FileDescription]],
    *_: object,
) -> None:
    """Pass the summary, from which the manifest is made, to the last step."""
    described = {name: file.model_dump() for name, file in sorted(files, key=lambda file: file[0])}
    last({"counts": counts, "median": next(iter(medians), None), "files": described})
