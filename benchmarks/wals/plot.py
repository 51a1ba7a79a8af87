"""Draw recall against seconds of training as SVG: `python -m benchmarks.wals.plot FIGURES.json PICTURE.svg`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.support import picture as pictures

# Recall@20 as published, Gowalla, the same split.
PUBLISHED = {"SimpleX": 0.1872, "LightGCN": 0.1820, "EASE": 0.1765, "MF-BPR": 0.1627}


def draw(rows: list[dict], about: str, path: Path) -> None:
    """Draw one line per training with one mark per pass; published figures are dotted."""
    plt.rcParams.update(pictures.STYLE)
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for row in rows:
        seconds, recall = [point[0] for point in row["curve"]], [point[1] for point in row["curve"]]
        axes.plot(seconds, recall, "o-" if row["side"] == "ours" else "x--", label=f"{row['side']}, k = {row['k']}")
    for name, published in PUBLISHED.items():
        axes.axhline(published, color=pictures.INK, linewidth=0.8, linestyle=":")
        axes.annotate(name, (0.01, published), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)
    axes.set(xscale="log", xlabel="seconds of training (one mark per pass)", ylabel="Recall@20 on test")
    axes.set_title(f"Gowalla; {about}", fontsize=9)
    axes.set_ylim(bottom=0.1)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    pictures.save(figure, path)
    plt.close(figure)


if __name__ == "__main__":
    figures, picture = map(Path, sys.argv[1:])
    results = json.loads(figures.read_text(encoding="utf-8"))
    draw(results["rows"], results["machine"], picture)
    print(json.dumps({"plot": str(picture)}))
