"""A compiled Kubeflow pipeline: its tasks in order, and the command of each with its parameters filled in."""

from __future__ import annotations

import graphlib
import json
import re
from typing import Any

_INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}")
_OUTPUT = re.compile(r"\{\{\$\.outputs\.parameters\['(\w+)'\]\.output_file\}\}")


def tasks(spec: dict[str, Any]) -> list[str]:
    """Return the names of the tasks, each after those that it depends on."""
    graph = {name: task.get("dependentTasks", []) for name, task in spec["root"]["dag"]["tasks"].items()}
    return list(graphlib.TopologicalSorter(graph).static_order())


def container(spec: dict[str, Any], task: str) -> dict[str, Any]:
    """Return the container of a task: image, command, args, resources."""
    component = spec["components"][spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    return spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]


def command(spec: dict[str, Any], task: str, values: dict[str, str], output: str = "OUTPUT") -> list[str]:
    """Return the words of a task's command; `values` are its parameters, `output` the file of what it returns."""
    found = container(spec, task)
    return [_filled(word, values, output) for word in (*found["command"], *found["args"])]


def _filled(word: str, values: dict[str, str], output: str) -> str:
    if word.startswith('{"Concat"'):
        return "".join(_filled(part, values, output) for part in json.loads(word)["Concat"])
    return _OUTPUT.sub(lambda _: output, _INPUT.sub(lambda match: values[match[1]], word))
