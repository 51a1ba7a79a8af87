"""The steps of a night, in order: the command of each, when it applies, what repeats it, and where its output goes."""

from __future__ import annotations

import abc
import json
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from artifacts import storage
from artifacts.checksums import digest_of
from artifacts.manifests import (
    DatasetManifest,
    InputTable,
    LiveVersion,
    Manifest,
    ModelManifest,
    OutcomeManifest,
    PredictionsManifest,
)
from artifacts.manifests.outcome import ONLINE
from artifacts.paths import Dataset, Night, OutcomeFiles
from artifacts.storage import locks
from configs.settings import Settings
from nightly import inputs
from nightly.runs import outputs
from nightly.steps import variants
from nightly.steps.process import GRACE_SECONDS
from nightly.steps.selection import checksum_of, select

_LEASE_SECONDS = 360.0  # a lock on gs:// lapses sooner if nobody renews it


@dataclass(frozen=True)
class Plan:
    """The values that the steps of one night share."""

    settings: Settings  # resolved for the night's date
    night: Night
    config: str  # the file of settings that the commands read
    tables: list[InputTable]  # of the window
    parent: LiveVersion | None  # its model is where the training starts; None for a cold start
    measured: tuple[LiveVersion, ...] = ()  # whose outcome is measured, oldest first


class Step(abc.ABC):
    """One command of a night."""

    name: str  # in the manifest and on the command line
    module: str  # the command, as `python -m MODULE`
    output: Callable[[Night], str]  # returns the directory or file that the command writes
    # The sections, or settings by dotted key, that change the output: no other setting repeats the step.
    settings: frozenset[str]
    manifest: type[Manifest] | None  # the class of the output's manifest; None if the output is a JSON file
    applies: Callable[[Settings], bool] = staticmethod(lambda settings: True)  # whether a night has this step
    skipped = ""  # the message if the step does not apply
    optional = False  # whether the night goes on if the step fails

    @abc.abstractmethod
    def flags(self, plan: Plan) -> tuple[str, ...]:
        """Return the flags of the command, except --config."""

    @abc.abstractmethod
    def inputs(self, plan: Plan) -> Any:
        """Return, as JSON, what besides the settings changes the output; raise UserError if an input is missing."""

    def identity(self, plan: Plan) -> str:
        """Return a digest of command, inputs and settings: an output with another identity is made again."""
        return digest_of([self.module, self.inputs(plan), select(plan.settings, self.settings)])

    def commands(self, plan: Plan) -> list[tuple[str, ...]]:
        """Return module and flags of each command, in order."""
        return [(self.module, "--config", plan.config, *self.flags(plan))]

    def damage(self, night: Night) -> str | None:
        """Return what is wrong with the output, None if it is intact."""
        output = self.output(night)
        if self.manifest is not None:
            return outputs.damage(output, self.manifest)
        text = storage.read_if_exists(output)
        if text is None:
            return f"{output} is missing"
        try:
            json.loads(text)
        except ValueError:
            return f"{output} is damaged"
        return None

    def reason_to_skip(self, plan: Plan) -> str | None:
        """Return why there is nothing to do for this step, None if there is."""
        return None

    def wait(self, night: Night) -> None:
        """Wait until a command of a killed night has ended; raise UserError if another run writes the output."""
        output = self.output(night)
        with locks.claim(output, _LEASE_SECONDS if storage.is_remote(output) else GRACE_SECONDS):
            pass  # free; the command takes the lock itself


class Preprocess(Step):
    """Window -> dataset."""

    name = "preprocess"
    module = "pipeline.preprocess"
    output = attrgetter("dataset")
    settings = frozenset(
        {
            *("source", "rating", "dataset", "item_features", "user_features", "split", "privacy"),
            *("catalogue", "user_catalogue"),
        }
    )
    manifest = DatasetManifest

    def flags(self, plan: Plan) -> tuple[str, ...]:
        return ("--dataset_dir", self.output(plan.night), "--replace")

    def inputs(self, plan: Plan) -> Any:
        tables = inputs.tables_of_attributes(plan.settings)  # a file's checksum is among those of the settings
        return [table.model_dump() for table in (*plan.tables, *tables)]


class Outcome(Step):
    """The export, and the predictions of versions that were live -> what these did."""

    name = "outcome"
    module = "pipeline.outcome"
    output = attrgetter("outcome")
    settings = frozenset({"outcome", "source", "rating", "privacy", "evaluation", "nightly.outcome_nights"})
    manifest = OutcomeManifest
    applies = attrgetter("nightly.outcome_nights")
    optional = True  # recommendations must not grow old because they cannot be measured

    def reason_to_skip(self, plan: Plan) -> str | None:
        return None if plan.measured else "nothing was live before"

    def flags(self, plan: Plan) -> tuple[str, ...]:
        nights = [Night(version.predictions_dir.rpartition("/")[0]) for version in plan.measured]
        datasets = [version.dataset_dir for version in plan.measured]
        # With a refit, the predictions are from the dataset with nothing held out.
        datasets += [night.whole_dataset for night in nights if storage.exists(Dataset(night.whole_dataset).manifest)]
        predictions = json.dumps([version.predictions_dir for version in plan.measured])
        options = ("--set", f"outcome.predictions={predictions}", "--set", f"outcome.datasets={json.dumps(datasets)}")
        return ("--outcome_dir", self.output(plan.night), *options, "--replace")

    def inputs(self, plan: Plan) -> Any:
        tables = [table.model_dump() for table in plan.tables]
        return {"versions": [version.predictions_dir for version in plan.measured], "tables": tables}


