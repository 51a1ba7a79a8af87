"""python -m report.page: one file that opens offline, in a real browser; and what it refuses."""

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

from artifacts import manifests
from configs import cli
from configs.settings import TrainingSettings
from report import charts, item_map, page, visitors
from tests.support.datasets import write_dataset
from trainer.job import training_job

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
USERS, ITEMS, HALF = 80, 40, 20
HOSTILE = '</script><img src=x onerror=alert(1)> & "quotes"'


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset of two tastes with its model, a catalogue, an evaluation and a config."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(1)
    own = (np.arange(USERS) % 2)[:, None] == (np.arange(ITEMS) >= HALF)[None, :]
    matrix = sp.csr_matrix(np.where(own & (rng.random((USERS, ITEMS)) < 0.5), rng.random((USERS, ITEMS)) + 0.1, 0))
    dataset = write_dataset(root / "dataset", matrix, users=[b"secret-%d" % number for number in range(USERS)])
    path, days = Path(dataset) / "manifest.json", {"2024-01-30": 400, "2024-01-31": 405}
    content = json.loads(path.read_text())
    content["files"]["statistics.json"] = {"bytes": 1, "crc32c": "00000000"}
    content |= {"rejected": {"records.id_empty": 3}, "skipped": {}, "days": {"first": "20240130", "last": "20240131"}}
    path.write_text(manifests.stamp("dataset", content))
    (path.parent / "statistics.json").write_text(json.dumps({"interactions_by_day": days}))
    training_job.train(TrainingSettings(embedding_dimension=4, max_sweeps=6), dataset, str(root / "model"), False)
    titles = [HOSTILE if number == 3 else f"Title {number}" for number in range(ITEMS)]
    quoted = ['"' + title.replace('"', '""') + '"' for title in titles]
    lines = [f"c{number},{title},{'Chess' if number < HALF else 'Film'}" for number, title in enumerate(quoted)]
    (root / "catalogue.csv").write_text("contentId,title,category\n" + "\n".join(lines) + "\n")
    model = json.loads((root / "model" / "manifest.json").read_text())
    (root / "evaluation.json").write_text(json.dumps(evaluation(manifests.digest(model))))
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
    said = "WALS is behind popularity: recall@20 0.2000 and 0.3000; their intervals do not touch"
    about["verdicts"] = [{"system": "popularity", "metric": "recall@20", "verdict": "behind", "summary": said}]
    return about | {"systems": systems, "by_activity": by_activity, "differences": differences}


def run(root, *flags):
    return cli.run(page.main, ["--config", str(root / "c.yaml"), *map(str, flags)])


@pytest.fixture(scope="module")
def made(world):
    path = world / "report.html"
    assert run(world, "--output", path, "--evaluation_json", world / "evaluation.json") == 0
    return path


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: make system installs it")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


def test_the_page_is_one_file_that_names_nobody(made):
    text = made.read_text()
    assert len(text) < 1_000_000
    assert not re.search(r"(src|href)=[\"']?(https?:|//)|@import|url\(", text)
    assert "secret-" not in text and HOSTILE not in text
    for said in (
        "01-31",
        "records: id empty",
        "77 visitors",
        "0.2000",
        "+0.1000",
        "the same: 62% at 20",
        "Gate failed: recall@20",
        '<li class="bad">WALS is behind popularity: recall@20 0.2000 and 0.3000; their intervals do not touch.',
        "Visitor 1",
    ):
        assert said in text, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(made, browser, scheme, tmp_path):
    context = browser.new_context(color_scheme=scheme, offline=True, viewport={"width": 1280, "height": 900})
    tab, errors, asked = context.new_page(), [], []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(made.as_uri())
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


def test_examples_get_what_the_model_recommends(made, world):
    """Every visitor likes one half: nothing of what they have, and all of the same category."""
    articles, tastes = re.findall(r"<article>(.*?)</article>", made.read_text(), re.S), set()
    assert len(articles) == 6
    for article in articles:
        has, recommended = article.split("<h4>Recommended</h4>")
        own = set(re.findall(r"<em>(\w+)</em>", has))
        assert len(own) == 1
        first = re.findall(r"<em>(\w+)</em>", recommended)[:3]
        assert set(first) == own
        titles = [set(re.findall(r'class="title">(Title \d+)<', part)) for part in (has, recommended)]
        assert not titles[0] & titles[1]
        tastes |= own
    assert tastes == {"Chess", "Film"}


