"""Short rows solved on the other side's factors as they are, all in float64: visitors with few ratings, for serving.

    (w0 G + lambda_i I + R_i sum C_j v_j v_j') u_i = sum (w0 + R_i C_j) a_j v_j,    G = V'V

In the basis Q of G = Q diag(l) Q' let D = w0 l + lambda_i, Y = V Q D^(-1/2) of the row's n entries only, W = R_i C and
r = (w0 + W) a. Then u = Q D^(-1/2) t, with t from the smaller of two systems:

    t = Z' g,  (I + Z Z') g = W^(-1/2) r,  Z = W^(1/2) Y    of n numbers;        (I + Y' W Y) t = Y' r    of d.

`wals.project` solves in float32 and is made for rows of any length; these factors, rounded, are those that the graph
computes of a history, and batch prediction of a visitor's row, so that all three give the same lists.
"""

from __future__ import annotations

import numpy as np

from trainer.als import parallel, wals

_NUMBERS = 1 << 20  # of the factors of a block's entries: 8 MB


def solve(
    wanted: np.ndarray,
    splits: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    row_weights: np.ndarray,
    items: np.ndarray,
    item_weights: np.ndarray,
    objective: wals.Objective,
) -> np.ndarray:
    """Factors float32 [r, d] of some of n rows; zeros for a row without entries.

    Args:
        wanted: int64 [r], the rows.
        splits: int64 [n + 1]; row i has the columns int [e] and values float32 [e] from splits[i] to splits[i + 1].
        row_weights: float32 [n], R.
        items: float32 [m, d]. item_weights: float32 [m], C.
    """
    gram = wals.gramian(items)
    eigenvalues, basis = np.linalg.eigh(gram)
    turned, weights = items @ basis, item_weights.astype(np.float64)
    lengths, found = np.diff(splits)[wanted], np.zeros((len(wanted), items.shape[1]), np.float32)

    def block(work: tuple[np.ndarray, np.ndarray]) -> None:
        at, diagonal = work
        rows, scale = wanted[at], 1 / np.sqrt(diagonal)
        entries = splits[rows][:, None] + np.arange(lengths[at[0]])
        own = columns[entries]
        w = np.maximum(row_weights[rows].astype(np.float64)[:, None] * weights[own], 1e-30)
        right = (objective.unobserved_weight + w) * values[entries]
        found[at] = (_in_basis(turned[own] * scale, w, right) * scale) @ basis.T

    parallel.each(block, _blocks(lengths, np.maximum(eigenvalues, 0), gram, len(items), objective))
    return found


def _blocks(
    lengths: np.ndarray, eigenvalues: np.ndarray, gram: np.ndarray, others: int, objective: wals.Objective
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of one length each, int64 [r], and their D, float64 [d]."""
    d, blocks = len(eigenvalues), []
    floor = max(1e-10 * float(np.trace(gram)) / d, 1e-30)  # where the system is singular, as the graph has it
    for length in np.unique(lengths[lengths > 0]):
        frequency = max(length + objective.unobserved_weight * others, 1e-30)
        ridge = objective.regularization_coeff * frequency**objective.frequency_exponent + floor
        rows = np.flatnonzero(lengths == length)
        size = max(1, _NUMBERS // (d * int(length)))
        diagonal = objective.unobserved_weight * eigenvalues + ridge
        blocks += [(rows[start : start + size], diagonal) for start in range(0, len(rows), size)]
    return blocks


def _in_basis(y: np.ndarray, weights: np.ndarray, right: np.ndarray) -> np.ndarray:
    """t float64 [r, d] of Y [r, n, d], W [r, n] and r [r, n]."""
    n, d = y.shape[1:]
    if n <= d:
        roots = np.sqrt(weights)
        z = roots[:, :, None] * y
        g = np.linalg.solve(np.eye(n) + z @ z.transpose(0, 2, 1), (right / roots)[:, :, None])
        return (z.transpose(0, 2, 1) @ g)[:, :, 0]
    across = y.transpose(0, 2, 1)
    return np.linalg.solve(np.eye(d) + across @ (weights[:, :, None] * y), across @ right[:, :, None])[:, :, 0]
