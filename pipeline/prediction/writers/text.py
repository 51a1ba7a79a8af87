"""The text and JSON lines formats, put together from pieces for a whole block of answers."""

from __future__ import annotations

from typing import BinaryIO, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.prediction.writers import textform
from pipeline.prediction.writers.answers import Answers, Reasons, Words
from pipeline.prediction.writers.pieces import Pool, as_pieces, digits, in_a_row, quoted


class TextWriter:
    """Writes the text form (`textform`): `asked<TAB>id,id,id`, without scores, rules and explanations."""

    suffix: ClassVar[str] = ".txt"

    def __init__(self, file: BinaryIO, words: Words):
        self._file = file

    def write(self, answers: Answers) -> None:
        pool, filled = Pool(), answers.filled
        asked = pool.add(as_pieces(textform.escape_all(answers.asked)))
        names = pool.add(answers.names.escaped.take(pa.array(answers.best.indices[filled])))
        heads = np.stack([asked, np.full(len(asked), pool.one(b"\t"))], 1)
        commas = np.where(np.arange(filled.shape[1]) > 0, pool.one(b","), Pool.EMPTY)
        _write_lines(self._file, pool, heads, in_a_row([commas, _spread(names, filled)], filled), b"\n")

    def finish(self) -> None:
        """Do nothing: the format has no footer."""


class JsonWriter:
    """Writes JSON lines, with the rule, and the score, rank and explanation of each entry."""

    suffix: ClassVar[str] = ".jsonl"

    def __init__(self, file: BinaryIO, words: Words):
        self._file, self._words = file, words

    def write(self, answers: Answers) -> None:
        pool, filled = Pool(), answers.filled
        entries = [
            *_opened(pool, filled, self._words.entry.encode()),
            _spread(pool.add(answers.names.quoted.take(pa.array(answers.best.indices[filled]))), filled),
            pool.one(b',"score":'),
            _spread(pool.add(digits(answers.best.scores[filled])), filled),
            pool.add(as_pieces([b',"rank":%d' % rank for rank in range(1, filled.shape[1] + 1)])),
        ]
        if answers.reasons is not None:
            entries.append(_spread(pool.add(_explanations(answers, answers.reasons)), filled))
        entries.append(pool.one(b"}"))
        _write_lines(self._file, pool, self._heads(pool, answers), in_a_row(entries, filled), b"]}\n")

    def _heads(self, pool: Pool, answers: Answers) -> np.ndarray:
        """Return the pieces that come before each line's list."""
        asked, words = pool.add(quoted(answers.asked)), self._words
        opening = np.full(len(asked), pool.one(b'{"%s":' % words.asked.encode()))
        rules = {
            rule: pool.one(b',"rule":"%s","%s":[' % (rule.encode(), words.entries.encode()))
            for rule in dict.fromkeys(answers.rules)
        }
        return np.stack([opening, asked, np.array([rules[rule] for rule in answers.rules], np.int64)], 1)

    def finish(self) -> None:
        """Do nothing: the format has no footer."""


def _explanations(answers: Answers, reasons: Reasons) -> pa.LargeBinaryArray:
    """Return the explanation of each entry of all answers, as text."""
    pool, items = Pool(), reasons.items[answers.filled]
    known = items >= 0
    parts = [
        *_opened(pool, known, b"contentId"),
        _spread(pool.add(answers.names.quoted.take(pa.array(items[known]))), known),
        pool.one(b',"contribution":'),
        _spread(pool.add(digits(reasons.contributions[answers.filled][known])), known),
        pool.one(b"}"),
    ]
    head, end = (np.full((len(items), 1), pool.one(text)) for text in (b',"explanation":[', b"]"))
    return pool.join(np.concatenate([head, in_a_row(parts, known), end], 1))


def _opened(pool: Pool, filled: np.ndarray, name: bytes) -> tuple[np.ndarray | int, ...]:
    """Return the pieces that come before the id of each entry of a JSON list."""
    return np.where(np.arange(filled.shape[1]) > 0, pool.one(b","), Pool.EMPTY), pool.one(b'{"%s":' % name)


def _spread(numbers: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Return the numbers of pieces at the filled entries, int64 [..., K]."""
    spread = np.full(filled.shape, Pool.EMPTY)
    spread[filled] = numbers
    return spread


def _write_lines(file: BinaryIO, pool: Pool, heads: np.ndarray, entries: np.ndarray, end: bytes) -> None:
    lines = pool.join(np.concatenate([heads, entries, np.full((len(heads), 1), pool.one(end))], 1))
    if len(lines):
        file.write(memoryview(lines.buffers()[2]))
