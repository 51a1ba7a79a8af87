"""A process that runs trials of a study until none is left, or it is told to stop.

TensorFlow and Optuna are imported after the process has set its share of the cores.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from configs.errors import UserError
from configs.settings import TrainingSettings
from configs.settings.search import RATING_KIND, SearchSettings, is_whole
from ranking.machine import cores

if TYPE_CHECKING:
    import optuna

    from trainer.tuning.trial import Material

STUDY = "wals"
# Attributes of a trial. A trial that failed without a reason was queued again.
BASELINE, SECONDS, PASSES = "baseline", "seconds", "passes"
TRAINING, RATING, FAILURE = "training", "rating", "failure"
LAST = "last"  # the metric after the last pass on validation and on test


@dataclass(frozen=True)
class Plan:
    """The task of a worker."""

    storage: str
    dataset_dir: str
    base: TrainingSettings
    search: SearchSettings
    kinds: tuple[str, ...]  # the possible rating kinds
    deadline: float | None  # time.time() at which to stop; None for never
    workers: int


class _TimeIsUpError(Exception):
    """The deadline was reached: the trial is queued again."""


def work(plan: Plan, number: int, claims: Any, stop: Any, events: Any) -> None:
    """Run trials; the entry point of a worker process.

    Args:
        claims: a multiprocessing Value: trials that may still start, -1 for any number.
        stop: a multiprocessing Event: after the current pass the trial is queued again, and the worker ends.
        events: a queue to the parent: ("ready", line about the data), ("trial", number) or ("error", text).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it, and sets `stop`
    threads = _take_share_of_cores(plan.workers, number)
    try:
        from configs.cli import import_tensorflow

        import_tensorflow()
        from trainer.tuning.trial import Material

        material = Material.read(plan.dataset_dir, plan.search)
        study = open_study(plan.storage, plan.search, number)
        events.put(("ready", str(material.rows)))
        while not _is_over(plan, stop) and _claim(claims):
            trial = study.ask()
            _try(study, trial, plan, material, stop, threads)
            events.put(("trial", trial.number))
    except UserError as error:
        events.put(("error", str(error)))


def open_study(storage: str, search: SearchSettings, number: int = 0) -> optuna.Study:
    """Open or create the study in a storage, with the sampler of one worker."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    startup, warmup = search.pruning.startup_trials, search.pruning.warmup_passes
    connection = {"connect_args": {"timeout": 120}}  # SQLite lets one write at a time; the others wait
    return optuna.create_study(
        storage=optuna.storages.RDBStorage(storage, engine_kwargs=connection),
        study_name=STUDY,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=search.seed + 1000 * number, n_startup_trials=max(startup, 5)),
        pruner=optuna.pruners.MedianPruner(startup, warmup + 1),  # its steps are our passes, from 1
        load_if_exists=True,
    )


def suggest(trial: optuna.Trial, search: SearchSettings, kinds: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of a trial; the baseline has none, and trains with the config's settings."""
    if trial.user_attrs.get(BASELINE):
        return {}
    params: dict[str, Any] = {}
    for key, values in search.space.items():
        if key == RATING_KIND:
            params[key] = trial.suggest_categorical(key, list(kinds))
        elif values.choices:
            params[key] = trial.suggest_categorical(key, list(values.choices))
        elif is_whole(key):
            low, high = values.bounds
            params[key] = trial.suggest_int(key, int(low), int(high), log=values.log)
        else:
            # Four digits: the resulting config should be readable.
            params[key] = float(f"{trial.suggest_float(key, *values.bounds, log=values.log):.4g}")
    return params


def _try(study: optuna.Study, trial: optuna.Trial, plan: Plan, material: Material, stop: Any, threads: int) -> None:
    import numpy as np
    import optuna

    from trainer.tuning import trial as trials

    baseline = bool(trial.user_attrs.get(BASELINE))
    started = time.perf_counter()
    last: dict[str, Any] = {}

    def after_pass(number: int, value: float) -> None:
        trial.report(value, number)
        last.update(value=value, passes=number)
        if _is_over(plan, stop):
            raise _TimeIsUpError
        if not baseline and trial.should_prune():
            raise optuna.TrialPruned

    try:
        training, rating = trials.settings_of(suggest(trial, plan.search, plan.kinds), plan.base, material)
        trial.set_user_attr(TRAINING, training.model_dump(mode="json"))
        trial.set_user_attr(RATING, rating.model_dump(mode="json"))
        found = trials.run(material, training, rating, plan.search, after_pass, to_the_end=baseline, threads=threads)
    except _TimeIsUpError:
        put_back(study, trial.number)
    except optuna.TrialPruned:
        trial.set_user_attr(SECONDS, time.perf_counter() - started)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except (np.linalg.LinAlgError, FloatingPointError, MemoryError, ValueError) as error:
        trial.set_user_attr(FAILURE, f"{type(error).__name__}: {' '.join(str(error).split())}")
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        trial.set_user_attr(SECONDS, found.seconds)
        trial.set_user_attr(PASSES, found.passes)
        trial.set_user_attr(LAST, found.last)
        study.tell(trial, found.value)


def value_of(trial: optuna.trial.FrozenTrial) -> float:
    """Return the metric of a completed trial."""
    return cast(float, trial.value)  # None only while it runs


def put_back(study: optuna.Study, number: int) -> None:
    """End an unfinished trial, and queue it again before any other."""
    import optuna

    trial = study.trials[number]
    study.tell(number, state=optuna.trial.TrialState.FAIL)
    kept = {BASELINE: True} if trial.user_attrs.get(BASELINE) else {}
    study.enqueue_trial(trial.params, user_attrs=kept)


def _is_over(plan: Plan, stop: Any) -> bool:
    return stop.is_set() or (plan.deadline is not None and time.time() >= plan.deadline)


def _claim(claims: Any) -> bool:
    """Claim one of the trials that may still start; return whether there was one."""
    with claims.get_lock():
        if claims.value == 0:
            return False
        claims.value -= claims.value > 0
        return True


def _take_share_of_cores(workers: int, number: int) -> int:
    """Bind this process to its share of the cores; return their number."""
    if not hasattr(os, "sched_setaffinity"):
        return max(1, cores() // workers)
    available = sorted(os.sched_getaffinity(0))
    share = available[number % len(available) :: workers]
    os.sched_setaffinity(0, share)
    return len(share)
