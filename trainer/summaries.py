"""TensorBoard summaries of a fit, written without TensorBoard."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.train import Factorization, Sweep


class Summaries:
    """Writes loss, RWSE, seconds and the norms of both tables after each sweep; the step is the sweep."""

    def __init__(self, directory: str):
        self._writer = tf.summary.create_file_writer(directory)

    def write(self, sweep: Sweep, state: Factorization) -> None:
        """Adds one sweep."""
        values = {
            "WALS_loss": sweep.loss,
            "WALS_RWSE": sweep.rwse,
            "seconds": sweep.seconds,
            "norm/row_factors": np.linalg.norm(state.rows.table),
            "norm/col_factors": np.linalg.norm(state.cols.table),
        }
        # What tf.summary.scalar would write; that function is TensorBoard's, which reading needs and writing does not.
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class=1)
        with self._writer.as_default():
            for tag, value in values.items():
                tf.summary.write(tag, tf.constant(value, tf.float32), sweep.sweep, metadata)

    def close(self) -> None:
        self._writer.close()
