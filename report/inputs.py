"""What the page is made of: the jobs' manifests, factors, rows, vocabulary, catalogue and evaluation."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from artifacts import catalogue, factor_tables, manifests, storage
from artifacts.paths import Dataset, Model, join
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from configs.settings import ReportSettings, Settings
from report import visitors
from trainer.inputs import dataset_rows

_BINS = 30


@dataclass(frozen=True)
class Inputs:
    """All of it.

    Attributes:
        dataset, model: the manifests. statistics: of the dataset, empty where it was made without.
        users_per_item, items_per_user: int64, by index. ratings: edges and counts of a histogram.
        item_factors: float32 [items, k]. items: contentIds by itemId.
        catalogue: contentId -> title, category. evaluation: what trainer.evaluate wrote, or None, and then `unmeasured`
        says why and what to do.
        examples: visitors with what they have and what is recommended.
    """

    dataset_dir: str
    model_dir: str
    dataset: dict[str, Any]
    model: dict[str, Any]
    statistics: dict[str, Any]
    users_per_item: np.ndarray
    items_per_user: np.ndarray
    ratings: tuple[np.ndarray, np.ndarray]
    item_factors: np.ndarray
    items: list[str]
    catalogue: catalogue.Catalogue
    evaluation: dict[str, Any] | None
    unmeasured: str
    examples: list[visitors.Example]


def read(settings: Settings, given: Mapping[str, bool]) -> Inputs:
    """Reads everything.

    Args:
        given: whether the catalogue and the evaluation were named on the command line: then they must be there.

    Raises:
        UserError: no model, its dataset gone or another one, a file named that is missing or of another kind.
    """
    dataset, model = Dataset(str(settings.dataset_dir)), Model(str(settings.model_dir))
    model_manifest = read_manifest(model.manifest, "model", f"{model.root} is no finished model; train it first")
    made_of = model_manifest["dataset"]
    gone = f"{dataset.root} is no finished dataset"
    if made_of["root"] == dataset.root:
        gone = f"model {model.root} was trained on {dataset.root}, which is gone"
    described = read_manifest(dataset.manifest, "dataset", f"{gone}; make it again, or name it with --dataset_dir")
    own = manifests.fingerprint(described)
    if own != made_of["fingerprint"]:
        raise UserError(
            f"model {model.root} was trained on another dataset ({made_of['root']}, {made_of['fingerprint'][:12]}) "
            f"than {dataset.root} ({own[:12]}); train again, or name the other with --dataset_dir"
        )
    names = read_catalogue(settings.catalogue, given["catalogue"])
    items = Vocabulary.read(dataset.vocab_items).texts()
    rows = Rows.read(dataset, described)
    chosen = visitors.choose(rows.candidates, items, names, settings.report.visitors)
    return Inputs(
        dataset.root,
        model.root,
        described,
        model_manifest,
        read_statistics(dataset, described),
        rows.users_per_item,
        rows.items_per_user,
        rows.ratings,
        factor_tables.read_table(model.item_factors),
        items,
        names,
        *read_evaluation(settings.report.evaluation, given["evaluation"], model_manifest),
        visitors.recommend(model, dataset, chosen, items, settings.report),
    )


def read_manifest(path: str, kind: str, missing: str) -> dict[str, Any]:
    """A manifest, or a UserError that says what is missing."""
    if not storage.exists(path):
        raise UserError(missing)
    return manifests.parse(storage.read_bytes(path), kind, path)


def read_statistics(dataset: Dataset, described: Mapping[str, Any]) -> dict[str, Any]:
    """statistics.json; empty where the dataset has none."""
    name = "statistics.json"
    return json.loads(storage.read_bytes(join(dataset.root, name))) if name in described["files"] else {}


def read_catalogue(path: str | None, needed: bool) -> catalogue.Catalogue:
    """The catalogue; empty where there is none and none was named."""
    if not path or not storage.exists(path):
        if needed:
            raise UserError(f"catalogue {path} does not exist")
        return {}
    return catalogue.parse(io.BytesIO(storage.read_bytes(path)), path)


def read_evaluation(path: str | None, needed: bool, model: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """What trainer.evaluate wrote; where none of this model is there and none was named, None and why.

    Raises:
        UserError: it was named and is missing, is no such file, or is of another model.
    """
    if not path or not storage.exists(path):
        if needed:
            raise UserError(
                f"evaluation {path} does not exist; python -m trainer.evaluate --output_json {path} makes it"
            )
        return None, "Not evaluated yet: make evaluate measures a model on what its dataset holds out (--split)."
    try:
        content = json.loads(storage.read_bytes(path))
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("kind") != "evaluation":
        raise UserError(f"{path} is no evaluation; python -m trainer.evaluate --output_json writes one")
    of = content.get("model", {}).get("digest")
    if of is not None and of != manifests.digest(model):
        said = f"evaluation {path} is of another model; evaluate this one again"
        if needed:
            raise UserError(said)
        return None, f"Not here: {said} (make evaluate)."
    return content, ""


@dataclass(frozen=True)
class Rows:
    """What is counted in one reading of the users' rows, a file at a time."""

    users_per_item: np.ndarray
    items_per_user: np.ndarray
    ratings: tuple[np.ndarray, np.ndarray]
    candidates: list[visitors.Candidate]

    @classmethod
    def read(cls, dataset: Dataset, described: Mapping[str, Any]) -> Rows:
        """Reads the rows twice, once for the range of the ratings."""
        info = dataset_rows.read_info(dataset.root)
        files = dataset_rows.RowFiles(info.shards(dataset.items_for_user), info.users, info.items)
        by_item, by_user = np.zeros(info.items, np.int64), np.zeros(info.users, np.int64)
        low, high, candidates = np.inf, -np.inf, []
        for block in files:
            by_item += np.bincount(block.indices, minlength=info.items)
            by_user[block.keys] += block.lengths
            if block.entries:
                low, high = min(low, block.values.min()), max(high, block.values.max())
            candidates += visitors.candidates(block)
        low = 0.0 if 0 < low < 0.1 * high else low  # ratings that begin near 0 begin there
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
        counts = np.sum([np.histogram(block.values, edges)[0] for block in files], axis=0)
        return cls(by_item, by_user, (edges, counts), candidates)


def of_report(settings: ReportSettings) -> dict[str, Any]:
    """The section's values, for the page's own settings."""
    return settings.model_dump(mode="json")


def versions(dataset: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, str]:
    """What made it."""
    import platform

    return {
        "pipeline": str(dataset["code_version"]),
        "trainer": str(model["code_version"]),
        "schema": str(dataset["schema_version"]),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "TensorFlow": tf.__version__,
    }
