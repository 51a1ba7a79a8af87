"""Compile the kernels that jobs with the default settings need, so that none of them waits: python -m deploy.kernels

Numba compiles a kernel at its first call and keeps it next to the code. `make run` does it for training, evaluation and
prediction on one core while the other makes the sample and its dataset.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import scipy.sparse

from artifacts.sparse_rows import SparseRows
from configs import cli
from configs.settings import Settings
from ranking.attributes.prior import fold_in
from ranking.fold_in import Objective, Projection
from ranking.topk import top_k
from trainer import WALSMatrixFactorization
from trainer.evaluation.baselines import ItemKnn, Popular
from trainer.evaluation.metrics import Directions, Sums, Users, information

_USERS, _ITEMS, _K = 60, 40, 5


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the jobs do, with a small random matrix."""
    cli.plain_parser("python -m deploy.kernels", "Compile what the jobs compile.").parse_args(argv)
    matrix = scipy.sparse.random(_USERS, _ITEMS, 0.2, "csr", dtype=np.float32, random_state=0)
    rows = SparseRows.from_matrix(matrix)
    model = WALSMatrixFactorization(_USERS, _ITEMS).fit(matrix, passes=1)
    users, items = (factors.astype(np.float32) for factors in (model.get_row_factors(), model.get_col_factors()))
    projection = Projection(items, np.ones(_ITEMS), Objective())
    fold_in(np.zeros_like(users), projection, rows, np.ones(_USERS, np.float32))
    visitors = np.bincount(rows.indices, minlength=_ITEMS)
    near = ItemKnn.of(rows, _ITEMS, Settings().evaluation.neighbours)
    lists = [top_k(users, items, rows.left_out(), _K).indices]
    lists += [system.top(rows.keys, rows, _K) for system in (Popular(visitors), near)]
    sums = Sums([_K], information(visitors, _USERS), _USERS)
    groups = Users.of(rows.keys, rows.lengths, 0, _USERS, seed=0)
    for answers in lists:
        sums.add(answers, rows, groups)
        sums.add_similarity(answers, Directions.of(items), groups)


if __name__ == "__main__":
    sys.exit(cli.run(main))
