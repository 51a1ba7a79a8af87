"""The steps of a night: which command each is, what it depends on, and when its output is whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from artifacts import locks, manifests, storage
from artifacts.checksums import digest_of
from artifacts.paths import Dataset, Model, Night, Predictions
from configs.settings import Settings
from nightly.alias import Version, damage

GATE = 3  # exit status of a step that worked, and whose outcome is not good enough
_LEASE = 360.0  # seconds until a lock on gs:// lapses that nobody renews, and some
_GRACE = 30.0  # seconds for a step to end by itself when it is stopped: a training writes its checkpoint

# Sections that do not change what a dataset holds.
_NOT_OF_DATASET = {"validation", "training", "prediction", "cold_start", "serving", "report", "nightly", "beam"}
_NOT_OF_DATASET |= {"catalogue", "evaluation", "bigquery", "cloud", "dataflow", "vertex"}
_NOT_OF_DATASET |= {"dataset_dir", "model_dir", "predictions_dir"}

Execute = Callable[[Sequence[str], Callable[[str], None], float], int]


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: in the manifest and on the command line.
        module: what `python -m` runs, with `flags`.
        depends_on: JSON of everything that changes the output; another one means that it has to be made again.
        output: directory (or file) that it makes, of `kind`; kind None for a file.
    """

    name: str
    module: str
    flags: tuple[str, ...]
    depends_on: Any
    output: str
    kind: str | None

    @property
    def identity(self) -> str:
        return digest_of([self.module, self.depends_on])

    def wait(self) -> None:
        """Waits for the output's place: a step of a night that was killed takes a moment to die.

        Raises:
            UserError: whoever holds it goes on.
        """
        with locks.claim(self.output, _LEASE if storage.is_remote(self.output) else _GRACE):
            pass  # it is free: the step itself claims it

    def damage(self) -> str | None:
        """What is wrong with the output, None where it is whole."""
        if self.kind is not None:
            return damage(self.output, self.kind)
        text = storage.read_if_exists(self.output)
        if text is None:
            return f"{self.output} is missing"
        try:
            json.loads(text)
        except ValueError:
            return f"{self.output} is damaged"
        return None


def preprocess(settings: Settings, night: Night, config: str, inputs: list[dict]) -> Step:
    """Window -> dataset."""
    return Step(
        "preprocess",
        "pipeline.preprocess",
        ("--config", config, "--dataset_dir", night.dataset, "--replace"),
        {"inputs": inputs, "settings": _sections(settings, without=_NOT_OF_DATASET)},
        night.dataset,
        "dataset",
    )


def train(settings: Settings, night: Night, config: str, parent: Version | None) -> Step:
    """Dataset -> model, from the live one where there is one (the config names it); here or on Vertex AI."""
    return Step(
        "train",
        "deploy.vertex.train",
        ("--config", config, "--dataset_dir", night.dataset, "--model_dir", night.model, "--replace"),
        {
            "dataset": _fingerprint(night.dataset),
            "settings": _sections(settings, only={"training", "cold_start"}),
            "parent": parent.model_digest if parent else None,
        },
        night.model,
        "model",
    )


def evaluate(settings: Settings, night: Night, config: str) -> Step:
    """Model -> figures, and whether it passes the gate."""
    gate = [flag for rule in settings.nightly.require for flag in ("--require", rule)]
    gate += [flag for name in settings.nightly.beats for flag in ("--beats", name)]
    places = ("--config", config, "--dataset_dir", night.dataset, "--model_dir", night.model)
    return Step(
        "evaluate",
        "trainer.evaluate",
        (*places, "--output_json", night.evaluation, *gate),
        {"model": model_digest(night.model), "gate": gate, "settings": _sections(settings, only={"evaluation"})},
        night.evaluation,
        None,
    )


