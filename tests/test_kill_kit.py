"""A short run of the kill kit; `make kill-test` is the long one."""

from tests.kits.kill_kit import run
from tests.support.exports import PLAIN_RUNNER


def test_jobs_that_were_killed_end_like_undisturbed_ones(tmp_path):
    options = {"steps": ("preprocess", "predict"), "visitors": 60, "earliest": 0.4, "runner": PLAIN_RUNNER}
    moments = list(run(2, 3, tmp_path / "kit", **options))
    assert [moment.step for moment in moments] == ["preprocess", "predict"]
    assert not [moment for moment in moments if moment.problems]
