"""The display of an evaluation: a progress bar, then tables whose rows are single lines of 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from configs import cli, tables
from configs.nouns import counted
from trainer.evaluation.baselines import RECENT, WALS
from trainer.evaluation.evaluation import ByGroup, Evaluation
from trainer.evaluation.gate import Rule
from trainer.evaluation.intervals import Cell
from trainer.evaluation.metrics import ILS, LESS_IS_MORE
from trainer.evaluation.segments import AGED, HAVE, HELD_OUT

DIVERSITY = ("recall", "ndcg", ILS, "coverage")  # what a list gains and loses
_SHORT = {RECENT: "time-decayed"}
_KINDS = (HAVE, HELD_OUT, AGED, "")  # how the names of groups begin


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows the number of users that are done, on terminals only."""
    with cli.progress("evaluating", unit="visitors", stderr=True) as bar:
        yield lambda done, total: bar.update(done, total=total)


def show(evaluation: Evaluation, rules: Sequence[Rule]) -> None:
    """Print the table of all metrics, those by group, then the verdicts and the gate, which stay in view."""
    display = _Display(evaluation)
    display.about()
    display.metrics()
    display.diversity()
    display.by_group("items that a visitor has", evaluation.by_activity, "")
    display.by_group("what visitors have most of", evaluation.by_segment, HAVE)
    display.by_group("what is held out", evaluation.by_segment, HELD_OUT)
    display.by_group("age of what is held out", evaluation.by_segment, AGED)
    display.verdicts()
    for rule in rules:
        mark = "[green]passed[/green]" if rule.passed else "[red]failed[/red]"
        tables.say(display.console, f"gate {mark}: {escape(rule.summary)}")


class _Display:
    """A console, and the names of the other systems as the columns have them."""

    def __init__(self, evaluation: Evaluation):
        self.console, self._evaluation = Console(), evaluation
        others = (name for name in evaluation.cells if name != WALS)
        self._others = {name: "other model" if name == evaluation.against else name for name in others}
        self._interval = f"{100 * evaluation.about['settings']['confidence']:g} % interval"

    def about(self) -> None:
        """Print what was measured, and what was left out."""
        evaluation = self._evaluation
        model, split = evaluation.about["model"]["root"], evaluation.about["dataset"]["split"]["kind"]
        pairs, visitors = counted(evaluation.pairs, "pair"), counted(evaluation.users, "visitor")
        tables.say(self.console, f"{escape(model)}: {pairs} held out of {visitors} ({split})")
        left_out = [f"{name}: {count:,}" for name, count in evaluation.about["left_out"].items() if count]
        if left_out:
            tables.say(self.console, f"left out: {'; '.join(left_out)}")
        self.console.print()

    def verdicts(self) -> None:
        """Print the verdicts with the groups for whom another system is better, and the share of a second model."""
        evaluation = self._evaluation
        self.console.print()
        for verdict in evaluation.verdicts:
            tables.say(self.console, escape(verdict.summary))
            for kind, spots in (("weak spot", verdict.weak_spots), ("trade-off", verdict.trade_offs)):
                for spot in spots:
                    tables.say(self.console, f"  {kind}: {escape(spot)}")
        if note := evaluation.by_chance:
            tables.say(self.console, note)
        for name, cell in evaluation.overlap.items():
            share = f"{cell.value:.0%} of a list is the same ({cell.low:.0%} to {cell.high:.0%})"
            tables.say(self.console, f"{name} with {escape(str(evaluation.against))}: {share}")

    def metrics(self) -> None:
        """Print each metric of each system, with the interval of WALS; evaluation.json has all intervals."""
        names = (name.replace(" ", "\n") for name in self._others.values())
        table = tables.table("metric", [WALS, self._interval, *names])
        for metric in _metrics(self._evaluation):
            cells = {name: cells.get(metric) for name, cells in self._evaluation.cells.items()}
            values = [cell.value for cell in cells.values() if cell is not None]
            best = min(values) if metric.startswith(LESS_IS_MORE) else max(values)
            ours, *others = ("" if cell is None else _value(cell, best) for cell in cells.values())
            table.add_row(metric, ours, _range(cells[WALS]), *others)
        self.console.print(table)

    def diversity(self) -> None:
        """Print what lists by MMR cost and change, by lambda, if the settings ask for it."""
        evaluation = self._evaluation
        if not evaluation.diversity:
            return
        names = [f"{metric}@{max(evaluation.about['settings']['k'])}" for metric in DIVERSITY]
        table = tables.table("lambda of MMR", names)
        for weight, cells in ({"unset": evaluation.cells[WALS]} | evaluation.diversity).items():
            table.add_row(weight, *(f"{cells[name].value:.4f}" for name in names))
        self.console.print()
        self.console.print(table)

    def by_group(self, kind: str, groups: ByGroup, prefix: str) -> None:
        """Print recall by group: WALS with its interval, and the best of the other systems."""
        metric = f"recall@{max(self._evaluation.about['settings']['k'])}"
        names = [name for name in groups.users if next(start for start in _KINDS if name.startswith(start)) == prefix]
        if not names:
            return
        table = tables.table(kind, ["visitors", metric, self._interval], ["best other"] if self._others else [])
        for name in names:
            ours = groups.cells[WALS][name][metric]
            others = {short: groups.cells[system][name][metric] for system, short in self._others.items()}
            cells = [escape(name.removeprefix(prefix).removeprefix("the ")), f"{groups.users[name]:,}"]
            if others:
                short, theirs = max(others.items(), key=lambda other: other[1].value)
                best = max(ours.value, theirs.value)
                cells += [_value(ours, best, 3), _range(ours), f"{_value(theirs, best, 3)} {_SHORT.get(short, short)}"]
            else:
                cells += [f"{ours.value:.3f}", _range(ours)]
            table.add_row(*cells)
        self.console.print()
        self.console.print(table)


def _metrics(evaluation: Evaluation) -> list[str]:
    """Return all metrics at the greatest K, then recall and NDCG at the others."""
    ks = sorted(evaluation.about["settings"]["k"], reverse=True)
    names = list(dict.fromkeys(name for cells in evaluation.cells.values() for name in cells))
    greatest = [name for name in names if name.endswith(f"@{ks[0]}") or "@" not in name]
    others = [f"{metric}@{k}" for k in ks[1:] for metric in ("recall", "ndcg")]
    return greatest + [name for name in others if name in names]


def _value(cell: Cell, best: float, digits: int = 4) -> str:
    """Return a value, in bold if it is the best."""
    text = f"{cell.value:.{digits}f}"
    return f"[bold]{text}[/bold]" if cell.value == best else text


def _range(cell: Cell | None) -> str:
    return "" if cell is None else tables.interval(cell.low, cell.high)
