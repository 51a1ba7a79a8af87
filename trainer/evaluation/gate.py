"""What a model must reach: recall@20>=0.15, and better than a baseline."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from configs.errors import UserError
from trainer.evaluation.baselines import KNN, POPULAR, RECENT, WALS
from trainer.evaluation.evaluation import Evaluation
from trainer.evaluation.metrics import ALL_METRICS, RMSE

_SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_RULE = re.compile(r"\s*([a-z_]+)(?:@(\d+))?\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*")


@dataclass(frozen=True)
class Requirement:
    """metric: as in the table, e.g. recall@20. k: of it, None of rmse."""

    text: str
    metric: str
    k: int | None
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Raises: UserError: it is no such rule, or of a metric that does not exist."""
        match = _RULE.fullmatch(text)
        try:
            name, k, sign, bound = match.groups()  # type: ignore[union-attr]
            number = float(bound)
        except (AttributeError, ValueError):
            raise UserError(f"--require {text}: write it as METRIC@K>=NUMBER, e.g. recall@20>=0.15") from None
        if name not in (*ALL_METRICS, RMSE):
            raise UserError(f"--require {text}: no metric {name} (known: {', '.join((*ALL_METRICS, RMSE))})")
        if (k is None) != (name == RMSE):
            raise UserError(f"--require {text}: write it as {name if name == RMSE else f'{name}@20'}{sign}{bound}")
        if k is not None and int(k) < 1:
            raise UserError(f"--require {text}: K begins at 1")
        return cls(text, name if k is None else f"{name}@{int(k)}", None if k is None else int(k), sign, number)


def baseline(text: str, against: bool) -> str:
    """The system that --beats names, e.g. popularity, item_knn, against.

    Raises:
        UserError: there is none of this name.
    """
    known = {_short(name): name for name in (POPULAR, RECENT, KNN)} | ({"against": "against"} if against else {})
    if _short(text) not in known:
        raise UserError(f"--beats {text}: no such system (known: {', '.join(known)})")
    return known[_short(text)]


def _short(name: str) -> str:
    return re.sub(r"[ _-]+", "_", name.strip().lower())


def check(found: Evaluation, requirements: Sequence[Requirement], beats: Sequence[str]) -> list[dict[str, Any]]:
    """Each rule with whether it is met: `rule`, `passed`, `value`, `short_by`, and `said` in words.

    A baseline is beaten where the paired difference's interval lies above zero: in the first required metric that is
    a mean over users, recall at the greatest K where there is none.

    Raises:
        UserError: a rule of what was not measured.
    """
    return [_meets(found, rule) for rule in requirements] + [_beats(found, requirements, name) for name in beats]


def _meets(found: Evaluation, rule: Requirement) -> dict[str, Any]:
    cell = found.cells[WALS].get(rule.metric)
    if cell is None:
        raise UserError(f"--require {rule.text}: {rule.metric} is for ratings that were given (source.rating_column)")
    passed = bool(_SIGNS[rule.sign](cell.value, rule.bound))
    short = 0.0 if passed else abs(rule.bound - cell.value)
    side = "below" if rule.sign.startswith(">") else "above"
    said = f"{rule.metric} is {cell.value:.4f} [{cell.low:.4f}, {cell.high:.4f}]"
    said += f", as {rule.text} asks" if passed else f", {_digits(short)} {side} {rule.bound:g}"
    return {"rule": rule.text, "passed": passed, "value": cell.value, "short_by": short, "said": said}


def _beats(found: Evaluation, requirements: Sequence[Requirement], name: str) -> dict[str, Any]:
    system = found.against if name == "against" else name
    if system not in found.differences:
        wanted = " (it needs times, and evaluation.baselines)" if name == RECENT else " (evaluation.baselines)"
        raise UserError(f"--beats {_short(name)}: {name} was not measured{wanted}")
    means = [rule.metric for rule in requirements if rule.metric in found.differences[system]]
    metric = means[0] if means else max((m for m in found.differences[system] if m.startswith("recall@")), key=_k)
    cell, passed = found.differences[system][metric], found.differences[system][metric].low > 0
    said = f"{metric} minus that of {system} is {cell.value:+.4f} [{cell.low:+.4f}, {cell.high:+.4f}]"
    said += "" if passed else f"; the interval must lie above 0, {_digits(max(-cell.low, 0.0))} more"
    short = 0.0 if passed else -cell.low
    return {"rule": f"beats {system}", "passed": passed, "value": cell.value, "short_by": short, "said": said}


def _k(metric: str) -> int:
    return int(metric.partition("@")[2])


def _digits(number: float) -> str:
    return f"{number:.4f}" if number >= 0.00005 else f"{number:.2g}"
