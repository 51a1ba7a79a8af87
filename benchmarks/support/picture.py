"""Plots that are legible on a light and on a dark page: SVG without a ground, in colours between the two."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")
from cycler import cycler
from matplotlib.figure import Figure

INK = "#75808a"
STYLE = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "grid.color": INK,
    "axes.prop_cycle": cycler(color=["#2a9d8f", "#e07b39", "#5b8def", "#c2578f", "#8f9a3a", "#8a6fd1"]),
    "legend.framealpha": 0.0,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "wals",  # so that the same figures are the same file
    "font.family": "sans-serif",
}


def save(figure: Figure, path: Path) -> None:
    """Write a figure that was drawn within `matplotlib.rc_context(STYLE)` as SVG."""
    figure.savefig(path, format="svg", metadata={"Date": None})
