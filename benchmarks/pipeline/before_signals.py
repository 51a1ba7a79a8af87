"""GA360 in Parquet by signals and attributes, next to one dimension in the version before signals: time and memory.

    python -m benchmarks.pipeline.before_signals [--interactions 130000] [--rounds 7]

That version is a commit of this repository, taken out of git into a temporary folder. Each side is a process that reads
a file whenever it is its turn: the old one, the present one, the present one reading alone, which is Arrow's part
before the first line of our rules, and the least that a decoder of our own would do in Arrow's place. Made data (python
-m pipeline.sample, seed 42) and Google's public extract of one day, 12 times with other visitors.
"""

from __future__ import annotations

import argparse
import glob
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

COMMIT = "1ca6ddd"
INDEX, COPIES = 10, 12
GOOGLE = "google/ga360_sessions_20170801.parquet"
SIDES = ("old", "new", "read", "levels")


class Case(NamedTuple):
    """A preset that reads some files; the old version reads their custom dimension 10, if they have it."""

    preset: str
    files: str  # in the folder of the benchmark
    about: str


CASES = (
    Case("ga360_dimension", "sample/ga360-parquet/*", "made articles"),
    Case("ga360_pages", "sample/ga360-parquet/*", "made articles"),
    Case("ga360_shop", "sample/ga360_shop-parquet/*", "made shop"),
    Case("ga360_dimension", "google.parquet", "Google's shop"),
    Case("ga360_pages", "google.parquet", "Google's shop"),
    Case("ga360_shop", "google.parquet", "Google's shop"),
)


def reader(side: str, preset: str) -> Callable[[str], int]:
    """Return a function that reads a file and returns the number of its sessions; modules are those of the side."""
    from configs.settings import RatingSettings, SourceSettings

    if side == "old":
        from pipeline import kinds  # type: ignore[attr-defined]  # of the old code

        old: Any = SourceSettings
        kind = kinds.kind_of(old(kind="ga360", content_dimension_index=INDEX), RatingSettings())
        read, extract = kind.read, lambda raw, path: kinds.extract(kind, raw, path)
    else:
        from pipeline.sources.select import source_of

        source = source_of(SourceSettings(preset=preset), RatingSettings())
        read, extract = source.read, source.extract if side == "new" else lambda raw, path: None
    if side == "levels":
        return decoder(read)

    def sessions(path: str) -> int:
        count = 0
        for raw in read(path):
            extract(raw, path)
            count += len(raw.numbers)
        return count

    return sessions


def decoder(read: Callable[[str], Any]) -> Callable[[str], int]:
    """Return a function that decodes the columns that `read` would read, without building arrays of them."""
    from benchmarks.pipeline import parquet_levels

    columns: dict[str, set[str]] = {}

    def sessions(path: str) -> int:
        if path not in columns:
            columns[path] = parquet_levels.names(next(read(path)).columns.schema)
        with open(path, "rb") as file:
            return parquet_levels.decode(file, columns[path])

    return sessions


def serve(side: str, preset: str, files: str) -> None:
    """Read the files once, then again for each line of stdin; answer with processor seconds, sessions, and MB."""
    paths, sessions = sorted(glob.glob(files)), reader(side, preset)
    sum(map(sessions, paths))
    for _ in sys.stdin:
        started = time.process_time()
        count = sum(map(sessions, paths))
        seconds = time.process_time() - started
        with open("/proc/self/status") as status:
            peak = next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM:"))
        print(seconds, count, peak, flush=True)


def compare(case: Case, folder: str, roots: dict[str, str], rounds: int) -> dict[str, object]:
    """Return the sessions per processor second and the peak memory of each side, and the ratios of the old one's."""
    processes = {}
    for side in SIDES:
        flags = ["--serve", side, case.preset, f"{folder}/{case.files}"]
        environment = os.environ | {"PYTHONPATH": roots[side], "TF_CPP_MIN_LOG_LEVEL": "3"}
        processes[side] = subprocess.Popen(
            [sys.executable, __file__, *flags],
            env=environment,
            cwd=roots[side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    answers: dict[str, list[tuple[float, ...]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, process in processes.items():
            process.stdin.write("\n")
            process.stdin.flush()
            answers[side].append(tuple(map(float, process.stdout.readline().split())))
    for process in processes.values():
        process.communicate()
    seconds = {side: [answer[0] for answer in some] for side, some in answers.items()}
    # The rules are what is left without reading.
    seconds["rules"] = [new - read for new, read in zip(seconds["new"], seconds["read"], strict=True)]
    seconds["best"] = [rules + least for rules, least in zip(seconds["rules"], seconds["levels"], strict=True)]
    ratios = {
        side: statistics.median(a / b for a, b in zip(seconds["old"], some, strict=True))
        for side, some in seconds.items()
    }
    return {
        "preset": case.preset,
        "files": case.about,
        "sessions": int(answers["new"][0][1]),
        "cpu_seconds": {side: statistics.median(some) for side, some in seconds.items()},
        "peak_mb": {side: max(answer[2] for answer in some) for side, some in answers.items()},
        "ratio": ratios["new"],
        "ratio_of_reading": ratios["read"],
        "ratio_of_rules": ratios["rules"],
        "ratio_with_decoder": ratios["best"],
    }


def prepare(folder: str, interactions: int, data: Path) -> None:
    """Write the files that are read, and the old version's modules."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from benchmarks.support import machine
    from pipeline import sample

    archive = subprocess.run(["git", "archive", COMMIT], cwd=machine.ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(f"{folder}/old", filter="data")
    flags = ["--visitors", str(interactions // 12), "--items", "5000", "--formats", "parquet"]
    flags += ["--layouts", "ga360", "ga360_shop", "--interactions", str(interactions)]
    sample.main(["--output_dir", f"{folder}/sample", *flags])
    day = pq.read_table(data / GOOGLE)
    place = day.schema.get_field_index("fullVisitorId")
    names = day["fullVisitorId"].cast(pa.string())
    copies = (
        day.set_column(place, "fullVisitorId", pc.binary_join_element_wise(names, f"{copy:02d}", ""))
        for copy in range(COPIES)
    )
    pq.write_table(pa.concat_tables(copies), f"{folder}/google.parquet", row_group_size=1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=130_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(*args.serve)
        return
    from benchmarks.support import machine

    with tempfile.TemporaryDirectory() as folder:
        prepare(folder, args.interactions, machine.shared_data())
        print(machine.describe())
        roots = {side: f"{folder}/old" if side == "old" else str(machine.ROOT) for side in SIDES}
        cases = []
        for case in CASES:
            cases.append(compare(case, folder, roots, args.rounds))
            print(cases[-1])
    about = {"seed": 42, "rounds": args.rounds, "interactions": args.interactions, "old": COMMIT}
    machine.save("before_signals", about | {"cases": cases})


if __name__ == "__main__":
    main()
