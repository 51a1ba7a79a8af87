"""The requirements on a model: recall@20>=0.15, and better than a baseline."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from artifacts.manifests.outcome import ONLINE
from configs.errors import UserError
from trainer.evaluation.baselines import KNN, POPULAR, RECENT, WALS
from trainer.evaluation.evaluation import Evaluation
from trainer.evaluation.intervals import Cells
from trainer.evaluation.metrics import ALL_METRICS, RMSE

NEW_ITEMS, NEW_VISITORS = "new_items", "new_visitors"
_LIMIT = r"(?:\[(new_items|new_visitors|online)(?:\.(low|high))?\])?"
_SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_RULE = re.compile(rf"\s*([a-z_]+)(?:@(\d+))?{_LIMIT}\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*")
_ONLINE_METRICS = ("hit_rate", "recall", "hit_rate_gain", "recall_gain")  # at K
CTR = "ctr"


@dataclass(frozen=True)
class Requirement:
    """A bound on a metric of the table, such as recall@20; k is None for rmse."""

    text: str
    metric: str
    k: int | None
    sign: str
    bound: float
    part: str | None = None  # NEW_ITEMS or NEW_VISITORS, which the setting of evaluation of this name measures; ONLINE
    limit: str = ""  # low or high: that limit of the interval counts, in place of the value

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Read a rule such as recall@20>=0.15; raise UserError if it is not one, or names an unknown metric."""
        match = _RULE.fullmatch(text)
        try:
            name, k, part, limit, sign, bound = match.groups()  # type: ignore[union-attr]
            number = float(bound)
        except (AttributeError, ValueError):
            raise UserError(f"--require {text}: write it as METRIC@K>=NUMBER, e.g. recall@20>=0.15") from None
        known = (*_ONLINE_METRICS, CTR) if part == ONLINE else (*ALL_METRICS, RMSE)
        if name not in known:
            raise UserError(f"--require {text}: no metric {name} (known: {', '.join(known)})")
        if (k is None) != (name in (RMSE, CTR)):
            of_part = f"[{part}]" if part else ""
            form = name if name in (RMSE, CTR) else f"{name}@20"
            raise UserError(f"--require {text}: write it as {form}{of_part}{sign}{bound}")
        if k is not None and int(k) < 1:
            raise UserError(f"--require {text}: K must be at least 1")
        metric, at = (name, None) if k is None else (f"{name}@{int(k)}", int(k))
        return cls(text, metric, at, sign, number, part, limit or "")


def baseline(text: str, against: bool) -> str:
    """Return the system that --beats names, e.g. popularity, item_knn, against; raise UserError if it is unknown."""
    known = {_short(name): name for name in (POPULAR, RECENT, KNN)} | ({"against": "against"} if against else {})
    if _short(text) not in known:
        raise UserError(f"--beats {text}: no such system (known: {', '.join(known)})")
    return known[_short(text)]


def _short(name: str) -> str:
    return re.sub(r"[ _-]+", "_", name.strip().lower())


@dataclass(frozen=True)
class Rule:
    """A requirement and its outcome."""

    rule: str
    passed: bool
    value: float | None  # None if it was not measured
    short_by: float  # how much the value, or the interval of the difference, lacks; 0 if the rule is met
    summary: str  # the outcome in words


def check(
    evaluation: Evaluation,
    requirements: Sequence[Requirement],
    beats: Sequence[str],
    parts: Mapping[str, Cells | None] = MappingProxyType({}),
) -> list[Rule]:
    """Return each rule with its outcome; raise UserError if a rule names what was not measured.

    parts: the metrics of new items and of new visitors by their attributes, if they were measured.

    A system is beaten if the paired difference's interval is above zero in each headline metric.
    """
    rules = [_required(evaluation, requirement, parts) for requirement in requirements]
    return rules + [_beats(evaluation, name) for name in beats]


def _required(evaluation: Evaluation, requirement: Requirement, parts: Mapping[str, Cells | None]) -> Rule:
    if requirement.part == ONLINE:
        cells = parts.get(ONLINE) or {}
        if requirement.metric in cells:
            return _meets(cells, requirement)
        # A first night has nothing that was live, and tags that broke must not keep an old model live.
        summary = f"{requirement.metric}[{ONLINE}] was not measured (outcome_dir), so it is not required"
        return Rule(requirement.text, True, None, 0.0, summary)
    return _meets(_cells_of_new(requirement, parts) if requirement.part else evaluation.cells[WALS], requirement)


def _cells_of_new(requirement: Requirement, parts: Mapping[str, Cells | None]) -> Cells:
    part = str(requirement.part)
    cells, plural = parts.get(part), part.removeprefix("new_")
    if cells is None:
        raise UserError(f"--require {requirement.text}: set evaluation.{part} to the share of {plural} to hide for it")
    if requirement.metric not in cells:
        raise UserError(f"--require {requirement.text}: of new {plural} only recall and ndcg are measured")
    return cells


def _meets(cells: Cells, requirement: Requirement) -> Rule:
    cell = cells.get(requirement.metric)
    if cell is None:
        raise UserError(
            f"--require {requirement.text}: {requirement.metric} needs ratings in the export (source.rating_column)"
        )
    value = getattr(cell, requirement.limit or "value")
    passed = bool(_SIGNS[requirement.sign](value, requirement.bound))
    short = 0.0 if passed else abs(requirement.bound - value)
    direction = "below" if requirement.sign.startswith(">") else "above"
    outcome = f"as {requirement.text} requires" if passed else f"{_digits(short)} {direction} {requirement.bound:g}"
    metric = f"{requirement.metric}[{requirement.part}]" if requirement.part else requirement.metric
    summary = f"{metric} is {cell.text()}, {outcome}"
    return Rule(requirement.text, passed, value, short, summary)


def _beats(evaluation: Evaluation, name: str) -> Rule:
    system = evaluation.against if name == "against" else name
    if system not in evaluation.differences:
        hint = " (it needs times, and evaluation.baselines)" if name == RECENT else " (evaluation.baselines)"
        raise UserError(f"--beats {_short(name)}: {name} was not measured{hint}")
    differences = {metric: evaluation.differences[system][metric] for metric in evaluation.headline}
    texts = []
    for metric, cell in differences.items():
        lack = "" if cell.low > 0 else f" (the interval must be above 0, {_digits(-cell.low)} more)"
        texts.append(f"{metric} {cell.text('+z.4f')}{lack}")
    worst = min(differences.values(), key=lambda cell: cell.low)
    summary = f"minus those of {system}: {', '.join(texts)}"
    return Rule(f"beats {system}", worst.low > 0, worst.value, max(-worst.low, 0.0), summary)


def _digits(number: float) -> str:
    return f"{number:.4f}" if number >= 0.00005 else f"{number:.2g}"
