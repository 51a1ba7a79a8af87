"""One night: its steps one after the other, each skipped where its output is whole and was made of the same."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from artifacts import storage
from artifacts.checksums import digest_of
from artifacts.paths import Dataset, Night, Nights
from configs.errors import UserError
from configs.settings import Settings
from nightly import alias, figures, inputs, record, retention, steps, targets
from nightly.alias import Version
from nightly.record import Record

STEPS = ("preprocess", "train", "evaluate", "refit_preprocess", "refit", "predict", "promote")


REFIT = ("refit_preprocess", "refit")  # only with nightly.refit


class StoppedError(UserError):
    """The night ended before its model went live; the message says where and why.

    Attributes:
        status: of the command: 1 where a step failed, 3 where the model did not pass the gate.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


@dataclass
class Runner:
    """Runs nights.

    Attributes:
        settings: with the window of the date. execute: runs a step's command. say: shows a line to people.
        only: one step alone, for schedulers that start each by itself; None for all.
    """

    settings: Settings
    execute: steps.Execute = steps.execute
    say: Callable[[str], None] = print
    only: str | None = None

    @property
    def nights(self) -> Nights:
        return Nights(self.settings.nightly.directory)

    def run(self) -> Record:
        """Brings the date to its end; gives its record.

        Raises:
            StoppedError: a step failed, or the gate did. UserError: no table of the date, or a damaged alias.
        """
        run = self._open()
        try:
            parent = self._parent(run)
            with self._config(run, parent) as config:
                self._steps(run, config, parent)
        except StoppedError:
            raise
        except BaseException as error:
            if run.status == record.RUNNING:
                run.update(status=record.FAILED, ended=record.now(), message=f"{type(error).__name__}: {error}".strip())
            raise
        finally:
            self._figures(run)
        return run

    def _figures(self, run: Record) -> None:
        """Figures are no reason to fail: what they are made of may be what is broken."""
        try:
            figures.write(self.settings.nightly, self.nights, run)
        except (OSError, ValueError, LookupError, UserError) as error:
            self.say(f"{run.name} has no figures: {type(error).__name__} {error}")

    def _open(self) -> Record:
        """The attempt to go on with, or a new one: what went live is never written to again."""
        date = self.settings.source.end_date
        if date is None:
            raise UserError("no date: pass --date, or set source.end_date")
        found_alias = alias.read(self.nights)
        last = record.newest(self.nights, str(date))
        try:
            found = inputs.of(self.settings, date)
        except inputs.NoTableError as error:
            run = last or self._new(str(date), [], found_alias.live)
            if run.status != record.PROMOTED:
                run.update(status=record.NO_TABLE, ended=record.now(), message=str(error))
                self._figures(run)
            raise
        if last is None:
            return self._new(str(date), found, found_alias.live)
        sealed = last.status == record.PROMOTED or last.name in [version.name for version in found_alias.versions]
        if sealed or last.name in found_alias.withdrawn:
            if last.content["identity"] != self._identity(found):
                self.say(f"{last.name} went live; its input or its settings have changed: a new attempt")
                return self._new(str(date), found, found_alias.live)
            if problem := self._damage(last.night):
                self.say(f"{last.name} went live, and is damaged ({problem}): a new attempt")
                return self._new(str(date), found, found_alias.live)
            return last
        parent = last.content["parent"] or (asdict(found_alias.live) if found_alias.live else None)
        last.update(inputs=found, identity=self._identity(found), settings=self._dump(), parent=parent)
        return last

    def _new(self, date: str, found: list[dict[str, Any]], parent: Version | None) -> Record:
        attempt = max(record.attempts(self.nights, date), default=1)
        if record.load(self.nights, date, attempt):  # without its manifest it is one that was killed as it began
            attempt += 1
        content = {
            "date": date,
            "attempt": attempt,
            "status": record.RUNNING,
            "started": record.now(),
            "identity": self._identity(found),
            "inputs": found,
            "parent": asdict(parent) if parent else None,
            "settings": self._dump(),
            "steps": {},
        }
        run = Record(self.nights.night(date, attempt), content)
        run.update()
        return run

    def _identity(self, found: list[dict[str, Any]]) -> str:
        dump = self._dump()
        gate = {name: dump["nightly"][name] for name in ("require", "beats", "refit")}
        neutral = {"nightly", "serving", "report", "beam", "catalogue", "bigquery", "cloud", "dataflow", "vertex"}
        neutral.add("validation")
        return digest_of([found, gate, {key: value for key, value in dump.items() if key not in neutral}])

    def _damage(self, night: Night) -> str | None:
        model = steps.live_model(self.settings, night)
        kinds = ((night.dataset, "dataset"), (model, "model"), (night.predictions, "predictions"))
        return next((problem for root, kind in kinds if (problem := alias.damage(root, kind))), None)

    def _dump(self) -> dict[str, Any]:
        return self.settings.model_dump(mode="json")

    @contextmanager
    def _config(self, run: Record, parent: Version | None) -> Iterator[str]:
        """The settings as a file for the steps, kept with the run."""
        tree, night = self._dump(), run.night
        tree |= {"dataset_dir": night.dataset, "model_dir": night.model, "predictions_dir": night.predictions}
        tree["training"]["warm_start"] = parent.model_dir if parent else None
        tree["validation"]["baseline"] = self.settings.validation.baseline or self._baseline(run)
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        storage.write_bytes(night.config, text.encode())
        if not storage.is_remote(night.config):
            yield night.config
            return
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield file.name

    def _baseline(self, run: Record) -> str | None:
        """The dataset of the live version, to hold the new one against.

        None where it has gone, and where its window had fewer tables: a site's first nights, each with a day more.
        """
        if run.content["parent"] is None or not self.settings.nightly.validate_dataset:
            return None
        parent = Version(**run.content["parent"])
        before = record.load(self.nights, parent.date, parent.attempt)
        if before is None or len(before.content["inputs"]) < len(run.content["inputs"]):
            return None
        there = storage.read_if_exists(Dataset(parent.dataset_dir).manifest)
        return parent.dataset_dir if there else None

    def _steps(self, run: Record, config: str, parent: Version | None) -> None:
        settings, night = self.settings, run.night
        made = (
            lambda: steps.preprocess(settings, night, config, run.content["inputs"]),
            lambda: steps.train(settings, night, config, parent),
            lambda: steps.evaluate(settings, night, config),
            lambda: steps.refit_preprocess(settings, night, config, run.content["inputs"]),
            lambda: steps.refit(settings, night, config),
            lambda: steps.predict(settings, night, config),
        )
        for name, make in zip(STEPS, made, strict=False):
            if name == "evaluate" and not (settings.nightly.require or settings.nightly.beats):
                self.say(f"{run.name} evaluate: no gate (nightly.require and nightly.beats are empty)")
                continue
            if name in REFIT and not settings.nightly.refit:
                continue
            if self.only in (None, name):
                self._step(run, self._made(make, name))
            elif STEPS.index(name) < STEPS.index(self.only):
                self._demand(run, self._made(make, name))
        if self.only in (None, "promote"):
            self._promote(run)

    @staticmethod
    def _made(make: Callable[[], steps.Step], name: str) -> steps.Step:
        try:
            return make()
        except FileNotFoundError as error:
            raise UserError(f"{name}: {error.args[-1]} is not there; run the steps before it first") from error

    def _parent(self, run: Record) -> Version | None:
        """The model to start from; none where it has gone or is damaged, which is said."""
        if run.content["parent"] is None or not self.settings.nightly.warm_start:
            return None
        parent = Version(**run.content["parent"])
        done = run.steps.get("train", {}).get("status") == "done"
        if not done and (problem := alias.damage(parent.model_dir, "model")):
            self.say(f"{run.name} cold start: the model of {parent.name} cannot be used ({problem})")
            return None
        return parent

    def _demand(self, run: Record, step: steps.Step) -> None:
        """A step before the one asked for has to be done: by us, or by whoever wrote its output."""
        if problem := step.damage():
            raise UserError(f"{run.name}: {step.name} is not done ({problem}); run it first")
        if step.name == "evaluate" and run.steps.get("evaluate", {}).get("status") == "gate failed":
            self._gate_failed(run, "evaluate")

    def _step(self, run: Record, step: steps.Step) -> None:
        before = run.steps.get(step.name, {})
        if before.get("identity") == step.identity and before.get("status") in ("done", "gate failed"):
            problem = step.damage()
            if problem is None:
                self.say(f"{run.name} {step.name}: done already")
                if before["status"] == "gate failed":
                    self._gate_failed(run, step.name)
                return
            self.say(f"{run.name} {step.name}: again, {problem}")
        step.wait()
        self.say(f"{run.name} {step.name} ...")
        run.update(status=record.RUNNING, message=None)
        run.step(step.name, identity=step.identity, status="running", started=record.now(), command=_command(step))
        begin, lines = time.monotonic(), []

        def line(text: str) -> None:
            lines.append(text)
            self.say(f"  {text}")

        try:
            status = self.execute((step.module, *step.flags), line, 60 * self.settings.nightly.step_timeout_minutes)
        finally:
            storage.write_bytes(run.night.log(step.name), "".join(f"{text}\n" for text in lines).encode())
        self._after(run, step, status, round(time.monotonic() - begin, 3), lines)

    def _after(self, run: Record, step: steps.Step, status: int, seconds: float, lines: list[str]) -> None:
        outcome: dict[str, Any] = {"exit_status": status, "seconds": seconds}
        if status == steps.GATE:
            run.step(step.name, **outcome, status="gate failed", message=_last(lines))
            self._gate_failed(run, step.name)
        problem = f"exit status {status}: {_last(lines)}" if status else step.damage()
        if problem:
            run.step(step.name, **outcome, status="failed", message=problem)
            run.update(status=record.FAILED, ended=record.now(), message=f"{step.name}: {problem}")
            raise StoppedError(
                f"{run.name}: {step.name} failed, {problem}; its output is in {run.night.log(step.name)}", 1
            )
        run.step(step.name, **outcome, status="done")
        self.say(f"{run.name} {step.name}: done in {seconds:.1f} s")

    def _gate_failed(self, run: Record, step: str) -> None:
        """The model's gate (evaluate), or the dataset's (preprocess): it is not like the live version's."""
        message = run.steps[step]["message"]
        run.update(status=record.GATE_FAILED, ended=record.now(), message=message)
        live = alias.read(self.nights).live
        kept = f"{live.name} stays live" if live else "nothing is live"
        raise StoppedError(f"{run.name} did not pass the gate, {kept}: {message}", steps.GATE)

    def _promote(self, run: Record) -> None:
        """The last step: alias, what follows it, and what is kept."""
        night, content = run.night, run.content
        model = steps.live_model(self.settings, night)
        version = Version(
            content["date"],
            content["attempt"],
            night.dataset,
            model,
            night.predictions,
            steps.model_digest(model),
        )
        if why_not := alias.promote(self.nights, version):
            run.update(status=record.NOT_PROMOTED, ended=record.now(), message=why_not)
            self.say(f"{run.name} stays where it is: {why_not}")
            return
        if run.status != record.PROMOTED:
            run.update(status=record.PROMOTED, ended=record.now(), message=None)
        self.say(f"{run.name} is live")
        targets.follow(self.settings, version, self.execute, self.say)
        retention.tidy(self.settings.nightly, self.nights, self.say)


def _command(step: steps.Step) -> str:
    return " ".join(["python", "-m", step.module, *step.flags])


def _last(lines: list[str]) -> str:
    """What a step said last; its error stands there."""
    errors = [line for line in lines if line.startswith("error: ")]
    said = [line for line in lines if line.strip()]
    return (errors or said or ["it said nothing"])[-1].removeprefix("error: ")
