"""TensorBoard's files, written without TensorBoard: summaries of a fit, and the items' factors for its projector."""

from __future__ import annotations

import re

import numpy as np
import tensorflow as tf

from artifacts import catalogue, storage
from artifacts.manifests import SweepRecord
from artifacts.paths import Dataset, join
from artifacts.vocabulary import Vocabulary
from trainer.als.loop import Factorization

_MOST = 10_000  # the projector runs in a browser


class Summaries:
    """Writes loss, RWSE, seconds and the norms of both tables after each sweep; the step is the sweep.

    All processes call it, and the first one writes.
    """

    def __init__(self, directory: str, rank: int = 0):
        self._writer = tf.summary.create_file_writer(directory) if rank == 0 else None

    def write(self, sweep: SweepRecord, state: Factorization) -> None:
        """Add one sweep."""
        squares = [np.linalg.norm(side.table) ** 2 for side in (state.rows, state.cols)]
        norms = np.sqrt(state.cluster.sum(np.array(squares, np.float64)))
        if self._writer is None:
            return
        values = {
            "WALS_loss": sweep.loss,
            "WALS_RWSE": sweep.rwse,
            "seconds": sweep.seconds,
            "norm/row_factors": norms[0],
            "norm/col_factors": norms[1],
        }
        # As tf.summary.scalar would write it; that function needs TensorBoard to be installed.
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class=1)
        with self._writer.as_default():
            for tag, value in values.items():
                tf.summary.write(tag, tf.constant(value, tf.float32), sweep.sweep, metadata)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def write_projector(
    directory: str, dataset: Dataset, factors: np.ndarray, visitors: np.ndarray, path: str | None
) -> None:
    """Write the items' factors for the embedding projector, the most popular items first.

    Args:
        factors: float32 [m, k]. visitors: int64 [m], of each item.
        path: a catalogue, whose titles and categories win over the dataset's; it need not exist.
    """
    ids = Vocabulary.read(dataset.vocab_items).texts()
    names = catalogue.of_dataset(dataset, path)
    lines, header = [], ["contentId", "visitors", *(["title", "category"] if names else [])]
    chosen = np.argsort(-visitors, kind="stable")[:_MOST]
    for item in chosen.tolist():
        item_id = ids[item]
        cells = [item_id, str(int(visitors[item])), *(names.get(item_id, (item_id, "")) if names else ())]
        lines.append("\t".join(re.sub(r"\s", " ", cell) for cell in cells))
    rows = ("\t".join(f"{value:.6g}" for value in row) for row in factors[chosen].tolist())
    config = 'embeddings {\n  tensor_path: "item_factors.tsv"\n  metadata_path: "metadata.tsv"\n}\n'
    for name, text in (
        ("item_factors.tsv", "\n".join(rows) + "\n"),
        ("metadata.tsv", "\n".join(["\t".join(header), *lines]) + "\n"),
        ("projector_config.pbtxt", config),
    ):
        storage.write_bytes(join(directory, name), text.encode())
