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
from ranking import examples
from report import charts, item_map, page, visitors
from tests.support import quick_export
from tests.support.datasets import write_dataset, write_items
from trainer.job import training_job

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
USERS, ITEMS, HALF = 80, 40, 20
HOSTILE = '</script><img src=x onerror=alert(1)> & "quotes"'


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset of two tastes with its model, a catalogue, an evaluation and a config."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(1)
    liked = (np.arange(USERS) % 2)[:, None] == (np.arange(ITEMS) >= HALF)[None, :]
    matrix = sp.csr_matrix(np.where(liked & (rng.random((USERS, ITEMS)) < 0.5), rng.random((USERS, ITEMS)) + 0.1, 0))
    dataset = write_dataset(root / "dataset", matrix, users=[b"secret-%d" % number for number in range(USERS)])
    path, days = Path(dataset) / "manifest.json", {"2024-01-30": 400, "2024-01-31": 405}
    manifest = DatasetManifest.read(str(path))
    manifest.rejected, manifest.days = {"records.id_empty": 3}, Days(first="20240130", last="20240131")
    manifest.write(str(path))
    ratings = {"kind": "linear", "edges": [0.0, 0.5, 1.25], "counts": [400, 405]}
    (path.parent / "statistics.json").write_text(json.dumps({"interactions_by_day": days, "ratings": ratings}))
    with quick_export.only("recommend", "explanation"):
        training_job.train(TrainingSettings(embedding_dimension=4, max_sweeps=6), dataset, str(root / "model"), False)
    titles = [HOSTILE if number == 3 else f"Title {number}" for number in range(ITEMS)]
    quoted = ['"' + title.replace('"', '""') + '"' for title in titles]
    lines = [f"c{number},{title},{'Chess' if number < HALF else 'Film'}" for number, title in enumerate(quoted)]
    (root / "catalogue.csv").write_text("contentId,title,category\n" + "\n".join(lines) + "\n")
    digest = ModelManifest.read(str(root / "model" / "manifest.json")).digest()
    (root / "model" / "evaluation.json").write_text(json.dumps(evaluation(digest)))
    names = {"dataset_dir": "dataset", "model_dir": "model", "catalogue": "catalogue.csv"}
    (root / "c.yaml").write_text("".join(f"{name}: {root / value}\n" for name, value in names.items()))
    return root


def evaluation(digest):
    def cell(value):
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    systems = {
        name: {f"recall@{k}": cell(scale * k / 100) for k in (5, 10, 20)} | {"ndcg@20": cell(scale / 4)}
        for name, scale in (("WALS", 1.0), ("popularity", 0.5))
    }
    by_activity = {name: {"6-20": {"recall@20": values["recall@20"]}} for name, values in systems.items()}
    about = {"kind": "evaluation", "users": 77, "model": {"digest": digest}}
    differences = {"popularity": {"recall@20": cell(0.1), "ndcg@20": cell(0.125)}}
    about["against"] = {"system": "WALS of before", "overlap": {"overlap@20": cell(0.625)}}
    about["gate"] = {"passed": False, "rules": [{"passed": False, "summary": "recall@20 is 0.2000, 0.1000 below 0.3"}]}
    summary = "worse than popularity: recall@20 0.200 vs 0.300 (-0.100, 95 % CI -0.110 to -0.090)"
    weak = ["visitors with 1 item (120): popularity is better"]
    about["verdicts"] = [{"system": "popularity", "verdict": "behind", "summary": summary, "weak_spots": weak}]
    return about | {"systems": systems, "by_activity": by_activity, "differences": differences}


def run(root, *flags):
    return cli.run(page.main, ["--config", str(root / "c.yaml"), *map(str, flags)])


