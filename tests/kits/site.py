"""Each page of the built documentation in Chromium, in light and dark, on a desk and on a phone: `make docs-look`.

It fails with axe-core's serious findings, and with pages that are wider than the screen.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.support import accessibility

SITE = Path(__file__).resolve().parents[2] / "data" / "site"
WIDTHS = (1280, 390)


def faults(page: Page, address: str) -> Iterator[str]:
    """Yield what is wrong with a page."""
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    page.goto(address)
    yield from accessibility.findings(page)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        needed = page.evaluate("document.documentElement.scrollWidth")
        if needed > width:
            yield f"{needed} pixels wide on a screen of {width}"


def main(site: Path = SITE) -> None:
    """Print the faults of all pages; exit with 1 if there is one."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("chromium is not installed; run make system")
    count, pages = 0, sorted(path for path in site.rglob("*.html") if path.name != "404.html")  # it needs a server
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            tab = browser.new_page(color_scheme=scheme)
            for path in pages:
                for fault in faults(tab, path.as_uri()):
                    count += 1
                    print(f"{path.relative_to(site)}, {scheme}: {fault}", flush=True)
            tab.close()
        browser.close()
    print(f"{len(pages)} pages, {count} faults")
    sys.exit(count > 0)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
