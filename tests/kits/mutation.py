"""Mutation testing of the rules that everything else needs: does a test fail where the code is made wrong?

python -m tests.kits.mutation [MODULE ...] runs Cosmic Ray on a copy of the tree, one change at a time, and lists the
changes that no test noticed. docs/reliability.md has the reason why each may live.
"""

from __future__ import annotations

import argparse
import random
import shlex
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-audit" / "bin"

# The module, and the tests that hold it to an oracle.
TESTS = {
    "pipeline/interactions/sessions.py": "tests/pipeline/interactions/test_sessions.py",
    "pipeline/dataset/grouping.py": "tests/pipeline/dataset/test_grouping.py",
    "pipeline/dataset/ratings.py": "tests/pipeline/dataset/test_ratings.py",
    "pipeline/readers/avro.py": "tests/pipeline/readers/test_avro.py tests/pipeline/readers/test_bad_input.py "
    "tests/pipeline/sources/test_ids_of_floats.py",
    "pipeline/readers/csv_records.py": "tests/pipeline/readers/test_csv.py",
    "pipeline/readers/ndjson.py": "tests/pipeline/readers/test_odd_lines.py",
    "pipeline/sources/columns.py": "tests/pipeline/sources/test_columns.py "
    "tests/pipeline/sources/test_ids_of_floats.py",
    # without those that run the job
    "pipeline/sources/times.py": "tests/pipeline/sources/test_times.py -k 'not propose_it and not of_ga4'",
    "ranking/experiments/assignment.py": "tests/ranking/experiments/test_assignment.py",
    # without those that would take a minute of every mutant: they compile TensorFlow programs, or all three kernels
    "trainer/als/wals.py": "tests/trainer/als/test_tf_collectives.py::test_a_row_longer_than_a_batch_is_cut_and_summed "
    "tests/trainer/als/test_tiles.py::test_bfloat16_tables_come_near_and_are_bfloat16 "
    "tests/trainer/als/test_wals.py -k 'not tensors and not CPU:0 and not longer_than'",
}
# A | in a type has no effect at run time, nor does a decorator of a dataclass that loses its slots.
NO_BEHAVIOUR = ["core/ReplaceBinaryOperator_BitOr_.*"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "modules", nargs="*", default=list(TESTS), help=f"of {', '.join(TESTS)}; all where none is named"
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, drawn by --seed (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if unknown := set(options.modules) - set(TESTS):
        parser.error(f"no tests are named for {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        files = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", copy], input=files, check=True)
        for module in options.modules:
            _run(copy, module, options.share, options.seed)
    return 0


def _run(copy: Path, module: str, share: float, seed: int) -> None:
    python = shlex.quote(str(ROOT / ".venv" / "bin" / "python"))
    config, session = copy / "mutation.toml", copy / "mutation.sqlite"
    session.unlink(missing_ok=True)
    config.write_text(
        f'[cosmic-ray]\nmodule-path = "{module}"\ntimeout = 120.0\nexcluded-modules = []\n'
        f'test-command = "{python} -m pytest -x -q {TESTS[module]}"\n'
        f'[cosmic-ray.distributor]\nname = "local"\n'
        f"[cosmic-ray.filters.operators-filter]\nexclude-operators = {NO_BEHAVIOUR}\n"
    )
    tomllib.loads(config.read_text())
    _tool(copy, "cosmic-ray", "baseline", config)  # fails where the tests fail without any change
    _tool(copy, "cosmic-ray", "init", config, session)
    _tool(copy, "cr-filter-operators", session, config)
    _draw(session, share, seed)
    _tool(copy, "cosmic-ray", "exec", config, session)
    print(_report(session, module))


def _tool(copy: Path, name: str, *arguments: object) -> None:
    subprocess.run([TOOLS / name, *map(str, arguments)], cwd=copy, check=True, stdout=subprocess.DEVNULL)


def _draw(session: Path, share: float, seed: int) -> None:
    """Leave a share of the mutants to be tried."""
    with sqlite3.connect(session) as database:
        done = {job for (job,) in database.execute("SELECT job_id FROM work_results")}
        jobs = sorted({job for (job,) in database.execute("SELECT job_id FROM mutation_specs")} - done)
        keep = set(random.Random(seed).sample(jobs, round(share * len(jobs))))
        for table in ("mutation_specs", "work_items"):
            database.executemany(f"DELETE FROM {table} WHERE job_id = ?", [(job,) for job in jobs if job not in keep])  # noqa: S608


def _report(session: Path, module: str) -> str:
    with sqlite3.connect(session) as database:
        tried = database.execute(
            "SELECT test_outcome, diff FROM work_results WHERE worker_outcome = 'NORMAL' ORDER BY job_id"
        ).fetchall()
    survived = [diff for outcome, diff in tried if outcome == "SURVIVED"]
    lines = [f"{module}: {len(tried)} mutants, {len(tried) - len(survived)} killed, {len(survived)} survived"]
    for diff in survived:
        changed = [line for line in diff.splitlines() if line[:1] in "-+@" and line[:3] not in ("---", "+++")]
        lines += ["", *changed]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
