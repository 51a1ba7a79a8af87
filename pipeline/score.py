"""The predictions of wals predict, made in this process without Beam and TensorFlow: wals score"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from artifacts import publish
from artifacts.manifests import PredictionsManifest
from configs import cli
from configs.errors import UserError
from configs.settings import Settings
from pipeline import batch_predict

_EPILOG = """\
The files are those of `wals predict`, byte for byte. They are made in one process, on all cores, by NumPy, Numba and
Arrow alone (docs/install.md). prediction.table needs `wals predict`.

examples:
  wals score --config configs/local.yaml --replace
  wals score --config configs/local.yaml --kind similar_items --top_k 5 --replace
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and make the predictions."""
    parser = batch_predict.parser("wals score", "Makes the predictions of wals predict in one process.", _EPILOG)
    args = parser.parse_args(argv)
    settings = cli.settings_with(args, batch_predict.FLAGS)
    if args.dry_run:
        batch_predict.preview(settings, args.replace, args.output_dir)
    else:
        score(settings, args.replace, args.output_dir)


def score(settings: Settings, replace: bool, output_dir: str | None = None) -> PredictionsManifest:
    """Make the predictions that the settings describe, and return their manifest; see `batch_predict.predict`."""
    # Imported late, so that `--help` and mistakes in the flags answer at once.
    from pipeline.prediction import plan as plans
    from pipeline.prediction.execution import account, in_process

    started, prediction = time.time(), settings.prediction
    root = batch_predict.output_root(settings, output_dir)
    if prediction.table:
        raise UserError("prediction.table is loaded by wals predict; unset it: --set prediction.table=null")
    plan, trained = plans.make(settings)
    title, total = account.title(plan), plan.users if prediction.asks_visitors else plan.items
    with publish.staged(root, prediction.output_kind, replace) as staging:
        with cli.progress(title, total, account.noun(plan), stderr=True) as bar:
            written = list(in_process.run(plan, staging, bar.update))
        manifest = account.complete(account.summary_of(written), plan, trained, started, staging)
    account.show(root, manifest)
    return manifest


if __name__ == "__main__":
    sys.exit(cli.run(main))
