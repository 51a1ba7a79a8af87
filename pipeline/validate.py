"""Is a dataset like the last good one? What moved too far stops a night before it trains on it.

    python -m pipeline.validate --config YAML --dataset_dir DIR --baseline DIR

`pipeline.preprocess --baseline DIR` asks the same before its dataset takes its place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from artifacts.paths import Dataset
from configs import cli
from configs.errors import GateError
from configs.settings import ValidationSettings

BASELINE = {"baseline": ("validation.baseline", "DIR", "the last good dataset: one that is too far from it is refused")}
_FIGURES = ("users", "items", "interactions", "median")


def main(argv: Sequence[str] | None = None) -> None:
    """Compares two datasets that are there.

    Raises:
        GateError: they are too far from each other. UserError: one of them cannot be read.
    """
    parser = cli.parser(
        "python -m pipeline.validate", "Compares a dataset with the last good one by the bounds of `validation:`."
    )
    flags = {"dataset_dir": ("dataset_dir", "DIR", "the dataset, local or gs://"), **BASELINE}
    for name, (_, metavar, text) in flags.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    settings = cli.settings_with(parser.parse_args(argv), flags)
    root = cli.required(settings.dataset_dir, "dataset_dir")
    cli.required(settings.validation.baseline, "baseline")
    content = _manifest(root)
    show(check(content, settings.validation, root))


def open_baseline(settings: ValidationSettings) -> None:
    """For the start of a job: an hour's work is no moment to learn of a wrong path.

    Raises:
        UserError: the baseline cannot be read.
    """
    if settings.baseline is not None:
        _manifest(settings.baseline)


def check(content: Mapping[str, Any], settings: ValidationSettings, root: str) -> dict[str, Any] | None:
    """Compares a dataset's manifest with the baseline's.

    Args:
        content: `counts`, `median` and `settings`, as in the manifest of a dataset.
        root: its directory, for the message.

    Returns:
        For the manifest: the baseline's directory and creation, and each figure then and now; None without a baseline.

    Raises:
        GateError: a figure moved further than its bound. UserError: the baseline cannot be read.
    """
    if settings.baseline is None:
        return None
    baseline = _manifest(settings.baseline)
    then, now = _figures(baseline), _figures(content)
    found = list(_moved(then, now, settings))
    if found:
        others = list(_changed(baseline.get("settings", {}), content["settings"]))
        because = f"; settings that are others now: {', '.join(others)}" if others else ""
        raise GateError(
            f"{root} is not like {settings.baseline}: {'; '.join(found)}{because}. Look into the export; if this is "
            "right, raise the bounds (validation.*), or run once without --baseline"
        )
    figures = {name: [then[name], now[name]] for name in _FIGURES}
    return {"baseline": settings.baseline, "created": baseline["created"], **figures}


def show(compared: Mapping[str, Any] | None) -> None:
    """Prints the figures of both, where there was a comparison."""
    if compared is None:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("", "then", "now", "change", title=f"like {compared['baseline']}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in _FIGURES:
        then, now = compared[name]
        change = f"{now / then - 1:+.1%}" if then and now else ""
        table.add_row(name, *(f"{value:,.0f}" if value is not None else "" for value in (then, now)), change)
    Console().print(table)


def _figures(content: Mapping[str, Any]) -> dict[str, float | None]:
    return {**{name: content["counts"][name] for name in _FIGURES[:-1]}, "median": content["median"]}


def _moved(then: Mapping[str, Any], now: Mapping[str, Any], settings: ValidationSettings) -> Iterator[str]:
    for name in _FIGURES:
        bound, before, after = getattr(settings, name), then[name], now[name]
        if bound is None or before is None or after is None or before == after:
            continue
        low, high = sorted((before, after))
        if low <= 0 or high / low - 1 > bound:
            change = f"{after / before - 1:+.0%}" if before else "from none"
            yield f"{name} {before:,.0f} -> {after:,.0f} ({change}; validation.{name} {bound:g})"


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Names of settings that differ; the window moves every night."""
    for section in now:
        for key, value in now[section].items():
            if then.get(section, {}).get(key) != value and key not in ("input", "start_date", "end_date"):
                yield f"{section}.{key}"


def _manifest(root: str) -> dict[str, Any]:
    from artifacts import publish

    return publish.read_manifest(Dataset(root).manifest, "dataset")


if __name__ == "__main__":
    sys.exit(cli.run(main))
