"""The progress of a preprocessing: its share never falls, and the row of figures fits a line of 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from configs import progress as bars
from pipeline.beam import progress

STEPS = [
    ({}, 0.0, "4 files", "starting"),
    ({"read": 1}, 0.0, "0 of 4 files, 1 row", "reading"),
    ({"read": 40_000_000, "files": 3}, 0.375, "3 of 4 files, 40,000,000 rows", "reading"),
    ({"read": 50_000_000, "files": 4, "combine": 25_000_000}, 0.55, "50,000,000 rows", "combining"),
    ({"combine": 40_000_000, "encode": 10_000_000}, 0.65, "10,000,000 of 40,000,000 pairs", "encoding"),
    ({"combine": 40_000_000, "encode": 40_000_000, "group": 40_000_000}, 0.9, "40,000,000 pairs", "writing"),
    (
        {"combine": 40_000_000, "encode": 40_000_000, "group": 80_000_000},
        1.0,
        "40,000,000 pairs",
        "writing",
    ),
]


def test_each_step_is_shown_with_its_rows(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(
        "rich.console.Console", lambda **_: Console(file=out, width=80, force_terminal=True, color_system=None)
    )
    with bars.progress("preprocessing", 1.0) as bar:
        for tally, share, rows, step in STEPS:
            assert progress.so_far(tally, 4) == (share, rows, step)
            bar.update(share, rows, description=step)
            bar._bar.refresh()
    shown = out.getvalue()
    assert all(f"{rows} " in shown for _, _, rows, _ in STEPS) and "…" not in shown
    assert [share for _, share, _, _ in STEPS] == sorted(share for _, share, _, _ in STEPS)
