"""One HTML file on a dataset, a model and its quality: python -m report.page --config configs/local.yaml"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from configs import cli

_EPILOG = """\
The page holds all that it needs: it opens offline, and can be sent. It shows no visitor's id.

examples:
  python -m report.page --config configs/local.yaml
  python -m report.page --config configs/local.yaml --evaluation_json data/evaluation.json --output report.html
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and writes the page.

    Raises:
        UserError: whatever the user can put right.
    """
    parser = cli.parser("python -m report.page", "Writes one HTML file on the data, the model and its quality.")
    parser.epilog = _EPILOG
    parser.add_argument("--dataset_dir", metavar="DIR", help="the dataset, where not the config's")
    parser.add_argument("--model_dir", metavar="DIR", help="the model, where not the config's")
    parser.add_argument("--catalogue", metavar="CSV", help="contentId, title, category, where not the config's")
    parser.add_argument("--evaluation_json", metavar="JSON", help="what trainer.evaluate wrote with --output_json")
    parser.add_argument("--output", metavar="HTML", help="the file to write (default: report.output)")
    args = parser.parse_args(argv)
    names = ("dataset_dir", "model_dir", "catalogue")
    flags = {name: getattr(args, name) for name in names} | {
        "report.output": args.output,
        "report.evaluation": args.evaluation_json,
    }
    settings = cli.settings_from(args, flags)
    cli.required(settings.dataset_dir, "dataset_dir")
    cli.required(settings.model_dir, "model_dir")
    cli.import_tensorflow()
    from report import inputs, render

    given = {"catalogue": args.catalogue is not None, "evaluation": args.evaluation_json is not None}
    found = inputs.read(settings, given)
    size = render.write(settings.report.output, found, settings.report)
    if found.unmeasured:
        print(f"quality: {found.unmeasured}")
    print(f"report: {settings.report.output} ({size / 1e6:.1f} MB)")


if __name__ == "__main__":
    sys.exit(cli.run(main))
