"""Row and column weights: a scalar, a vector, or a file by visitorId or contentId."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from artifacts import id_lists
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from trainer.als.collectives import Cluster


class Weights(NamedTuple):
    """Weights of a file."""

    values: np.ndarray  # float32 [size]
    found: int  # ids of the file that the dataset has
    listed: int  # ids of the file


def vector(weights: float | np.ndarray | None, size: int, name: str) -> np.ndarray:
    """Return weights as float32 [size]; None is 0: an observed entry then weighs as much as every other cell.

    Raise ValueError, naming the first index, if the length differs or a weight is negative or not finite.
    """
    if weights is None:
        return np.zeros(size, np.float32)
    array = np.asarray(weights, np.float32)
    if array.ndim == 0:
        array = np.full(size, array)
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {list(array.shape)}, not [{size}]")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(wrong):
        raise ValueError(f"{name}[{wrong[0]}] is {array[wrong[0]]}; a weight must be finite and not negative")
    return np.ascontiguousarray(array)


def by_frequency(counts: np.ndarray, exponent: float, cluster: Cluster | None = None) -> np.ndarray:
    """Return counts^-exponent as float32 [n], scaled so that the geometric mean over all entries is 1.

    An exponent above 0 lowers the weight of an entry of a frequent row (a popular item), towards the weight of the
    cells without an entry. The scale keeps the balance with unobserved_weight. counts: int [n], observed entries of
    each row of this process; an empty row counts as one with a single entry.
    """
    logarithms = np.log(np.maximum(counts, 1))
    total, entries = (cluster or Cluster()).sum(np.array([(logarithms * counts).sum(), counts.sum()], np.float64))
    return np.exp(exponent * (total / max(entries, 1) - logarithms)).astype(np.float32)


def from_file(path: str, setting: str, vocabulary: str, size: int, default: float | None) -> Weights:
    """Read the weights of a CSV file `id,weight`, with or without a header; other ids weigh `default`.

    setting: the one whose value is the path. vocabulary: path of the ids; line n is index n. Raise UserError if the
    file cannot be read (`id_lists.rows`) or has no id of the dataset; or a weight is not a number or negative, or an id
    is in the file twice.
    """
    ids = Vocabulary.read(vocabulary)
    weights = np.full(size, 0.0 if default is None else default, np.float32)
    seen: set[int] = set()
    listed = 0
    for number, (where, row) in enumerate(id_lists.rows(path, setting)):
        indices = map(ids.index, id_lists.forms(row[0].encode()))
        index = next((index for index in indices if index is not None), None)
        if number == 0 and index is None and len(row) == 2 and not _is_number(row[1]):
            continue  # a header
        if len(row) != 2 or not _is_number(row[1]):
            raise UserError(f"{where}: expected id,weight, with a comma between them and a point in the weight")
        listed, weight = listed + 1, float(row[1])
        if index is None:
            continue  # a visitor or item outside the dataset's window
        if index in seen:
            raise UserError(f"{where}: the id is in the file twice; remove one line")
        if not (np.isfinite(weight) and weight >= 0):
            raise UserError(f"{where}: the weight must be finite and not negative")
        seen.add(index)
        weights[index] = weight
    if not seen:
        raise UserError(f"{setting} {path}: none of its ids is in the dataset; write ids as in the export")
    return Weights(weights, len(seen), listed)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
