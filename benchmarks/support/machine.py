"""The circumstances of a figure: the machine, its load, its limits, and runs side by side."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ranking.machine import cores

ROOT = Path(__file__).parents[2]
RESULTS, PICTURES = ROOT / "benchmarks" / "results", ROOT / "docs" / "images"


def describe() -> str:
    """Processor, cores and load in a line."""
    name = platform.processor() or "unknown processor"
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo") as file:  # Linux only
        name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    load = os.getloadavg()[0]
    return f"{name}, {cores()} cores, Python {platform.python_version()}, load {load:.1f}"


def shared_data() -> Path:
    """Return the directory of the real data; end the run where it is absent."""
    root = Path(os.environ.get("WALS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not root.is_dir():
        sys.exit("this benchmark needs the shared data: set WALS_SHARED_DATA to its directory")
    return root


def output() -> Path:
    """Return the directory of plots and of the data that benchmarks read: $WALS_BENCH_OUTPUT or data/bench."""
    root = Path(os.environ.get("WALS_BENCH_OUTPUT", ROOT / "data" / "bench"))
    root.mkdir(parents=True, exist_ok=True)
    return root


def save(name: str, figures: dict) -> None:
    """Write benchmarks/results/NAME.json: the figures with their command, machine, load, time and commit.

    The files are tracked, and the tables of the documentation are written from them (docs/tables/).
    """
    path = RESULTS / f"{name}.json"
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    about = {
        "command": " ".join(["python", *sys.orig_argv[1:]]),
        "machine": describe(),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
        "commit": git.stdout.strip() or None,
    }
    path.write_text(json.dumps(about | figures, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}")


def blas_environment() -> dict[str, str]:
    """Set OpenBLAS's kernels: it takes some AMD processors with AVX-512 for older ones."""
    try:
        with open("/proc/cpuinfo") as file:
            text = file.read()
    except OSError:
        return {}
    return {"OPENBLAS_CORETYPE": "SkylakeX"} if "avx512f" in text and "AMD" in text else {}


def worker(
    python: str, script: str, *arguments: str, fresh_cache: str | None = None, more: dict[str, str] | None = None
) -> dict:
    """Run a script in a separate process, two threads at most; its last line is its result as JSON.

    The result gains `cpu`, the seconds of user and system time that the process took, which other load moves less than
    the clock's.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "2", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= blas_environment()
    if fresh_cache:
        environment["NUMBA_CACHE_DIR"] = fresh_cache
    if python != sys.executable:
        environment["OPENBLAS_NUM_THREADS"] = "1"  # implicit has threads of its own and asks for this
    environment |= more or {}
    before = os.times()
    done = subprocess.run([python, script, *arguments], env=environment, capture_output=True, text=True)
    after = os.times()
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"cpu": spent}


def resident(field: str = "VmRSS") -> int:
    """Return the bytes of this process in memory; VmHWM for the most so far."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field + ":"))


def resident_of_tree(pid: int) -> int:
    """Return the bytes in memory of a process and all below it, by /proc; pages that they share count for each."""
    total, waiting = 0, [pid]
    while waiting:
        root = Path("/proc", str(waiting.pop()))
        with contextlib.suppress(OSError):  # it has just ended
            total += int((root / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in (root / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return total


def proportional_of_tree(pid: int) -> int:
    """Return the bytes in memory of a process and all below it; a page that n share counts as 1/n for each."""
    return sum(process["Pss"] for process in memory_of_tree(pid))


def memory_of_tree(pid: int) -> list[dict[str, int]]:
    """Return the bytes of a process and all below it, each by the names of smaps_rollup: Rss, Pss, Private_Dirty."""
    processes, waiting = [], [pid]
    while waiting:
        root = Path("/proc", str(waiting.pop()))
        with contextlib.suppress(OSError):  # it has just ended
            lines = [line.split() for line in (root / "smaps_rollup").read_text().splitlines()[1:]]
            processes.append({line[0].rstrip(":"): int(line[1]) * 1024 for line in lines})
            for task in (root / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return processes


def gemm(turns: int = 5) -> float:
    """Return the measured rate of a product of matrices in float32, flop/s: the median of some."""
    a = np.random.default_rng(0).random((2048, 2048), np.float32)
    rates = []
    for _ in range(turns):
        started = time.perf_counter()
        a @ a
        rates.append(2 * 2048**3 / (time.perf_counter() - started))
    return statistics.median(rates)


def limits() -> tuple[float, float]:
    """Measured float32 GEMM rate (flop/s) and memory bandwidth (bytes/s, two threads reading)."""
    from concurrent.futures import ThreadPoolExecutor

    rate = gemm()
    big = np.ones(1 << 26, np.float32)
    halves = np.split(big, 2)
    speeds = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            started = time.perf_counter()
            list(pool.map(np.max, halves))
            speeds.append(big.nbytes / (time.perf_counter() - started))
    return rate, max(speeds)
