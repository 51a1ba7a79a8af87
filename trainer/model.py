"""WALSMatrixFactorization, as TensorFlow 1 had it, without estimators, sessions or input functions.

TensorFlow 1: tf.contrib.factorization.WALSMatrixFactorization(n, m, 32, regularization_coeff=0.1, max_sweeps=20)
here:         trainer.WALSMatrixFactorization(n, m, 32, regularization_coeff=0.1, max_sweeps=20)
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np

from artifacts import factor_tables
from artifacts.manifests import SweepRecord
from artifacts.paths import Model
from artifacts.sparse_rows import SparseRows
from configs.settings import TrainingSettings
from trainer.als import regularization, wals, weights
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization, fit, random_table
from trainer.als.solver import Method, Solver
from trainer.api import arguments, files, lists
from trainer.inputs import dataset_rows, matrices, training_data
from trainer.inputs.training_data import TrainingData
from trainer.job.early_stopping import HeldOut

_DEFAULTS = TrainingSettings()


class WALSMatrixFactorization:
    """Weighted alternating least squares; see `trainer.als.wals` for the objective.

    Arguments that are not given have the defaults of the settings `training.*`, which `trainer.task` uses too. Only C
    differs: it is 1 here, as in TensorFlow 1, while `training.col_weights_exponent` lowers it for popular items;
    `trainer.als.weights.by_frequency` computes such weights.

    Args:
        num_rows, num_cols: of the matrix; None takes them from the data that `fit` reads.
        embedding_dimension: k, the factors of each row; "auto" follows the number of columns
            (`trainer.als.wals.dimension`).
        unobserved_weight: w0. frequency_exponent: nu.
        regularization_coeff: lambda; None is 0, and "auto" follows the number of columns
            (`trainer.als.regularization.automatic`).
        row_init, col_init: "random" (seeded N(0, init_stddev), by default 1/sqrt(k)), an array [n, k], the directory
            of an earlier model, or an earlier WALSMatrixFactorization.
        row_weights, col_weights: R and C: None (observed entries weigh what all cells weigh), a scalar, a vector, or
            the path of a CSV file `visitorId,weight` (`contentId,weight`) if `fit` reads a dataset directory.
        max_sweeps: a sweep solves one side.
        solver: "auto", "cholesky", "cg", "block", or a `trainer.als.solver.Solver`.

    Raises:
        ValueError: an argument is out of range; the message names it.
    """

    def __init__(
        self,
        num_rows: int | None = None,
        num_cols: int | None = None,
        embedding_dimension: int | Literal["auto"] = _DEFAULTS.embedding_dimension,
        unobserved_weight: float = _DEFAULTS.unobserved_weight,
        regularization_coeff: float | Literal["auto"] | None = _DEFAULTS.regularization_coeff,
        row_init: Any = "random",
        col_init: Any = "random",
        row_weights: Any = _DEFAULTS.row_weights,
        col_weights: Any = _DEFAULTS.col_weights,
        max_sweeps: int = _DEFAULTS.max_sweeps,
        *,
        frequency_exponent: float = _DEFAULTS.frequency_exponent,
        solver: Method | Solver = _DEFAULTS.solver,
        tolerance: float = _DEFAULTS.tolerance,
        seed: int = _DEFAULTS.seed,
        init_stddev: float | None = _DEFAULTS.init_stddev,
    ):
        k = None if embedding_dimension == "auto" else embedding_dimension
        arguments.check_sizes(num_rows, num_cols, k, max_sweeps)
        arguments.check_numbers(
            unobserved_weight=unobserved_weight,
            regularization_coeff=0.0 if regularization_coeff in (None, "auto") else cast(float, regularization_coeff),
            frequency_exponent=frequency_exponent,
            tolerance=tolerance,
        )
        if init_stddev is not None and not (math.isfinite(init_stddev) and init_stddev > 0):
            raise ValueError(f"init_stddev is {init_stddev}; it must be finite and above 0")
        self._arguments = {
            "embedding_dimension": embedding_dimension,
            "unobserved_weight": unobserved_weight,
            "regularization_coeff": regularization_coeff,
            "max_sweeps": max_sweeps,
            "frequency_exponent": frequency_exponent,
            "tolerance": tolerance,
            "seed": seed,
            "init_stddev": init_stddev,
        }
        self._sizes: tuple[int | None, int | None] = (num_rows, num_cols)
        self._dimension, self._k = embedding_dimension, wals.dimension(embedding_dimension, num_cols or 0)
        self._regularization: float | Literal["auto"] = regularization_coeff or 0.0
        self._w0, self._nu = unobserved_weight, frequency_exponent
        self._init, self._weights = (row_init, col_init), (row_weights, col_weights)
        self._max_sweeps, self._tolerance = max_sweeps, tolerance
        self._seed, self._stddev = seed, init_stddev
        self._solver = solver if isinstance(solver, Solver) else Solver(solver)
        self._state: Factorization | None = None
        self._data: TrainingData | None = None

    @property
    def solver(self) -> str:
        """A description of the solver, for this k."""
        return self._solver.describe(self._k)

    @property
    def history(self) -> list[SweepRecord]:
        """Loss, RWSE and seconds of every sweep."""
        return list(self._fitted.history)

    @property
    def completed_sweeps(self) -> int:
        return len(self._fitted.history)

    def fit(
        self,
        matrix: Any = None,
        *,
        passes: int | None = None,
        callback: Callable[[int, float, float, float], None] | None = None,
        entry_weights: Any = None,
        input_rows: Any = None,
        input_cols: Any = None,
        held_out: HeldOut | None = None,
    ) -> WALSMatrixFactorization:
        """Train from the start values of the constructor.

        Args:
            matrix: [num_rows, num_cols] as a dense array (where 0 is not observed), scipy.sparse of any format or a
                tf.SparseTensor; or a frame of pandas, Arrow, polars or DuckDB with the columns user, item, value and,
                if there is one, weight, whose ids `recommend` then takes and returns; or a dataset directory.
            passes: over both sides; None for max_sweeps.
            callback: called after each pass with pass, loss, RWSE and seconds.
            entry_weights: E, with the same entries as `matrix`; a frame has them in its fourth column.
            input_rows, input_cols: instead of `matrix`, batches of SparseTensors as TensorFlow 1's input functions
                returned them: [num_rows, num_cols] with some of the rows each, and [num_cols, num_rows] with some of
                the columns each.
            held_out: stops the training when its metric no longer improves.

        Raises:
            ValueError: the data is wrong; raised before training starts.
        """
        data = training_data.read(matrix, entry_weights, input_rows, input_cols)
        self._set_sizes(*data.shape)
        self._k = wals.dimension(self._dimension, data.shape[1])
        sides = []
        for number, (blocks, size) in enumerate(zip((data.rows, data.cols), data.shape, strict=True)):
            own = arguments.side_weights(self._weights[number], number, size, data.dataset)
            sides.append(wals.Side(self._start(number, size), dataset_rows.count(blocks, size), own, size))
        ridge = self._regularization
        if ridge == "auto":
            shape = sides[0].size, sides[1].size
            ridge = regularization.automatic(shape, int(sides[0].counts.sum()), self._w0, self._nu)
        objective = wals.Objective(self._w0, ridge, self._nu)
        state = Factorization(sides[0], sides[1], data.rows, data.cols, objective, self._solver)

        def after_pass(state: Factorization) -> str | None:
            if callback is not None:
                last = state.history[-1]
                seconds = sum(sweep.seconds for sweep in state.history if sweep.pass_number == last.pass_number)
                callback(last.pass_number, last.loss, last.rwse, seconds)
            return held_out.after_pass(state) if held_out is not None else None

        fit(state, self._max_sweeps if passes is None else 2 * passes, self._tolerance, after_pass=after_pass)
        state.turn_back()
        self._state, self._data = state, data
        return self

    def get_row_factors(self) -> np.ndarray:
        """float32 [num_rows, k]."""
        return self._fitted.rows.table

    def get_col_factors(self) -> np.ndarray:
        """float32 [num_cols, k]."""
        return self._fitted.cols.table

    def recommend(self, user_ids: Any = None, k: int = 10, exclude_seen: bool = True) -> lists.Lists:
        """Return the k best items of each user: `ids` [n, k] and `scores` [n, k], best first.

            >>> frame = pa.table({"user": ["ann", "ann", "bob"], "item": ["x", "y", "x"], "value": [1.0, 1.0, 1.0]})
            >>> WALSMatrixFactorization(embedding_dimension=2).fit(frame).recommend(["bob"], k=1).ids
            array([['y']], dtype=object)

        Args:
            user_ids: of a frame or a dataset; the row numbers of a matrix. None for all users.
            exclude_seen: leave out the items that the user has in the training data. A list may then be shorter: after
                its last entry, an id is None (-1 if ids are whole numbers) and a score is -inf.

        Raises:
            ValueError: an id is not in the training data, or k is not a whole number above 0.
        """
        data = self._trained_on
        users, items = data.ids
        asked = users.places(user_ids, "user_ids")
        left_out = data.all_rows.left_out().take(asked) if exclude_seen else SparseRows.empty(len(asked))
        return lists.recommend(self.get_row_factors()[asked], self.get_col_factors(), left_out, k, items)

    def similar_items(self, item_ids: Any = None, k: int = 10) -> lists.Lists:
        """Return the k items with the greatest cosine to each item, without itself; see `recommend`."""
        items = self._trained_on.ids[1]
        return lists.similar(self.get_col_factors(), items.places(item_ids, "item_ids"), k, items)

    def save(self, path: str | os.PathLike) -> None:
        """Write the trained model to one file, local or gs://, that `load` reads."""
        files.write(os.fspath(path), files.Trained(self._arguments, self._fitted, self._trained_on))

    @classmethod
    def load(cls, path: str | os.PathLike) -> WALSMatrixFactorization:
        """Return a model that `save` wrote: trained, and able to train again with the same arguments."""
        saved = files.read(os.fspath(path))
        model = cls(**saved.arguments, solver=saved.state.solver)
        model._state, model._data = saved.state, saved.data
        return model

    def get_projections(self, rows: Any, projection_weights: Any = None, project_row: bool = True) -> np.ndarray:
        """Fold in rows that were not in the training data: return their solution with the columns fixed.

        Args:
            rows: sparse [n, num_cols] (with project_row=False columns as rows: [n, num_rows]).
            projection_weights: R of these rows: None for 1, a scalar or a vector [n].

        Returns:
            float32 [n, k]; zeros for an empty row.
        """
        return self._project(rows, projection_weights, None, project_row)[0]

    def evaluate(self, matrix: Any, entry_weights: Any = None, projection_weights: Any = None) -> dict[str, float]:
        """Refit the rows with the columns fixed; return WALS_loss, WALS_RWSE and completed_sweeps."""
        loss = self._project(matrix, projection_weights, entry_weights, True)[1]
        return {"WALS_loss": loss.total, "WALS_RWSE": loss.rwse, "completed_sweeps": self.completed_sweeps}

    def _project(
        self, matrix: Any, projection_weights: Any, entry_weights: Any, project_row: bool
    ) -> tuple[np.ndarray, wals.Loss]:
        state = self._fitted
        fixed, own = (state.cols, state.rows) if project_row else (state.rows, state.cols)
        rows, _ = matrices.to_rows(matrix, "rows", entry_weights, columns=fixed.size)
        scale = weights.vector(1 if projection_weights is None else projection_weights, len(rows), "projection_weights")
        return wals.project(rows, scale, fixed, own.size, state.objective, self._solver.exact())

    @property
    def _fitted(self) -> Factorization:
        if self._state is None:
            raise ValueError("this model is not trained yet; call fit first")
        return self._state

    @property
    def _trained_on(self) -> TrainingData:
        return cast(TrainingData, self._data if self._fitted else None)

    def _set_sizes(self, rows: int, cols: int) -> None:
        for name, wanted, found in (("num_rows", self._sizes[0], rows), ("num_cols", self._sizes[1], cols)):
            if wanted is not None and wanted != found:
                raise ValueError(f"the matrix has {found} {name[4:]}, and {name} is {wanted}")
            if found < 1:
                raise ValueError(f"the matrix has no {name[4:]}")
        self._sizes = rows, cols

    def _start(self, number: int, size: int) -> np.ndarray:
        init, name = self._init[number], ("row_init", "col_init")[number]
        if isinstance(init, WALSMatrixFactorization):
            init = init.get_col_factors() if number else init.get_row_factors()
        elif isinstance(init, str | os.PathLike) and init != "random":
            model = Model(os.fspath(init))
            init = factor_tables.read_table(model.item_factors if number else model.user_factors)
        if isinstance(init, str):
            return random_table(size, self._k, self._seed, number, self._stddev, Cluster())
        return matrices.to_table(init, size, self._k, name)
