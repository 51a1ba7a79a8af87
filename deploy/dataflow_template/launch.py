"""The program that the launcher of a Dataflow Flex Template runs: it passes the template's parameters to preprocess.

FLEX_TEMPLATE_PYTHON_PY_FILE in deploy/docker/Dockerfile names this file, and metadata.json describes its parameters;
all other flags are Beam's own and pass through.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from configs import cli
from pipeline import preprocess


def main(argv: Sequence[str] | None = None) -> None:
    """Submit the job and exit; Dataflow starts it only after that."""
    parser = argparse.ArgumentParser(prog="launch.py", allow_abbrev=False)
    parser.add_argument("--config", required=True, help="file of settings, local or gs://")
    parser.add_argument("--settings", default="", help="KEY=VALUE; separate several with ;")
    parser.add_argument("--replace", choices=["true", "false"], default="false")
    args, beam_flags = parser.parse_known_args(argv)
    flags = ["--config", args.config, "--detach"]
    for assignment in filter(None, map(str.strip, args.settings.split(";"))):
        flags += ["--set", assignment]
    preprocess.main([*flags, *(["--replace"] if args.replace == "true" else []), *beam_flags])


if __name__ == "__main__":
    sys.exit(cli.run(main))
