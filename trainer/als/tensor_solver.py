"""The row solvers in TensorFlow, for accelerators: one program over dense tiles of one shape (see `tiles`).

The algebra is that of `row_solvers`, in the basis that diagonalises the fixed side's Gramian: with D_i the diagonal
w0 G + lambda_i I and H_i = sum W v v', a row solves

    (I + D^(-1/2) H D^(-1/2)) t = D^(-1/2) sum (w0 + W) a v,    u = D^(-1/2) t.

H_i is formed, [k, k] a row, since that is what such devices are fast at; then Cholesky, conjugate gradient or block
descent from the last solution, as asked. Several devices share the rows (tf.distribute.MirroredStrategy), each with
a copy of the fixed table, which may be bfloat16; sums are float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from ranking.sparse_rows import SparseRows
from trainer.als.tiles import LENGTH, Tiles, pack, slots_for


@lru_cache(maxsize=4)
def strategy_for(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One device, or MirroredStrategy over several."""
    return tf.distribute.OneDeviceStrategy(devices[0]) if len(devices) == 1 else tf.distribute.MirroredStrategy(devices)


def accelerators() -> tuple[str, ...]:
    """Names of the accelerators that TensorFlow sees on this machine."""
    return tuple(device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices("GPU"))


@dataclass(frozen=True)
class Method:
    """cholesky, cg or block, for k factors; steps of conjugate gradient, and dimensions of a block."""

    name: str
    k: int
    steps: int
    block: int


def solve(
    rows: SparseRows,
    positions: np.ndarray,
    side: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    shared: tuple[np.ndarray, np.ndarray],
    w0: float,
    out: np.ndarray,
    method: Method,
    devices: tuple[str, ...],
    table_dtype: str,
) -> np.ndarray:
    """Solves the rows at `positions`, none empty, into out[keys]; arguments and result as in `row_solvers`."""
    if not len(positions):
        return np.zeros(3)
    strategy, parts = strategy_for(devices), _packed(rows, positions, out.shape[1], len(devices))
    own, coefficients, weights, table = side
    table = tf.cast(table, tf.dtypes.as_dtype(table_dtype))
    keys = [rows.keys[part.rows] for part in parts]

    def arguments(context: tf.distribute.InputReplicaContext | tf.distribute.ReplicaContext) -> Any:
        number = context.replica_id_in_sync_group
        part, key = parts[number], keys[number]
        nothing = np.zeros((1, out.shape[1]), np.float32)  # the row of empty slots
        start = np.concatenate([out[key], nothing])
        return (
            part.tensors,
            tf.constant(np.append(own[key], np.float32(0))),
            tf.constant(np.append(coefficients[key], np.float32(1))),
            tf.constant(start),
        )

    given = strategy.experimental_distribute_values_from_function(arguments)
    program = _program(method, strategy)
    found = program(
        given, tf.constant(weights), table, *(tf.constant(array) for array in shared), tf.constant(w0, tf.float32)
    )
    sums = np.zeros(3)
    for key, result in zip(keys, _by_replica(strategy, found), strict=True):
        out[key] = result[0].numpy()[:-1]
        sums += result[1].numpy()
    return sums


def _by_replica(strategy: tf.distribute.Strategy, found: tuple) -> list[tuple]:
    return list(zip(*(strategy.experimental_local_results(value) for value in found), strict=True))


@dataclass(frozen=True)
class _Part:
    rows: np.ndarray
    tensors: tuple[tf.Tensor, ...]


