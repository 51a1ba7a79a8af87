"""What several files of tests share, made once a process."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says nothing of whether it is right, on machines that others work on too.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(scope="session")
def served_model(tmp_path_factory):
    """A directory with a made model of 1,000 visitors and 160 contents, `model`; published in `served`; `dataset`."""
    from served import write_model

    from serving import publish

    root = tmp_path_factory.mktemp("served")
    publish.publish(str(write_model(root, 1_000, 160)), str(root / "served"), "wals")
    return root
