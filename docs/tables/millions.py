"""Tables of a training and of a prediction with a million items."""

from __future__ import annotations

from typing import Any

from tables.cells import count, number, results, table


def predict_million() -> str:
    found = results("predict_job_recommendations_1000000")
    rows = (
        (
            run["users"],
            number(run["job_s"], 1),
            count(run["visitors_per_second"]),
            f"{run['share_of_gemm']:.0%} of {found['gemm_flops'] / 1e9:.0f} Gflop/s",
            count(run["peak_mb"]),
        )
        for run in found["runs"]
    )
    return _measured(found) + table(
        ("visitors", "s", "visitors per second", "of the rate of products", "peak memory, MB"), rows
    )


def train_million() -> str:
    """Return the seconds of a training by stage, and the whole."""
    found = results("train_million")
    stages = found["stages"]
    rows = [(stage, number(seconds, 1), number(seconds / stages["sweeps"])) for stage, seconds in stages.items()]
    whole = found["whole_s"]
    sizes = ", ".join(f"{found[name]:,} {name}" for name in ("interactions", "users", "items", "sweeps"))
    rows.append(("**the whole training**", number(whole, 1), number(whole / stages["sweeps"])))
    return _measured(found) + table((sizes, "s", "of the sweeps"), rows)


def _measured(found: dict[str, Any]) -> str:
    return f"Measured on {found['machine']}:\n\n"
