"""Visitors' ids -> the hashes that a dataset contains: wals hash-ids --config YAML < ids > hashes

A line with blanks or quotes around the id has two hashes: as it is, and without them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from artifacts import id_lists, privacy
from configs import cli
from configs.errors import UserError
from configs.nouns import counted


def main(argv: Sequence[str] | None = None) -> None:
    """Hash the ids of standard input, one per line, with the key of the settings."""
    parser = cli.parser(
        "wals hash-ids",
        "Write the hash of each visitorId of standard input, one per line: to look a visitor up, or to make the list "
        "of serving.deleted_visitors.",
        epilog="example: wals hash-ids --config configs/gcp.yaml < ids.txt > hashes.txt",
    )
    settings = cli.settings_from(parser.parse_args(argv), {}).privacy

    key = privacy.read_key(settings)
    if key is None:
        raise UserError("visitorIds are not hashed: set privacy.hash_key_file or privacy.hash_key_env")
    ids = id_lists.IdList.parse(id_lists.decode(sys.stdin.buffer.read(), "standard input"))
    for form in (form for line in ids.lines for form in line):
        sys.stdout.buffer.write(privacy.hashed(key, form) + b"\n")
    if odd := sum(len(line) > 1 for line in ids.lines):
        print(
            f"{counted(odd, 'line')} with blanks or quotes around the id: two hashes each, with and without",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(cli.run(main))
