"""The page in a real browser: history, recommendations, explanation, similar items; by keyboard and on a phone."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
from playwright.sync_api import expect

from artifacts.manifests import MANIFEST
from artifacts.served import tables
from configs.settings import EventSettings, SourceSettings
from tests.support import accessibility
from tests.support.served import running, settings

VISITOR = "v7919"
ODD = "a&b=c+d%"
PICTURES = "https://pictures.example"
ADDRESSES = (f"https://site.example/1?a=b&c=d,{PICTURES}/1.svg", "javascript:alert(1),data:x", ",")
SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0h1v1H0z"/></svg>'


@pytest.fixture(scope="module")
def client(served_model, tmp_path_factory):
    catalogue = tmp_path_factory.mktemp("page") / "catalogue.csv"
    lines = [
        f'c{n * 7919 % 10_007},"Title <b>{n}</b>, a & b",Category {n % 3},{ADDRESSES[n % 3]}\n' for n in range(160)
    ]
    catalogue.write_text("contentId,title,category,link,image_link\n" + "".join(lines), encoding="utf-8")
    events = EventSettings(accept=True, store=str(catalogue.with_name("events.sqlite")))
    versions = catalogue.with_name("served") / "wals"
    for number in ("1", "2"):
        shutil.copytree(served_model / "served" / "wals" / "1", versions / number)
    (versions / "1" / MANIFEST).unlink()  # copied by hand, so no checksum refuses the change
    factors = versions / "1" / tables.FOLDER / "items.npy"
    np.save(factors, np.load(factors)[::-1])
    made = settings(versions.parent, catalogue)
    source = SourceSettings(kind="ga4", preset="ga4_shop")
    with running(made.model_copy(update={"source": source, "events": events})) as client:
        yield client


@pytest.fixture
def page(browser, client):
    """A page that may send requests to the server only, and must report no problem."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, problems, elsewhere = context.new_page(), [], []
    page.on("console", lambda message: problems.append(message.text) if is_problem(message) else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: elsewhere.append(request.url) if not of_server(request.url) else None)

    def is_problem(message) -> bool:  # Chromium logs a refusal that the page shows to the reader
        return message.type in ("error", "warning") and "the server responded with a status of 400" not in message.text

    def of_server(url: str) -> bool:
        return url.startswith((str(client.base_url), "data:", f"{PICTURES}/1.svg"))

    context.route(f"{PICTURES}/**", lambda route: route.fulfill(body=SQUARE, content_type="image/svg+xml"))
    page.goto(str(client.base_url))
    yield page
    context.close()
    assert (problems, elsewhere) == ([], [])


def names(lines) -> list[str]:
    """Return the names that the page shows: titles, else ids."""
    ids = (line["contentId"] for line in lines)
    plain = [name if isinstance(name, str) else f"base64 {name['b64']}" for name in ids]
    return [line.get("title") or name for line, name in zip(lines, plain, strict=True)]


def titles(page, selector: str) -> list[str]:
    return page.locator(f"{selector} .title").all_text_contents()


def test_the_page_shows_the_answers_with_titles(page, client):
    page.get_by_label("Visitor", exact=True).fill(VISITOR)
    page.get_by_label("Visitor", exact=True).press("Enter")
    expect(page.locator("#recommended button")).to_have_count(20)
    answer = client.get(f"/recommendations?visitorId={VISITOR}&k=20").json()
    assert titles(page, "#recommended") == names(answer["recommendations"])
    history = client.get(f"/history?visitorId={VISITOR}&k=20").json()
    assert titles(page, "#history") == names(history["history"])
    assert any("<b>" in title for title in titles(page, "#recommended")), "titles are text, not markup"
    assert page.url.endswith("#" + VISITOR)
    expect(page.locator("#model")).to_have_text("wals, version 2 · 1,000 visitors · 160 items")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{page.url}#{VISITOR}")
    page.locator("#recommended button").first.click()
    page.locator("#similar button").first.wait_for()
    assert accessibility.findings(page) == []


def test_the_keyboard_opens_explanation_and_similar_items(page, client):
    page.goto(f"{client.base_url}#{VISITOR}")
    page.locator("#recommended button").first.wait_for()
    page.get_by_label("Visitor", exact=True).focus()
    recommendations = client.get(f"/recommendations?visitorId={VISITOR}&k=20").json()["recommendations"]
    item = next(line for line in recommendations if "title" in line)
    first = page.locator("#recommended button").nth(item["rank"] - 1)
    for _ in range(60):
        if first.evaluate("button => button === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_be_visible()
    expect(page.locator("#h-detail")).to_have_text(item["title"])
    explanation = client.get(f"/explanation?visitorId={VISITOR}&contentId={item['contentId']}&k=8").json()
    assert titles(page, "#explanation") == names(explanation["explanation"])
    shares = [line["contribution"] for line in explanation["explanation"]]
    widths = page.locator("#explanation .bar").evaluate_all("all => all.map(one => parseFloat(one.style.width))")
    widest = max(map(abs, shares))
    assert widths == [pytest.approx(max(0.5, 100 * abs(share) / widest), abs=0.01) for share in shares]
    similar = client.get(f"/similar_items?contentId={item['contentId']}&k=8").json()
    assert titles(page, "#similar") == names(similar["similar_items"])
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    assert first.evaluate("button => button === document.activeElement")


def in_three_digits(value: float) -> str:
    """Return a number as the page shows it: whole ones with all digits, others with three significant ones."""
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) < 0.001:
        base, exponent = f"{value:.2e}".split("e")
        return f"{base}e{int(exponent):+d}"
    magnitude = math.floor(math.log10(abs(value))) + 1
    return f"{value:,.{max(0, 3 - magnitude)}f}"


