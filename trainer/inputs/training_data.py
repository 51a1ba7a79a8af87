"""A caller's training data, in any form, -> both sides' rows and their ids."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from trainer.inputs import dataset_rows, frames, matrices
from trainer.inputs.ids import Ids


@dataclass(frozen=True)
class TrainingData:
    """Both sides of a matrix."""

    rows: list[SparseRows]
    cols: list[SparseRows]
    shape: tuple[int, int]
    ids: tuple[Ids, Ids]
    dataset: Dataset | None = None  # whose rows they are

    @cached_property
    def all_rows(self) -> SparseRows:
        """The rows in one block, keyed 0 .. n - 1 in order."""
        block, *others = self.rows
        whole = not others and len(block) == self.shape[0]
        return block if whole else SparseRows.stacked(self.rows, self.shape[0])


def read(matrix: Any, entry_weights: Any, input_rows: Any, input_cols: Any) -> TrainingData:
    """Return the data; `WALSMatrixFactorization.fit` has the forms. Raise ValueError, or UserError for a dataset."""
    if (matrix is None) == (input_rows is None and input_cols is None):
        raise ValueError("pass either a matrix or input_rows and input_cols")
    if isinstance(matrix, str | os.PathLike):
        return _of_dataset(os.fspath(matrix))
    if matrix is None:
        return _of_batches(input_rows, input_cols)
    ids = None
    if frames.is_frame(matrix):
        if entry_weights is not None:
            raise ValueError("entry_weights goes with a matrix; a frame has the weights in its fourth column")
        matrix, entry_weights, user_ids, item_ids = frames.read(matrix, "matrix")
        ids = Ids.of(user_ids), Ids.of(item_ids)
    rows, columns = matrices.to_rows(matrix, "matrix", entry_weights)
    return TrainingData([rows], [rows.transpose(columns)], (len(rows), columns), ids or _numbers(len(rows), columns))


def _of_dataset(root: str) -> TrainingData:
    info = dataset_rows.read_info(root)
    dataset = Dataset(info.root)
    users, items = (info.row_files(prefix).load() for prefix in (dataset.items_for_user, dataset.users_for_item))
    ids = Ids.of_vocabulary(dataset.vocab_users), Ids.of_vocabulary(dataset.vocab_items)
    return TrainingData(users, items, (info.users, info.items), ids, dataset)


def _of_batches(input_rows: Any, input_cols: Any) -> TrainingData:
    """Return the data of SparseTensors with some of the rows each, and of others with some of the columns each."""
    if input_rows is None or input_cols is None:
        raise ValueError("input_rows and input_cols go together; pass both")
    rows, columns = matrices.to_rows(input_rows, "input_rows")
    cols, _ = matrices.to_rows(input_cols, "input_cols", columns=len(rows))
    if len(cols) != columns or cols.entries != rows.entries:
        raise ValueError(
            f"input_cols is {len(cols)} x {len(rows)} with {cols.entries} entries, input_rows {len(rows)} x "
            f"{columns} with {rows.entries}: one must be the transpose of the other"
        )
    return TrainingData([rows], [cols], (len(rows), columns), _numbers(len(rows), columns))


def _numbers(rows: int, columns: int) -> tuple[Ids, Ids]:
    return Ids.numbers(rows), Ids.numbers(columns)
