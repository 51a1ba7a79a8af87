"""Example visitors: which ones to show, their items, and the SavedModel's recommendations with explanations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from artifacts.paths import Dataset, Model
from artifacts.sparse_rows import SparseRows
from artifacts.vocabulary import Vocabulary
from configs.settings import ReportSettings
from ranking.examples import Row, favourite, varied

_FEWEST, _MOST = 5, 25  # items of a visitor that fits the page
_CANDIDATES = 500  # per file
_EXPLAINED_BY = 2  # items per explanation

Outputs = Mapping[str, np.ndarray]


class Line(NamedTuple):
    """An item of a list, with its rating or score; `explanation` names the visitor's items that contribute most."""

    item: str
    value: float
    explanation: tuple[str, ...] = ()


class Example(NamedTuple):
    """A visitor without the id."""

    history: list[Line]
    total: int  # number of the visitor's items
    recommended: list[Line]
    rule: str  # the rule that answered (ranking/cold_start.py)


def candidates(block: SparseRows) -> list[Row]:
    """Return visitors of a file with 5 to 25 items, or the longest rows if there are none."""
    fitting = np.flatnonzero((block.lengths >= _FEWEST) & (block.lengths <= _MOST))
    if not len(fitting):
        longest = np.argsort(-np.minimum(block.lengths, _MOST), kind="stable")
        fitting = longest[block.lengths[longest] > 0][:10]
    rows = []
    for row in fitting[:: max(1, len(fitting) // _CANDIDATES)][:_CANDIDATES]:
        entries = slice(block.indptr[row], block.indptr[row + 1])
        rows.append(Row(int(block.keys[row]), block.indices[entries].copy(), block.values[entries].copy()))
    return rows


def choose(rows: Iterable[Row], categories: Sequence[str], count: int) -> list[Row]:
    """Choose `count` visitors with as many different favourite categories as possible; categories: by itemId, or ""."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[favourite(row, categories)].append(row)
    return varied(groups.values(), count)


def recommend(
    model: Model, dataset: Dataset, chosen: Sequence[Row], items: Sequence[str], settings: ReportSettings
) -> list[Example]:
    """Return the SavedModel's recommendations for the chosen visitors, with explanations."""
    if not chosen:
        return []
    signatures = tf.saved_model.load(model.saved_model).signatures
    vocabulary = Vocabulary.read(dataset.vocab_users)
    visitor_ids = tf.constant([vocabulary[candidate.key] for candidate in chosen])
    k = tf.constant(settings.recommendations, tf.int32)
    outputs = {name: tensor.numpy() for name, tensor in signatures["recommend"](visitorId=visitor_ids, k=k).items()}
    examples = []
    for row, candidate in enumerate(chosen):
        ratings = zip(candidate.indices, candidate.values.tolist(), strict=True)
        history = sorted((Line(items[index], rating) for index, rating in ratings), key=lambda x: (-x.value, x.item))
        recommended = _recommended(signatures, visitor_ids[row], outputs, row)
        rule = outputs["rule"][row].decode()
        examples.append(Example(history[: settings.recommendations], len(history), recommended, rule))
    return examples


def _recommended(signatures: Any, visitor_id: tf.Tensor, outputs: Outputs, row: int) -> list[Line]:
    count = outputs["count"][row]
    if not count:
        return []
    ids, scores = outputs["contentIds"][row][:count], outputs["scores"][row][:count].tolist()
    answer = signatures["explanation"](
        visitorId=tf.repeat(visitor_id[None], count),
        contentId=tf.constant(ids),
        k=tf.constant(_EXPLAINED_BY, tf.int32),
    )
    explaining, contributions = answer["contentIds"].numpy(), answer["contributions"].numpy()
    return [
        Line(item, score, tuple(name for name, share in zip(*reasons, strict=True) if name and share > 0))
        for item, score, *reasons in zip(_texts(ids), scores, map(_texts, explaining), contributions, strict=True)
    ]


def _texts(ids: np.ndarray) -> list[str]:
    return [name.decode("utf-8", "replace") for name in ids]
