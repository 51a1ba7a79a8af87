"""The display of a search: one line per trial, a progress bar on a terminal, a table at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape

from configs import cli, tables
from configs.nouns import counted
from configs.settings.search import SearchSettings
from trainer.tuning.worker import BASELINE, FAILURE, PASSES, SECONDS, value_of

_SHOWN = 10
_SYMBOLS = {
    "embedding_dimension": "k",
    "unobserved_weight": "w0",
    "regularization_coeff": "lambda",
    "frequency_exponent": "nu",
    "col_weights_exponent": "b",
    "rating.kind": "rating",
}


class Display:
    """Lines about a search above its progress bar, which shows the time if it is limited, else the trials."""

    def __init__(self, bar: cli.ProgressBar, search: SearchSettings):
        self._bar = bar
        self._search = search
        self._best: float | None = None
        self._started, self._done = time.monotonic(), 0
        self._described = False

    def say(self, text: str) -> None:
        """Print one line."""
        self._bar.say(text)

    def start(self, done: int, study: Any) -> None:
        """Continue from the trials of an earlier run."""
        self._done = done
        whole = [trial.value for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])]
        self._best = max(whole, default=None)
        self.tick()

    def tick(self) -> None:
        """Move the bar."""
        spent = time.monotonic() - self._started if self._search.minutes else self._done
        best = "" if self._best is None else f", best {self._search.metric_name} {self._best:.4f}"
        self._bar.update(spent, description=f"{counted(self._done, 'trial')}{best}")

    def ready(self, line: str) -> None:
        """Print the line about the data, which all workers have alike, once."""
        if not self._described:
            self._described = True
            self.say(line)

    def trial(self, trial: FrozenTrial) -> None:
        """Print one line about a trial that has ended."""
        line = describe(trial, self._search)
        if line is None:
            return
        self._done += 1
        if trial.state is TrialState.COMPLETE and (self._best is None or value_of(trial) > self._best):
            self._best, line = value_of(trial), line + "  <- best so far"
        self.say(line)
        self.tick()


def describe(trial: FrozenTrial, search: SearchSettings) -> str | None:
    """Return one line about a trial, None if it was put back to be started again."""
    head = f"trial {trial.number}: "
    if trial.state is TrialState.COMPLETE:
        passes = trial.user_attrs[PASSES]
        head += f"{search.metric_name} {trial.value:.4f} after {passes} pass{'es' * (passes != 1)}, "
        head += f"{trial.user_attrs[SECONDS]:.1f} s"
    elif trial.state is TrialState.PRUNED:
        passes = max(trial.intermediate_values)
        head += f"given up after pass {passes} ({search.metric_name} {trial.intermediate_values[passes]:.4f})"
    elif FAILURE in trial.user_attrs:
        head += f"failed: {trial.user_attrs[FAILURE]}"
    else:
        return None
    if trial.user_attrs.get(BASELINE):
        return f"{head}; the config's own settings"
    return f"{head}; {', '.join(f'{short(key)} {_cell(value)}' for key, value in trial.params.items())}"


def short(key: str) -> str:
    """Return the symbol of a setting if it has one, else its name without its section."""
    name = key.removeprefix("training.")
    return _SYMBOLS.get(name, name.replace("_", " "))


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def summary(title: str, trials: Sequence[FrozenTrial], search: SearchSettings, counts: Mapping[str, int]) -> None:
    """Print the table at the end: the best trials and the config's own settings, best first."""
    console = Console()
    whole = sorted((trial for trial in trials if trial.state is TrialState.COMPLETE), key=value_of, reverse=True)
    shown = whole[:_SHOWN] + [trial for trial in whole[_SHOWN:] if trial.user_attrs.get(BASELINE)]
    tables.say(console, escape(title))
    headings = (short(key).replace(" ", "\n") for key in search.space)
    table = tables.table("trial", [search.metric_name, "passes", "time", *headings])
    for trial in shown:
        own = bool(trial.user_attrs.get(BASELINE))
        cells = ["config" if own else str(trial.number), f"{trial.value:.4f}", str(trial.user_attrs[PASSES])]
        cells.append(f"{trial.user_attrs[SECONDS]:.1f} s")
        cells += [_cell(trial.params[key]) if key in trial.params else "" for key in search.space]
        table.add_row(*cells, style="bold" if trial is whole[0] else "dim" if own else "")
    console.print(table)
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()), highlight=False)
