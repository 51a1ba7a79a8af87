"""The steps of a night, in their order."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from artifacts.manifests import DatasetManifest, ModelManifest, PredictionsManifest
from artifacts.paths import Night
from configs.settings import Settings
from nightly import inputs
from nightly.runs import outputs
from nightly.steps.step import Plan, Step


class Preprocess(Step):
    """Window -> dataset."""

    name = "preprocess"
    module = "pipeline.preprocess"
    output = attrgetter("dataset")
    settings = frozenset({"source", "rating", "dataset", "split", "privacy", "catalogue"})
    manifest = DatasetManifest

    def flags(self, plan: Plan) -> tuple[str, ...]:
        return ("--dataset_dir", self.output(plan.night), "--replace")

    def inputs(self, plan: Plan) -> Any:
        catalogue = inputs.table_of_catalogue(plan.settings)  # a file's checksum is among those of the settings
        return [table.model_dump() for table in (*plan.tables, *([catalogue] if catalogue else []))]


class Train(Step):
    """Dataset -> model, from the factors of the live model if there is one; on this machine or on Vertex AI."""

    name = "train"
    module = "deploy.vertex.train"
    dataset = attrgetter("dataset")
    output = attrgetter("model")
    settings = frozenset({"training", "cold_start"})
    manifest = ModelManifest

    def flags(self, plan: Plan) -> tuple[str, ...]:
        return ("--dataset_dir", self.dataset(plan.night), "--model_dir", self.output(plan.night), "--replace")

    def inputs(self, plan: Plan) -> Any:
        return {"dataset": outputs.dataset_fingerprint(self.dataset(plan.night)), "parent": self.parent(plan)}

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
        return {"model": outputs.model_digest(plan.night.model)}


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
    settings = frozenset({"prediction", "cold_start"})
    manifest = PredictionsManifest

    def flags(self, plan: Plan) -> tuple[str, ...]:
        dataset = plan.night.whole_dataset if plan.settings.nightly.refit else plan.night.dataset
        model = live_model(plan.settings, plan.night)
        return ("--dataset_dir", dataset, "--model_dir", model, "--output_dir", plan.night.predictions, "--replace")

    def inputs(self, plan: Plan) -> Any:
        return {"model": outputs.model_digest(live_model(plan.settings, plan.night))}


STEPS: tuple[Step, ...] = (Preprocess(), Train(), Evaluate(), RefitPreprocess(), Refit(), Predict())
PROMOTE = "promote"  # the last step, which runs no command
NAMES = (*(step.name for step in STEPS), PROMOTE)
# Every setting that changes what a night puts live; nightly.refit decides which model that is.
SETTINGS = frozenset({"nightly.refit"}).union(*(step.settings for step in STEPS))


def live_model(settings: Settings, night: Night) -> str:
    """Return the directory of the model that goes live."""
    return night.refit_model if settings.nightly.refit else night.model
