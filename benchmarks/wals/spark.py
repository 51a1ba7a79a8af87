"""Against Spark MLlib's ALS on local[2]: the same data, rank and iterations.

    python -m benchmarks.wals.spark --peer PYTHON_WITH_PYSPARK [--millions 10] [--k 64] [--passes 3]

Needs Java 17. Data: `benchmarks/support/data.py`; implicit feedback, confidence 10 for an entry. Spark's regularisation
grows with a row's entries, which does not change its work. Both sides are measured over the whole fit, from data in
memory (Spark's is cached and counted before), and by the pass: what a fit of `passes` takes beyond a fit of one pass.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import numpy as np

from benchmarks.support import data, machine
from benchmarks.wals.sides import CONFIDENCE, LAMBDA, Job


def spark(path: str, k: int, passes: int, memory: str) -> dict:
    """Return the seconds of a whole fit of one pass, and of `passes`, in one session."""
    import tempfile

    import pyspark.sql
    from pyspark.ml.recommendation import ALS

    matrix = data.load(path)
    with tempfile.TemporaryDirectory() as folder:
        builder = pyspark.sql.SparkSession.builder.master("local[2]").config("spark.driver.memory", memory)
        builder = builder.config("spark.ui.enabled", "false").config("spark.local.dir", folder)
        session = builder.config("spark.sql.warehouse.dir", folder).getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        coordinates = matrix.tocoo()
        _write(f"{folder}/pairs.parquet", coordinates.row, coordinates.col)
        frame = session.read.parquet(f"{folder}/pairs.parquet").repartition(4).cache()
        frame.count()
        few = frame.limit(10_000).cache()
        seconds = []
        # The first fit, on a few pairs, does not count: Java compiles what it runs often.
        for pairs, iterations in ((few, 5), (frame, 1), (frame, passes)):
            als = ALS(
                rank=k,
                maxIter=iterations,
                regParam=LAMBDA,
                implicitPrefs=True,
                alpha=CONFIDENCE - 1,
                seed=1,
                userCol="user",
                itemCol="item",
                ratingCol="rating",
            )
            started = time.perf_counter()
            model = als.fit(pairs)
            model.itemFactors.count()
            seconds.append(time.perf_counter() - started)
        session.stop()
    return {"one": seconds[1], "whole": seconds[2], "solver": f"Spark {pyspark.__version__}, ALS, local[2]"}


def _write(path: str, users: np.ndarray, items: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"user": users.astype(np.int32), "item": items.astype(np.int32)}
    pq.write_table(pa.table(columns | {"rating": np.ones(len(users), np.float32)}), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=sys.executable, help="a Python that has pyspark and pyarrow")
    parser.add_argument("--millions", type=int, default=10)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1, help="of Spark; ours runs three times as often")
    parser.add_argument("--memory", default="8g", help="of Spark's one process")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        path, k, passes, memory = arguments.worker
        print(json.dumps(spark(path, int(k), int(passes), memory)))
        return
    path, k, passes = str(data.made(arguments.millions)), arguments.k, arguments.passes
    print(
        f"{arguments.millions} million made interactions, seed {data.SEED}, k {k}, {passes} passes; "
        f"{machine.describe()}"
    )
    ours, theirs, job = [], [], Job("ours", path, k, passes, "auto", want_loss=False)
    for _ in range(arguments.rounds):
        ours += [job.run(sys.executable) for _ in range(3)]
        options = ("--worker", path, str(k), str(passes), arguments.memory)
        theirs.append(machine.worker(arguments.peer, __file__, *options))
    figures = {
        "ours": {
            "pass_s": statistics.median(second for run in ours for second in run["passes"][1:]),
            "whole_s": statistics.median(run["whole"] for run in ours),
            "solver": ours[0]["solver"],
        },
        "spark": {
            "pass_s": statistics.median((run["whole"] - run["one"]) / (passes - 1) for run in theirs),
            "whole_s": statistics.median(run["whole"] for run in theirs),
            "solver": theirs[0]["solver"],
        },
    }
    print("side      s a pass   whole fit   solver")
    for side, row in figures.items():
        print("{side:8s} {pass_s:9.2f} {whole_s:11.1f}   {solver}".format(side=side, **row))
    times = {name: figures["spark"][name] / figures["ours"][name] for name in ("pass_s", "whole_s")}
    print("Spark takes {pass_s:.1f} times as long a pass, {whole_s:.1f} times for the whole fit".format(**times))
    about = {"millions": arguments.millions, "k": k, "passes": passes}
    machine.save("wals_spark", about | figures | {"times": times})


if __name__ == "__main__":
    main()
