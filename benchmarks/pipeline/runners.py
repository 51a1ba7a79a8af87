"""The same job on each of Beam's local runners: in-process by one thread, by threads, by processes, and Prism.

    python -m benchmarks.pipeline.runners [--millions 5] [--rounds 3] [--prism data/engines/prism]

`make prism` builds Prism.

The table of benchmarks/support/data.py; the job as a user starts it, imports included, two workers where there are
several.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.pipeline.preprocess_speed import job, manifest_of
from benchmarks.support import data, machine, processes

_TWO = "--direct_num_workers=2"
RUNNERS = {
    "in memory": [],
    "threads": ["--direct_running_mode=multi_threading", _TWO],
    "processes": ["--direct_running_mode=multi_processing", _TWO],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prism", type=Path, default=machine.ROOT / "data" / "engines" / "prism")
    args = parser.parse_args()
    sides, runs = dict(RUNNERS), {}
    if args.prism.exists():
        sides["Prism"] = ["--runner=PrismRunner", f"--prism_location={args.prism}", "--environment_type=LOOPBACK"]
    source, fingerprints = data.table(int(args.millions * 1e6)), set()
    for _ in range(args.rounds):
        for name, more in sides.items():
            with tempfile.TemporaryDirectory(dir=machine.output()) as folder:
                runs.setdefault(name, []).append(processes.run(job(folder, source, *more)))
                fingerprints.add(str(sorted(manifest_of(folder)["files"].items())))
    print(machine.describe())
    figures = {}
    for name, some in runs.items():
        figures[name] = {figure: statistics.median(run[figure] for run in some) for figure in some[0]}
        print("{:12}{seconds:8.1f} s {cpu_seconds:8.1f} CPU s {peak_gb:6.2f} GB".format(name, **figures[name]))
    print(f"files the same on all: {len(fingerprints) == 1}")
    machine.save("runners", {"rounds": args.rounds, "millions": args.millions, "runners": figures})


if __name__ == "__main__":
    main()
