"""What the launcher of a Dataflow Flex Template runs: the template's parameters become flags of pipeline.preprocess.

deploy/dataflow_template/metadata.json describes the parameters; all others are Beam's own and pass through.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from configs import cli
from pipeline import preprocess


def main(argv: Sequence[str] | None = None) -> None:
    """Submits the job and ends; Dataflow starts it only then.

    Raises:
        UserError: whatever the user can put right.
    """
    parser = argparse.ArgumentParser(prog="python -m pipeline.beam.template", allow_abbrev=False)
    parser.add_argument("--config", required=True, help="settings, local or gs://")
    parser.add_argument("--settings", default="", help="KEY=VALUE, several parted by ;")
    parser.add_argument("--replace", choices=["true", "false"], default="false")
    args, rest = parser.parse_known_args(argv)
    flags = ["--config", args.config, "--detach"]
    for assignment in filter(None, map(str.strip, args.settings.split(";"))):
        flags += ["--set", assignment]
    preprocess.main([*flags, *(["--replace"] if args.replace == "true" else []), *rest])


if __name__ == "__main__":
    sys.exit(cli.run(main))
