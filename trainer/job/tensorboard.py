"""TensorBoard summaries of a fit, written without TensorBoard."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.als.loop import Factorization, Sweep


class Summaries:
    """Writes loss, RWSE, seconds and the norms of both tables after each sweep; the step is the sweep.

    All processes call it, and the first one writes.
    """

    def __init__(self, directory: str, rank: int = 0):
        self._writer = tf.summary.create_file_writer(directory) if rank == 0 else None

    def write(self, sweep: Sweep, state: Factorization) -> None:
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
