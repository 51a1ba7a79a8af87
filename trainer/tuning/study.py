"""A search: a study in a directory, which can be resumed, and the workers that run its trials."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import queue
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from artifacts import publish
from artifacts.storage import locks
from configs import cli
from configs.errors import UserError
from configs.nouns import counted
from configs.settings import RatingSettings, Settings
from configs.settings.search import RATING_KIND, SearchSettings
from ranking.machine import cores
from trainer.inputs import dataset_rows
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.tuning import agreement, rating_kinds, worker
from trainer.tuning.display import Display, summary
from trainer.tuning.worker import BASELINE, FAILURE, LAST, PASSES, RATING, TRAINING, Plan

_IDENTITY = "identity"
_GRACE_SECONDS = 120  # for a worker's current pass, when it is told to stop


class Study:
    """The directory of a search: `study.db` (Optuna's SQLite database) and `best.yaml`."""

    def __init__(self, directory: str):
        if "://" in directory:
            raise UserError(f"study_dir {directory}: SQLite needs a local directory; name one")
        self.root = Path(publish.target_of(directory))
        self.best = self.root / "best.yaml"
        self._database = self.root / "study.db"
        self.storage = f"sqlite:///{self._database.absolute()}"

    def make_room(self, replace: bool) -> None:
        """Create the directory; with `replace`, remove the search in it."""
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"{self.root} is a file; name a directory for the study")
        own = {"study.db", "study.db-journal", "best.yaml", "study.lock"}  # the last was left by earlier versions
        others = sorted(path.name for path in self.root.glob("*") if path.name not in own)
        if others:
            raise UserError(f"{self.root} contains {others[0]} and is not a study; name another directory")
        if replace and self.root.exists():
            shutil.rmtree(self.root)
        self.root.mkdir(parents=True, exist_ok=True)

    def open(self, search: SearchSettings, identity: dict[str, Any]) -> optuna.Study:
        """Open the study, and queue the trials again that a killed search left unfinished.

        Raise UserError if it has another dataset, space or configuration, or is damaged.
        """
        from sqlalchemy.exc import DatabaseError

        try:
            study = worker.open_study(self.storage, search)
        except DatabaseError:
            raise UserError(f"{self._database} is damaged; pass --replace to start over") from None
        known, now = study.user_attrs.get(_IDENTITY), json.loads(json.dumps(identity))
        if known is None:
            study.set_user_attr(_IDENTITY, now)
            study.enqueue_trial({}, user_attrs={BASELINE: True})
        elif known != now:
            name = next(name for name in sorted(now) if known.get(name) != now[name])
            raise UserError(f"{self.root} contains a search with another {name}; pass --replace to start over")
        for trial in study.get_trials(states=[TrialState.RUNNING]):
            worker.put_back(study, trial.number)
        return study


def tune(settings: Settings, search: SearchSettings, dataset_dir: str, study_dir: str, replace: bool) -> None:
    """Search, write `best.yaml` and print the table; an interrupt is raised again after that."""
    study = Study(study_dir)
    with locks.claim(study_dir):
        study.make_room(replace)
        try:
            with cli.progress("searching", 60 * search.minutes if search.minutes else search.trials) as bar:
                _search(settings, search, dataset_dir, study, Display(bar, search))
        except KeyboardInterrupt:
            _finish(settings, search, study)
            raise
        _finish(settings, search, study, must=True)


def _finish(settings: Settings, search: SearchSettings, study: Study, must: bool = False) -> None:
    """Write the best settings so far and print the table."""
    found = worker.open_study(study.storage, search)
    trials = finished(found)
    whole = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if not whole:
        if must:
            failed = [trial.user_attrs[FAILURE] for trial in trials if trial.state is TrialState.FAIL]
            why = f"; the first failed with {failed[0]}" if failed else "; give more --minutes"
            raise UserError(f"no trial in {study.root} was completed{why}")
        return
    best = max(whole, key=worker.value_of)
    own = next((trial for trial in whole if trial.user_attrs.get(BASELINE)), None)
    counts = {
        "trials": len(trials),
        "given up early": sum(trial.state is TrialState.PRUNED for trial in trials),
        "failed": sum(trial.state is TrialState.FAIL for trial in trials),
    }
    summary(f"search in {study.root}", trials, search, counts)
    pairs = [trial.user_attrs[LAST] for trial in whole if trial.user_attrs.get(LAST)]
    if agreed := agreement.describe(pairs, search.metric_name):
        print(agreed)
    study.best.write_text(best_config(settings, search, best, own), encoding="utf-8")
    print(f"best settings: {study.best}; train with wals train --config {study.best}")
    stored, wanted = own and _rating_of(own), _rating_of(best)
    if stored and wanted != stored:
        print(
            f"they use rating.kind {wanted.kind}, the dataset has {stored.kind}: "
            f"make it again first: wals preprocess --config {study.best} --replace"
        )


