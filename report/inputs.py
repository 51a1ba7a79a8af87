"""Inputs of the report: manifests, factors, rows, vocabularies, titles and evaluation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from artifacts import catalogue, factor_tables, storage
from artifacts.catalogue import Catalogue
from artifacts.manifests import DatasetManifest, ModelManifest, PredictionsManifest
from artifacts.manifests.outcome import Outcome, OutcomeManifest
from artifacts.paths import Dataset, Model, OutcomeFiles, Predictions
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from configs.settings import Settings
from report import amounts, visitors
from report.rows import RowStatistics, read_rows


@dataclass(frozen=True)
class Inputs:
    """The inputs of the report."""

    dataset_dir: str
    model_dir: str
    dataset: DatasetManifest
    model: ModelManifest
    statistics: dict[str, Any]  # the dataset's statistics.json
    rows: RowStatistics
    item_factors: np.ndarray  # float32 [items, k]
    items: list[str]  # contentIds by itemId
    catalogue: Catalogue
    evaluation: dict[str, Any] | None  # what trainer.evaluate wrote
    unmeasured: str  # the reason why `evaluation` is None, and what to do
    previous: dict[str, Any] | None  # the evaluation of an earlier model
    rules: dict[str, int]  # answers of the predictions by rule; empty if there are none of this model
    outcome: Outcome | None  # what recommendations did, if that was measured of this model, too
    examples: list[visitors.Example]

    @property
    def amounts(self) -> amounts.Histogram:
        """The histogram of the amounts of interactions."""
        return self.statistics["amounts"]

    def title(self, item: str) -> str:
        """Return an item's title, or its contentId if that is unknown."""
        return self.catalogue.get(item, (item, ""))[0]

    def category(self, item: str) -> str:
        """Return an item's category, "" if it is unknown."""
        return self.catalogue.get(item, ("", ""))[1]


def read(settings: Settings, need_catalogue: bool, need_evaluation: bool) -> Inputs:
    """Read all inputs; the catalogue and the evaluation may be missing unless they are needed.

    Raise UserError if another file is missing, or the inputs do not belong together.
    """
    dataset, model = Dataset(str(settings.dataset_dir)), Model(str(settings.model_dir))
    trained = ModelManifest.read(model.manifest)
    described = _read_dataset(dataset, model, trained)
    evaluation, unmeasured = _read_evaluation(settings.report.evaluation or model.evaluation, need_evaluation, trained)
    previous = _read_previous(settings.report.previous, trained)
    names = catalogue.of_dataset(dataset, settings.catalogue, need_catalogue)
    items, rows = Vocabulary.read(dataset.vocab_items).texts(), read_rows(dataset)
    known = [(item, names.get(item, ("", ""))[1]) for item in items]

    def amount(rating: float) -> str:
        return amounts.of_rating(rating, described)

    return Inputs(
        dataset_dir=dataset.root,
        model_dir=model.root,
        dataset=described,
        model=trained,
        statistics=json.loads(storage.read_bytes(dataset.statistics)),
        rows=rows,
        item_factors=factor_tables.read_table(model.item_factors),
        items=items,
        catalogue=names,
        evaluation=evaluation,
        unmeasured=unmeasured,
        previous=previous,
        rules=_rules(settings.predictions_dir, trained),
        outcome=_outcome(settings.outcome_dir, trained),
        examples=visitors.examples(model, dataset, rows, known, amount, settings.report),
    )


def _rules(predictions_dir: str | None, model: ModelManifest) -> dict[str, int]:
    """Return the answers by rule of the predictions that the config names, if they are of this model."""
    if not predictions_dir or not storage.exists(Predictions(predictions_dir).manifest):
        return {}
    predictions = PredictionsManifest.read(Predictions(predictions_dir).manifest)
    return predictions.rules if predictions.model_fingerprint == model.digest() else {}


def _outcome(directory: str | None, model: ModelManifest) -> Outcome | None:
    """Return the outcome that the config names, if it has recommendations of this model."""
    figures = OutcomeFiles(directory).figures if directory else ""
    if not figures or not storage.exists(figures):
        return None
    try:
        outcome = Outcome.model_validate_json(storage.read_bytes(figures))
    except ValueError as error:
        raise UserError(f"{figures} is not the outcome of this version; run {OutcomeManifest.COMMAND}") from error
    return outcome if model.digest()[:12] in outcome.versions else None


def _read_dataset(dataset: Dataset, model: Model, trained: ModelManifest) -> DatasetManifest:
    if trained.dataset.root == dataset.root and not storage.exists(dataset.manifest):
        raise UserError(
            f"model {model.root} was trained on {dataset.root}, which does not exist any more; "
            "make it again, or name it with --dataset_dir"
        )
    described = DatasetManifest.read(dataset.manifest)
    if described.fingerprint() != trained.dataset.fingerprint:
        raise UserError(
            f"model {model.root} was trained on another dataset ({trained.dataset.root}, "
            f"{trained.dataset.fingerprint[:12]}) than {dataset.root} ({described.fingerprint()[:12]}); "
            "train again, or name the other dataset with --dataset_dir"
        )
    return described


def _read_evaluation(path: str, required: bool, model: ModelManifest) -> tuple[dict[str, Any] | None, str]:
    """Return the evaluation and "", or None and the reason why there is none; raise UserError if it is required."""
    if not required and not storage.exists(path):
        return None, "Not evaluated yet. Run make evaluate, which measures a model on what its dataset holds out."
    content = _read_json(path)
    digest = content.get("model", {}).get("digest")
    if digest is None or digest == model.digest():
        return content, ""
    if required:
        raise UserError(f"evaluation {path} is of another model; rerun wals evaluate")
    return None, f"Not shown: evaluation {path} is of another model. Run make evaluate."


def _read_previous(path: str | None, model: ModelManifest) -> dict[str, Any] | None:
    """Return the evaluation to compare with, by default that of the model which the training started from."""
    if path:
        return _read_json(path)
    earlier = Model(model.start.model).evaluation if model.start.model else ""
    return _read_json(earlier) if earlier and storage.exists(earlier) else None


def _read_json(path: str) -> dict[str, Any]:
    """Return an evaluation; raise UserError if the file is missing or is something else."""
    if not storage.exists(path):
        raise UserError(f"evaluation {path} does not exist; run wals evaluate --output_json {path}")
    try:
        content = json.loads(storage.read_bytes(path))
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("kind") != "evaluation":
        raise UserError(f"{path} is not an evaluation; run wals evaluate --output_json {path}")
    if not content.get("systems"):
        raise UserError(f"evaluation {path} lacks 'systems'; rerun wals evaluate")
    return content
