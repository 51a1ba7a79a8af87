"""Command that writes the report: wals report --config configs/local.yaml"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from artifacts import publish, storage
from artifacts.paths import Model
from configs import cli

_EPILOG = """\
The file contains everything it needs, so it opens offline and can be sent by mail. It shows no visitorId.

examples:
  wals report --config configs/local.yaml
  wals report --config configs/local.yaml --output report.html
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and write the report."""
    description = "Write one HTML file on a dataset, a model and its quality."
    parser = cli.parser("wals report", description, epilog=_EPILOG)
    flags = {
        "dataset_dir": ("dataset_dir", "DIR", "the dataset (default: the config's)"),
        "model_dir": ("model_dir", "DIR", "the model (default: the config's)"),
        "catalogue": ("catalogue", "FILE", "titles that win over the data's (default: the config's)"),
        "evaluation_json": (
            "report.evaluation",
            "JSON",
            "what wals evaluate wrote (default: in the model's directory)",
        ),
        "previous_json": ("report.previous", "JSON", "the same of an earlier model, to compare with"),
        "output": ("report.output", "HTML", "the file to write (default: report.html in the model's directory)"),
    }
    cli.add_flags(parser, flags)
    args = parser.parse_args(argv)
    settings = cli.settings_with(args, flags)
    cli.required(settings.dataset_dir, "dataset_dir")
    model = Model(cli.required(settings.model_dir, "model_dir"))
    output = settings.report.output or model.report
    if settings.report.output or storage.exists(model.manifest):  # makes no directory for a model that is missing
        publish.check_file(output)
    cli.import_tensorflow()
    from report import inputs, render

    # A file named on the command line must exist; a file that only the config names may be missing.
    report = inputs.read(settings, args.catalogue is not None, args.evaluation_json is not None)
    size = render.write(output, report, settings.report)
    if report.unmeasured:
        print(f"quality: {report.unmeasured}")
    print(f"report: {output} ({size / 1e6:.1f} MB)")


if __name__ == "__main__":
    sys.exit(cli.run(main))