def test_without_evaluation_catalogue_and_times(tmp_path, world, capsys):
    model, dataset = (
        shutil.copytree(world / "model", tmp_path / "m"),
        shutil.copytree(world / "dataset", tmp_path / "d"),
    )
    path = dataset / "manifest.json"
    content = json.loads(path.read_text())
    del content["files"]["statistics.json"]
    path.write_text(manifests.stamp("dataset", content))
    content = json.loads((model / "manifest.json").read_text())
    content["dataset"]["fingerprint"] = manifests.fingerprint(json.loads(path.read_text()))
    (model / "manifest.json").write_text(manifests.stamp("model", content))
    (tmp_path / "c.yaml").write_text(
        f"dataset_dir: {dataset}\nmodel_dir: {model}\nreport: {{output: {tmp_path}/r.html}}\n"
    )
    assert run(tmp_path) == 0
    text = (tmp_path / "r.html").read_text()
    assert "Not evaluated yet" in text and "keeps no times" in text and '"c7"' in text
    (tmp_path / "of_before.json").write_text(json.dumps(evaluation("0" * 64)))
    assert run(tmp_path, "--set", f"report.evaluation={tmp_path}/of_before.json") == 0  # the config's: left out, said
    assert "is of another model; evaluate this one again" in (tmp_path / "r.html").read_text()
    assert "is of another model; evaluate this one again" in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path, world, capsys):
    other = write_dataset(tmp_path / "other", sp.eye_array(6, format="csr"))
    (tmp_path / "wrong.json").write_text('{"kind": "model"}')
    stranger = evaluation("0" * 64)
    (tmp_path / "stranger.json").write_text(json.dumps(stranger))
    del stranger["systems"], stranger["model"]
    (tmp_path / "half.json").write_text(json.dumps(stranger))
    (tmp_path / "titles.csv").write_text("id,title\n")
    moved = shutil.copytree(world / "model", tmp_path / "moved")
    content = json.loads((moved / "manifest.json").read_text())
    content["dataset"]["root"] = str(tmp_path / "gone")
    (moved / "manifest.json").write_text(manifests.stamp("model", content))
    for flags, said in (
        (("--model_dir", tmp_path / "none"), "is no finished model; train it first"),
        (("--model_dir", moved, "--dataset_dir", tmp_path / "gone"), "gone, which is gone; make it again"),
        (("--dataset_dir", tmp_path / "none"), "is no finished dataset; make it again"),
        (("--dataset_dir", other), "was trained on another dataset"),
        (("--evaluation_json", tmp_path / "none.json"), "none.json does not exist; python -m trainer.evaluate"),
        (("--evaluation_json", tmp_path / "wrong.json"), "is no evaluation"),
        (("--evaluation_json", tmp_path / "stranger.json"), "is of another model"),
        (("--evaluation_json", tmp_path / "half.json"), "the evaluation lacks 'systems'"),
        (("--catalogue", tmp_path / "none.csv"), "none.csv does not exist"),
        (("--catalogue", tmp_path / "titles.csv"), "has no column contentId"),
        (("--set", "report.visitors=-1"), "report.visitors: Input should be greater"),
    ):
        capsys.readouterr()
        assert run(world, "--output", tmp_path / "r.html", *flags) == 2, flags
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and said in error, error
    assert not os.path.exists(tmp_path / "r.html")


def test_a_map_keeps_neighbours_together():
    """Items of three directions: the nearest on the plane is of the same direction."""
    rng = np.random.default_rng(0)
    kind = np.arange(60) % 3
    factors = (np.eye(3)[kind] + 0.05 * rng.random((60, 3))).astype("f") * rng.uniform(0.1, 3, (60, 1)).astype("f")
    drawn = item_map.draw(factors, np.arange(60)[::-1].copy(), 45)
    assert drawn.items.tolist() == list(range(45)) and drawn.places.min() >= 0 and drawn.places.max() <= 1
    away = np.linalg.norm(drawn.places[:, None] - drawn.places[None], axis=2) + 9 * np.eye(45)
    assert (kind[away.argmin(axis=1)] == kind[:45]).all()
    assert item_map.draw(factors[:2], np.ones(2, int), 9).places.shape == (2, 2)
    assert len(item_map.draw(np.zeros((4, 3), "f"), np.ones(4, int), 9).items) == 0


def test_ticks_are_round_and_within():
    assert charts.Axis(0, 1).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert charts.Axis(3, 47).ticks() == pytest.approx([10, 20, 30, 40])
    assert charts.Axis(1, 2500, log=True).ticks() == pytest.approx([1, 10, 100, 1000])
    assert charts.Axis(1, 100, log=True).at(10) == pytest.approx(0.5)
    assert [charts.number(value) for value in (0, 0.05, 1234, 2_500_000)] == ["0", "0.05", "1.23k", "2.5M"]


def test_visitors_of_different_tastes_are_chosen():
    items, names = [f"c{n}" for n in range(6)], {f"c{n}": ("", "AB"[n % 2]) for n in range(6)}
    found = [visitors.Candidate(n, np.array([n % 2, 2 + n % 2]), np.ones(2)) for n in (0, 2, 4, 6, 1)]
    chosen = visitors.choose(found, items, names, 2)
    assert [visitors.favourite(one, items, names) for one in chosen] == ["A", "B"]
    assert len(visitors.choose(found, items, names, 99)) == 5 and visitors.choose([], items, names, 3) == []
