"""The command that compares a dataset with the last good one, so that no night trains on a broken export.

    wals validate --config YAML --dataset_dir DIR --baseline DIR

`pipeline.preprocess --baseline DIR` compares before it publishes its dataset.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from artifacts.manifests import DatasetManifest
from artifacts.paths import Dataset
from configs import cli

BASELINE = {"baseline": ("validation.baseline", "DIR", "the last good dataset; a dataset too far from it is refused")}


def main(argv: Sequence[str] | None = None) -> None:
    """Compare two finished datasets; raise GateError if they differ too much."""
    parser = cli.parser(
        "wals validate",
        "Compare a dataset with the last good one by the bounds of `validation:`.",
        epilog="example: wals validate --dataset_dir data/dataset --baseline data/dataset-before",
    )
    flags = {"dataset_dir": ("dataset_dir", "DIR", "the dataset, local or gs://"), **BASELINE}
    for name, (_, metavar, text) in flags.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    settings = cli.settings_with(parser.parse_args(argv), flags)
    root = cli.required(settings.dataset_dir, "dataset_dir")
    cli.required(settings.validation.baseline, "baseline")
    manifest = DatasetManifest.read(Dataset(root).manifest)

    from pipeline.dataset import comparison, display

    display.show_comparison(comparison.compare(manifest, settings.validation, root))


if __name__ == "__main__":
    sys.exit(cli.run(main))
