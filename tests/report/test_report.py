"""wals report: one file that opens offline in a real browser, and inputs that it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from playwright.sync_api import sync_playwright

from artifacts.manifests import DatasetManifest, Days, ModelManifest
from artifacts.paths import Dataset
from configs import cli
from configs.settings import TrainingSettings
from report import page
from tests.support import accessibility, quick_export
from tests.support.datasets import write_dataset, write_items
from trainer.evaluation.segments import RARE
from trainer.job import training_job

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
USERS, ITEMS, HALF = 80, 40, 20
AMOUNTS = {"edges": [500.0, 1000.0, 2000.0], "counts": [400, 405]}
HOSTILE = '</script><img src=x onerror=alert(1)> & "quotes"'


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset of two tastes with its model, a catalogue, an evaluation and a config."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(1)
    liked = (np.arange(USERS) % 2)[:, None] == (np.arange(ITEMS) >= HALF)[None, :]
    matrix = sp.csr_matrix(np.where(liked & (rng.random((USERS, ITEMS)) < 0.5), rng.random((USERS, ITEMS)) + 0.1, 0))
    held_out = np.zeros((USERS, ITEMS))
    free = np.where(liked & (matrix.toarray() == 0), rng.random((USERS, ITEMS)), 0)
    held_out[np.arange(USERS), free.argmax(axis=1)] = 1
    users = [b"secret-%d" % number for number in range(USERS)]
    dataset = write_dataset(root / "dataset", matrix, users=users, held_out=held_out)
    path, days = Path(dataset) / "manifest.json", {"2024-01-30": 400, "2024-01-31": 405}
    manifest = DatasetManifest.read(str(path))
    manifest.rejected, manifest.days = {"records.time_invalid": 3}, Days(first="20240130", last="20240131")
    manifest.median = 2000.0
    manifest.write(str(path))
    histogram = {"kind": "linear", "edges": [0.0, 0.5, 1.25], "counts": [400, 405]}
    statistics = json.dumps({"interactions_by_day": days, "ratings": histogram, "amounts": AMOUNTS})
    (path.parent / "statistics.json").write_text(statistics)
    with quick_export.only("recommend", "explanation"):
        training_job.train(TrainingSettings(embedding_dimension=4, max_sweeps=6), dataset, str(root / "model"), False)
    titles = [HOSTILE if number == 3 else f"Title {number}" for number in range(ITEMS)]
    quoted = ['"' + title.replace('"', '""') + '"' for title in titles]
    lines = [f"c{number},{title},{'Chess' if number < HALF else 'Film'}" for number, title in enumerate(quoted)]
    (root / "catalogue.csv").write_text("contentId,title,category\n" + "\n".join(lines) + "\n")
    digest = ModelManifest.read(str(root / "model" / "manifest.json")).digest()
    (root / "model" / "evaluation.json").write_text(json.dumps(evaluation(digest)))
    (root / "before.json").write_text(json.dumps(evaluation("0" * 64, scale=0.5)))
    names = {"dataset_dir": "dataset", "model_dir": "model", "catalogue": "catalogue.csv"}
    (root / "c.yaml").write_text("".join(f"{name}: {root / value}\n" for name, value in names.items()))
    return root


def evaluation(digest, scale=1.0):
    def cell(value):
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    systems = {
        name: {f"recall@{k}": cell(share * scale * k / 100) for k in (5, 10, 20)} | {"ndcg@20": cell(share * scale / 4)}
        for name, share in (("WALS", 1.0), ("popularity", 0.5))
    }
    for values in systems.values():
        values["hit_rate@20"] = values["recall@20"]
    systems["WALS of before"] = systems["popularity"]
    by_activity = {name: {"6-20": {"recall@20": values["recall@20"]}} for name, values in systems.items()}
    about = {"kind": "evaluation", "users": 77, "model": {"digest": digest}}
    differences = {key: {"recall@20": cell(0.1), "ndcg@20": cell(0.125)} for key in ("popularity", "WALS of before")}
    about["against"] = {"system": "WALS of before", "overlap": {"overlap@20": cell(0.625)}}
    about["gate"] = {"passed": False, "rules": [{"passed": False, "summary": "recall@20 is 0.2000, 0.1000 below 0.3"}]}
    summary = "worse than popularity: recall@20 0.200 vs 0.300 (-0.100, 95 % CI -0.110 to -0.090)"
    weak = ["visitors with 1 item (120): popularity is better"]
    about["verdicts"] = [{"system": "popularity", "verdict": "behind", "summary": summary, "weak_spots": weak}]
    about["verdicts"][0]["trade_offs"] = [f"held-out items of {RARE} (40): popularity is better"]
    groups = ("held-out items of category Chess", "held-out items up to 7 days old", f"held-out items of {RARE}")
    about["segments"] = dict.fromkeys(groups, 40)
    about["by_segment"] = {name: dict.fromkeys(groups, values) for name, values in systems.items()}
    worse = {key: {"recall@20": cell(-0.1)} for key in groups}
    about["differences_by_segment"] = dict.fromkeys(differences, worse)
    about["coverage_by_band"] = {name: {RARE: 0.375} for name in systems}
    measured = {name: values | {"recall@20": cell(0.875)} for name, values in systems.items()}
    about["new_items"] = {"items": 25, "among_new": measured, "one_list": {"new": measured}, "known_alone": systems}
    about["new_visitors"] = {
        "visitors": 606,
        "systems": measured,
        "over_popularity": {"WALS": {"recall@20": cell(-0.0625)}},
        "after_one_view": {"views alone": systems["WALS"]},
        "gain_after_one_view": systems["popularity"],
    }
    return about | {"systems": systems, "by_activity": by_activity, "differences": differences}


def outcome(version):
    """Return the outcome of a version and of an earlier one: 3 of 40 visitors came, 7 clicks on 88 exposures."""

    def cell(value):
        return {"value": value, "low": value - 0.03125, "high": None if value > 0.6 else value + 0.03125}

    compared = {"live": cell(0.625), "popularity": cell(0.4375), "difference": cell(0.1875)}
    whole = {"visitors": 3, "metrics": {"hit_rate@5": compared}}
    ctr = {"exposures": 88, "clicks": 7, "ctr": cell(0.0796), "corrected": None}
    groups = {"by_rank": {"01": ctr, "unknown": ctr}, "by_category": {"Tea": ctr}, "by_age": {"1 day": ctr}}
    groups |= {"by_rule": {"factors": ctr}, "by_day": {"2024-02-27": ctr, "2024-03-02": ctr}}
    due = {"purchases": {"factors": {"number": 2, "value": 1234.5, "per_touch": cell(0.25)}}}
    best = {"item": HOSTILE, "exposures": 44, "clicks": 5, "lift": cell(1.5)}
    tracked = {"whole": ctr, **groups, "due": due, "best": [best], "worst": []}
    hit = {"rule": "factors", "had": ["c1"], "listed": ["c2", "c5"], "came": ["c5"]}
    days = {"visitors": 40, "active": 3, "pairs": 4, "whole": whole}
    found = {"next_days": days, "tracked": tracked, "hits": [hit], "misses": [hit | {"came": ["c6"]}]}
    sizes = {"share": 0.5, "visitors": 20, "active": 2, "exposed": 9, "metrics": {"clicks per exposure": cell(0.0796)}}
    away = {**cell(0.0625), "always_low": -0.125, "always_high": 0.25, "visitors": 18}
    variants = {"long": sizes, "short": sizes | {"differences": {"clicks per exposure": away}}}
    experiment = {"control": "long", "planned_visitors": 99, "changed": 0, "shares_changed": False}
    experiments = {name: experiment | {"mismatch": {"exposed": p}, "variants": variants}
                   for name, p in (("length", 0.25), ("broken", 1e-9))}  # fmt: skip
    return {"confidence": 0.95, "versions": {"earlier": found, version: found}, "experiments": experiments}


def run(root, *flags):
    return cli.run(page.main, ["--config", str(root / "c.yaml"), *map(str, flags)])


@pytest.fixture(scope="module")
def report_file(world):
    assert run(world, "--previous_json", world / "before.json") == 0
    return world / "model" / "report.html"


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: make system installs it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_the_page_is_one_file_without_visitor_ids(report_file):
    text = report_file.read_text()
    assert len(text) < 1_000_000
    assert not re.search(r"(src|href)=[\"']?(https?:|//)|@import|url\(", text)
    assert "secret-" not in text and HOSTILE not in text
    for expected in (
        "01-31",
        "records: time invalid",
        "The time cannot be read. See source.time_unit.",
        "2024-01-30 to 2024-01-31",
        "<title>world0: recommender report</title>",
        "Trade-offs (1)",
        "A list of 20 items has 20.0% of what a visitor chose next (recall@20).",
        '<li class="bad">Worse than popularity.</li>',
        '<li class="good">Last run: recall@20 0.100, now 0.200 (+0.100).</li>',
        "The data has 2 days.",
        "<small>= hit_rate@20</small>",
        "share a row.",
        "WALS, up to 7 days old: 0.2000 [0.1900, 0.2100]",
        "popularity, least popular: 0.1000",
        'popularity, least popular: 0.3750"',
        "This run and the last one",
        "25 items hidden from a training",
        "606 visitors hidden from a training",
        "-0.0625",
        'title="ours is significantly worse"',
        "77 visitors",
        "0.2000",
        "+0.1000",
        "in the list of WALS of before: 62% at 20",
        "Gate failed: recall@20",
        '<li class="bad">Worse than popularity: recall@20 0.200 vs 0.300 (-0.100, 95 % CI -0.110 to -0.090).',
        '<li class="bad">Weak spot: visitors with 1 item (120): popularity is better.',
        "Visitor 1",
    ):
        assert expected in text, expected


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(report_file, browser, scheme, tmp_path):
    context = browser.new_context(color_scheme=scheme, offline=True, viewport={"width": 1280, "height": 900})
    tab, errors, asked = context.new_page(), [], []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(report_file.as_uri())
    assert [url for url in asked if not url.startswith("file:")] == []
    assert tab.locator("svg.chart").count() >= 10 and tab.locator("article").count() == 10
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
    names = tab.locator("table.quality").first.locator("th")
    shown = [name.split("\n")[0].split(" ")[0] for name in names.all_inner_texts()]
    assert shown == ["metric", "WALS", "popularity", "WALS", "recall@20", "ndcg@20", "recall@10", "recall@5"]
    assert names.nth(3).bounding_box()["height"] < 80  # not letter by letter
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 380) == (scheme == "light")
    tab.locator("details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
    assert accessibility.findings(tab) == []
    tab.locator("#theme").click()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != ground

    points = json.loads(tab.locator("#points").text_content())
    assert {point[4] for point in points} == {HOSTILE, *(f"Title {n}" for n in range(ITEMS) if n != 3)}
    tab.locator("#find").fill("</script>")
    x, y = next(point[:2] for point in points if point[4] == HOSTILE)
    box = tab.locator("#plane").bounding_box()
    tab.locator("#plane").hover(position={"x": 24 + x * (box["width"] - 48), "y": 24 + (1 - y) * (box["height"] - 48)})
    assert HOSTILE in tab.locator("#tip").inner_text() and "Chess" in tab.locator("#tip").inner_text()
    tab.locator("#data .column").first.hover()
    assert tab.locator("#tip").inner_text() == "2024-01-30: 400 interactions"
    tab.locator("#settings summary").first.click()
    tab.locator("nav a[href='#settings']").click()
    tab.wait_for_function("document.querySelector('#settings > details').open")
    tab.locator(".pick button").first.click()
    assert tab.locator(".pick button").first.get_attribute("aria-pressed") == "false"
    tab.set_viewport_size({"width": 390, "height": 800})
    assert tab.locator("nav a").first.is_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.locator("svg.chart text").first.bounding_box()["height"] > 9  # legible on a phone
    picture = tab.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    assert len(picture) > 20_000 and errors == []
    context.close()


def test_examples_get_recommendations_of_their_taste(report_file, world):
    """Every visitor likes one half of the items: the recommendations are new and of the same category."""
    articles, tastes = re.findall(r"<article>(.*?)</article>", report_file.read_text(), re.S), set()
    assert len(articles) == 10
    for article in articles:
        history, recommended = article.split("<h4>Recommended</h4>")
        liked = set(re.findall(r"<em>(\w+)</em>", history))
        assert len(liked) == 1
        first = re.findall(r"<em>(\w+)</em>", recommended)[:3]
        assert set(first) == liked
        titles = [set(re.findall(r'class="title">(Title \d+)<', part)) for part in (history, recommended)]
        assert not titles[0] & titles[1]
        tastes |= liked
    assert tastes == {"Chess", "Film"}


def test_hits_and_misses_show_what_was_held_out(report_file):
    """A hit is a held-out item with a rank; among the items that are shown, it is the marked one of that rank."""
    articles = re.findall(r"<article>(.*?)</article>", report_file.read_text(), re.S)
    outcomes = [re.search(r'class="badge (\w+)"', article)[1] for article in articles]
    assert outcomes[:2] == ["hit", "miss"] or set(outcomes) == {"hit"}
    for article, outcome in zip(articles, outcomes, strict=True):
        held = re.search(
            r'class="held">Held out: <mark>(.*?)</mark>.*?, (rank (\d+)|below the first 20)', article, re.S
        )
        assert (held[3] is not None) == (outcome == "hit")
        recommended = re.findall(r'class="title">(.*?)</span>', article.split("<h4>Recommended</h4>")[1])
        marked = [number + 1 for number, title in enumerate(recommended) if title.startswith("<mark>")]
        assert marked == ([int(held[3])] if held[3] and int(held[3]) <= len(recommended) else [])
        assert held[1] not in article.split("<h4>Recommended</h4>")[0].split("<h4>History</h4>")[1]


def test_without_evaluation_catalogue_and_times(tmp_path, world, capsys):
    model, dataset = (
        shutil.copytree(world / "model", tmp_path / "m"),
        shutil.copytree(world / "dataset", tmp_path / "d"),
    )
    statistics = json.loads((dataset / "statistics.json").read_text()) | {"interactions_by_day": {}}
    (dataset / "statistics.json").write_text(json.dumps(statistics))
    (model / "evaluation.json").unlink()
    (tmp_path / "c.yaml").write_text(
        f"dataset_dir: {dataset}\nmodel_dir: {model}\nreport: {{output: {tmp_path}/r.html}}\n"
    )
    assert run(tmp_path) == 0
    text = (tmp_path / "r.html").read_text()
    assert "Not evaluated yet" in text and "has no times" in text and '"c7"' in text
    titles = {"title": [f"Known {n}" for n in range(ITEMS)], "category": ["Go", "Tea"] * HALF}
    write_items(Dataset(str(dataset)), [f"c{n}" for n in range(ITEMS)], np.ones(ITEMS), **titles)
    (tmp_path / "earlier.json").write_text(json.dumps(evaluation("0" * 64)))
    # Only the config names it, so it is not shown.
    assert run(tmp_path, "--set", f"report.evaluation={tmp_path}/earlier.json") == 0
    text = (tmp_path / "r.html").read_text()
    assert "is of another model. Run make evaluate." in text
    assert all(name in text for name in ('"Known 7"', '"Go"', '"Tea"')), "titles and categories of the dataset"
    assert "is of another model. Run make evaluate." in capsys.readouterr().out


def test_what_happened_after_the_model_was_live(tmp_path, world):
    digest = ModelManifest.read(str(world / "model" / "manifest.json")).digest()
    texts = []
    for version in (digest[:12], "0" * 12):
        (tmp_path / "outcome.json").write_text(json.dumps(outcome(version)))
        assert run(world, "--set", f"outcome_dir={tmp_path}", "--output", tmp_path / "r.html") == 0
        texts.append((tmp_path / "r.html").read_text())
    shown = ("3 of 40 visitors", "0.6250", "0.4375", "+0.1875", "+0.1562 to +0.2188", "88 exposures", "0.0796")
    shown += ("factors: 2, value 1,234.50", "1.50", "CTR by rank", "Attributed purchases")
    assert all(text in texts[0] for text in shown)
    section = texts[0][texts[0].index('<section id="happened">') : texts[0].index('<section id="visitors">')]
    assert HOSTILE not in section and section.count('class="line c') == 4 and section.count('class="band c') == 2
    experiments = section[section.index("Experiment length") :]
    assert all(text in experiments for text in (
        "Visitors are split as asked (p = 0.25 exposed).", "short: 50% asked, 20 with a list, 2 came, 9 exposed",
        "minus long, if read once", "+0.0625", "+0.0312 to +0.0938", "-0.1250 to +0.2500",
        "differs if read once, after 18 of 99 planned visitors, and does not at any time; wait for the plan.",
        "Experiment broken: visitors exposed are not split as asked (p = 1e-09)"))  # fmt: skip
    assert all(f">{day}</text>" in section for day in ("02-27", "02-29", "03-02")) and ">unknown</text>" in section
    assert re.findall(r'class="badge (\w+)"', section) == ["hit", "miss"] and section.count("<mark>") == 2
    assert "88 exposures" not in texts[1] and "What happened" not in texts[1], "it is of another model"


def test_mistakes_are_one_line(tmp_path, world, capsys):
    (tmp_path / "outcome.json").write_text("{}")
    other = write_dataset(tmp_path / "other", sp.eye_array(6, format="csr"))
    (tmp_path / "wrong.json").write_text('{"kind": "model"}')
    other_model = evaluation("0" * 64)
    (tmp_path / "other_model.json").write_text(json.dumps(other_model))
    del other_model["systems"], other_model["model"]
    (tmp_path / "incomplete.json").write_text(json.dumps(other_model))
    (tmp_path / "titles.csv").write_text("id,title\n")
    moved = shutil.copytree(world / "model", tmp_path / "moved")
    trained = ModelManifest.read(str(moved / "manifest.json"))
    trained.dataset.root = str(tmp_path / "gone")
    trained.write(str(moved / "manifest.json"))
    for flags, reason in (
        (("--model_dir", tmp_path / "none"), "is not a finished model"),
        (
            ("--model_dir", moved, "--dataset_dir", tmp_path / "gone"),
            "gone, which does not exist any more; make it again",
        ),
        (("--dataset_dir", tmp_path / "none"), "is not a finished dataset"),
        (("--dataset_dir", other), "was trained on another dataset"),
        (("--evaluation_json", tmp_path / "none.json"), "none.json does not exist; run wals evaluate"),
        (("--evaluation_json", tmp_path / "wrong.json"), "is not an evaluation"),
        (("--evaluation_json", tmp_path / "other_model.json"), "is of another model"),
        (("--evaluation_json", tmp_path / "incomplete.json"), "incomplete.json lacks 'systems'"),
        (("--previous_json", tmp_path / "wrong.json"), "is not an evaluation"),
        (("--catalogue", tmp_path / "none.csv"), "none.csv does not exist"),
        (("--catalogue", tmp_path / "titles.csv"), "has no column contentId"),
        (("--set", f"outcome_dir={tmp_path}"), "is not the outcome of this version; run wals outcome --replace"),
        (("--set", "report.visitors=-1"), "report.visitors: Input should be greater"),
    ):
        capsys.readouterr()
        assert run(world, "--output", tmp_path / "r.html", *flags) == 2, flags
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and reason in error, error
    assert not os.path.exists(tmp_path / "r.html")
