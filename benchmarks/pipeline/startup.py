"""The seconds of a small run: imports, then the sample of `make run`; and of a large one, by stage.

    python -m benchmarks.pipeline.startup [--rounds 5]
    python -m benchmarks.pipeline.startup --stages --millions 5

Imports: those of the preprocessing job, in a process of their own, files in the page cache. The sample: `make sample`'s
export, the job's own clock, which starts behind the imports. Stages: the time of each step by Beam's in-process runner
(it samples the running step); the rest is the runner, and what comes before and behind it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter

from benchmarks.pipeline.preprocess_speed import job, manifest_of
from benchmarks.support import data, machine, processes

_IMPORTS = """
import json, time
from pipeline import preprocess
from configs import cli
laps, last = {}, time.perf_counter()
def lap(name):
    global last
    laps[name], last = time.perf_counter() - last, time.perf_counter()
cli.import_tensorflow()
lap("TensorFlow")
with cli.quiet_imports():
    import apache_beam, apache_beam.io.gcp.bigquery
    lap("Beam")
    import tensorflow_transform.beam
    lap("TFT")
    import pipeline.dataset.transforms
    lap("our modules")
print(json.dumps(laps))
"""
# Which stage of the picture a step of the pipeline belongs to, by the first words that its name has.
STAGES = {
    "Interactions/Train/Read": "read",
    "Interactions/Combine": "sum pairs, make blocks",
    "Learn/Analyze/PTransform": "count ids",
    "Learn/Analyze/CacheableCombine": "median",
    "Learn/Analyze": "TFT's graphs",
    "Learn/Load": "encode",
    "Encode": "encode",
    "Rows/Partition": "shuffle to rows",
    "Rows/Write": "sort and write rows",
    "Items": "statistics",
    "Statistics": "statistics",
}


def stage_of(step: str) -> str:
    return next((stage for words, stage in STAGES.items() if step.startswith(words)), "the rest")


def sample(rounds: int) -> dict[str, float]:
    """Return medians in seconds: each import, all imports, and the sample's preprocessing."""
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(dir=machine.output()) as folder:
        processes.run([sys.executable, "-m", "pipeline.sample", "--output_dir", f"{folder}/export"])
        for _ in range(rounds):
            done = subprocess.run([sys.executable, "-c", _IMPORTS], cwd=machine.ROOT, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"the imports failed:\n{done.stderr[-2000:]}")
            laps = json.loads(done.stdout)
            command = [
                sys.executable,
                "-m",
                "pipeline.preprocess",
                "--config",
                str(machine.ROOT / "configs/local.yaml"),
            ]
            command += ["--input", f"{folder}/export/ga360/*", "--dataset_dir", f"{folder}/dataset", "--replace"]
            whole = processes.run(command)["seconds"]
            found.append(
                laps | {"imports": sum(laps.values()), "sample": manifest_of(folder)["seconds"], "whole": whole}
            )
    return {name: statistics.median(some[name] for some in found) for name in found[0]}


def stages(folder: str, source: str) -> dict[str, float]:
    """Return the seconds by stage of one run in this process."""
    from configs import cli

    cli.import_tensorflow()
    from apache_beam.metrics import monitoring_infos

    from pipeline import preprocess
    from pipeline.beam import options

    results, run = [], options.run
    options.run = lambda *some: results.append(run(*some)) or results[-1]
    started = time.perf_counter()
    preprocess.main(job(folder, source)[3:])
    whole = time.perf_counter() - started
    spent: Counter[str] = Counter()
    for info in results[0].monitoring_infos():
        if info.urn.endswith("process_bundle_msecs:v1"):
            spent[stage_of(info.labels["PTRANSFORM"])] += monitoring_infos.extract_counter_value(info) / 1000
    spent["the rest"] += whole - sum(spent.values())
    return dict(spent.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stages", action="store_true", help="of a made table, once")
    parser.add_argument("--millions", type=float, default=5, help="its interactions")
    args = parser.parse_args()
    if args.stages:
        source = data.table(int(args.millions * 1e6))
        with tempfile.TemporaryDirectory(dir=machine.output()) as folder:
            figures = stages(folder, str(source))
    else:
        figures = sample(args.rounds)
    print(machine.describe())
    for name, seconds in figures.items():
        print(f"{name:26}{seconds:8.2f} s")
    name, about = ("stages", {"millions": args.millions}) if args.stages else ("startup", {"rounds": args.rounds})
    machine.save(name, about | {"seconds": figures})


if __name__ == "__main__":
    main()
