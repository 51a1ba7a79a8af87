"""visitorIds -> the hashes that stand in a dataset: python -m pipeline.hash_ids --config YAML < ids > hashes"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from artifacts import privacy
from configs import cli
from configs.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Hashes the ids of standard input, one a line, with the settings' key.

    Raises:
        UserError: the settings name no key, or it cannot be read.
    """
    parser = cli.parser(
        "python -m pipeline.hash_ids",
        "Writes the hash of each visitorId of standard input, one a line: to look a visitor up, or to make the list of "
        "serving.deleted_visitors.",
    )
    settings = cli.settings_from(parser.parse_args(argv), {}).privacy

    from artifacts.storage import read_bytes

    key = privacy.read_key(settings, read_bytes)
    if key is None:
        raise UserError("visitorIds are not hashed: set privacy.hash_key_file or privacy.hash_key_env")
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(privacy.hashed(key, line.removesuffix(b"\n").removesuffix(b"\r")) + b"\n")


if __name__ == "__main__":
    sys.exit(cli.run(main))