def refit_preprocess(settings: Settings, night: Night, config: str, inputs: list[dict]) -> Step:
    """The window again, with nothing held out; not validated, as its measured part was."""
    step = preprocess(settings, night, config, inputs)
    flags = ("--config", config, "--set", 'split={"kind": "none"}', "--set", "validation={}")
    return replace(
        step,
        name="refit_preprocess",
        flags=(*flags, "--dataset_dir", night.whole_dataset, "--replace"),
        depends_on={**step.depends_on, "split": "none"},
        output=night.whole_dataset,
    )


def refit(settings: Settings, night: Night, config: str) -> Step:
    """The measured model goes on with what was held out: a warm start, of a third of the passes."""
    places = ("--dataset_dir", night.whole_dataset, "--model_dir", night.refit_model, "--replace")
    return Step(
        "refit",
        "deploy.vertex.train",
        ("--config", config, "--set", f"training.warm_start={night.model}", *places),
        {
            "dataset": _fingerprint(night.whole_dataset),
            "settings": _sections(settings, only={"training", "cold_start"}),
            "parent": model_digest(night.model),
        },
        night.refit_model,
        "model",
    )


def live_model(settings: Settings, night: Night) -> str:
    """The directory of the model that goes live."""
    return night.refit_model if settings.nightly.refit else night.model


def predict(settings: Settings, night: Night, config: str) -> Step:
    """The model that goes live -> predictions."""
    model = live_model(settings, night)
    dataset = night.whole_dataset if settings.nightly.refit else night.dataset
    places = ("--config", config, "--dataset_dir", dataset, "--model_dir", model)
    return Step(
        "predict",
        "pipeline.batch_predict",
        (*places, "--output_dir", night.predictions, "--replace"),
        {"model": model_digest(model), "settings": _sections(settings, only={"prediction", "cold_start"})},
        night.predictions,
        "predictions",
    )


def model_digest(model_dir: str) -> str:
    return manifests.digest(read_manifest(Model(model_dir).manifest, "model"))


def read_manifest(path: str, kind: str) -> dict[str, Any]:
    """The manifest of a finished output.

    Raises:
        FileNotFoundError: there is none. UserError: it is not one of that kind.
    """
    return manifests.parse(storage.read_bytes(path), kind, path)


def outputs_of(night: Night) -> dict[str, dict[str, Any]]:
    """The manifests of a night's outputs, as far as they are there, by kind."""
    paths = {
        "dataset": Dataset(night.dataset).manifest,
        "model": Model(night.model).manifest,
        "predictions": Predictions(night.predictions).manifest,
    }
    found = {kind: storage.read_if_exists(path) for kind, path in paths.items()}
    return {kind: manifests.parse(text, kind, paths[kind]) for kind, text in found.items() if text is not None}


def _fingerprint(dataset_dir: str) -> str:
    return manifests.fingerprint(read_manifest(Dataset(dataset_dir).manifest, "dataset"))


def _sections(settings: Settings, only: set[str] | None = None, without: set[str] | None = None) -> dict[str, Any]:
    return settings.model_dump(mode="json", include=only, exclude=without)


def execute(command: Sequence[str], say: Callable[[str], None], timeout_s: float) -> int:
    """Runs `python -m MODULE FLAGS` as a process of its own; `say` gets its lines; gives its exit status.

    A step is stopped (SIGTERM, then SIGKILL) where it takes too long, and where this process is told to stop; where
    this process is killed it dies too.
    """
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    expired = threading.Event()
    leashed = [sys.executable, "-m", "nightly.leash", str(os.getpid()), *command]
    with subprocess.Popen(  # noqa: S603 - our own modules, no shell
        leashed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:

        def expire() -> None:
            expired.set()
            _stop(process)

        timer = threading.Timer(timeout_s, expire)
        timer.daemon = True
        timer.start()
        try:
            for line in process.stdout or ():
                say(line.rstrip("\n"))
            return process.wait()
        finally:
            timer.cancel()
            if expired.is_set():
                say(f"stopped after {timeout_s / 60:g} minutes (nightly.step_timeout_minutes)")
            _stop(process)


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