def best_config(settings: Settings, search: SearchSettings, best: FrozenTrial, own: FrozenTrial | None) -> str:
    """Return the config with the best trial's settings as YAML; its sweeps end at the best pass."""
    training = dict(best.user_attrs[TRAINING])
    if not best.user_attrs.get(BASELINE):
        training["max_sweeps"] = min(2 * best.user_attrs[PASSES], settings.training.max_sweeps)
    rating = _rating_of(best)
    changed = {"training": training}
    if rating.kind != settings.rating.kind:
        changed["rating"] = rating.model_dump(mode="json")
    content = Settings.model_validate(settings.model_dump() | changed).model_dump(mode="json", exclude_defaults=True)
    content["training"] = training  # also the defaults, which may change
    compared = "" if own is None else f", with the config's own settings {own.value:.4f}"
    head = f"# Written by wals tune: {search.metric_name} {best.value:.4f} on held-out entries of train{compared}.\n"
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _rating_of(trial: FrozenTrial) -> RatingSettings:
    return RatingSettings.model_validate(trial.user_attrs[RATING])


def identity(settings: Settings, search: SearchSettings, info: DatasetInfo) -> dict[str, Any]:
    """Return what must be the same for trials to be comparable."""
    budget = {"trials", "minutes", "workers", "seed"}
    return {
        "dataset": info.fingerprint,
        "training settings": settings.training.model_dump(mode="json"),
        **search.model_dump(mode="json", exclude=budget),
    }


def possible_kinds(search: SearchSettings, info: DatasetInfo) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rating kinds of the space to which the dataset's ratings can be converted, and the others."""
    if RATING_KIND not in search.space:
        return (), ()
    wanted = tuple(str(kind) for kind in search.space[RATING_KIND].choices)
    able = rating_kinds.possible(info.rating)
    kinds = tuple(kind for kind in wanted if kind in able)
    if not kinds:
        raise UserError(
            f"space.{RATING_KIND}: the dataset's {info.rating.kind} ratings cannot be converted to "
            f"{', '.join(wanted)}; make the dataset with rating.kind=linear"
        )
    return kinds, tuple(kind for kind in wanted if kind not in able)


def _search(settings: Settings, search: SearchSettings, dataset_dir: str, study: Study, display: Display) -> None:
    """Search until the budget is spent, all trials are done, or an interrupt."""
    info = dataset_rows.read_info(dataset_dir)
    kinds, left_out = possible_kinds(search, info)
    if left_out:
        display.say(
            f"rating.kind {', '.join(left_out)} is left out: {info.rating.kind} ratings cannot be converted to it"
        )
    optuna_study = study.open(search, identity(settings, search, info))
    done = len(finished(optuna_study))
    left = -1 if search.trials is None else max(search.trials - done, 0)
    if done:
        display.say(f"continuing after {counted(done, 'trial')}, from {study.root}")
    display.start(done, optuna_study)
    if left:
        workers = search.workers or cores()
        deadline = None if search.minutes is None else time.time() + 60 * search.minutes
        plan = Plan(study.storage, dataset_dir, settings.training, search, kinds, deadline, workers)
        _run_workers(plan, left, optuna_study, display)


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: completed, pruned, or failed with a reason."""
    over = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
    return [trial for trial in over if trial.state is not TrialState.FAIL or FAILURE in trial.user_attrs]


def _run_workers(plan: Plan, left: int, study: optuna.Study, display: Display) -> None:
    context = multiprocessing.get_context("spawn")  # a fork would copy TensorFlow's locks without its threads
    claims, stop, events = context.Value("l", left), context.Event(), context.Queue()
    processes = [
        context.Process(target=worker.work, args=(plan, number, claims, stop, events), daemon=True)
        for number in range(plan.workers)
    ]
    with _threads_for_libraries(plan.workers):
        for process in processes:
            process.start()
    try:
        _listen(processes, events, study, display)
    finally:
        stop.set()
        _end(processes)


@contextlib.contextmanager
def _threads_for_libraries(workers: int) -> Iterator[None]:
    """Set the threads that libraries read when they load: a worker imports NumPy before its own first line runs."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(max(1, cores() // workers))))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _listen(processes: list, events: Any, study: optuna.Study, display: Display) -> None:
    """Show the workers' events until they have ended."""
    while True:
        running = any(process.is_alive() for process in processes)
        try:
            kind, content = events.get(timeout=0.5)
        except queue.Empty:
            if not running:  # and so nothing more can come
                break
            display.tick()
            continue
        if kind == "error":
            raise UserError(content)
        if kind == "ready":
            display.ready(content)
        if kind == "trial":
            display.trial(study.get_trials(deepcopy=False)[content])
    lost = [process.exitcode for process in processes if process.exitcode]
    if lost:
        raise UserError(
            f"{len(lost)} of {len(processes)} workers died (status {lost[0]}); if memory ran out, use fewer "
            "--workers; the same command continues the search"
        )


def _end(processes: list) -> None:
    deadline = time.monotonic() + _GRACE_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.terminate()  # its trial is queued again when the study is opened
            process.join()
