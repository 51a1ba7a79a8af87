"""The text and JSON lines formats: Arrow joins the columns of a block of answers into lines."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.prediction.writers.answers import Answers, Reasons, Writer, as_json
from pipeline.prediction.writers.textform import escape_all

_BYTES = pa.large_binary()


class TextWriter(Writer):
    """Writes the text form (`textform`): `asked<TAB>id,id,id`, without scores, rules and explanations."""

    suffix = ".txt"

    def write(self, answers: Answers) -> None:
        ids = answers.names.escaped.take(answers.indices)
        asked = pa.array(escape_all(answers.asked), _BYTES)
        _write(self._file, _texts(asked, b"\t", _lists(ids, answers.counts), b"\n"))


class JsonWriter(Writer):
    """Writes JSON lines, with rule and variant, and the score, rank, propensity and explanation of each entry."""

    suffix = ".jsonl"

    def write(self, answers: Answers) -> None:
        names, words = answers.names.quoted, self._words
        ids, scores = names.take(answers.indices), as_json(answers.scores)
        ranks = pa.array(answers.ranks).cast(pa.large_string()).cast(_BYTES)
        parts = [b'{"%s":' % words.entry.encode(), ids, b',"score":', scores, b',"rank":', ranks]
        if self._extra.propensity:
            parts += [b',"propensity":', as_json(answers.propensities)]
        if answers.reasons is not None:
            parts += [b',"explanation":[', _explanations(names, answers.reasons, answers.filled), b"]"]
        entries = _lists(_texts(*parts, b"}"), answers.counts)
        asked, rules = as_json(answers.asked), as_json(answers.rules)
        opening, before_entries = b'{"%s":' % words.asked.encode(), b',"%s":[' % words.entries.encode()
        if self._extra.variant:
            before_entries = b',"variant":' + orjson.dumps(answers.arm and answers.arm.variant) + before_entries
        _write(self._file, _texts(opening, asked, b',"rule":', rules, before_entries, entries, b"]}\n"))


def _explanations(names: pa.LargeBinaryArray, reasons: Reasons, filled: np.ndarray) -> pa.LargeBinaryArray:
    """Return the explanation of each entry of all answers, as the elements of a JSON list."""
    items = reasons.items[filled]
    known = items >= 0
    ids, shares = names.take(pa.array(items[known])), as_json(reasons.contributions[filled][known])
    return _lists(_texts(b'{"contentId":', ids, b',"contribution":', shares, b"}"), known.sum(1))


def _texts(*parts: bytes | pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """Return the parts joined row by row; bytes are the same in each row."""
    columns = [pa.scalar(part, _BYTES) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*columns, pa.scalar(b"", _BYTES))


def _lists(entries: pa.LargeBinaryArray, counts: np.ndarray) -> pa.LargeBinaryArray:
    """Return the entries of each row, counts int64 [b], with commas between them."""
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return pc.binary_join(pa.LargeListArray.from_arrays(offsets, entries), pa.scalar(b",", _BYTES))


def _write(file: BinaryIO, lines: pa.LargeBinaryArray) -> None:
    if len(lines):
        file.write(memoryview(lines.buffers()[2]))
