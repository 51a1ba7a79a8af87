"""Visitors' ids -> the hashes that a dataset contains: python -m pipeline.hash_ids --config YAML < ids > hashes"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from artifacts import privacy
from configs import cli
from configs.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Hash the ids of standard input, one per line, with the key of the settings.

    Raises:
        UserError: the settings name no key, or it cannot be read.
    """
    parser = cli.parser(
        "python -m pipeline.hash_ids",
        "Write the hash of each visitorId of standard input, one per line: to look a visitor up, or to make the list "
        "of serving.deleted_visitors.",
    )
    settings = cli.settings_from(parser.parse_args(argv), {}).privacy

    key = privacy.read_key(settings)
    if key is None:
        raise UserError("visitorIds are not hashed: set privacy.hash_key_file or privacy.hash_key_env")
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(privacy.hashed(key, line.removesuffix(b"\n").removesuffix(b"\r")) + b"\n")


if __name__ == "__main__":
    sys.exit(cli.run(main))
