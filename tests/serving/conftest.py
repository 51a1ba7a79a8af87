"""A server that the tests of answers and of refusals share."""

from __future__ import annotations

import shutil

import pytest

from configs.settings import EventSettings, SourceSettings
from tests.support.served import World, running, settings

LIMITS = {"max_k": 50, "max_batch": 64, "max_history": 20, "max_id_bytes": 64, "max_body_bytes": 20_000}
DELETED = "forgotten"


@pytest.fixture(scope="package")
def world(served_model, tmp_path_factory):
    catalogue = tmp_path_factory.mktemp("api") / "catalogue.csv"
    catalogue.write_text('contentId,title,category\nc0,"A title, of <c0>",News\nc7919,,Books\n')
    deleted = tmp_path_factory.mktemp("deleted") / "deleted.txt"
    deleted.write_text(f"{DELETED}\n")
    made = settings(served_model / "served", catalogue, deleted_visitors=str(deleted), **LIMITS)
    events = EventSettings(accept=True, store=str(tmp_path_factory.mktemp("events") / "events.sqlite"))
    shop = SourceSettings(kind="ga4", preset="ga4_shop")
    with running(made.model_copy(update={"source": shop, "events": events})) as client:
        yield World(served_model, client)


@pytest.fixture(scope="package")
def browser():
    """Chromium, for the pages of the server."""
    from playwright.sync_api import sync_playwright

    path = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium; make system installs it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()
