"""The demo shop in a real browser: a click sends an event, and the list changes at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from serving.http import app
from tests.support import accessibility

SCRIPT = Path(app.__file__).parents[1] / "site" / "wals.js"


@pytest.fixture
def page(browser, world):
    """The shop, which must report no problem and ask no other server."""
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    page, problems, elsewhere, url = context.new_page(), [], [], str(world.client.base_url)
    page.on("console", lambda message: problems.append(message.text) if is_problem(message) else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith(url) else None)

    def is_problem(message) -> bool:  # Chromium itself reports the answer that a test makes
        return message.type in ("error", "warning") and "status of 503" not in message.text

    page.goto(f"{url}/shop")
    yield page
    context.close()
    assert (problems, elsewhere) == ([], [])


def listed(page) -> list[str]:
    return page.locator("#recommended li").all_text_contents()


def test_a_view_and_a_purchase_change_the_list_at_once(page, world):
    expect(page.locator("#recommended li")).to_have_count(8)
    expect(page.locator("#rule")).to_have_text("what most visitors view")
    popular = listed(page)
    page.get_by_role("button", name=f"View {popular[0]}", exact=True).click()
    expect(page.locator("#rule")).to_have_text("by what you just did")
    viewed = listed(page)
    assert viewed != popular and popular[0] not in viewed and len(viewed) == 8
    with page.expect_response("**/recommendations?*") as asked:
        page.get_by_role("button", name=f"Buy {popular[1]}", exact=True).click()
    answer = asked.value.json()
    assert answer["liveItems"] == 2 and answer["visitorId"].startswith("shop.")
    expect(page.locator("#recommended li").first).to_have_text(
        answer["recommendations"][0].get("title") or answer["recommendations"][0]["contentId"]
    )
    assert not {popular[0], popular[1]} & set(listed(page))
    page.get_by_role("button", name="New visitor").click()
    expect(page.locator("#rule")).to_have_text("what most visitors view")
    assert listed(page) == popular
    assert accessibility.findings(page) == []


def test_an_event_that_the_server_could_not_take_is_sent_again_and_counts_once(page):
    expect(page.locator("#recommended li")).to_have_count(8)
    sent = []

    def fail_once(route):
        sent.append(route.request.post_data_json)
        route.fulfill(status=503, body="{}") if len(sent) == 1 else route.continue_()

    page.route("**/events", fail_once)
    page.evaluate(
        "async () => { window.mine = Wals({ visitor: 'sent.again' });"
        " await window.mine.event('view_item', { items: [{ item_id: 'c7919' }] }) }"
    )
    page.unroute("**/events")
    assert len(sent) == 2 and sent[0] == sent[1] and sent[0]["client_id"] == "sent.again"
    assert page.evaluate("mine.recommendations(3)")["liveItems"] == 1


def test_the_script_is_small_and_finds_the_visitor_of_google_analytics(page):
    assert len(SCRIPT.read_bytes()) < 3000
    page.locator("#shelf button").first.wait_for()  # the shop has asked what it asks
    page.evaluate("document.cookie = '_ga=GA1.1.1234567890.0987654321'")
    with page.expect_request("**/recommendations?*") as asked:
        page.evaluate("Wals().recommendations(2)")
    assert "visitorId=1234567890.0987654321&k=2" in asked.value.url
