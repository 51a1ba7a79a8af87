"""The formats of predictions against lines put together one by one, with ids of every kind."""

from __future__ import annotations

import datetime
import io
import json
import re

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.prediction.writers import textform
from pipeline.prediction.writers.answers import WORDS, Answers, Names, Reasons, Stamp
from pipeline.prediction.writers.formats import WRITERS
from ranking.heap import Best
from tests.support.documents import ROOT

ODD = [
    "007",
    " a",
    'a"b',
    '"',
    '","',
    '",',
    "\\",
    '\\","',
    "x,y",
    "a\tb",
    "\x01\x1f",
    "\x85",
    "\u2028",
    "é😀",
    "/",
    "\x7f",
]
ANSWERED, K, REASONS = 40, 6, 2


def made(odd: bool, explained: bool) -> Answers:
    """Return answers of 0 to K entries, each of 0 to REASONS reasons."""
    rng = np.random.default_rng(3)
    ids = [name.encode() for name in (ODD if odd else [f"c{n}" for n in range(len(ODD))])]
    places = rng.integers(0, len(ids), (ANSWERED, K))
    places[np.arange(K) >= rng.integers(0, K + 1, ANSWERED)[:, None]] = -1
    scores = np.where(places >= 0, rng.standard_normal((ANSWERED, K)) * 10.0 ** rng.integers(-30, 30), -np.inf)
    reasons = None
    if explained:
        own = rng.integers(0, len(ids), (ANSWERED, K, REASONS))
        own[np.arange(REASONS) >= rng.integers(0, REASONS + 1, (ANSWERED, K, 1))] = -1
        reasons = Reasons(own, rng.standard_normal(own.shape).astype(np.float32))
    rules = [("factors", "projection", "popularity")[n % 3] for n in range(ANSWERED)]
    asked = [ids[n % len(ids)] + b"%d" % n for n in range(ANSWERED)]
    return Answers(asked, rules, Names(ids), Best(places, scores.astype(np.float32)), reasons)


def plainly(answers: Answers) -> list[dict]:
    """Return each answer as JSON, with the numbers as float32."""
    names, lines = [name.decode() for name in answers.names.ids], []
    for row, asked in enumerate(answers.asked):
        given = []
        for rank, (place, score) in enumerate(zip(*(column[row] for column in answers.best), strict=True)):
            if place < 0:
                break
            entry = {"contentId": names[place], "score": score, "rank": rank + 1}
            if answers.reasons is not None:
                parts = zip(answers.reasons.items[row, rank], answers.reasons.contributions[row, rank], strict=True)
                because = [{"contentId": names[at], "contribution": share} for at, share in parts if at >= 0]
                entry["explanation"] = because
            given.append(entry)
        lines.append({"visitorId": asked.decode(), "rule": answers.rules[row], "recommendations": given})
    return lines


def written(form: str, blocks: list[Answers]) -> bytes:
    file = io.BytesIO()
    writer = WRITERS[form](file, WORDS["recommendations"], Stamp("v", datetime.datetime.now(datetime.UTC)))
    for block in blocks:
        writer.write(block)
    writer.finish()
    return file.getvalue()


def none(answers: Answers, answered: int) -> Answers:
    """Return answers without entries."""
    return Answers(answers.asked[:answered], answers.rules[:answered], answers.names, Best.empty(answered, K))


def test_the_sql_of_the_page_reads_both_formats(tmp_path):
    """DuckDB runs docs/predictions.md's queries on two files of each format; one id looks like a date."""
    names = [b"2024-01-02", b"007", b'a"b', "é".encode()]
    places = np.array([[0, 1], [2, -1], [0, 3]])
    best = Best(places, np.array([[3, 2.5], [2, 0], [1, 0.25]], np.float32))
    whole = Answers([b"v1", b"2024-02-03", b"v3"], ["factors"] * 3, Names(names), best)
    for form in ("jsonl", "parquet"):
        for number, block in enumerate([whole, none(whole, 1)]):
            (tmp_path / f"predictions-{number}.{form}").write_bytes(written(form, [block]))
    page = (ROOT / "docs" / "predictions.md").read_text().replace("data/predictions/", f"{tmp_path}/")
    queries = [query for block in re.findall(r"```sql\n(.*?)```", page, re.DOTALL) for query in block.split(";\n")]
    lines, parquet, most = (duckdb.sql(query).fetchall() for query in queries if query.strip())
    answers = [(line["visitorId"], line["rule"], line["recommendations"]) for line in plainly(whole)]
    entries = [(visitor, rule, *entry.values()) for visitor, rule, listed in answers for entry in listed]
    assert sorted(lines) == sorted(parquet) == sorted(entries)
    assert most == [("2024-01-02", 2), ("007", 1), ('a"b', 1), ("é", 1)]


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("explained", [False, True])
def test_json_lines_and_parquet_hold_what_was_answered(odd, explained):
    answers = made(odd, explained)
    data = written("jsonl", [answers])
    lines = data.decode().split("\n")[:-1]
    assert [json.loads(line, parse_float=np.float32) for line in lines] == plainly(answers)
    assert pq.read_table(io.BytesIO(written("parquet", [answers]))).to_pylist() == plainly(answers)


@pytest.mark.parametrize("odd", [False, True])
def test_the_text_form_is_line_for_line_its_definition(odd):
    answers = made(odd, False)
    ids, lines = answers.names.ids, []
    for asked, places in zip(answers.asked, answers.best.indices.tolist(), strict=True):
        given = [textform.escape(ids[at]) for at in places if at >= 0]
        lines.append(textform.escape(asked) + b"\t" + b",".join(given) + b"\n")
    assert written("text", [answers]) == b"".join(lines)


def test_blocks_follow_each_other_and_nobody_or_nothing_is_an_answer_too():
    answers = made(True, False)
    for form in ("text", "jsonl"):
        assert written(form, [answers, answers]) == 2 * written(form, [answers])
        assert written(form, [none(answers, 0)]) == b""
    assert written("text", [none(answers, 2)]) == b"0070\t\n a1\t\n"
    assert written("jsonl", [none(answers, 1)]) == b'{"visitorId":"0070","rule":"factors","recommendations":[]}\n'