@pytest.fixture(scope="module")
def report_file(world):
    assert run(world) == 0
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
        "records: id empty",
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
    assert tab.locator("svg.chart").count() >= 10 and tab.locator("article").count() == 6
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
    names = tab.locator("table.quality").first.locator("th")
    assert names.all_inner_texts() == ["", "WALS", "popularity", "recall@20", "ndcg@20", "recall@10", "recall@5"]
    assert names.nth(3).bounding_box()["height"] < 80  # not letter by letter
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 380) == (scheme == "light")
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
    tab.set_viewport_size({"width": 390, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.locator("svg.chart text").first.bounding_box()["height"] > 9  # legible on a phone
    picture = tab.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    assert len(picture) > 20_000 and errors == []
    context.close()


def test_examples_get_recommendations_of_their_taste(report_file, world):
    """Every visitor likes one half of the items: the recommendations are new and of the same category."""
    articles, tastes = re.findall(r"<article>(.*?)</article>", report_file.read_text(), re.S), set()
    assert len(articles) == 6
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
    assert 'data-tip="0 to 0.5: 400"' in text and 'data-tip="0.5 to 1.25: 405"' in text
    titles = {"title": [f"Known {n}" for n in range(ITEMS)], "category": ["Go", "Tea"] * HALF}
    write_items(Dataset(str(dataset)), [f"c{n}" for n in range(ITEMS)], np.ones(ITEMS), **titles)
    (tmp_path / "earlier.json").write_text(json.dumps(evaluation("0" * 64)))
    assert (
        run(tmp_path, "--set", f"report.evaluation={tmp_path}/earlier.json") == 0
    )  # only the config names it: not shown
    text = (tmp_path / "r.html").read_text()
    assert "is of another model. Run make evaluate." in text
    assert all(name in text for name in ('"Known 7"', '"Go"', '"Tea"')), "titles and categories of the dataset"
    assert "is of another model. Run make evaluate." in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path, world, capsys):
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
        (("--evaluation_json", tmp_path / "incomplete.json"), "the evaluation lacks 'systems'"),
        (("--catalogue", tmp_path / "none.csv"), "none.csv does not exist"),
        (("--catalogue", tmp_path / "titles.csv"), "has no column contentId"),
        (("--set", "report.visitors=-1"), "report.visitors: Input should be greater"),
    ):
        capsys.readouterr()
        assert run(world, "--output", tmp_path / "r.html", *flags) == 2, flags
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and reason in error, error
    assert not os.path.exists(tmp_path / "r.html")


def test_the_map_keeps_neighbours_together():
    """The nearest of items with three directions has the same direction on the plane."""
    rng = np.random.default_rng(0)
    kind = np.arange(60) % 3
    factors = (np.eye(3)[kind] + 0.05 * rng.random((60, 3))).astype("f") * rng.uniform(0.1, 3, (60, 1)).astype("f")
    drawn = item_map.draw(factors, np.arange(60)[::-1].copy(), 45)
    assert drawn.items.tolist() == list(range(45)) and drawn.positions.min() >= 0 and drawn.positions.max() <= 1
    away = np.linalg.norm(drawn.positions[:, None] - drawn.positions[None], axis=2) + 9 * np.eye(45)
    assert (kind[away.argmin(axis=1)] == kind[:45]).all()
    assert item_map.draw(factors[:2], np.ones(2, int), 9).positions.shape == (2, 2)
    assert len(item_map.draw(np.zeros((4, 3), "f"), np.ones(4, int), 9).items) == 0


def test_ticks_are_round_and_within():
    assert charts.Axis(0, 1).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert charts.Axis(3, 47).ticks() == pytest.approx([10, 20, 30, 40])
    assert charts.Axis(1, 2500, log=True).ticks() == pytest.approx([1, 10, 100, 1000])
    assert charts.Axis(1, 100, log=True).at(10) == pytest.approx(0.5)
    assert [charts.number(value) for value in (0, 0.05, 1234, 2_500_000)] == ["0", "0.05", "1.23k", "2.5M"]


def test_visitors_of_different_tastes_are_chosen():
    categories = ["A", "B"] * 3
    rows = [examples.Row(n, np.array([n % 2, 2 + n % 2]), np.ones(2)) for n in (0, 2, 4, 6, 1)]
    chosen = visitors.choose(rows, categories, 2)
    assert [examples.favourite(one, categories) for one in chosen] == ["A", "B"]
    assert len(visitors.choose(rows, categories, 99)) == 5 and visitors.choose([], categories, 3) == []