def test_scores_have_three_significant_digits(page, client):
    page.goto(f"{client.base_url}#{VISITOR}")
    page.locator("#recommended button").first.wait_for()
    shown = page.locator("#recommended .value").all_text_contents()
    listed = client.get(f"/recommendations?visitorId={VISITOR}&k=20").json()["recommendations"]
    assert shown == [in_three_digits(line["score"]) for line in listed]
    scores = (629.0, 12345.0, 12.3456, 1.0, 0.5, 0.06251, 0.0, -0.0, -0.0000123)
    lines = [{"rank": rank, "contentId": f"c{rank}", "score": score} for rank, score in enumerate(scores, 1)]
    answer = {"visitorId": "x", "rule": "factors", "modelVersion": 1, "recommendations": lines}
    page.route("**/recommendations?*", lambda route: route.fulfill(json=answer))
    page.goto(f"{client.base_url}#x")
    page.get_by_text("12,345").wait_for()
    shown = page.locator("#recommended .value").all_text_contents()
    assert shown == ["629", "12,345", "12.3", "1", "0.500", "0.0625", "0", "0", "-1.23e-5"]


def test_items_are_found_and_have_safe_links_and_pictures(page, client):
    field = page.get_by_label("Find an item")
    field.fill("no such item")
    expect(page.locator("#found")).to_have_text("No item has this title or id.")
    field.fill("c7919")
    expect(page.locator("#found button")).to_have_count(1)
    page.locator("#found button").press("Enter")
    expect(page.locator("#found > li #detail")).to_be_visible()
    expect(page.locator("#h-detail")).to_have_text("Title <b>1</b>, a & b")
    assert page.locator("#explained").is_hidden(), "no visitor, nothing to explain"
    assert titles(page, "#similar") == names(client.get("/similar_items?contentId=c7919&k=8").json()["similar_items"])
    assert page.locator("#at-site").is_hidden(), "neither javascript: nor data: is an address of a page or a picture"
    field.fill("category 0")
    found = client.get("/search?query=category 0&k=8").json()["items"]
    expect(page.locator("#found button")).to_have_count(len(found))
    assert titles(page, "#found") == names(found)
    page.locator("#found button").first.click()
    link = page.get_by_role("link", name="Open its page")
    expect(link).to_have_attribute("href", "https://site.example/1?a=b&c=d")
    assert link.get_attribute("rel") == "noopener noreferrer"
    page.wait_for_function("document.querySelector('#picture').naturalWidth > 0")
    assert accessibility.findings(page) == []


def test_options_are_those_of_the_server_and_stay_in_the_address(page, client):
    page.get_by_text("Options").click()
    described = client.get("/openapi.json").json()["paths"]["/recommendations"]["get"]["parameters"]
    elsewhere = {"visitorId", "variant", "version"}
    expected = [one["name"] for one in described if one["name"] not in elsewhere]
    fields = page.locator("#fields").evaluate("form => Array.from(form.elements, field => field.name)")
    assert [name for name in fields if name != "with"] == expected
    page.get_by_label("Items", exact=True).fill("3")
    page.get_by_label("Visitor", exact=True).fill(VISITOR)
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#recommended button")).to_have_count(3)
    assert page.url.endswith(f"#{VISITOR}&k=3")
    page.reload()
    expect(page.locator("#recommended button")).to_have_count(3)
    expect(page.locator("#chosen")).to_have_text("(1 set)")
    page.get_by_text("Options").click()
    page.get_by_label("Items", exact=True).fill("1000000")
    page.get_by_text("Options").click()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_label("Items", exact=True)).to_be_focused()
    page.get_by_label("Items", exact=True).fill("")
    page.get_by_label("Items", exact=True).press("Enter")
    expect(page.locator("#recommended button")).to_have_count(20)


