"""One night: its steps in order, each skipped if its output is intact and was made from the same inputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from artifacts import storage
from artifacts.manifests import DatasetManifest, LiveVersion, ModelManifest
from artifacts.paths import Dataset, Nights
from configs import PREFIX
from configs.errors import GateError, UserError, recognise
from configs.settings import Settings
from nightly import destinations, inputs, retention
from nightly.attempt import new_attempt, open_attempt, version_of
from nightly.runs import figures, live, outputs, record
from nightly.runs.record import Record
from nightly.steps import variants
from nightly.steps.commands import NAMES, PROMOTE, STEPS, Plan, Step
from nightly.steps.process import Execute, execute


class StepError(UserError):
    """A step failed, so the night ended before its model went live."""

    status = 1


@dataclass
class Runner:
    """Runs one night."""

    settings: Settings  # resolved for the night's date
    execute: Execute = execute
    say: Callable[[str], None] = print
    only: str | None = None  # the one step to run, for schedulers that start each step; None for all steps

    @property
    def nights(self) -> Nights:
        return Nights(self.settings.nightly.directory)

    def run(self) -> Record:
        """Run the steps of the date that are still to do, and return the record of the run.

        Raise StepError if a step failed, GateError if the model did not pass the gate, UserError if the date has no
        table, or a file of the nights is damaged.
        """
        run = self._open()
        try:
            parent = self._parent(run)
            self._write_config(run, parent)
            measured = live.before(self.nights, run.manifest.date, self.settings.nightly.outcome_nights)
            plan = Plan(self.settings, run.night, run.night.config, run.manifest.inputs, parent, measured)
            self._run_steps(run, plan)
        except BaseException as error:
            if run.status == record.RUNNING:
                run.end(record.FAILED, f"{type(error).__name__}: {error}".strip())
            raise
        finally:
            self._write_figures(run)
        return run

    def _open(self) -> Record:
        date = self.settings.source.end_date
        if date is None:
            raise UserError("no date: pass --date, or set source.end_date")
        try:
            tables = inputs.tables_of(self.settings, date)
        except inputs.NoTableError as error:
            run = record.newest(self.nights, str(date)) or new_attempt(self.settings, self.nights, [])
            if run.status != record.PROMOTED:
                run.end(record.NO_TABLE, str(error))
                self._write_figures(run)
            raise
        return open_attempt(self.settings, self.nights, tables, self.say)

    def _write_figures(self, run: Record) -> None:
        """Write the figures of the run. An error is only shown: the outputs that they come from may be damaged."""
        try:
            figures.write(self.settings.nightly, self.nights, run)
        except (OSError, ValueError, LookupError, ImportError, UserError) as error:
            reason = recognise(error) or f"{type(error).__name__} {error}"
            self.say(f"the figures of {run.name} are not complete: {reason}")

    def _parent(self, run: Record) -> LiveVersion | None:
        """Return the version whose model the training starts from, None if its model is missing or damaged."""
        parent = run.manifest.parent
        if parent is None or not self.settings.nightly.warm_start:
            return None
        trained = run.step("train").status == "done"
        if not trained and (problem := outputs.damage(parent.model_dir, ModelManifest)):
            self.say(f"{run.name} cold start: the model of {parent.name} cannot be used ({problem})")
            return None
        return parent

    def _write_config(self, run: Record, parent: LiveVersion | None) -> None:
        """Write the settings of the steps next to the run."""
        tree, night = self.settings.model_dump(mode="json"), run.night
        tree |= {"dataset_dir": night.dataset, "model_dir": night.model, "predictions_dir": night.predictions}
        tree["outcome_dir"] = night.outcome
        for name in variants.of(self.settings):
            tree["experiment"]["variants"][name]["model"] = night.variant(name)
        tree["training"]["warm_start"] = parent.model_dir if parent else None
        tree["validation"]["baseline"] = self.settings.validation.baseline or self._baseline(run)
        storage.write_bytes(night.config, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode())

    def _baseline(self, run: Record) -> str | None:
        """Return the dataset of the live version, which the new one is compared with.

        None if it cannot be read, or if its window had fewer tables, as in the first nights of a site.
        """
        parent = run.manifest.parent
        if parent is None or not self.settings.nightly.validate_dataset:
            return None
        earlier = record.load(self.nights, parent.date, parent.attempt)
        if earlier is None or len(earlier.manifest.inputs) < len(run.manifest.inputs):
            return None
        try:
            DatasetManifest.read(Dataset(parent.dataset_dir).manifest)
        except UserError as error:
            self.say(f"{run.name} is not compared with the dataset of {parent.name} ({error})")
            return None
        return parent.dataset_dir

    def _run_steps(self, run: Record, plan: Plan) -> None:
        for step in STEPS:
            if not step.applies(self.settings):
                if step.skipped:
                    self.say(f"{run.name} {step.name}: {step.skipped}")
            elif reason := step.reason_to_skip(plan):
                self.say(f"{run.name} {step.name}: {reason}")
            elif self.only in (None, step.name):
                self._run_step(run, step, plan)
            elif NAMES.index(step.name) < NAMES.index(self.only):
                self._require(run, step)
        if self.only in (None, PROMOTE):
            self._promote(run)

    def _require(self, run: Record, step: Step) -> None:
        """Require that a step before the one asked for is done, by this command or by another."""
        if step.optional:
            return
        if problem := step.damage(run.night):
            raise UserError(f"{run.name}: {step.name} is not done ({problem}); run it first")
        if run.step(step.name).status == "gate failed":
            raise self._gate_failed(run, step.name)

    def _run_step(self, run: Record, step: Step, plan: Plan) -> None:
        identity = step.identity(plan)
        if self._is_done(run, step, identity):
            return
        step.wait(run.night)
        self.say(f"{run.name} {step.name} ...")
        commands, begin = step.commands(plan), time.monotonic()
        run.update(status=record.RUNNING, message=None)
        run.update_step(step.name, identity=identity, status="running", started=record.now(), command=shown(commands))
        lines: list[str] = []

        def show(text: str) -> None:
            lines.append(text)
            self.say(f"  {text}")

        try:
            for command in commands:
                if status := self.execute(command, show, 60 * self.settings.nightly.step_timeout_minutes):
                    break
        finally:
            storage.write_bytes(run.night.log(step.name), "".join(f"{text}\n" for text in lines).encode())
        run.update_step(step.name, exit_status=status, seconds=round(time.monotonic() - begin, 3))
        self._end_step(run, step, status, _last(lines))

    def _is_done(self, run: Record, step: Step, identity: str) -> bool:
        """Return whether a step's output is intact and has the same identity; raise if it did not pass the gate."""
        before = run.step(step.name)
        if before.identity != identity or before.status not in ("done", "gate failed"):
            return False
        if problem := step.damage(run.night):
            self.say(f"{run.name} {step.name}: again, {problem}")
            return False
        self.say(f"{run.name} {step.name}: done already")
        if before.status == "gate failed":
            raise self._gate_failed(run, step.name)
        return True

    def _end_step(self, run: Record, step: Step, status: int, last_line: str) -> None:
        if status == GateError.status:
            run.update_step(step.name, status="gate failed", message=last_line)
            raise self._gate_failed(run, step.name)
        problem = f"exit status {status}: {last_line}" if status else step.damage(run.night)
        if problem:
            run.update_step(step.name, status="failed", message=problem)
            if step.optional:
                self.say(f"{run.name} {step.name}: failed, {problem}; the night goes on without it")
                return
            run.end(record.FAILED, f"{step.name}: {problem}")
            raise StepError(f"{run.name}: {step.name} failed, {problem}; its output is in {run.night.log(step.name)}")
        run.update_step(step.name, status="done")
        self.say(f"{run.name} {step.name}: done in {run.step(step.name).seconds:.1f} s")

    def _gate_failed(self, run: Record, step: str) -> GateError:
        """End the run at a gate: the model's (evaluate), or the dataset's, which differs from the live version's."""
        message = run.step(step).message
        run.end(record.GATE_FAILED, message)
        version = live.read(self.nights).live
        consequence = f"{version.name} stays live" if version else "nothing is live"
        return GateError(f"{run.name} did not pass the gate, {consequence}: {message}")

    def _promote(self, run: Record) -> None:
        """Put the model live, update its destinations, and remove old runs."""
        version = version_of(run, self.settings)
        if reason := live.promote(self.nights, version):
            run.end(record.NOT_PROMOTED, reason)
            self.say(f"{run.name} does not go live: {reason}")
            return
        if run.status != record.PROMOTED:
            run.end(record.PROMOTED)
        self.say(f"{run.name} is live")
        destinations.follow(self.settings, version, self.execute, self.say)
        retention.tidy(self.settings.nightly, self.nights, self.say)


def shown(commands: list[tuple[str, ...]]) -> str:
    """Return commands as they are typed."""
    return " && ".join(f"python -m {PREFIX}{' '.join(command)}" for command in commands)


def _last(lines: list[str]) -> str:
    """Return the last error that a step printed, else its last line."""
    errors = [line for line in lines if line.startswith("error: ")]
    printed = [line for line in lines if line.strip()]
    return (errors or printed or ["it printed nothing"])[-1].removeprefix("error: ")
