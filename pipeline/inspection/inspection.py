"""An inspection: sample, facts, proposal, and what the proposal makes of the sample."""

from __future__ import annotations

from dataclasses import dataclass

from configs.errors import UserError
from configs.settings import BIGQUERY, BigQuerySettings
from pipeline.inspection import advice, display, proposal
from pipeline.inspection.facts import ga4, ga360, table
from pipeline.inspection.facts.measures import Facts
from pipeline.inspection.proposal import Proposal
from pipeline.inspection.sampling import files
from pipeline.inspection.sampling.files import Sample
from pipeline.inspection.windows import Interest, interest_of


@dataclass
class Inspection:
    """Everything seen of an export.

    config: the proposed one; None, with a `problem`, where nothing fits.
    """

    sample: Sample
    facts: Facts
    proposal: Proposal | None
    interest: Interest | None
    warnings: list[str]
    config: str | None
    problem: str = ""

    def show(self) -> None:
        """Print the screen."""
        display.show(self.sample, self.facts, self.interest, self.warnings, self.config)


def inspect(
    export: str, preset: str | None = None, path: str | None = None, bigquery: BigQuerySettings | None = None
) -> Inspection:
    """Look at an export.

    Args:
        export: glob of files, or tables of BigQuery.
        preset: to propose in place of the one that fits best.
        path: of the config that will be written.
        bigquery: where the tables are read; a project in them is named in the config.

    Raises:
        UserError: the export cannot be read, or `preset` does not fit it.
    """
    sample = _sample(export, bigquery or BigQuerySettings())
    roles = None
    if sample.kind == "table":
        facts, roles = table.facts_of(sample)
    else:
        facts = (ga4 if sample.kind == "ga4" else ga360).facts_of(sample)
    if preset and roles:
        raise UserError(f"preset {preset} is for exports of Google Analytics; {export} is a table")
    try:
        proposed = proposal.of_table(sample, roles) if roles else proposal.of_export(sample, facts, preset)
    except UserError as error:
        if preset:
            raise
        return Inspection(sample, facts, None, None, [*facts.notes, str(error)], None, str(error))
    if bigquery and bigquery.project and sample.unit == "table":
        proposed.tree["bigquery"] = {"project": bigquery.project}
    interest = interest_of(sample, proposed.settings, max(1, len(facts.days)))
    if roles:
        warnings = advice.of_table(facts, sample, roles, interest)
    else:
        warnings = advice.of_export(facts, sample, proposed, interest)
    config = proposal.text_of(proposed, display.about(sample, facts), path)
    return Inspection(sample, facts, proposed, interest, list(warnings), config)


def _sample(export: str, bigquery: BigQuerySettings) -> Sample:
    if not export.startswith(BIGQUERY):
        return files.take(export)
    from pipeline.inspection.sampling import tables  # Google's clients take a second to import

    return tables.take(export, bigquery)
