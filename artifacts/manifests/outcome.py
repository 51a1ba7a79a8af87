"""The outcome of recommendations: the figures of `outcome.json`, and the manifest next to it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from artifacts.manifests.base import Manifest, Part
from configs.settings import OutcomeSettings, SourceSettings


class Estimate(Part):
    """A ratio with its interval; null where there is nothing to divide by."""

    value: float | None
    low: float | None
    high: float | None


class Compared(Part):
    """A figure of the lists that were live, of popularity for the same visitors, and their difference, paired."""

    live: Estimate
    popularity: Estimate
    difference: Estimate


class VisitorGroup(Part):
    """Visitors who came for something, and metrics of their lists by name, e.g. hit_rate@5."""

    visitors: int
    metrics: dict[str, Compared]


class EntryGroup(Part):
    """Entries of the lists of these visitors; hits: those that their visitor came for; share: hits per entry."""

    entries: int
    hits: int
    share: Compared


class NextDays(Part):
    """The items that visitors came for while a version was live, and its lists; needs no tracking.

    visitors: with a list; active: of them, those who came for something new to them; pairs: of them and these items.
    """

    visitors: int
    active: int
    pairs: int
    whole: VisitorGroup | None = None  # null if nobody came
    by_rule: dict[str, VisitorGroup] = Field(default_factory=dict)
    by_activity: dict[str, VisitorGroup] = Field(default_factory=dict)  # items that a visitor had in the dataset
    by_rank: dict[str, EntryGroup] = Field(default_factory=dict)
    by_category: dict[str, EntryGroup] = Field(default_factory=dict)
    by_age: dict[str, EntryGroup] = Field(default_factory=dict)  # days from an item's first view to the run


class ShownGroup(Part):
    """Exposures and the clicks on them. corrected: the CTR at the positions that all exposures had."""

    exposures: int
    clicks: int
    ctr: Estimate
    corrected: Estimate | None = None


class RankGroup(ShownGroup):
    """Those at a rank. examination: clicks compared with the first rank, for what attracts alike."""

    examination: Estimate | None = None


class Due(Part):
    """Events that are attributed to touches, the sum of their values (revenue, or ms), and their number per touch."""

    number: int
    value: float
    per_touch: Estimate


class ItemLift(Part):
    """An item that was shown. lift: its clicks over those that its ranks have on average, with a Poisson interval."""

    item: str
    exposures: int
    clicks: int
    lift: Estimate


class Tracked(Part):
    """The figures of the site's events of its list, while a version was live."""

    whole: ShownGroup
    by_day: dict[str, ShownGroup] = Field(default_factory=dict)  # of the exposure, in UTC
    by_rank: dict[str, RankGroup]
    by_rule: dict[str, ShownGroup]
    by_category: dict[str, ShownGroup]
    by_age: dict[str, ShownGroup]
    due: dict[str, dict[str, Due]]  # carts, purchases and dwell, by rule
    best: list[ItemLift] = Field(default_factory=list)  # of the items that are shown most
    worst: list[ItemLift] = Field(default_factory=list)


class Visitor(Part):
    """A visitor as an example, without the id: items had in the dataset, the list, and what the visitor came for."""

    rule: str
    had: list[str]
    listed: list[str]
    came: list[str]


class VersionOutcome(Part):
    """The outcome of one version; tracked: null without exposures in the list."""

    next_days: NextDays
    tracked: Tracked | None = None
    hits: list[Visitor] = Field(default_factory=list)  # some of the visitors who came for an item of their list
    misses: list[Visitor] = Field(default_factory=list)  # and of those who came for others alone


class Difference(Estimate):
    """A variant's figure minus that of the control. always_: limits that are valid however often one looks.

    visitors: of both variants. low and high are valid once, at the number of visitors that was planned.
    """

    always_low: float
    always_high: float
    visitors: int


class VariantOutcome(Part):
    """Visitors of a variant: with a list, those of them who came for something new, and those who were shown a list.

    share: as asked. differences: from the control; of the control none.
    """

    share: float
    visitors: int
    active: int
    exposed: int
    metrics: dict[str, Estimate] = Field(default_factory=dict)
    differences: dict[str, Difference] = Field(default_factory=dict)


class ExperimentOutcome(Part):
    """An experiment. changed: visitors who are left out since their variant changed.

    mismatch: the p-value that visitors were split as asked, by group of visitors.
    """

    control: str
    planned_visitors: int
    changed: int
    shares_changed: bool
    mismatch: dict[str, float]
    variants: dict[str, VariantOutcome]


class OffPolicy(Part):
    """The CTR that another version would have had at the slots that were shown, and the CTR that they had.

    rounds: exposures; support: the share of the other version's items that could be shown.
    """

    version: str
    rounds: int
    shown: Estimate
    support: Estimate
    ips: Estimate
    snips: Estimate
    dr: Estimate


class Outcome(Part):
    """The figures by model_version, and of all of them together; confidence: of their intervals."""

    confidence: float
    versions: dict[str, VersionOutcome] = Field(default_factory=dict)
    together: VersionOutcome | None = None
    experiments: dict[str, ExperimentOutcome] = Field(default_factory=dict)
    compared: OffPolicy | None = None


ONLINE = "online"  # the part of a gate's rule that names a figure of what was live


def online(outcome: Outcome) -> dict[str, Estimate]:
    """Return the figures of all versions together that a gate and a dashboard can name, as far as they are there."""
    whole = outcome.together
    if whole is None:
        return {}
    found: dict[str, Estimate | None] = {}
    if tracked := whole.tracked:
        found["ctr"] = tracked.whole.ctr
    for name, metric in (whole.next_days.whole.metrics if whole.next_days.whole else {}).items():
        kind, _, k = name.partition("@")
        found |= {name: metric.live, f"{kind}_gain@{k}": metric.difference}
    return {name: estimate for name, estimate in found.items() if estimate and estimate.value is not None}


class RunRecord(Part):
    """One directory of predictions, and when it was live: ISO 8601 in UTC."""

    root: str
    dataset: str
    version: str
    live_from: str
    live_until: str


class ListCount(Part):
    """Exposures and clicks of one of the export's lists, ours and others."""

    exposures: int
    clicks: int


class OutcomeSections(Part):
    """The settings with which an outcome was measured."""

    outcome: OutcomeSettings
    source: SourceSettings
    resamples: int
    confidence: float
    seed: int


class OutcomeManifest(Manifest):
    """The manifest of an outcome."""

    COMMAND: ClassVar = "wals outcome --replace"

    kind: Literal["outcome"] = "outcome"
    schema_version: Literal[1] = 1
    created: str  # ISO 8601 in UTC
    seconds: float
    runs: list[RunRecord]
    counts: dict[str, int]
    lists: dict[str, ListCount]  # by name, those with the most exposures first
    excluded: dict[str, int]  # rows by reason, the most frequent first
    warnings: list[str]
    settings: OutcomeSections
    steps: dict[str, dict[str, int]] = Field(default_factory=dict)
