"""Blocks stored and read back, through the runner or through the disk."""

import pickle

import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.beam.block_store import BlockStore
from pipeline.beam.options import shared_folder


def batch(first: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"id": [b"%d" % n for n in range(first, first + 1000)], "n": list(range(1000))})


@pytest.mark.parametrize("folder", [None, "blocks"])
def test_another_worker_reads_the_rows_in_the_order_of_the_references(tmp_path, folder):
    store = BlockStore(folder and str(tmp_path / folder))
    other = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    references = [store.put(batch(0)), other.put(batch(1)), store.put(batch(2))]
    store.close()
    references.append(store.put(batch(3)))
    for worker in (store, other):
        worker.close()
    expected = pa.Table.from_batches([batch(n) for n in (3, 2, 1, 0)])
    assert store.get(references[::-1]).equals(expected) and other.get(references[::-1]).equals(expected)
    assert other.get_block(references[1]).equals(batch(1))
    assert all(len(reference) < 200 for reference in references) == bool(folder)


@pytest.mark.parametrize(
    ("flags", "folder", "shared"),
    [
        (["--runner=FnApiRunner"], "data/blocks", True),
        (["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"], "data/blocks", True),
        ([], "data/blocks", True),
        (["--runner=FnApiRunner"], "gs://bucket/blocks", False),
        (["--runner=DataflowRunner"], "data/blocks", False),
        (["--runner=FlinkRunner"], "data/blocks", False),
        (["--runner=PrismRunner", "--environment_type=DOCKER"], "data/blocks", False),
    ],
)
def test_only_workers_on_this_machine_share_its_disk(flags, folder, shared):
    assert shared_folder(PipelineOptions(flags), folder) == (folder if shared else None)
