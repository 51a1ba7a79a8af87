"""The columnar vocabulary against tft.vocabulary itself, on the same blocks in the same run."""

import random
from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform import DatasetMetadata

from pipeline.beam.block_store import BlockStore
from pipeline.dataset import vocabulary_analyzer

IDS, COUNTS = "ids", "counts"
SPEC = {IDS: tf.io.VarLenFeature(tf.string), COUNTS: tf.io.VarLenFeature(tf.int64)}


def blocks(seed):
    """Make blocks that contain each id once; many sums tie, some ids are odd bytes."""
    rng = random.Random(seed)
    ids = [f"visitor {n}".encode() for n in range(300)] + [
        b" ",
        b"c ",
        b"\t",
        "é".encode(),
        "e\u0301".encode(),
        b"x" * 9999,
    ]
    some = [rng.sample(ids, rng.randrange(1, len(ids))) for _ in range(5)]
    return [{IDS: chosen, COUNTS: [rng.randint(1, 4) for _ in chosen]} for chosen in some]


@pytest.mark.parametrize(("least", "folder"), [(1, None), (9, "store")])
def test_the_file_is_the_one_that_tft_writes(tmp_path, least, folder):
    def preprocessing_fn(inputs):
        values, counts = inputs[IDS].values, inputs[COUNTS].values
        theirs = tft.vocabulary(
            values, weights=counts, frequency_threshold=least if least > 1 else None, vocab_filename="theirs"
        )
        ours = vocabulary_analyzer.vocabulary(
            values, counts, "ours", least, BlockStore(folder and str(tmp_path / folder))
        )
        found = {
            name: tft.apply_vocabulary(values, path, default_value=-1)
            for name, path in (("theirs", theirs), ("ours", ours))
        }
        return {
            name: tf.SparseTensor(inputs[IDS].indices, indices, inputs[IDS].dense_shape)
            for name, indices in found.items()
        }

    with tft_beam.Context(temp_dir=str(tmp_path / "temp")), beam.Pipeline("FnApiRunner") as pipeline:
        data = pipeline | beam.Create(blocks(least))
        _, transform_fn = (data, DatasetMetadata.from_feature_spec(SPEC)) | tft_beam.AnalyzeAndTransformDataset(
            preprocessing_fn
        )
        transform_fn | tft_beam.WriteTransformFn(str(tmp_path / "transform"))
    output = tft.TFTransformOutput(str(tmp_path / "transform"))
    ours, theirs = (Path(output.vocabulary_file_by_name(name)).read_bytes() for name in ("ours", "theirs"))
    assert ours == theirs
    assert output.vocabulary_size_by_name("ours") == theirs.count(b"\n") > 10