def test_rules_are_fields_and_what_they_left_out_is_stated(page, client):
    page.goto(f"{client.base_url}#{VISITOR}")
    page.get_by_text("Options").click()
    page.get_by_label("Only categories").fill("Category 1; Category 2")
    page.get_by_label("Only categories").press("Enter")
    rules = "category=Category 1&category=Category 2"
    answer = client.get(f"/recommendations?visitorId={VISITOR}&k=20&{rules}").json()
    expect(page.locator("#left")).to_contain_text(f"{answer['leftOut']['category']} by category")
    assert titles(page, "#recommended") == names(answer["recommendations"])
    field = page.get_by_label("Diversity", exact=True)
    field.focus()
    for _ in range(4):
        field.press("ArrowRight")
    page.wait_for_url("**lambda=0.8")
    answer = client.get(f"/recommendations?visitorId={VISITOR}&k=20&{rules}&lambda=0.8").json()
    expect(page.locator("#recommended .title")).to_have_text(names(answer["recommendations"]))
    expect(page.locator("#chosen")).to_have_text("(3 set)")
    page.reload()
    page.get_by_text("Options").click()
    assert field.input_value() == "0.2"
    page.get_by_label("Lowest score").fill("1e9")
    page.get_by_label("Lowest score").press("Enter")
    expect(page.locator("#recommended")).to_have_text("There is nothing left to recommend.")
    assert accessibility.findings(page) == []


def test_two_versions_are_side_by_side(page, client):
    page.goto(f"{client.base_url}#{VISITOR}")
    page.get_by_text("Options").click()
    page.get_by_label("Side by side with").select_option("Version 1")
    expect(page.locator("#compared button")).to_have_count(20)
    newest, other = (
        client.get(f"/recommendations?visitorId={VISITOR}&k=20{version}").json() for version in ("", "&version=1")
    )
    assert (newest["modelVersion"], other["modelVersion"]) == (2, 1)
    assert titles(page, "#recommended") == names(newest["recommendations"])
    assert titles(page, "#compared") == names(other["recommendations"])
    places = {line["contentId"]: line["rank"] for line in newest["recommendations"]}
    both = [line for line in other["recommendations"] if line["contentId"] in places]
    expect(page.locator("#common")).to_have_text(f"{len(both)} of 20 are in both")
    for line in other["recommendations"]:
        place = places.get(line["contentId"])
        text = "not there" if place is None else "same place" if place == line["rank"] else f"place {place}"
        expect(page.locator("#compared .value").nth(line["rank"] - 1)).to_have_text(
            f"{in_three_digits(line['score'])} · {text}"
        )
    page.locator("#compared button").first.click()
    expect(page.locator("#compared > li #detail")).to_be_visible()
    assert accessibility.findings(page) == []
    page.go_back()
    expect(page.locator("#s-compared")).to_be_hidden()


def test_what_a_visitor_does_now_appears_by_itself(page, client):
    page.goto(f"{client.base_url}#{VISITOR}")
    page.locator("#recommended button").first.wait_for()
    assert page.locator("#s-views").is_hidden()
    first = client.get(f"/recommendations?visitorId={VISITOR}&k=1").json()["recommendations"][0]
    event = {"name": "view_item", "params": {"items": [{"item_id": first["contentId"]}]}}
    assert client.post("/events", json={"client_id": VISITOR, "events": [event]}).json()["kept"] == 1
    expect(page.locator("#views button")).to_have_count(1, timeout=20_000)
    assert titles(page, "#views") == names([first]) and names([first])[0] not in titles(page, "#recommended")
    expect(page.locator("#views .value")).to_have_text("just now")
    answer = client.get(f"/views?visitorId={VISITOR}&k=5").json()
    assert answer["total"] == 1 and answer["views"][0]["contentId"] == first["contentId"]
    assert client.get("/views?visitorId=another").json()["views"] == []


def test_examples_unknown_visitors_and_odd_ids(page, client):
    expect(page.locator("#examples button")).to_have_count(6)
    example = page.locator("#examples button").first
    name = example.text_content()
    example.click()
    expect(page.get_by_label("Visitor", exact=True)).to_have_value(name)
    page.locator("#recommended button").first.wait_for()
    page.get_by_label("Visitor", exact=True).fill("nobody")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("status")).to_have_text("The model does not know nobody.")
    expect(page.locator("#rule")).to_contain_text("popular")
    values = page.locator("#recommended .value").all_text_contents()
    assert values and all(value.replace(",", "").isdecimal() for value in values), "visitors have no decimals"
    page.get_by_label("Visitor", exact=True).fill(ODD)
    page.get_by_role("button", name="Show").click()
    total = client.get("/history", params={"visitorId": ODD}).json()["total"]
    expect(page.locator("#total")).to_contain_text(str(total))
    page.go_back()
    expect(page.get_by_label("Visitor", exact=True)).to_have_value("nobody")


def test_the_page_shows_a_refusal(page, client):
    page.evaluate("name => { location.hash = name }", "v" * 2_000)
    page.get_by_text("longer than 1,024").wait_for()
    expect(page.locator("#lists")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(browser, client, scheme):
    context = browser.new_context(viewport={"width": 375, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{client.base_url}#{VISITOR}")
    page.locator("#recommended button").first.click()
    page.locator("#similar button").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    row = page.locator("#recommended > li").first
    assert row.locator("#detail").is_visible() and row.locator("button").first.get_attribute("aria-expanded") == "true"
    ground, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        ".map(colour => colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3)"
    )
    assert (ground > ink) == (scheme == "light") and abs(ground - ink) > 150
    context.close()
