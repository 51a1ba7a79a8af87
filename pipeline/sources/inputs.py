"""The input of a job: files, or BigQuery's streams."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from artifacts import catalogue as catalogues
from artifacts.names import USER
from configs.nouns import counted
from configs.settings import Settings
from pipeline.sources import privacy
from pipeline.sources.input_files import Input, match_files
from pipeline.sources.items import catalogue
from pipeline.sources.lists.reading import Clicks
from pipeline.sources.select import source_of


@contextlib.contextmanager
def opened(settings: Settings, keep: bool = False) -> Iterator[Input]:
    """Open the input that the settings name, for as long as a job needs it, or afterwards too if `keep`.

    What was created for it then expires by itself. Raises as `match_files` and `pipeline.sources.bigquery.source`.
    """
    if not settings.source.in_bigquery:
        yield match_files(settings.source)
        return
    from pipeline.sources.bigquery import source  # Google's clients take a second to import

    with source.opened(_with_lists(settings), keep) as stream_input:
        yield stream_input


def _with_lists(settings: Settings) -> Settings:
    """Return settings whose source reads the lists of the export, too, if it tells clicks in one apart."""
    clicks = Clicks.of(settings.source)
    return settings.model_copy(update={"source": clicks.wide()}) if clicks else settings


def check(settings: Settings) -> None:
    """Check the rules of the source, without its input.

    Raises:
        UserError: such as an expression of the page rules that RE2 refuses.
    """
    source_of(settings.source, settings.rating, settings.split)


def describe(settings: Settings) -> str:
    """Return a description of what a job would read, without reading it."""
    if settings.source.in_bigquery:
        from pipeline.sources.bigquery import source

        return source.describe(_with_lists(settings))
    files = match_files(settings.source)
    more = [f"and {len(files.files) - 10} more"] if len(files.files) > 10 else []
    return "\n".join(
        [*files.files[:10], *more, f"would read {counted(files.size, 'byte')} in {counted(len(files.files), 'file')}"]
    )


def read_catalogue(settings: Settings, required: bool = False) -> pa.Table | None:
    """Return the table that joins the items' attributes; None without one.

    required: whether a file must exist; otherwise a line states that it does not. Raise UserError if it cannot be read,
    or has columns that items.parquet cannot have.
    """
    path = settings.catalogue
    if path is None:
        return None
    if catalogues.in_bigquery(path):
        from pipeline.sources.bigquery import source

        table = catalogues.checked(source.read_table(path, "catalogue", settings.bigquery), path)
    elif required or catalogues.is_file(path):
        table = catalogues.read_table(path)
    else:
        print(f"catalogue {path} does not exist; the items keep the attributes of the data")
        return None
    catalogue.check(table, path, settings.source)
    return table


def read_user_catalogue(settings: Settings) -> pa.Table | None:
    """Return the site's own table of visitors, protected as the export is; None without one.

    Raise UserError if it cannot be read or has no visitorId.
    """
    path = settings.user_catalogue
    if path is None:
        return None
    if catalogues.in_bigquery(path):
        from pipeline.sources.bigquery import source

        table = catalogues.checked(source.read_table(path, USER.catalogue, settings.bigquery), path, USER)
    else:
        table = catalogues.read_table(path, USER)
    names = pc.utf8_trim_whitespace(table[USER.id].combine_chunks())
    table = table.drop_columns([USER.id]).add_column(0, USER.id, names)
    table, deleted = privacy.protect_table(table, settings.privacy)
    if deleted:
        print(f"{USER.catalogue} {path}: left out {counted(deleted, 'row')} of deleted visitors")
    return table


def describe_catalogue(settings: Settings, required: bool = False) -> str | None:
    """Return what a job would join, after the checks of `read_catalogue`; of a table of BigQuery, no rows are read."""
    path = settings.catalogue
    if path and catalogues.in_bigquery(path):
        from pipeline.sources.bigquery import source

        names, size = source.columns_of(path, "catalogue", settings.bigquery)
        table = catalogues.checked(pa.table({name: pa.nulls(0) for name in names}), path)
        catalogue.check(table, path, settings.source)
        return f"catalogue {path}: {counted(table.num_columns, 'column')}; would read {counted(size, 'byte')}"
    read = read_catalogue(settings, required)
    if read is None:
        return None
    repeated = catalogue.repeated(read)
    more = f"; {counted(repeated, 'row')} with the contentId of another, of which the last counts" if repeated else ""
    return f"catalogue {path}: {counted(read.num_rows, 'row')}, {counted(read.num_columns, 'column')}{more}"
