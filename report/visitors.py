"""Example visitors: which ones to show, their items, and the SavedModel's recommendations with explanations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from artifacts.paths import Dataset, Model
from artifacts.vocabulary import Vocabulary
from configs.settings import ReportSettings
from ranking.examples import Row, favourite, varied
from report.rows import RowStatistics

_TRIED = 200  # candidates that are asked for hits and misses
_LOOKED_AT = 20  # first items of a list in which a held-out item is a hit
_EXPLAINED_BY = 2  # items per explanation

Outputs = Mapping[str, np.ndarray]


class Line(NamedTuple):
    """An item of a list, with its rating or score as text; `explanation` names the items that contribute most."""

    item: str
    shown: str
    explanation: tuple[str, ...] = ()
    is_held_out: bool = False


class HeldOut(NamedTuple):
    """An item that the visitor chose and the model did not see, and its rank from 1; None below the first 20."""

    item: str
    rank: int | None


class Example(NamedTuple):
    """A visitor without the id."""

    history: list[Line]
    total: int  # number of the visitor's items
    recommended: list[Line]
    rule: str  # the rule that answered (ranking/cold_start.py)
    held_out: list[HeldOut]

    @property
    def outcome(self) -> str:
        """hit, miss, or "" if nothing is held out of this visitor."""
        if not self.held_out:
            return ""
        return "hit" if any(held_out.rank for held_out in self.held_out) else "miss"


def choose(rows: Iterable[Row], categories: Sequence[str], count: int) -> list[Row]:
    """Choose `count` visitors with as many different favourite categories as possible; categories: by itemId, or ""."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[favourite(row, categories)].append(row)
    return varied(groups.values(), count)


def examples(
    model: Model,
    dataset: Dataset,
    rows: RowStatistics,
    names: Sequence[tuple[str, str]],
    amount: Callable[[float], str],
    settings: ReportSettings,
) -> list[Example]:
    """Return visitors of different tastes with the SavedModel's recommendations and explanations.

    If items are held out of visitors, half of the examples are hits: visitors with such an item in their first 20.

    Args:
        names: contentId and category, or "", by itemId.
        amount: returns the amount behind a rating, as text.
    """
    items, categories = [item for item, _ in names], [category for _, category in names]
    fitting = [row for row in rows.candidates if row.key in rows.held_out]
    tried = choose(fitting or rows.candidates, categories, _TRIED)
    if not tried or not settings.visitors:
        return []
    signatures = tf.saved_model.load(model.saved_model).signatures
    vocabulary = Vocabulary.read(dataset.vocab_users)
    k = min(max(settings.recommendations, _LOOKED_AT), len(items))
    visitor_ids = tf.constant([vocabulary[candidate.key] for candidate in tried])
    answer = signatures["recommend"](visitorId=visitor_ids, k=tf.constant(k, tf.int32))
    outputs = {name: tensor.numpy() for name, tensor in answer.items()}
    made = []
    for row, candidate in enumerate(tried):
        ids = _texts(outputs["contentIds"][row][: outputs["count"][row]][:_LOOKED_AT])
        missing = [items[index] for index in rows.held_out.get(candidate.key, ())]
        ranks = [HeldOut(item, ids.index(item) + 1 if item in ids else None) for item in missing]
        made.append(Example([], len(candidate.indices), [], outputs["rule"][row].decode(), ranks))
    examples = []
    for row in _shown(made, settings.visitors):
        candidate, example = tried[row], made[row]
        rated = sorted(zip(-candidate.values, (items[index] for index in candidate.indices), strict=True))
        history = _history([(item, amount(-float(rating))) for rating, item in rated[: settings.recommendations]])
        lines = _recommended(signatures, visitor_ids[row], outputs, row, settings.recommendations)
        hidden = {each.item for each in example.held_out}
        recommended = [line._replace(is_held_out=line.item in hidden) for line in lines]
        examples.append(example._replace(history=history, recommended=recommended))
    return examples


def _history(shown: Sequence[tuple[str, str]]) -> list[Line]:
    """Return the items with their amounts, without amounts that are the same for all and so tell nothing."""
    alike = len({amount for _, amount in shown}) == 1
    return [Line(item, "" if alike else amount) for item, amount in shown]


def _shown(made: Sequence[Example], count: int) -> list[int]:
    """Return the numbers of the examples to show: hits and misses in turn, then those with nothing held out."""
    hits, misses, others = (
        [number for number, example in enumerate(made) if example.outcome == outcome] for outcome in ("hit", "miss", "")
    )
    hits = hits[: count - min(len(misses), count // 2)]
    in_turn = [number for pair in zip_longest(hits, misses[: count - len(hits)]) for number in pair]
    return ([number for number in in_turn if number is not None] + others)[:count]


def _recommended(signatures: Any, visitor_id: tf.Tensor, outputs: Outputs, row: int, most: int) -> list[Line]:
    count = min(outputs["count"][row], most)
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
        Line(item, f"{score:.2f}", tuple(name for name, share in zip(*reasons, strict=True) if name and share > 0))
        for item, score, *reasons in zip(_texts(ids), scores, map(_texts, explaining), contributions, strict=True)
    ]


def _texts(ids: np.ndarray) -> list[str]:
    return [name.decode("utf-8", "replace") for name in ids]
