"""Row and column weights: a scalar, a vector, or a file by visitorId or contentId."""

from __future__ import annotations

import csv
import io

import numpy as np

from artifacts import storage
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from trainer.als.collectives import Alone, Cluster


def vector(weights: float | np.ndarray | None, size: int, name: str) -> np.ndarray:
    """float32 [size]; None is 0: an observed entry then weighs what every cell weighs.

    Raises:
        ValueError: of another length, negative, or not finite, naming the first index.
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
        raise ValueError(f"{name}[{wrong[0]}] is {array[wrong[0]]}; a weight is finite and not negative")
    return np.ascontiguousarray(array)


def by_frequency(counts: np.ndarray, exponent: float, cluster: Cluster | None = None) -> np.ndarray:
    """counts^-exponent as float32 [n], scaled so that the geometric mean over all entries is 1.

    An exponent above 0 lets an entry of a frequent row (a popular item) count for less, which brings its weight nearer
    to that of the cells without an entry; the scale keeps the balance with unobserved_weight.

    Args:
        counts: int [n], observed entries of each row of this process; a row without any counts as one.
    """
    logarithms = np.log(np.maximum(counts, 1))
    total, entries = (cluster or Alone()).sum(np.array([(logarithms * counts).sum(), counts.sum()], np.float64))
    return np.exp(exponent * (total / max(entries, 1) - logarithms)).astype(np.float32)


def from_file(path: str, vocabulary: str, size: int, default: float | None) -> np.ndarray:
    """Weights of a CSV file `id,weight` (a header line may lead); ids that it lacks weigh `default`.

    Args:
        vocabulary: path of the ids, line n being index n.

    Raises:
        UserError: the file is missing, or a line of it is wrong: unknown id, no number, negative, twice.
    """
    ids = Vocabulary.read(vocabulary)
    weights = np.full(size, 0.0 if default is None else default, np.float32)
    if not storage.exists(path):
        raise UserError(f"weights file {path} does not exist")
    seen: set[int] = set()
    text = io.TextIOWrapper(io.BytesIO(storage.read_bytes(path)), "utf-8", newline="")
    for number, line in enumerate(csv.reader(text), 1):
        if not line or (number == 1 and len(line) == 2 and not _is_number(line[1])):
            continue
        place = f"{path}, line {number}"
        if len(line) != 2 or not _is_number(line[1]):
            raise UserError(f"{place}: expected id,weight")
        index, weight = ids.index(line[0].encode()), float(line[1])
        if index is None:
            continue  # of a visitor or item outside the dataset's window
        if index in seen:
            raise UserError(f"{place}: its id is there twice")
        if not (np.isfinite(weight) and weight >= 0):
            raise UserError(f"{place}: {line[1]} is no weight; a weight is finite and not negative")
        seen.add(index)
        weights[index] = weight
    if not seen:
        raise UserError(f"{path}: none of its ids is in the dataset; the first column holds ids as in the export")
    return weights


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
