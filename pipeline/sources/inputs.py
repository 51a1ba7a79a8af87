"""The input of a job: files, or BigQuery's streams."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from configs.settings import Settings
from pipeline.sources.input_files import Input, match_files


@contextlib.contextmanager
def opened(settings: Settings, keep: bool = False) -> Iterator[Input]:
    """Open the input that the settings name, for as long as a job needs it.

    Args:
        keep: whether it shall be readable afterwards; what was created for it then expires by itself.

    Raises:
        UserError: see `match_files` and `pipeline.sources.bigquery.source`.
    """
    if not settings.source.in_bigquery:
        yield match_files(settings.source)
        return
    from pipeline.sources.bigquery import source  # Google's clients take a second to import

    with source.opened(settings, keep) as stream_input:
        yield stream_input


def describe(settings: Settings) -> str:
    """Return a description of what a job would read, without reading it."""
    if settings.source.in_bigquery:
        from pipeline.sources.bigquery import source

        return source.describe(settings)
    files = match_files(settings.source)
    more = [f"and {len(files.files) - 10} more"] if len(files.files) > 10 else []
    return "\n".join([*files.files[:10], *more, f"would read {files.size:,} bytes in {len(files.files)} files"])
