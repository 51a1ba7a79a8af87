"""The commands of the program `wals`, by group: each is the main function of a module."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A command: the module that runs it, imported only then, and its line in `wals --help`."""

    module: str
    text: str


GROUPS: dict[str, dict[str, Command]] = {
    "Start": {
        "init": Command("wals.init", "write wals.yaml, the config of this directory, for an export or as an example"),
        "inspect": Command("pipeline.inspect", "look at an export: what it is, and which settings suit it"),
        "sample": Command("pipeline.sample", "make a sample export of an imaginary magazine or shop"),
    },
    "Jobs": {
        "preprocess": Command("pipeline.preprocess", "export -> dataset"),
        "train": Command("deploy.vertex.train", "dataset -> model, here or on Vertex AI"),
        "evaluate": Command("trainer.evaluate", "measure the model and baselines, and check requirements"),
        "tune": Command("trainer.tune", "search for better settings"),
        "predict": Command("pipeline.batch_predict", "model -> predictions for all visitors or items"),
        "score": Command("pipeline.score", "the same predictions in one process, without Beam and TensorFlow"),
        "items": Command("pipeline.items", "bring items in between two trainings, by their attributes"),
        "show": Command("pipeline.show", "show what some visitors read, and what is recommended to them"),
        "outcome": Command("pipeline.outcome", "measure what recommendations did, by the export of the days after"),
        "experiment": Command("pipeline.experiment", "compute how many visitors and days an experiment needs"),
        "runs": Command("wals.runs", "list datasets, models and predictions with their figures"),
        "report": Command("report.page", "write one HTML file on the data, the model and its quality"),
    },
    "Serve": {
        "publish": Command("serving.publish", "model -> the newest version for servers"),
        "serve": Command("serving.server", "answer over HTTP with the newest version"),
        "export-vectors": Command("serving.export_vectors", "write the factors for a vector database"),
    },
    "Every night": {
        "night": Command("nightly.run", "all steps for one date; the model goes live if it passes the gate"),
        "status": Command("nightly.status", "show the live version and the last nights"),
        "promote": Command("nightly.promote", "end an experiment: all visitors have one variant"),
        "rollback": Command("nightly.rollback", "put the version before the live one live again"),
        "clean-nights": Command("nightly.retention", "remove old nights"),
    },
    "Check": {
        "config": Command("wals.config", "print the settings, and where each is from"),
        "reference": Command("configs.reference", "print all settings with their defaults and descriptions"),
        "validate": Command("pipeline.validate", "compare a dataset with the last good one"),
        "verify": Command("pipeline.verify", "check finished outputs against their manifests"),
        "hash-ids": Command("pipeline.hash_ids", "write the hashes of visitors' ids"),
        "load": Command("pipeline.prediction.writers.bigquery", "load written predictions into BigQuery again"),
        "completion": Command("wals.completion", "print what makes bash or zsh complete this program's words"),
    },
}
COMMANDS: dict[str, Command] = {name: command for group in GROUPS.values() for name, command in group.items()}


def usage() -> str:
    """Return what `wals --help` prints."""
    width = max(map(len, COMMANDS))
    parts = ["usage: wals [--version] COMMAND [FLAGS]\n\nRecommendations from your Google Analytics export.\n"]
    for group, commands in GROUPS.items():
        lines = (f"  {name:<{width}}  {command.text}" for name, command in commands.items())
        parts.append("\n".join([f"{group}:", *lines]) + "\n")
    parts.append(
        "`wals COMMAND --help` has the flags and examples. The settings are in wals.yaml here, in the file that\n"
        "WALS_CONFIG names, or in that of --config; --set KEY=VALUE overrides one.\n"
    )
    return "\n".join(parts)
