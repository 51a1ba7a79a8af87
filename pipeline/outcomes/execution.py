"""The run of the job: the days that are read, and the summary that it writes."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from artifacts.paths import join
from configs.errors import UserError
from configs.settings import Settings
from pipeline.beam import counters, finalize, progress
from pipeline.beam import options as beam_options
from pipeline.beam.block_store import BlockStore
from pipeline.outcomes import transforms
from pipeline.outcomes.live.runs import Run, compared
from pipeline.outcomes.transforms import Job
from pipeline.sources import inputs, privacy
from pipeline.sources.lists import reading
from pipeline.sources.lists.rows import Asked

_DAY = datetime.timedelta(days=1)


class Result(NamedTuple):
    """A job that has run: its summary, and rows and bytes by step."""

    job: Job
    summary: dict[str, Any]
    steps: dict[str, dict[str, int]]


def run(settings: Settings, runs: tuple[Run, ...], beam_flags: Sequence[str], staging: str) -> Result:
    """Run the job on the days after the runs, or on all of the export without runs; raise UserError."""
    options = beam_options.from_settings(settings, beam_flags)
    beam_options.check_bucket(options)
    privacy.open_rules(settings.privacy)
    start_ms, end_ms = (runs[0].start_ms, runs[-1].end_ms) if runs else (None, None)
    asked, until_ms = Asked(settings.outcome, start_ms, end_ms), _end_of_window(settings, end_ms)
    settings = settings.model_copy(update={"source": _days_after(settings, asked)})
    # Only what is read differs, so that BigQuery's tables are opened with the columns of lists, too.
    wide = settings.model_copy(update={"source": reading.wide(settings.source, asked)})
    store = BlockStore(beam_options.shared_folder(options, join(staging, finalize.TEMPORARY, "blocks")))
    with inputs.opened(wide) as files:
        other = compared(settings) if runs else None
        job = Job(settings, files, runs, asked, staging, store, other, until_ms)
        with progress.waiting(f"reading {len(files.files)} {'streams' if files.read else 'files'}"):
            result = beam_options.run(lambda pipeline: transforms.build(pipeline, job), options)
    summary = finalize.take_summary(staging)
    summary["counts"] = Counter(summary["counts"])
    _check(summary["counts"], job)
    return Result(job, summary, counters.by_step(result))


def _end_of_window(settings: Settings, end_ms: int | None) -> int | None:
    """Return the end of the config's window in UTC, if it is before the end of the last run."""
    last = settings.source.end_date
    if last is None or end_ms is None:
        return None
    end = datetime.datetime.combine(last + _DAY, datetime.time(), datetime.UTC)
    return min(round(end.timestamp() * 1000), end_ms)


def _days_after(settings: Settings, asked: Asked) -> Any:
    """Return the source with the days that are read: those of the runs, and a day around for the property's zone."""
    source, options = settings.source, settings.outcome
    update: dict[str, Any] = {"input": options.input or source.input}
    if options.input and source.query:
        update["query"] = None
    if asked.start_ms is not None and asked.end_ms is not None and source.kind != "table":
        last_ms = asked.end_ms + round(options.touch_hours * 3_600_000)
        update |= {"start_date": _date(asked.start_ms) - _DAY, "end_date": _date(last_ms) + _DAY, "window_days": None}
    return source.model_copy(update=update)


def _date(time_ms: int) -> datetime.date:
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC).date()


def _check(counts: Counter[str], job: Job) -> None:
    """Raise UserError if the export is of other days or of other visitors than the lists."""
    if not job.runs:
        return
    source, days = job.settings.source, sorted(name[-8:] for name in counts if name.startswith("seen.date."))
    shown = sum(number for name, number in counts.items() if name.startswith("lists.exposures."))
    if not counts["pairs.read"] and not shown:
        of_days = f" (it has {days[0]} to {days[-1]})" if days else ""
        first, last = (_date(time_ms) for time_ms in (job.runs[0].start_ms, job.runs[-1].end_ms))
        raise UserError(
            f"{source.input} has nothing of {first} to {last}, when the recommendations were live{of_days}; "
            "name the export of these days with outcome.input"
        )
    if counts["visitors.read"] and not counts["visitors.known"]:
        raise UserError(
            f"none of the {counts['visitors.read']:,} visitors in {source.input} has a list in the predictions: they "
            "are of another site, of other visitor ids (source), or hashed with another key (privacy)"
        )
