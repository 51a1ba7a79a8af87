"""Tables of experiments and of off-policy estimates."""

from __future__ import annotations

from tables.cells import results, table


def experiment_errors() -> str:
    """Return how often A/A tests call equal variants different, and how often a lift is found."""
    found = results("experiment_errors")
    header = (
        "figure",
        f"A/A, read once: {found['seeds']} seeds, {found['splits']} splits each",
        "one split",
        f"{found['tests']:,} seeds, one split",
        f"looked at on {found['looks']} days",
        "the same, always valid",
        "lift of 30 %, read once",
        "always valid",
    )
    names = (
        "read once, all splits",
        "read once, one split",
        "read once, all tests",
        "looked at daily",
        "looked at daily, always valid",
        "with a lift of 30%",
        "with a lift of 30%, always valid",
    )
    return table(header, ((row["metric"], *(f"{row[name]:.1%}" for name in names)) for row in found["rows"]))


def off_policy() -> str:
    """Return our estimates' distance from those of Open Bandit Pipeline."""
    header = ("log", "rounds", "IPS", "SNIPS", "DR", "greatest difference")
    rows = (
        (row["log"], f"{row['rounds']:,}", *(f"{row['obp'][name]:.6f}" for name in ("ips", "snips", "dr")),
         f"{row['difference']:.0e}")
        for row in results("off_policy")["rows"]
    )  # fmt: skip
    return table(header, rows)
