"""The row solvers in TensorFlow, for accelerators: one program over dense tiles of one shape (see `tiles`).

The algebra is that of `kernels`, in the basis that diagonalises the fixed side's Gramian: with D_i the diagonal
w0 G + lambda_i I and H_i = sum W v v', a row solves

    (I + D^(-1/2) H D^(-1/2)) t = D^(-1/2) sum (w0 + W) a v,    u = D^(-1/2) t.

H_i is formed, [k, k] per row, since such devices are fast at that; then Cholesky, conjugate gradient or block descent
from the last solution, as set. Several devices share the rows (tf.distribute.MirroredStrategy). Each has a copy of the
fixed table, which may be bfloat16; sums are float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from artifacts.sparse_rows import SparseRows
from trainer.als.kernels.rows import RowSystems
from trainer.als.tiles import LENGTH, Tiles, pack, slots_for

if TYPE_CHECKING:
    from trainer.als.solver import Solver


class _Part(NamedTuple):
    """One device's rows: their keys, and their tiles as tensors."""

    keys: np.ndarray
    tiles: Tiles


class _Fixed(NamedTuple):
    """The tensors that all rows share; see `RowSystems`."""

    column_weights: tf.Tensor
    table: tf.Tensor
    safe_diagonal: tf.Tensor
    diagonal: tf.Tensor
    w0: tf.Tensor


class _Rows(NamedTuple):
    """The tensors of one device's rows, with a last row for empty slots."""

    tiles: Tiles
    weights: tf.Tensor  # float32 [r + 1]
    ridges: tf.Tensor  # float32 [r + 1]
    start: tf.Tensor  # float32 [r + 1, k], the last solution


class _Entries(NamedTuple):
    """The entries of a tile: v [S, L, k]; W, a, and w0 of the observed ones (0 for padding), [S, L] each."""

    v: tf.Tensor
    w: tf.Tensor
    a: tf.Tensor
    observed: tf.Tensor


@dataclass(frozen=True)
class DevicePlan:
    """Rows packed in tiles for the devices; see `trainer.als.solver.CpuPlan`."""

    rows: SparseRows
    # A solver of one method (not `auto`) with its rows, in one part of about equal work per device.
    groups: list[tuple[Solver, list[_Part]]]

    @classmethod
    def of(cls, rows: SparseRows, k: int, exact: np.ndarray, solver: Solver) -> DevicePlan:
        """Return the plan for k factors; exact: bool [r]."""
        iterative = replace(solver, method="block" if solver.method == "block" else "cg")
        groups = []
        for of_method, chosen in ((_essence(solver.exact()), exact), (_essence(iterative), ~exact)):
            positions = np.flatnonzero(chosen & (rows.lengths > 0)).astype(np.int32)
            if len(positions):
                parts = _pack(rows, positions, solver.slots or slots_for(k), len(solver.devices))
                groups.append((of_method, parts))
        return cls(rows, groups)

    def solve(self, systems: RowSystems, out: np.ndarray) -> np.ndarray:
        """Solve the rows; see `trainer.als.solver.CpuPlan.solve`."""
        fixed, sums = None, np.zeros(3)
        for solver, parts in self.groups:
            fixed = fixed or _Fixed(
                tf.constant(systems.column_weights),
                tf.cast(systems.table, tf.dtypes.as_dtype(solver.table_dtype)),
                tf.constant(systems.safe_diagonal),
                tf.constant(systems.diagonal),
                tf.constant(systems.unobserved_weight),
            )
            sums += _solve(solver, parts, systems, fixed, out)
        return sums


def _solve(solver: Solver, parts: list[_Part], systems: RowSystems, fixed: _Fixed, out: np.ndarray) -> np.ndarray:
    """Solve rows by one method."""
    strategy = _strategy_for(solver.devices)

    def rows_of(context: tf.distribute.InputReplicaContext | tf.distribute.ReplicaContext) -> _Rows:
        key, tiles = parts[context.replica_id_in_sync_group]
        return _Rows(
            tiles,
            tf.constant(np.append(systems.row_weights[key], np.float32(0))),
            tf.constant(np.append(systems.ridges[key], np.float32(1))),
            tf.constant(np.concatenate([out[key], np.zeros((1, out.shape[1]), np.float32)])),
        )

    rows = strategy.experimental_distribute_values_from_function(rows_of)
    solution = _program(solver, out.shape[1], strategy)(rows, fixed)
    factors, sums = (strategy.experimental_local_results(value) for value in solution)
    for part, solved in zip(parts, factors, strict=True):
        out[part.keys] = solved.numpy()[:-1]
    return np.sum([of_device.numpy() for of_device in sums], axis=0)


