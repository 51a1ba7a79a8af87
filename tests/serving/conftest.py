"""A server that the tests of answers and of refusals share."""

from __future__ import annotations

import pytest

from tests.support.served import World, running, settings

LIMITS = {"max_k": 50, "max_batch": 64, "max_history": 20, "max_id_bytes": 64, "max_body_bytes": 20_000}


@pytest.fixture(scope="package")
def world(served_model, tmp_path_factory):
    catalogue = tmp_path_factory.mktemp("api") / "catalogue.csv"
    catalogue.write_text('contentId,title,category\nc0,"A title, of <c0>",News\nc7919,,Books\n')
    with running(settings(served_model / "served", catalogue, **LIMITS)) as client:
        yield World(served_model, client)
