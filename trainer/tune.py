"""The search for good settings: wals tune --config configs/local.yaml"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from artifacts import storage
from artifacts.paths import join
from configs import cli, places
from configs.errors import UserError
from configs.settings import Settings
from configs.settings.search import SearchSettings, load_search, quick_search
from ranking.machine import cores
from trainer.inputs import dataset_rows

_SEARCH, _MACHINE = places.packaged("search.yaml"), "n2-standard-8"

_EPILOG = """\
Trials train on a part of the training data and are measured on the rest of it. Nothing is chosen by what the dataset
holds out. If a search is stopped or killed, the same command continues it.

examples:
  wals tune --config configs/local.yaml --quick
  wals tune --config configs/local.yaml --minutes 10 --replace
  wals train --config data/model-tuning/best.yaml --replace
  wals tune --config configs/local.yaml --vertex_spec REGION-docker.pkg.dev/PROJECT/REPO/IMAGE
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and run the search."""
    parser = _parser()
    args, others = parser.parse_known_args(argv)
    settings = cli.settings_from(args, {"dataset_dir": args.dataset_dir})
    budget = {"trials": args.trials, "minutes": args.minutes, "workers": args.workers}
    if args.quick and (args.search or args.vertex_spec or args.vertex_trial):
        raise UserError("--quick has a space of its own, and runs on this machine; leave out --search and --vertex_*")
    args.search = args.search or _SEARCH
    search = quick_search(budget) if args.quick else load_search(args.search, budget)
    dataset_dir = cli.required(settings.dataset_dir, "dataset_dir")
    if args.vertex_trial:
        params = vertex_params(others, search)
    elif others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if args.dry_run:
        show_plan(search, dataset_dir, args.study_dir or default_study(settings, dataset_dir))
        return
    cli.import_tensorflow()
    if args.vertex_spec:
        print(vertex_spec(search, dataset_dir, args), end="")
        return
    if args.vertex_trial:
        run_vertex_trial(settings, search, dataset_dir, params)
        return
    from trainer.tuning import study

    study.tune(settings, search, dataset_dir, args.study_dir or default_study(settings, dataset_dir), args.replace)


def show_plan(search: SearchSettings, dataset_dir: str, study_dir: str) -> None:
    """Print what would be searched; raise UserError if the dataset is not one."""
    info = dataset_rows.read_info(dataset_dir)
    limits = {"trials": search.trials, "minutes": search.minutes, "workers": search.workers or cores()}
    rows: list[tuple[str, int | str]] = [(dataset_dir, f"{info.users:,} x {info.items:,}"), ("by", search.metric_name)]
    rows += [(name, f"{limit:g}") for name, limit in limits.items() if limit is not None]
    for key, values in search.space.items():
        shown = ", ".join(map(str, values.choices)) if values.choices else "{:g} to {:g}".format(*values.bounds)
        rows.append((key, shown))
    cli.print_table(f"would search in {study_dir}", rows)


def default_study(settings: Settings, dataset_dir: str) -> str:
    """Return the directory of a config's search: next to the model, which each training replaces as a whole."""
    root = (settings.model_dir or dataset_dir).rstrip("/")
    return join("data/tuning", root.partition("://")[2]) if storage.is_remote(root) else f"{root}-tuning"


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "wals tune",
        "Search for the settings with the best validation metric; write them as a config for trainer.task.",
        epilog=_EPILOG,
    )
    parser.add_argument("--search", metavar="YAML", help=f"the space of the search (default: {_SEARCH})")
    parser.add_argument(
        "--quick", action="store_true", help="search a small space for two minutes: a first step on your own data"
    )
    parser.add_argument("--dataset_dir", metavar="DIR", help="output of pipeline.preprocess, local or gs://")
    parser.add_argument("--study_dir", metavar="DIR", help="local directory of the search (default: MODEL_DIR-tuning)")
    parser.add_argument("--trials", type=int, metavar="N", help="trials in total, with those of earlier runs")
    parser.add_argument("--minutes", type=float, metavar="M", help="time limit of this run")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--dry_run", action="store_true", help="print what would be searched, and stop")
    parser.add_argument(
        "--replace", action="store_true", help="start over: delete the earlier search in this directory"
    )
    vertex = parser.add_argument_group("Vertex AI hyperparameter tuning (docs/tuning.md)")
    vertex.add_argument(
        "--vertex_trial",
        action="store_true",
        help="run one trial with the values of the other flags; Vertex AI starts it",
    )
    vertex.add_argument("--vertex_spec", metavar="IMAGE", help="print the job's specification, and do nothing else")
    vertex.add_argument(
        "--machine", default=_MACHINE, metavar="TYPE", help=f"machine type of a trial (default: {_MACHINE})"
    )
    return parser


def vertex_params(flags: Sequence[str], search: SearchSettings) -> dict[str, Any]:
    """Return the parameters of a trial from the flags that Vertex AI appends; raise UserError if one is wrong."""
    from trainer.tuning import vertex as hypertune

    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    for key in search.space:
        parser.add_argument(f"--{hypertune.parameter_id(key)}")
    values, unknown = parser.parse_known_args(flags)
    if unknown:
        raise UserError(f"{unknown[0]} is not a setting of the space; it has {', '.join(vars(values))}")
    return hypertune.values_of(vars(values), search)


def run_vertex_trial(settings: Settings, search: SearchSettings, dataset_dir: str, params: Mapping[str, Any]) -> None:
    """Run one trial; report its metric after each pass."""
    from trainer.tuning import trial
    from trainer.tuning import vertex as hypertune

    material = trial.Material.read(dataset_dir, search)
    training, rating = trial.settings_of(params, settings.training, material)
    print(material.rows)
    reporter = hypertune.Reporter(hypertune.metric_id(search))

    def after_pass(number: int, value: float) -> None:
        print(f"pass {number}: {search.metric_name} {value:.4f}", flush=True)
        reporter.report(number, value)

    found = trial.run(material, training, rating, search, after_pass)
    print(f"{search.metric_name} {found.value:.4f} after {found.passes} passes, {found.seconds:.1f} s: {training}")


def vertex_spec(search: SearchSettings, dataset_dir: str, args: argparse.Namespace) -> str:
    """Return the job's specification as YAML."""
    from trainer.inputs import dataset_rows
    from trainer.tuning import study as tuning
    from trainer.tuning import vertex as hypertune

    kinds, _ = tuning.possible_kinds(search, dataset_rows.read_info(dataset_dir))
    config = args.config or places.default()
    arguments = [f"--config={config}", f"--search={args.search}", f"--dataset_dir={dataset_dir}"]
    arguments += [f"--set={assignment}" for assignment in args.assignments]
    return yaml.safe_dump(hypertune.job_spec(search, kinds, args.vertex_spec, args.machine, arguments), sort_keys=False)


if __name__ == "__main__":
    sys.exit(cli.run(main))
