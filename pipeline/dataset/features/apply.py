"""Features of items and visitors that come after their dataset was made, by the graph in the dataset."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa
import tensorflow as tf

from artifacts.features.feature_rows import Features
from artifacts.features.fields import Field, input_names
from artifacts.manifests import DatasetManifest
from artifacts.names import INDICES, ITEM, VALUES, Side
from artifacts.paths import Dataset, join
from configs.errors import UserError
from pipeline.dataset.features import raw
from pipeline.dataset.features.export import ROW_SPLITS

_BATCH = 8_192  # rows


class FeatureGraph:
    """The graph of a dataset; it is loaded at its first use."""

    def __init__(self, root: str, side: Side = ITEM):
        """Read the manifest; raise UserError if the dataset has no features of a side."""
        account = DatasetManifest.read(Dataset(root).manifest).features_of(side)
        if account is None:
            remedy = f"make the dataset again with {side.features}.fields: auto"
            raise UserError(f"{root} has no features of {side.plural}; {remedy}")
        self.root, self.account, self._side = root, account, side
        self.fields = [Field(**field.model_dump(include=set(Field._fields))) for field in account.fields]

    @cached_property
    def _function(self) -> tf.types.experimental.ConcreteFunction:
        directory = join(self.root, self._side.graph)
        return tf.saved_model.load(directory).signatures[self._side.features]

    def of_table(self, table: pa.Table, as_of_ms: int | None = None) -> Features:
        """Return the features of a table's rows, the same as if the catalogue had had them.

        Args:
            table: the attributes by their names, of any types that a catalogue may have; one that it lacks is missing.
            as_of_ms: the moment at which ages are measured, ms since 1970; None is that of the dataset.

        Raises:
            UserError: a column cannot be of the field's kind, or embeddings have another length.
        """
        as_of_ms = self.account.as_of_ms if as_of_ms is None else as_of_ms
        lengths, indices, values = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        for first in range(0, table.num_rows, _BATCH):
            made = raw.of_table(table.slice(first, _BATCH), self.fields, as_of_ms).columns
            columns = (np.asarray(made[field.name]) for field in self.fields)
            inputs = dict(zip(input_names(self.fields), map(tf.constant, columns), strict=True))
            rows = {name: tensor.numpy() for name, tensor in self._function(**inputs).items()}
            lengths.append(np.diff(rows[ROW_SPLITS]))
            indices.append(rows[INDICES].astype(np.int32))
            values.append(rows[VALUES])
        indptr = np.cumsum(np.concatenate(lengths))
        return Features(indptr, np.concatenate(indices), np.concatenate(values), self.account.width)
