"""The preview of a night: its tables, what is live, and the steps that are still to run. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable

from artifacts.paths import Nights
from configs.errors import UserError
from configs.settings import Settings
from nightly import inputs
from nightly.attempt import continued
from nightly.night import shown
from nightly.runs import live, record
from nightly.steps.commands import PROMOTE, STEPS, Plan, Step


def show(settings: Settings, only: str | None, say: Callable[[str], None] = print) -> None:
    """Print what a night would do; raise UserError if it could not begin.

    settings: resolved for the date. only: the one step that would run; None for all.
    """
    date, nights = settings.source.end_date, Nights(settings.nightly.directory)
    if date is None:
        raise UserError("no date: pass --date, or set source.end_date")
    tables, version = inputs.tables_of(settings, date), live.read(nights).live
    say(f"{date}: {len(tables)} table{'s' * (len(tables) != 1)}, the last is {tables[-1].path}")
    say(f"live: {version.name if version else 'nothing'}")
    run = continued(settings, nights, tables, say)
    attempts = record.attempts(nights, str(date))
    night = run.night if run else nights.night(str(date), max(attempts, default=0) + 1)
    parent = run.manifest.parent if run else version
    plan = Plan(
        settings,
        night,
        night.config,
        tables,
        parent if settings.nightly.warm_start else None,
        live.before(nights, str(date), settings.nightly.outcome_nights),
    )
    repeated = False
    for step in STEPS:
        if not step.applies(settings):
            if step.skipped:
                say(f"{step.name}: {step.skipped}")
        elif reason := step.reason_to_skip(plan):
            say(f"{step.name}: {reason}")
        elif only in (None, step.name):
            repeated = repeated or run is None or not _is_done(run, step, plan)
            say(f"{step.name}: {f'would run {shown(step.commands(plan))}' if repeated else 'done already'}")
    if only in (None, PROMOTE):
        number = night.root.rpartition("/")[2]
        say(f"{PROMOTE}: {date}.{number} would go live")


def _is_done(run: record.Record, step: Step, plan: Plan) -> bool:
    """Return whether the output of a step is intact and of the same inputs and settings."""
    before = run.step(step.name)
    try:
        same = before.status == "done" and before.identity == step.identity(plan)
    except UserError:  # an input is missing, which a step before makes
        return False
    return same and step.damage(run.night) is None
