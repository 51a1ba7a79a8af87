"""The job that measures a model: wals evaluate --config configs/local.yaml"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from artifacts import publish, storage
from artifacts.manifests import ModelManifest
from artifacts.manifests.outcome import ONLINE, Outcome, online
from artifacts.paths import Model, OutcomeFiles
from configs import cli
from configs.errors import GateError
from ranking.measures.bootstrap import Cell

_EPILOG = """\
The dataset must have a split. Exit status: 0, 3 if a requirement is not met, 2 for a mistake.

examples:
  wals evaluate --config configs/local.yaml
  wals evaluate --config configs/local.yaml --require 'recall@20>=0.15' --beats popularity
  wals evaluate --config configs/local.yaml --against data/model-before
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job; raise GateError if the model is not as good as required."""
    args = _parser().parse_args(argv)
    flags = {"dataset_dir": args.dataset_dir, "model_dir": args.model_dir}
    settings = cli.settings_from(args, flags)
    dataset_dir = cli.required(settings.dataset_dir, "dataset_dir")
    model_dir = cli.required(settings.model_dir, "model_dir")
    output = args.output_json or Model(model_dir).evaluation
    if args.output_json or storage.exists(Model(model_dir).manifest):  # makes no directory for a model that is missing
        publish.check_file(output)
    # Imported late, so that `--help` and mistakes in the flags answer at once.
    from trainer.evaluation import display, gate
    from trainer.evaluation.evaluation import evaluate

    requirements = [gate.Requirement.parse(text) for text in args.require]
    beats = [gate.baseline(text, bool(args.against)) for text in args.beats]
    more = {rule.k for rule in requirements if rule.k is not None and rule.part != ONLINE}
    measured = settings.evaluation.model_copy(update={"k": tuple(sorted({*settings.evaluation.k, *more}))})
    with display.progress() as progress:
        evaluation = evaluate(dataset_dir, model_dir, measured, args.against, progress)
    new = None
    if measured.measures_new_items or measured.new_visitors:
        cli.import_tensorflow()  # these train once more; all else needs no TensorFlow, whose import takes seconds
    if measured.measures_new_items:
        from trainer.hidden_items import display as new_display
        from trainer.hidden_items import measure

        new = measure.measure(dataset_dir, ModelManifest.read(Model(model_dir).manifest), measured)
    visitors = None
    if measured.new_visitors:
        from trainer.hidden_visitors import display as visitors_display
        from trainer.hidden_visitors import measure as visitors_measure

        visitors = visitors_measure.measure(dataset_dir, ModelManifest.read(Model(model_dir).manifest), measured)
    parts = {
        gate.NEW_ITEMS: new.among_new[measure.ATTRIBUTES] if new else None,
        ONLINE: _online(settings.outcome_dir),
        gate.NEW_VISITORS: visitors.systems[visitors_measure.ATTRIBUTES] if visitors else None,
    }
    rules = gate.check(evaluation, requirements, beats, parts)
    gated = {"passed": all(rule.passed for rule in rules), "rules": [asdict(rule) for rule in rules]}
    content = evaluation.as_json() | {
        **({"new_items": new.as_json()} if new else {}),
        **({"new_visitors": visitors.as_json()} if visitors else {}),
        "gate": gated,
    }
    storage.write_bytes(output, (json.dumps(content, indent=2) + "\n").encode())
    display.show(evaluation, rules)
    if new:
        new_display.show(new, max(measured.k))
    if visitors:
        visitors_display.show(visitors, max(measured.k))
    print(f"all figures: {output}")
    if failed := [rule.summary for rule in rules if not rule.passed]:
        raise GateError(f"the gate is closed: {'; '.join(failed)}")


def _online(outcome_dir: str | None) -> dict[str, Cell]:
    """Return the figures of what was live, if wals outcome has measured them there."""
    figures = OutcomeFiles(outcome_dir).figures if outcome_dir else ""
    if not figures or not storage.exists(figures):
        return {}
    found = online(Outcome.model_validate_json(storage.read_bytes(figures)))
    return {name: Cell(*(number or 0.0 for number in (one.value, one.low, one.high))) for name, one in found.items()}


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "wals evaluate",
        "Measures a model and baselines on what its dataset holds out, with confidence intervals.",
        epilog=_EPILOG,
    )
    parser.add_argument("--dataset_dir", metavar="DIR", help="a dataset with a split; default: the config's")
    parser.add_argument("--model_dir", metavar="DIR", help="the model; default: the config's")
    parser.add_argument("--against", metavar="DIR", help="another model of the same dataset to compare with")
    parser.add_argument(
        "--output_json", metavar="JSON", help="file for all figures; default: evaluation.json in the model's directory"
    )
    parser.add_argument(
        "--require", action="append", default=[], metavar="RULE", help="e.g. recall@20>=0.15; repeatable"
    )
    parser.add_argument(
        "--beats", action="append", default=[], metavar="SYSTEM", help="popularity, item_knn, ...; repeatable"
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