class Train(Step):
    """Dataset -> model, from the factors of the live model if there is one; on this machine or on Vertex AI.

    What trains the model that goes live trains those of an experiment's variants, too: on the same dataset.
    """

    name = "train"
    module = "deploy.vertex.train"
    dataset = attrgetter("dataset")
    output = attrgetter("model")
    settings = frozenset({"training", "neighbourhood", "cold_start"})
    manifest = ModelManifest

    def flags(self, plan: Plan) -> tuple[str, ...]:
        return ("--dataset_dir", self.dataset(plan.night), "--model_dir", self.output(plan.night), "--replace")

    def commands(self, plan: Plan) -> list[tuple[str, ...]]:
        each = variants.flags(plan.settings, plan.night, self.dataset(plan.night), plan.parent)
        of_variants = [(self.module, "--config", plan.config, *flags) for flags in each]
        return super().commands(plan) + (of_variants if self._is_last(plan) else [])

    def _is_last(self, plan: Plan) -> bool:
        """Return whether the model of this step goes live."""
        return self.output(plan.night) == live_model(plan.settings, plan.night)

    def damage(self, night: Night) -> str | None:
        return super().damage(night) or variants.damage(night)

    def inputs(self, plan: Plan) -> Any:
        found = {"dataset": outputs.dataset_fingerprint(self.dataset(plan.night)), "parent": self.parent(plan)}
        changes = variants.of(plan.settings)
        return found | {"variants": changes} if changes and self._is_last(plan) else found

    def parent(self, plan: Plan) -> str | None:
        """Return the digest of the model that the training starts from, None for a cold start."""
        return plan.parent.model_digest if plan.parent else None


class Evaluate(Step):
    """Model -> metrics, and whether it passes the gate."""

    name = "evaluate"
    module = "trainer.evaluate"
    output = attrgetter("evaluation")
    settings = frozenset({"evaluation", "nightly.require", "nightly.beats"})
    manifest = None
    skipped = "no gate (nightly.require and nightly.beats are empty)"

    def applies(self, settings: Settings) -> bool:
        return bool(settings.nightly.require or settings.nightly.beats)

    def flags(self, plan: Plan) -> tuple[str, ...]:
        night, gate = plan.night, plan.settings.nightly
        rules = [flag for rule in gate.require for flag in ("--require", rule)]
        rules += [flag for name in gate.beats for flag in ("--beats", name)]
        return ("--dataset_dir", night.dataset, "--model_dir", night.model, "--output_json", night.evaluation, *rules)

    def inputs(self, plan: Plan) -> Any:
        model = {"model": outputs.model_digest(plan.night.model)}
        if not any(ONLINE in rule for rule in plan.settings.nightly.require):
            return model
        return model | {ONLINE: checksum_of(OutcomeFiles(plan.night.outcome).figures)}


class RefitPreprocess(Preprocess):
    """The window once more with nothing held out. It is not validated: the dataset with a split was."""

    name = "refit_preprocess"
    output = attrgetter("whole_dataset")
    settings = Preprocess.settings - {"split"}
    applies = attrgetter("nightly.refit")

    def flags(self, plan: Plan) -> tuple[str, ...]:
        return (*super().flags(plan), "--set", 'split={"kind": "none"}', "--set", "validation={}")


class Refit(Train):
    """The measured model, trained further with what was held out: a warm start with a third of the passes."""

    name = "refit"
    dataset = attrgetter("whole_dataset")
    output = attrgetter("refit_model")
    applies = attrgetter("nightly.refit")

    def flags(self, plan: Plan) -> tuple[str, ...]:
        return (*super().flags(plan), "--set", f"training.warm_start={plan.night.model}")

    def parent(self, plan: Plan) -> str | None:
        return outputs.model_digest(plan.night.model)


class Predict(Step):
    """The model that goes live -> predictions."""

    name = "predict"
    module = "pipeline.batch_predict"
    output = attrgetter("predictions")
    # catalogue and added_items have new items.
    settings = frozenset({"prediction", "cold_start", "experiment", "exploration", "catalogue", "added_items"})
    manifest = PredictionsManifest

    def flags(self, plan: Plan) -> tuple[str, ...]:
        dataset = plan.night.whole_dataset if plan.settings.nightly.refit else plan.night.dataset
        model = live_model(plan.settings, plan.night)
        flags = ("--dataset_dir", dataset, "--model_dir", model, "--output_dir", plan.night.predictions, "--replace")
        return (*flags, *(("--set", f"prediction.unclicked={plan.night.outcome}") if self._rests(plan) else ()))

    @staticmethod
    def _rests(plan: Plan) -> bool:
        """Return whether items rest that the night's outcome has as shown and not clicked."""
        outcome = OutcomeFiles(plan.night.outcome).manifest
        return bool(plan.settings.prediction.unclicked_weight) and storage.exists(outcome)

    def inputs(self, plan: Plan) -> Any:
        found: dict[str, Any] = {"model": outputs.model_digest(live_model(plan.settings, plan.night))}
        if of_variants := variants.digests(plan.settings, plan.night):
            found["variants"] = of_variants
        if self._rests(plan):
            found["outcome"] = checksum_of(OutcomeFiles(plan.night.outcome).figures)
        return found


STEPS: tuple[Step, ...] = (
    *(Preprocess(), Outcome(), Train(), Evaluate()),
    *(RefitPreprocess(), Refit(), Predict()),
)
PROMOTE = "promote"  # the last step, which runs no command
NAMES = (*(step.name for step in STEPS), PROMOTE)
# Every setting that changes what a night puts live; nightly.refit decides which model that is.
SETTINGS = frozenset({"nightly.refit"}).union(*(step.settings for step in STEPS if not step.optional))


def live_model(settings: Settings, night: Night) -> str:
    """Return the directory of the model that goes live."""
    return night.refit_model if settings.nightly.refit else night.model
