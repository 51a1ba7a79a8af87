"""Blocks put away and got back, through the runner or through the disk."""

import pickle

import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.beam.block_store import Spill
from pipeline.beam.options import shared_folder


def batch(first: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"id": [b"%d" % n for n in range(first, first + 1000)], "n": list(range(1000))})


@pytest.mark.parametrize("folder", [None, "spill"])
def test_another_worker_gets_the_rows_in_the_parcels_order(tmp_path, folder):
    spill = Spill(folder and str(tmp_path / folder))
    other = pickle.loads(pickle.dumps(spill))  # noqa: S301 - our own
    parcels = [spill.put(batch(0)), other.put(batch(1)), spill.put(batch(2))]
    spill.close()
    parcels.append(spill.put(batch(3)))
    for worker in (spill, other):
        worker.close()
    expected = pa.Table.from_batches([batch(n) for n in (3, 2, 1, 0)])
    assert spill.get(parcels[::-1]).equals(expected) and other.get(parcels[::-1]).equals(expected)
    assert other.get_batch(parcels[1]).equals(batch(1))
    assert all(len(parcel) < 200 for parcel in parcels) == bool(folder)


@pytest.mark.parametrize(
    ("flags", "folder", "shared"),
    [
        (["--runner=FnApiRunner"], "data/spill", True),
        (["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"], "data/spill", True),
        ([], "data/spill", True),
        (["--runner=FnApiRunner"], "gs://bucket/spill", False),
        (["--runner=DataflowRunner"], "data/spill", False),
        (["--runner=FlinkRunner"], "data/spill", False),
        (["--runner=PrismRunner", "--environment_type=DOCKER"], "data/spill", False),
    ],
)
def test_only_workers_on_this_machine_share_its_disk(flags, folder, shared):
    assert shared_folder(PipelineOptions(flags), folder) == (folder if shared else None)