def _essence(solver: Solver) -> Solver:
    """Return a solver of one method without what its program does not depend on, so that more solvers share one."""
    steps = solver.steps if solver.method == "cg" else 0
    block = solver.block if solver.method == "block" else 0
    return replace(solver, steps=steps, block=block, threads=None, exact_up_to=0, exact_from=0, largest_exact=0)


@lru_cache(maxsize=4)
def _strategy_for(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """Return one device's strategy, or MirroredStrategy over several."""
    return tf.distribute.OneDeviceStrategy(devices[0]) if len(devices) == 1 else tf.distribute.MirroredStrategy(devices)


def _pack(rows: SparseRows, positions: np.ndarray, slots: int, parts: int) -> list[_Part]:
    """Return the rows at the positions in parts of about equal work."""
    work = np.cumsum(-(-rows.lengths[positions] // LENGTH))
    cuts = np.searchsorted(work, np.linspace(0, work[-1], parts + 1)[1:-1])
    return [
        _Part(rows.keys[part], Tiles(*(tf.constant(array) for array in pack(rows, part, slots))))
        for part in np.split(positions, cuts)
    ]


@lru_cache(maxsize=16)
def _program(solver: Solver, k: int, strategy: tf.distribute.Strategy) -> Any:
    """Return the compiled program for all tiles of every device's part, for k factors."""
    # With a signature it is traced once for both sides. One for several devices would need a private class.
    signature = _signature(solver, k) if len(solver.devices) == 1 else None

    @tf.function(input_signature=signature, reduce_retracing=True, autograph=False)
    def run(rows: Any, fixed: _Fixed) -> Any:
        return strategy.run(lambda part: _solve_part(part, fixed, solver, k), args=(rows,))

    return run


def _signature(solver: Solver, k: int) -> tuple[Any, Any]:
    """Return the types of any rows and any fixed side."""
    slots = solver.slots or slots_for(k)

    def tensor(dtype: tf.DType, *shape: int | None) -> tf.TensorSpec:
        return tf.TensorSpec(shape, dtype)

    of_slots, per_row = tensor(tf.int32, None, slots), tensor(tf.float32, None)
    indices, entries = (tensor(dtype, None, slots, LENGTH) for dtype in (tf.int32, tf.float32))
    goes_on, last = tensor(tf.bool, None), tensor(tf.int32, None)
    tiles: Any = Tiles(indices, entries, entries, of_slots, of_slots, of_slots, goes_on, last)
    table = tensor(tf.dtypes.as_dtype(solver.table_dtype), None, k)
    fixed = _Fixed(per_row, table, tensor(tf.float32, k), tensor(tf.float32, k), tensor(tf.float32))
    return _Rows(tiles, per_row, per_row, tensor(tf.float32, None, k)), fixed


def _solve_part(rows: _Rows, fixed: _Fixed, solver: Solver, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the rows' factors, float32 [r + 1, k], and the three sums, float64 [3]."""
    u = _factors(rows, fixed, solver, k)
    fit, weight = _entry_sums(rows, fixed, u)
    squares = tf.reduce_sum(tf.cast(tf.reduce_sum(u * u * fixed.diagonal, 1), tf.float64))
    ridge = tf.reduce_sum(tf.cast(rows.ridges * tf.reduce_sum(u * u, 1), tf.float64))
    return u, tf.stack([fit + squares, ridge, weight])


def _entries(rows: _Rows, fixed: _Fixed, tile: tf.Tensor) -> _Entries:
    """Return the entries of a tile."""
    tiles = rows.tiles
    columns, weights = tiles.indices[tile], tiles.weights[tile]
    of_slot = tf.gather(rows.weights, tiles.owner[tile])[:, None]
    return _Entries(
        tf.cast(tf.gather(fixed.table, columns), tf.float32),
        of_slot * tf.gather(fixed.column_weights, columns) * tf.maximum(weights, 0.0),
        tiles.values[tile],
        fixed.w0 * tf.cast(weights >= 0, tf.float32),
    )


def _factors(rows: _Rows, fixed: _Fixed, solver: Solver, k: int) -> tf.Tensor:
    """Return the rows' solutions, float32 [r + 1, k]; the last row is zeros."""
    tiles = rows.tiles
    count, slots = tf.shape(tiles.indices)[0], tf.shape(tiles.indices)[1]

    def solve_tile(tile: tf.Tensor, carried: tf.Tensor, solved: tf.Tensor) -> tuple[tf.Tensor, ...]:
        v, w, a, observed = _entries(rows, fixed, tile)
        h = tf.matmul(v * w[:, :, None], v, transpose_a=True)
        b = tf.linalg.matvec(v, (observed + w) * a, transpose_a=True)
        both = tf.concat([h, b[:, None, :]], 1)  # [S, k + 1, k]
        both = tf.math.unsorted_segment_sum(both, tiles.segment[tile], slots)
        both = tf.tensor_scatter_nd_add(both, [[0]], carried[None])
        row = tiles.ends[tile]
        scale = tf.math.rsqrt(fixed.safe_diagonal + tf.gather(rows.ridges, row)[:, None])  # [S, k]
        left = both[:, :k] * scale[:, :, None] * scale[:, None, :] + tf.eye(k)
        # A dimension that the fixed side does not have (its D is huge) starts at 0.
        t = tf.where(scale > 1e-10, tf.gather(rows.start, row) / scale, 0.0)
        u = _solved(left, both[:, k] * scale, t, solver) * scale
        solved = tf.tensor_scatter_nd_update(solved, row[:, None], u)
        carried = tf.where(tiles.goes_on[tile], both[tiles.last[tile]], tf.zeros_like(carried))
        return tile + 1, carried, solved

    loop = (0, tf.zeros([k + 1, k]), rows.start)
    _, _, u = tf.while_loop(lambda tile, *_: tile < count, solve_tile, loop, maximum_iterations=count)
    return tf.concat([u[:-1], tf.zeros([1, k])], 0)


def _entry_sums(rows: _Rows, fixed: _Fixed, u: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the entries' share of the unregularised loss, and sum W, float64 each."""
    count = tf.shape(rows.tiles.indices)[0]

    def add_tile(tile: tf.Tensor, fit: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, ...]:
        v, w, a, observed = _entries(rows, fixed, tile)
        p = tf.linalg.matvec(v, tf.gather(u, rows.tiles.owner[tile]))
        tile_fit = tf.reduce_sum(observed * a * (a - 2 * p) + w * (a - p) ** 2)
        return tile + 1, fit + tf.cast(tile_fit, tf.float64), weight + tf.cast(tf.reduce_sum(w), tf.float64)

    zero = tf.constant(0, tf.float64)
    loop = (0, zero, zero)
    _, fit, weight = tf.while_loop(lambda tile, *_: tile < count, add_tile, loop, maximum_iterations=count)
    return fit, weight


def _solved(left: tf.Tensor, right: tf.Tensor, t: tf.Tensor, solver: Solver) -> tf.Tensor:
    """Return the solutions of systems, float32 [S, k]; the iterative methods improve t."""
    if solver.method == "cg":
        return _conjugate_gradient(left, right, t, solver.steps)
    if solver.method == "block":
        return _block_descent(left, right, t, solver.block)
    return _exact(left, right)


def _exact(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    return tf.linalg.cholesky_solve(tf.linalg.cholesky(left), right[:, :, None])[:, :, 0]


def _conjugate_gradient(left: tf.Tensor, right: tf.Tensor, t: tf.Tensor, steps: int) -> tf.Tensor:
    residual = right - tf.linalg.matvec(left, t)
    direction, norm = residual, tf.reduce_sum(residual * residual, 1)
    enough = 1e-13 * norm
    for _ in range(steps):
        image = tf.linalg.matvec(left, direction)
        going = norm > enough
        step = tf.where(going, tf.math.divide_no_nan(norm, tf.reduce_sum(image * direction, 1)), 0.0)
        t += step[:, None] * direction
        residual -= step[:, None] * image
        before, norm = norm, tf.where(going, tf.reduce_sum(residual * residual, 1), norm)
        direction = residual + tf.math.divide_no_nan(norm, before)[:, None] * direction
    return t


def _block_descent(left: tf.Tensor, right: tf.Tensor, t: tf.Tensor, block: int) -> tf.Tensor:
    for first in range(0, t.shape[1], block):
        part = slice(first, first + block)
        step = _exact(left[:, part, part], right[:, part] - tf.linalg.matvec(left[:, part], t))
        t = tf.concat([t[:, :first], t[:, part] + step, t[:, first + block :]], 1)
    return t
