"""Training where the settings say: python -m deploy.vertex.train --config configs/gcp.yaml

With vertex.image a custom job of Vertex AI; without, trainer.task on this machine.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from configs import cli

_EPILOG = """\
examples:
  python -m deploy.vertex.train --config configs/gcp.yaml --dry_run
  python -m deploy.vertex.train --config configs/gcp.yaml --replace --set vertex.accelerator_type=NVIDIA_L4
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and trains.

    Raises:
        UserError: whatever the user can put right.
    """
    parser = cli.parser(
        "python -m deploy.vertex.train",
        "Trains on Vertex AI where the config has vertex.image, and on this machine otherwise.",
        epilog=_EPILOG,
    )
    flags = {
        "dataset_dir": ("dataset_dir", "DIR", "what pipeline.preprocess wrote"),
        "model_dir": ("model_dir", "DIR", "where the model goes"),
    }
    cli.add_flags(parser, flags, "a model that is")
    parser.add_argument("--dry_run", action="store_true", help="print the job's specification, and stop")
    args, rest = parser.parse_known_args(argv)
    settings = cli.settings_with(args, flags)
    if settings.vertex.image is None:
        own = [flag for flag in (sys.argv[1:] if argv is None else argv) if flag != "--dry_run"]
        command = [sys.executable, "-m", "trainer.task", *own]
        if args.dry_run:
            print(" ".join(command))
            return
        sys.stdout.flush()
        os.execv(command[0], command)  # noqa: S606 - our own interpreter
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    from artifacts.google_cloud import check_bucket
    from deploy.vertex import jobs  # Google's client takes seconds to import

    jobs.check(settings)
    if args.dry_run:
        print(json.dumps(jobs.shown(settings, args.replace), indent=2))
        return
    temp, region = settings.cloud.temp_location, settings.cloud.region
    check_bucket(cli.required(temp, "temp_location"), cli.required(region, "region"), "cloud.temp_location")
    jobs.run(settings, args.replace, lambda text: print(text, flush=True))
    if settings.vertex.register_as:
        print(f"registered {jobs.register(settings)}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
