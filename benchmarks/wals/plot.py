"""Draw recall against seconds of training: `python benchmarks/wals/plot.py wals_quality.json PICTURE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

# Recall@20 as published, Gowalla, the same split.
PUBLISHED = {"SimpleX": 0.1872, "LightGCN": 0.1820, "EASE": 0.1765, "MF-BPR": 0.1627}


def draw(rows: list[dict], about: str, path: Path) -> None:
    """Draw one line per training with one mark per pass; published figures are dotted."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for row in rows:
        seconds, recall, _ = zip(*row["curve"], strict=True)
        style = {"marker": "o", "linestyle": "-"} if row["side"] == "ours" else {"marker": "x", "linestyle": "--"}
        axes.plot(seconds, recall, label=f"{row['side']}, k = {row['k']}", **style)
    for name, recall in PUBLISHED.items():
        axes.axhline(recall, color="gray", linewidth=0.8, linestyle=":")
        axes.annotate(name, (0.01, recall), xycoords=("axes fraction", "data"), va="bottom", fontsize=8, color="gray")
    axes.set(xscale="log", xlabel="seconds of training (a mark a pass)", ylabel="Recall@20 on test")
    axes.set_title(f"Gowalla; {about}", fontsize=9)
    axes.set_ylim(bottom=0.1)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    figures, picture = map(Path, sys.argv[1:])
    results = json.loads(figures.read_text(encoding="utf-8"))
    draw(results["rows"], results["machine"], picture)
    print(json.dumps({"plot": str(picture)}))
