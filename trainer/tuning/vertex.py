"""Vertex AI's hyperparameter tuning: one trial of its study, and the specification of the job.

Vertex starts a trial with its values as flags, one per parameter, and reads the metric from a file of JSON lines, in
the format of GoogleCloudPlatform/cloudml-hypertune. Writing the file here saves the dependency.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import UserError
from configs.settings.search import RATING_KIND, TRAINING, Range, SearchSettings, is_whole

_FILE_VARIABLE, _TRIAL_VARIABLE = "CLOUD_ML_HP_METRIC_FILE", "CLOUD_ML_TRIAL_ID"
_DEFAULT_FILE = "/tmp/hypertune/output.metrics"  # noqa: S108 - Vertex's default
_KEPT = 100  # lines, as many as the package keeps


class Reporter:
    """Writes a trial's metric to the file that Vertex reads; the whole file after each pass."""

    def __init__(self, metric: str):
        self._path, self._trial = os.environ.get(_FILE_VARIABLE, _DEFAULT_FILE), os.environ.get(_TRIAL_VARIABLE, "0")
        self._metric = metric
        self._lines: list[str] = []

    def report(self, step: int, value: float) -> None:
        line = {
            "timestamp": time.time(),
            "trial": self._trial,
            self._metric: str(float(value)),
            "global_step": str(step),
        }
        self._lines = [*self._lines, json.dumps(line, sort_keys=True)][-_KEPT:]
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        with open(self._path, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in self._lines)


def metric_id(search: SearchSettings) -> str:
    """Return the metric's name at Vertex, e.g. recall_at_20."""
    return f"{search.metric}_at_{search.k}"


def parameter_id(key: str) -> str:
    """Return a parameter's name at Vertex, which is also the trial's flag: embedding_dimension, rating_kind."""
    return key.removeprefix(TRAINING).replace(".", "_")


def values_of(texts: Mapping[str, str | None], search: SearchSettings) -> dict[str, Any]:
    """Return the parameters by key from the flags' texts by parameter id; raise UserError if one is missing or wrong.

    Vertex writes integers as 64 or as 64.0.
    """
    params: dict[str, Any] = {}
    for key, values in search.space.items():
        name = parameter_id(key)
        text = texts.get(name)
        if text is None:
            raise UserError(f"--{name} is missing: a trial needs a value for each setting of the space")
        if key == RATING_KIND or any(isinstance(choice, str) for choice in values.choices):
            params[key] = text
            continue
        try:
            number = float(text)
        except ValueError:
            raise UserError(f"--{name} {text}: must be a number") from None
        if is_whole(key) and number != int(number):
            raise UserError(f"--{name} {text}: must be a whole number")
        params[key] = int(number) if is_whole(key) else number
    return params


def job_spec(
    search: SearchSettings, kinds: Sequence[str], image: str, machine: str, arguments: Sequence[str]
) -> dict[str, Any]:
    """Return the job as `gcloud ai hp-tuning-jobs create --config` takes it; arguments: before Vertex's parameters."""
    parameters = [_parameter(key, values, kinds) for key, values in search.space.items()]
    command = ["python", "-m", "trainer.tune"]
    container = {"imageUri": image, "command": command, "args": ["--vertex_trial", *arguments]}
    pool = {"machineSpec": {"machineType": machine}, "replicaCount": 1, "containerSpec": container}
    return {
        "studySpec": {
            "metrics": [{"metricId": metric_id(search), "goal": "MAXIMIZE"}],
            "parameters": parameters,
            "medianAutomatedStoppingSpec": {"useElapsedDuration": False},
            "measurementSelectionType": "BEST_MEASUREMENT",
        },
        "trialJobSpec": {"workerPoolSpecs": [pool]},
    }


def _parameter(key: str, values: Range, kinds: Sequence[str]) -> dict[str, Any]:
    spec: dict[str, Any] = {"parameterId": parameter_id(key)}
    choices = list(kinds) if key == RATING_KIND else list(values.choices)
    if any(isinstance(choice, str) for choice in choices):
        return spec | {"categoricalValueSpec": {"values": [str(choice) for choice in choices]}}
    if choices:
        return spec | {"discreteValueSpec": {"values": sorted(float(choice) for choice in choices)}}
    low, high = values.bounds
    if is_whole(key):
        spec["integerValueSpec"] = {"minValue": str(int(low)), "maxValue": str(int(high))}  # int64 in JSON
    else:
        spec["doubleValueSpec"] = {"minValue": float(low), "maxValue": float(high)}
    return spec | {"scaleType": "UNIT_LOG_SCALE" if values.log else "UNIT_LINEAR_SCALE"}
