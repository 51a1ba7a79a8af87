"""Samples as pipeline.sample makes them, and the rows of their files."""

import datetime
import gzip
from pathlib import Path

import orjson

from pipeline.demo.sample.generate import Plan, make_sample, size_from

DAY = datetime.date(2024, 1, 1)
GA = Plan(("ga360", "ga4"), ("ndjson",), 1)


def make(root: Path, visitors=120, items=60, days=3, seed=1, plan=GA, interactions=None, replace=False):
    size = size_from(visitors, items, days, interactions, DAY, seed)
    return make_sample(str(root), size, plan, replace)


def lines(root: Path, pattern: str) -> list[dict]:
    paths = sorted(root.glob(pattern))
    assert paths
    return [orjson.loads(line) for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]


def items_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
