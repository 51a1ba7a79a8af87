"""implicit and Spark themselves, run by a Python that has them: tests.docs.test_moving asks, this process answers.

    PYTHON_WITH_PEERS tests/support/peers.py implicit IN.npz OUT.npz

IN contains `plays` as data, indices, indptr and shape, and `start`, the items' first factors, for implicit; OUT the
factors [visitors, k] and [items, k], and of Spark also those after its first iteration, where ours starts from.
"""

from __future__ import annotations

import os
import sys
import tempfile

import numpy as np
import scipy.sparse as sp

RANK = 16


def implicit(plays: sp.csr_matrix, start: np.ndarray) -> dict[str, np.ndarray]:
    """Train as the page does, with exact solutions: conjugate gradient of three steps would not be comparable."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=RANK, regularization=0.05, alpha=40, iterations=10, use_cg=False, num_threads=1, random_state=1
    )
    model.user_factors, model.item_factors = np.zeros((plays.shape[0], RANK), np.float32), start
    model.fit(plays, show_progress=False)
    return {"users": model.user_factors, "items": model.item_factors}


def spark(plays: sp.csr_matrix, **options: object) -> dict[str, np.ndarray]:
    """Eleven iterations, and the first of them: Spark takes no start, but each seed has one of its own."""
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import SparkSession

    coordinates = plays.tocoo()
    pairs = [
        (int(u), int(i), float(r)) for u, i, r in zip(coordinates.row, coordinates.col, coordinates.data, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
        builder = builder.config("spark.local.dir", folder).config("spark.sql.warehouse.dir", folder)
        session = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
        frame = session.createDataFrame(pairs, ["user", "item", "rating"]).coalesce(1).cache()
        found = {}
        for iterations in (1, 11):
            model = ALS(rank=RANK, maxIter=iterations, seed=1, numUserBlocks=1, numItemBlocks=1, **options).fit(frame)
            for name, rows, size in (
                ("users", model.userFactors, plays.shape[0]),
                ("items", model.itemFactors, plays.shape[1]),
            ):
                table = np.zeros((size, RANK))
                for row in rows.collect():
                    table[row["id"]] = row["features"]
                found[name if iterations > 1 else f"first_{name}"] = table
        session.stop()
    return found


def main(name: str, source: str, target: str) -> None:
    given = np.load(source)
    plays = sp.csr_matrix((given["data"], given["indices"], given["indptr"]), tuple(given["shape"]))
    if name == "implicit":
        found = implicit(plays, given["start"])
    elif name == "spark":
        found = spark(plays, regParam=0.02, alpha=40.0, implicitPrefs=True)
    else:
        found = spark(plays, regParam=0.1)
    np.savez(target, **found)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main(*sys.argv[1:])
