"""Draw rows per second and memory against size, and the share of each stage: `python -m benchmarks.pipeline.plot`.

The figures are preprocess_speed.json, preprocess_50m.json and stages.json of benchmarks/results; the picture is
docs/images/pipeline.svg. With --cpu, rows per processor second, for runs next to other work.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.support import machine
from benchmarks.support import picture as pictures

STYLE = {"ours": ("o-", "C0"), "pandas": ("s--", "C1"), "duckdb": ("^--", "C2")}
NAMES = {"ours": "this pipeline", "pandas": "pandas, in memory", "duckdb": "DuckDB"}


def lines(axes, sizes: list[dict], value) -> None:
    """Draw one line per side over the number of rows; value: rows and a side's figures -> what is drawn."""
    for side, (style, color) in STYLE.items():
        points = [(size["rows"], value(size["rows"], size[side])) for size in sizes if side in size]
        axes.plot(*zip(*points, strict=True), style, color=color, label=NAMES[side])
    rows = [size["rows"] for size in sizes]
    axes.set(xscale="log", xlabel="million interactions read")
    axes.set_xticks(rows, [f"{float(f'{number / 1e6:.1g}'):g}" for number in rows])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def draw(sizes: list[dict], stages: dict[str, float], cpu: bool, about: str, path: Path) -> None:
    plt.rcParams.update(pictures.STYLE)
    figure, (rate, memory, share) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    clock, named = ("cpu_seconds", "processor second") if cpu else ("seconds", "second")
    lines(rate, sizes, lambda rows, side: rows / side[clock] / 1000)
    rate.set(ylabel=f"thousand rows a {named}", title="speed, start-up included")
    lines(memory, sizes, lambda _, side: side["peak_gb"])
    memory.set(ylabel="GB, all processes", title="peak memory")
    memory.legend(fontsize=8)
    names = sorted(stages, key=lambda name: (name != "the rest", stages[name]))
    share.barh(names, [100 * stages[name] / sum(stages.values()) for name in names], color="C0")
    share.set(xlabel="% of the seconds behind the imports", title="where the time goes")
    figure.suptitle(about, fontsize=9)
    pictures.save(figure, path)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="processor seconds in place of the clock's")
    args = parser.parse_args()
    speed, large, stages = (
        json.loads((machine.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("preprocess_speed", "preprocess_50m", "stages")
    )
    about = f"tables to group-by datasets; {speed['machine'].rpartition(', load')[0]}"
    picture = machine.PICTURES / "pipeline.svg"
    draw(speed["sizes"] + large["sizes"], stages["seconds"], args.cpu, about, picture)
    print(f"written: {picture}")


if __name__ == "__main__":
    main()
