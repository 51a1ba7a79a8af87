"""axe-core's findings on a page in a browser."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_LEVELS = ("serious", "critical")


def findings(page: Page) -> list[str]:
    """Return the serious findings: rule, and the first element that breaks it."""
    violations = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in violations if each["impact"] in _LEVELS]