def _packed(rows: SparseRows, positions: np.ndarray, k: int, parts: int) -> list[_Part]:
    """The rows in as many parts of about equal work; kept with the rows: a sweep over them does not pack again."""
    kept = rows.__dict__.setdefault("_tiles", {})
    name = (k, parts, len(positions), int(positions[0]))
    if name not in kept:
        work = np.cumsum(-(-rows.lengths[positions] // LENGTH))
        cuts = np.searchsorted(work, np.linspace(0, work[-1], parts + 1)[1:-1])
        kept[name] = [_as_tensors(pack(rows, some, slots_for(k))) for some in np.split(positions, cuts)]
    return kept[name]


def _as_tensors(tiles: Tiles) -> _Part:
    arrays = (tiles.indices, tiles.values, tiles.weights, tiles.owner, tiles.segment, tiles.ends, tiles.goes_on)
    return _Part(tiles.rows, tuple(tf.constant(array) for array in (*arrays, tiles.last)))


@lru_cache(maxsize=16)
def _program(method: Method, strategy: tf.distribute.Strategy) -> Any:
    """The compiled program: all tiles of every device's part."""

    @tf.function(reduce_retracing=True, autograph=False)
    def run(given: Any, *fixed: tf.Tensor) -> Any:
        return strategy.run(lambda part: _solve_part(part, fixed, method), args=(given,))

    return run


def _solve_part(part: Any, fixed: tuple[tf.Tensor, ...], method: Method) -> tuple[tf.Tensor, tf.Tensor]:
    """The rows' factors, float32 [r + 1, k], and the three sums, float64 [3]."""
    tiles, own, coefficients, start = part
    weights, table, safe, diagonal, w0 = fixed
    indices, values, entry_weights, owner, segment, ends, goes_on, last = tiles
    k = method.k
    slots, count = tf.shape(indices)[1], tf.shape(indices)[0]

    def entries(tile: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """v [S, L, k], and W, a and w0 of the observed entries of a tile, [S, L] each."""
        v = tf.cast(tf.gather(table, indices[tile]), tf.float32)
        of_slot = tf.gather(own, owner[tile])[:, None]
        own_weights = tf.maximum(entry_weights[tile], 0.0)
        observed = w0 * tf.cast(entry_weights[tile] >= 0, tf.float32)  # else padding
        return v, of_slot * tf.gather(weights, indices[tile]) * own_weights, values[tile], observed

    def solve_tile(tile: tf.Tensor, carried: tf.Tensor, solved: tf.Tensor) -> tuple[tf.Tensor, ...]:
        v, w, a, observed = entries(tile)
        h = tf.matmul(v * w[:, :, None], v, transpose_a=True)
        b = tf.linalg.matvec(v, (observed + w) * a, transpose_a=True)
        both = tf.concat([h, b[:, None, :]], 1)  # [S, k + 1, k]
        both = tf.math.unsorted_segment_sum(both, segment[tile], slots)
        both = tf.tensor_scatter_nd_add(both, [[0]], carried[None])
        row = ends[tile]
        scale = tf.math.rsqrt(safe + tf.gather(coefficients, row)[:, None])  # [S, k]
        left = both[:, :k] * scale[:, :, None] * scale[:, None, :] + tf.eye(k)
        # A dimension that the fixed side does not have (its D is huge) starts at 0.
        t = tf.where(scale > 1e-10, tf.gather(start, row) / scale, 0.0)
        u = _METHODS[method.name](left, both[:, k] * scale, t, method) * scale
        solved = tf.tensor_scatter_nd_update(solved, row[:, None], u)
        carried = tf.where(goes_on[tile], both[last[tile]], tf.zeros_like(carried))
        return tile + 1, carried, solved

    carried = tf.zeros([k + 1, k])
    _, _, u = tf.while_loop(lambda tile, *_: tile < count, solve_tile, (0, carried, start), maximum_iterations=count)
    u = tf.concat([u[:-1], tf.zeros([1, k])], 0)

    def measure(tile: tf.Tensor, fit: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, ...]:
        v, w, a, observed = entries(tile)
        p = tf.linalg.matvec(v, tf.gather(u, owner[tile]))
        some = tf.reduce_sum(observed * a * (a - 2 * p) + w * (a - p) ** 2)
        return tile + 1, fit + tf.cast(some, tf.float64), weight + tf.cast(tf.reduce_sum(w), tf.float64)

    zero = tf.constant(0, tf.float64)
    _, fit, weight = tf.while_loop(lambda tile, *_: tile < count, measure, (0, zero, zero), maximum_iterations=count)
    shared = tf.reduce_sum(tf.cast(tf.reduce_sum(u * u * diagonal, 1), tf.float64))
    ridge = tf.reduce_sum(tf.cast(coefficients * tf.reduce_sum(u * u, 1), tf.float64))
    return u, tf.stack([fit + shared, ridge, weight])


def _cholesky(left: tf.Tensor, right: tf.Tensor, t: tf.Tensor, method: Method) -> tf.Tensor:
    return tf.linalg.cholesky_solve(tf.linalg.cholesky(left), right[:, :, None])[:, :, 0]


def _conjugate_gradient(left: tf.Tensor, right: tf.Tensor, t: tf.Tensor, method: Method) -> tf.Tensor:
    residual = right - tf.linalg.matvec(left, t)
    direction, norm = residual, tf.reduce_sum(residual * residual, 1)
    enough = 1e-13 * norm
    for _ in range(method.steps):
        image = tf.linalg.matvec(left, direction)
        going = norm > enough
        step = tf.where(going, tf.math.divide_no_nan(norm, tf.reduce_sum(image * direction, 1)), 0.0)
        t += step[:, None] * direction
        residual -= step[:, None] * image
        before, norm = norm, tf.where(going, tf.reduce_sum(residual * residual, 1), norm)
        direction = residual + tf.math.divide_no_nan(norm, before)[:, None] * direction
    return t


def _block_descent(left: tf.Tensor, right: tf.Tensor, t: tf.Tensor, method: Method) -> tf.Tensor:
    for first in range(0, method.k, method.block):
        end = min(first + method.block, method.k)
        residual = right[:, first:end] - tf.linalg.matvec(left[:, first:end], t)
        factor = tf.linalg.cholesky(left[:, first:end, first:end])
        step = tf.linalg.cholesky_solve(factor, residual[:, :, None])[:, :, 0]
        t = tf.concat([t[:, :first], t[:, first:end] + step, t[:, end:]], 1)
    return t


_METHODS = {"cholesky": _cholesky, "cg": _conjugate_gradient, "block": _block_descent}
