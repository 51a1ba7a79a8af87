"""Features of items that come after their dataset was made, by the graph in the dataset."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa
import tensorflow as tf

from artifacts.features import Features
from artifacts.features.fields import Field, input_names
from artifacts.manifests import DatasetManifest
from artifacts.names import INDICES, VALUES
from artifacts.paths import Dataset
from configs.errors import UserError
from pipeline.dataset.features import raw
from pipeline.dataset.features.export import ROW_SPLITS, SIGNATURE

_BATCH = 8_192  # items


class FeatureGraph:
    """The graph of a dataset; it is loaded at its first use."""

    def __init__(self, root: str):
        """Read the manifest; raise UserError if the dataset has no features."""
        account = DatasetManifest.read(Dataset(root).manifest).item_features
        if account is None:
            raise UserError(f"{root} has no features of items; make the dataset again with item_features.fields: auto")
        self.root, self.account = root, account
        self.fields = [Field(**field.model_dump(include=set(Field._fields))) for field in account.fields]

    @cached_property
    def _function(self) -> tf.types.experimental.ConcreteFunction:
        return tf.saved_model.load(Dataset(self.root).item_features_fn).signatures[SIGNATURE]

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
