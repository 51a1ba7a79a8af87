"""Examples of visitors: whom to show, what they have, and what the SavedModel recommends to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from artifacts.catalogue import Catalogue
from artifacts.paths import Dataset, Model
from artifacts.vocabulary import Vocabulary
from configs.settings import ReportSettings
from ranking.sparse_rows import SparseRows

_FEWEST, _MOST = 5, 25  # items of a visitor that is pleasant to look at
_CANDIDATES = 500  # a file


@dataclass(frozen=True)
class Candidate:
    """A visitor's row: userId, itemIds int32 [n], ratings float32 [n]."""

    key: int
    indices: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Line:
    """An item on the page; `because` names items of the visitor that carry its score."""

    item: str
    value: float
    because: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """A visitor, without the id. rule: that answered (ranking/cold_start.py). total: items they have."""

    history: list[Line]
    total: int
    recommended: list[Line]
    rule: str


def candidates(block: SparseRows) -> list[Candidate]:
    """Visitors of a file with neither few nor many items; the longest rows where there are none."""
    fit = np.flatnonzero((block.lengths >= _FEWEST) & (block.lengths <= _MOST))
    if not len(fit):
        fit = np.argsort(-np.minimum(block.lengths, _MOST), kind="stable")
        fit = fit[block.lengths[fit] > 0][:10]
    found = []
    for row in fit[:: max(1, len(fit) // _CANDIDATES)][:_CANDIDATES]:
        part = slice(block.indptr[row], block.indptr[row + 1])
        found.append(Candidate(int(block.keys[row]), block.indices[part].copy(), block.values[part].copy()))
    return found


def choose(found: Sequence[Candidate], items: Sequence[str], names: Catalogue, count: int) -> list[Candidate]:
    """As many visitors, of as many favourite categories as can be."""
    groups: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in found:
        groups[favourite(candidate, items, names)].append(candidate)
    ordered = sorted(groups.values(), key=lambda group: (-len(group), group[0].key))
    chosen: list[Candidate] = []
    while len(chosen) < min(count, len(found)):
        for group in ordered:
            if group and len(chosen) < count:
                chosen.append(group.pop(len(group) // 2))
    return chosen


def favourite(candidate: Candidate, items: Sequence[str], names: Catalogue) -> str:
    """The category with most of the visitor's ratings; empty where none is known."""
    weights: defaultdict[str, float] = defaultdict(float)
    for index, value in zip(candidate.indices, candidate.values, strict=True):
        weights[names.get(items[index], ("", ""))[1]] += 1 + 1e-3 * float(value)
    weights.pop("", None)
    return max(sorted(weights), key=weights.__getitem__) if weights else ""


def recommend(
    model: Model, dataset: Dataset, chosen: Sequence[Candidate], items: Sequence[str], settings: ReportSettings
) -> list[Example]:
    """What the SavedModel answers for these visitors, and its reasons."""
    if not chosen:
        return []
    signatures = tf.saved_model.load(model.saved_model).signatures
    ids = Vocabulary.read(dataset.vocab_users).ids
    who = tf.constant([ids[candidate.key] for candidate in chosen])
    count = tf.constant(settings.recommendations, tf.int32)
    found = {name: tensor.numpy() for name, tensor in signatures["recommend"](visitorId=who, k=count).items()}
    return [
        _example(row, candidate, found, _reasons(signatures, who[row], found, row), items, settings)
        for row, candidate in enumerate(chosen)
    ]


def _reasons(signatures: Any, visitor: tf.Tensor, found: Mapping[str, np.ndarray], row: int) -> list[tuple[str, ...]]:
    """The two items of the visitor's own that carry each recommendation most."""
    items = found["contentIds"][row][: found["count"][row]]
    if not len(items):
        return []
    answer = signatures["explanation"](
        visitorId=tf.repeat(visitor[None], len(items)), contentId=tf.constant(items), k=tf.constant(2, tf.int32)
    )
    names, shares = answer["contentIds"].numpy(), answer["contributions"].numpy()
    return [
        tuple(name.decode("utf-8", "replace") for name, share in zip(*pair, strict=True) if name and share > 0)
        for pair in zip(names, shares, strict=True)
    ]


def _example(
    row: int,
    candidate: Candidate,
    found: Mapping[str, np.ndarray],
    reasons: Sequence[tuple[str, ...]],
    items: Any,
    settings: ReportSettings,
) -> Example:
    order = sorted(range(len(candidate.indices)), key=lambda n: (-candidate.values[n], items[candidate.indices[n]]))
    history = [Line(items[candidate.indices[n]], float(candidate.values[n])) for n in order]
    count = int(found["count"][row])
    recommended = [name.decode("utf-8", "replace") for name in found["contentIds"][row][:count]]
    scores = found["scores"][row][:count].tolist()
    lines = [Line(*line) for line in zip(recommended, scores, reasons, strict=True)]
    return Example(history[: settings.recommendations], len(history), lines, found["rule"][row].decode())
