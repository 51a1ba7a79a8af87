"""`deploy.kernels` compiles all that the jobs with the default settings call, so that none of them compiles."""

from __future__ import annotations

import sys

import numpy as np
import scipy.sparse

from artifacts.names import FIRST_TIME_MS, LAST_TIME_MS
from artifacts.paths import Dataset
from tests.support import forkserver
from tests.support.datasets import write_dataset, write_items

USERS, ITEMS = 40, 30
_JOBS = """
import sys
from numba.core.dispatcher import Dispatcher
from configs.settings import EvaluationSettings, TrainingSettings
from deploy import kernels
from pipeline import score
from tests.support import quick_export
from trainer.evaluation import evaluation
from trainer.job import training_job

def compiled():
    ours = [module for name, module in sys.modules.items() if name.split(".")[0] in ("ranking", "trainer")]
    dispatchers = {id(one): one for module in ours for one in vars(module).values() if isinstance(one, Dispatcher)}
    return {(one.__qualname__, str(signature)) for one in dispatchers.values() for signature in one.signatures}

root = sys.argv[1]
assert not compiled()
kernels.main([])
before = compiled()
with quick_export.without_graphs():
    training_job.train(TrainingSettings(max_sweeps=2), f"{root}/dataset", f"{root}/model", False)
evaluation.evaluate(f"{root}/dataset", f"{root}/model", EvaluationSettings(k=(5,), resamples=100))
flags = [f"--{name}_dir={root}/{name}" for name in ("dataset", "model")] + [f"--output_dir={root}/predictions"]
score.main([*flags, "--config=configs/local.yaml", "--set=catalogue=null", "--set=prediction.block_size=10"])
later = compiled() - before
assert not later, later
print(len(before), "kernels")
"""


def test_training_evaluation_and_prediction_compile_nothing_after_it(tmp_path):
    matrix = scipy.sparse.random(USERS, ITEMS, 0.3, "csr", random_state=1)
    held = scipy.sparse.random(USERS, ITEMS, 0.1, "csr", random_state=2)
    held = scipy.sparse.csr_matrix(held.multiply(matrix.toarray() == 0))
    dataset = write_dataset(tmp_path / "dataset", matrix, held_out=held)
    times = {FIRST_TIME_MS: np.zeros(ITEMS), LAST_TIME_MS: np.zeros(ITEMS)}
    write_items(Dataset(dataset), [f"c{n}" for n in range(ITEMS)], np.asarray(matrix.getnnz(0)), **times)
    done = forkserver.run([sys.executable, "-c", _JOBS, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-2]) >= 8
