"""Make the pictures of the documentation in docs/pictures.

python docs/pictures.py                                               the drawings: *.svg, for light and dark
python docs/pictures.py http://127.0.0.1:8501 data/model/report.html  page.png and report.png, of the sample's model
                                                                      (make run, make report, make serve)
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

HERE = Path(__file__).parent / "pictures"
_STYLE = """\
<style>
  svg { --card: #fafafa; --ink: #263238; --soft: #607d8b; --line: #b0bec5; --fill: #00796b; --other: #ef6c00; }
  @media (prefers-color-scheme: dark) {
    svg { --card: #242731; --ink: #eceff1; --soft: #b0bec5; --line: #546e7a; --fill: #4db6ac; --other: #ffb74d; }
  }
  text { font: 15px system-ui, sans-serif; fill: var(--ink); }
  .soft { fill: var(--soft); } .small { font-size: 13px; } .mid { text-anchor: middle; }
  .card { fill: var(--card); } .line { stroke: var(--line); fill: none; stroke-width: 1.5; }
  .cell { stroke: var(--line); fill: none; } .box { stroke: var(--fill); fill: none; stroke-width: 1.5; }
</style>"""

_VISITOR = "7434100079594463445"  # of the sample, shown on the page

# Ratings of six visitors; None is an empty cell.
_RATINGS = (
    (0.6, None, 0.2, None, None, None, None, None),
    (None, 1.0, None, None, 0.4, None, None, None),
    (0.9, None, None, None, None, 0.3, None, None),
    (None, 0.7, None, None, 1.0, None, None, 0.2),
    (0.5, None, 0.8, None, None, None, None, None),
    (None, None, None, 0.3, 0.6, None, None, None),
)
_SHADES = ((0.9, 0.2), (0.1, 0.8), (0.8, 0.3), (0.2, 1.0), (1.0, 0.1), (0.3, 0.6))
_TRANSPOSED = ((0.9, 0.1, 0.8, 0.2, 0.2, 0.5, 0.3, 0.1), (0.1, 0.9, 0.2, 0.3, 1.0, 0.2, 0.4, 0.3))


def picture(width: int, height: int, label: str, parts: list[str]) -> str:
    """Return the whole SVG; `label` describes the picture to readers who do not see it."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    card = f'<rect class="card" width="{width}" height="{height}" rx="8"/>'
    return "\n".join([f'{head} role="img" aria-label="{label}">', _STYLE, card, *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{text}</text>'


def _cell(x: float, y: float, strength: float | None, colour: str = "--fill", size: int = 26) -> str:
    box = f'<rect class="cell" x="{x}" y="{y}" width="{size}" height="{size}"/>'
    if strength is None:
        return box
    inner = f'x="{x + 1}" y="{y + 1}" width="{size - 2}" height="{size - 2}"'
    return f'{box}<rect {inner} style="fill:var({colour})" fill-opacity="{strength:g}"/>'


def _table(x: int, y: int, strengths: tuple[tuple[float, ...], ...]) -> list[str]:
    rows = enumerate(strengths)
    return [_cell(x + 26 * j, y + 26 * i, value, "--other") for i, row in rows for j, value in enumerate(row)]


def wals() -> str:
    """Draw A as approximately U times V transposed."""
    turned = '<text transform="translate(22 130) rotate(-90)" class="mid soft small">visitors</text>'
    parts = [_text(138, 36, "items", "mid soft small"), turned]
    parts += [_cell(34 + 26 * j, 50 + 26 * i, r) for i, row in enumerate(_RATINGS) for j, r in enumerate(row)]
    parts += [_text(138, 232, "A: ratings, most of them empty", "mid small"), _text(263, 134, "&#8776;", "mid")]
    parts += [_text(316, 36, "k factors", "mid soft small"), *_table(290, 50, _SHADES)]
    parts += [_text(316, 232, "U", "mid small"), _text(362, 134, "&#215;", "mid")]
    parts += [_text(488, 92, "items", "mid soft small"), *_table(384, 102, _TRANSPOSED)]
    parts += [_text(488, 178, "V, transposed", "mid small")]
    return picture(620, 250, "Ratings are approximately the product of visitors' and items' factors", parts)


def weights() -> str:
    """Draw C against the visitors of an item, for three exponents."""
    counts = (1000, 100, 10)
    mean = sum(n * math.log(n) for n in counts) / sum(counts)
    left, top, width, height, most = 64, 30, 420, 200, 24.0

    def point(n: float, value: float) -> tuple[float, float]:
        across = left + width * (math.log10(n) - 1) / 2
        return across, top + height * (1 - math.log(value / 0.5) / math.log(most / 0.5))

    parts = [f'<path class="line" d="M{left} {top}V{top + height}H{left + width}"/>']
    for value in (0.5, 1, 2, 5, 10, 20):
        _, y = point(10, value)
        parts += [f'<path class="line" stroke-opacity=".4" d="M{left} {y:.1f}H{left + width}"/>']
        parts += [f'<text x="{left - 8}" y="{y + 4:.1f}" class="small soft" text-anchor="end">{value:g}</text>']
    parts += [_text(point(n, 1)[0], top + height + 20, f"{n:,}", "mid small soft") for n in (10, 100, 1000)]
    parts += [_text(left + width / 2, top + height + 40, "visitors of the item", "mid small")]
    parts += [_text(left - 50, 20, "C, the weight of a visit", "small")]
    for b, colour in ((0.0, "--soft"), (0.35, "--fill"), (0.7, "--other")):
        points = [point(n, math.exp(b * (mean - math.log(n)))) for n in (10, 31.6, 100, 316, 1000)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts += [f'<path d="M{path}" style="stroke:var({colour})" fill="none" stroke-width="2.5"/>']
        parts += [_text(points[1][0] + 6, points[1][1] - 8, f"b = {b:g}", "small")]
    return picture(520, 290, "Weight of a visit against the visitors of its item", parts)


def cold_start() -> str:
    """Draw the rule that answers a visitor, by what is known of the visitor; narrow enough for phones."""
    rows = (
        ("more than 10 ratings", "own trained factors", "factors"),
        ("1 to 10 ratings, or a history", "factors projected from these", "projection"),
        ("no rating, but attributes *", "factors predicted from these", "attributes"),
        ("no rating, but e.g. a country *", "the most popular items there", "popularity in segment"),
        ("neither, or at most 100 on the site", "the most popular items", "popularity"),
    )
    parts = ['<rect class="box" x="16" y="14" width="104" height="34" rx="6"/>', _text(68, 36, "a visitor", "mid")]
    for number, (known, answer, rule) in enumerate(rows):
        y = 66 + 54 * number
        parts += [f'<path class="line" d="M32 48V{y + 12}Q32 {y + 20} 40 {y + 20}H46"/>']
        parts += [_text(54, y + 14, known, "small soft"), _text(54, y + 33, answer)]
        parts += [
            f'<rect class="box" x="300" y="{y + 1}" width="164" height="36" rx="6"/>',
            _text(382, y + 24, rule, "mid small"),
        ]
    parts += ['<path class="line" stroke-dasharray="4 4" d="M16 340H464"/>']
    parts += [_text(16, 364, "last places of the first three lists *", "small soft")]
    parts += [_text(16, 383, "the newest items without attributes")]
    parts += ['<rect class="box" x="300" y="351" width="164" height="36" rx="6"/>']
    parts += [_text(382, 374, "RULE, newest", "mid small")]
    parts += [_text(16, 412, "* with a setting of cold_start", "small soft")]
    return picture(480, 426, "Which rule answers a visitor, and whose places the newest items have", parts)


def prior() -> str:
    """Draw an item's factors as points, from what its attributes predict to where its visitors are."""
    points = (
        (110, 176, "0 views", "the prior, B'g + c"),
        (232, 142, "2", ""),
        (318, 108, "5", ""),
        (420, 74, "many views", ""),
    )
    parts = [
        f'<path class="line" d="M{points[0][0]} {points[0][1]}'
        + "".join(f"L{x} {y}" for x, y, *_ in points[1:])
        + '"/>'
    ]
    for number, (x, y, views, name) in enumerate(points):
        colour = "--other" if number == 0 else "--fill"
        parts += [f'<circle cx="{x}" cy="{y}" r="6" style="fill:var({colour})"/>', _text(x, y + 26, views, "mid small")]
        parts += [_text(x, y + 44, name, "mid small soft")] if name else []
    for x, y in ((40, 150), (58, 196), (150, 204), (176, 168), (92, 128)):
        parts += [f'<circle cx="{x}" cy="{y}" r="4" style="fill:none;stroke:var(--other)"/>']
    for x, y in ((452, 44), (482, 82), (438, 108), (500, 52), (394, 40)):
        parts += [f'<rect x="{x}" y="{y}" width="8" height="8" style="fill:none;stroke:var(--fill)"/>']
    parts += [_text(110, 100, "items like it", "mid small soft"), _text(452, 26, "its visitors", "mid small soft")]
    return picture(560, 240, "An item's factors move from what its attributes predict towards its visitors", parts)


def data_flow() -> str:
    """Draw the way of the data from an export to the answers, with the command of each step."""
    steps = (
        ("wals preprocess", "Beam, TensorFlow Transform", "dataset", "items_for_user, users_for_item, transform_fn"),
        ("wals train", "TensorFlow", "model", "factors, SavedModel"),
        ("wals predict", "Beam", "predictions", "with your own ids, in files or BigQuery"),
    )
    parts = []
    for number, name in enumerate(("GA360 sessions", "GA4 events", "CSV, Parquet")):
        x = 12 + 134 * number
        parts += [f'<rect class="box" x="{x}" y="14" width="126" height="36" rx="6"/>']
        parts += [_text(x + 63, 37, name, "mid small")]
    for number, (command, library, name, files) in enumerate(steps):
        y = 50 + 112 * number
        parts += [f'<path class="line" d="M42 {y}V{y + 46}M37 {y + 39}L42 {y + 46}L47 {y + 39}"/>']
        parts += [_text(60, y + 22, command), _text(60, y + 39, library, "soft small")]
        parts += [f'<rect class="box" x="12" y="{y + 50}" width="394" height="56" rx="6"/>']
        parts += [_text(26, y + 74, name), _text(26, y + 94, files, "soft small")]
    serve = _text(262, 296, "wals serve: over HTTP")
    parts += ['<path class="line" d="M244 274V320M239 313L244 320L249 313"/>', serve]
    return picture(418, 396, "An export becomes a dataset, a model, and predictions or answers over HTTP", parts)


def take_screenshots(server: str, report: str) -> None:
    """Photograph the server's page with an explanation, and the report's map, in Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 760}, color_scheme="light")
        page.goto(f"{server}/#{_VISITOR}")
        page.locator("#recommended button").first.click()
        page.locator("#similar button").first.wait_for()
        page.screenshot(path=HERE / "page.png")
        page.set_viewport_size({"width": 1000, "height": 690})
        page.goto(Path(report).absolute().as_uri())
        page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
        page.evaluate("scrollTo(0, document.querySelector('#map h2').getBoundingClientRect().top + scrollY - 76)")
        page.screenshot(path=HERE / "report.png")
        browser.close()


PICTURES = {"data-flow": data_flow, "wals": wals, "weights": weights, "cold-start": cold_start, "prior": prior}

if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (HERE / f"{name}.svg").write_text(draw(), encoding="utf-8")
    if len(sys.argv) == 3:
        take_screenshots(*sys.argv[1:])
