"""pipeline.show: the visitors that it chooses, the tables, and its errors."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from artifacts import checksums, tfrecords
from artifacts.paths import Dataset, Predictions, shard_name
from artifacts.sparse_rows import SparseRows
from artifacts.vocabulary import Vocabulary
from configs import cli
from configs.errors import UserError
from pipeline import show
from pipeline.demo import show as tables
from tests.support.datasets import write_items
from tests.support.manifests import dataset_manifest, model_manifest, predictions_manifest

CATEGORIES = ("Chess", "Film", "Music")
ITEMS = [f"c{number:02d}" for number in range(30)]  # ten of each category, in order
CATALOGUE = {item: (f"Title of {item}", CATEGORIES[number // 10]) for number, item in enumerate(ITEMS)}


def write_rows(path: str, rows: list[tuple[int, list[int], list[float]]]) -> None:
    offsets = np.cumsum([0] + [len(indices) for _, indices, _ in rows])
    columns = SparseRows(
        np.array([key for key, _, _ in rows], np.int64),
        offsets,
        np.array([index for _, indices, _ in rows for index in indices], np.int64),
        np.array([value for _, _, values in rows for value in values], np.float32),
    )
    data, begins = tfrecords.encode(columns)
    Path(path).write_bytes(tfrecords.frame(bytes(data), np.asarray(begins).tolist()))


def empty(*names: str) -> dict[str, checksums.FileDescription]:
    return {name: checksums.describe_bytes(b"") for name in names}


class World:
    """A finished dataset and finished predictions, in two shards each, and a catalogue."""

    def __init__(self, root: Path) -> None:
        self.dataset, self.predictions = (
            Dataset(str(root / "dataset")),
            Predictions(str(root / "predictions")),
        )
        self.catalogue = root / "catalogue.csv"
        self.config = root / "config.yaml"
        self.config.write_text(f"dataset_dir: {self.dataset.root}\npredictions_dir: {self.predictions.root}\n")
        self.users: list[str] = []
        self.rows: list[tuple[int, list[int], list[float]]] = []
        self.lists: dict[str, list[str]] = {}

    def add(self, visitor: str, items: list[int], recommended: list[int], values=None) -> None:
        values = values or [1.0 - 0.01 * place for place in range(len(items))]
        self.rows.append((len(self.users), items, values))
        self.users.append(visitor)
        self.lists[visitor] = [ITEMS[number] for number in recommended]

    def write(self, items: list[str] | None = None) -> "World":
        os.makedirs(os.path.dirname(self.dataset.vocab_users))
        os.makedirs(self.predictions.root)
        Path(self.dataset.vocab_users).write_bytes("".join(f"{user}\n" for user in self.users).encode())
        Path(self.dataset.vocab_items).write_bytes("".join(f"{item}\n" for item in items or ITEMS).encode())
        for shard in range(2):
            write_rows(self.dataset.items_for_user + f"-0000{shard}-of-00002", self.rows[shard::2])
            lines = [self.line(user) for user in self.users[shard::2]]
            Path(shard_name(self.predictions.text, shard, 2, ".jsonl")).write_text("".join(lines))
            Path(shard_name(self.predictions.text, shard, 2, ".txt")).write_text("not to be read\n")
        dataset_manifest(len(self.users), 30, shards={"items_for_user": 2, "users_for_item": 1}).write(
            self.dataset.manifest
        )
        predictions_manifest(files=empty(*(f"predictions-0000{shard}-of-00002.jsonl" for shard in range(2)))).write(
            self.predictions.manifest
        )
        self.write_titles()
        lines = [f"{item},{title},{category}\n" for item, (title, category) in CATALOGUE.items()]
        self.catalogue.write_text("contentId,title,category\n" + "".join(lines))
        return self

    def write_titles(self, **more) -> None:
        """Write items.parquet with more columns, such as title and category."""
        ids = Vocabulary.read(self.dataset.vocab_items).texts()
        write_items(self.dataset, ids, np.ones(len(ids)), **more)

    def line(self, user: str) -> str:
        entries = [
            {"contentId": item, "score": 0.9 - 0.1 * place, "rank": place + 1}
            for place, item in enumerate(self.lists[user])
        ]
        return json.dumps({"visitorId": user, "recommendations": entries[::-1]}) + "\n"

    def print(self, catalogue: bool = True, visitors: int = 5, visitor_ids=(), width: int = 100, **limits) -> str:
        console = Console(width=width, record=True, file=io.StringIO())
        path = str(self.catalogue) if catalogue else None
        tables.show(self.dataset, self.predictions, path, visitor_ids or visitors, console, **limits)
        return console.export_text()


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    monkeypatch.chdir(tmp_path)  # where no data/export is
    return World(tmp_path)


@pytest.fixture
def small(world) -> World:
    """Four readers of chess, two of film, one of music, one who read all, one who read one."""
    for number in range(4):
        world.add(f"chess{number}", [0, 1, 2, 3, 4 + number], [9, 8])
    for number in range(2):
        world.add(f"film{number}", [10, 11, 12, 13, 14 + number, 20], [19, 0])
    world.add("music", [20, 21, 22, 23, 0], [29])
    world.add("everything", list(range(30)), [])
    world.add("once", [25], [26, 27])
    return world.write()


def test_a_visitor_of_each_taste_is_shown_the_most_frequent_taste_first(small):
    text = small.print(visitors=3)
    places = [text.index(f"Visitor {name}") for name in ("chess2", "film1", "music")]
    assert places == sorted(places)
    assert text.count("Visitor ") == 3


def test_more_visitors_come_from_the_same_tastes_then_from_outside_the_range(small):
    assert small.print(visitors=7).count("Visitor ") == 7
    text = small.print(visitors=9)
    assert text.index("Visitor once") < text.index("Visitor everything")  # 4 below, 10 above the range
    assert small.print(visitors=50).count("Visitor ") == 9


def test_history_is_best_rated_first_ties_by_item_and_six_long(world):
    world.add("reader", [0, 3, 5, 7, 11, 12, 20], [9], [0.2, 0.9, 0.5, 0.5, 0.1, 0.3, 0.05])
    swapped = ITEMS.copy()
    swapped[5], swapped[7] = "c07", "c05"  # so that equal ratings are not in order of their ids already
    world.write(swapped)
    titles = [line for line in world.print().splitlines() if "Title of" in line]
    assert [line.split("Title of ")[1][:3] for line in titles] == [
        "c03", "c05", "c07", "c12", "c00", "c11", "c09",
    ]  # fmt: skip
    assert "0.900" in titles[0]
    assert "Chess" in titles[0]
    assert "Film" in titles[3]


def test_the_favourite_category_has_most_items_and_ratings_decide_between_equals(world):
    world.add("many", [0, 1, 2, 10, 11], [9], [0.1, 0.1, 0.1, 1.0, 1.0])
    world.add("equal", [0, 1, 20, 21, 10], [9], [0.4, 0.4, 0.4, 0.5, 1.0])
    text = world.write().print(visitor_ids=["many", "equal"])
    assert "Visitor many: 5 items read, 3 of Chess" in text
    assert "Visitor equal: 5 items read, 2 of Music" in text


def test_recommendations_are_in_the_order_of_rank_with_their_scores(world):
    world.add("reader", [0, 1, 2, 3, 4], [22, 9, 15, 8, 7, 6, 5])
    titles = [line for line in world.write().print().splitlines() if "Title of" in line][5:]
    assert [line.split("Title of ")[1][:3] for line in titles] == ["c22", "c09", "c15", "c08", "c07", "c06"]
    assert "0.900" in titles[0]
    assert "Music" in titles[0]


def test_named_visitors_are_shown_in_the_order_they_are_named(small):
    text = small.print(visitor_ids=["once", "everything", "chess3"])
    places = [text.index(f"Visitor {name}") for name in ("once", "everything", "chess3")]
    assert places == sorted(places)
    assert text.count("Visitor ") == 3
    assert "nothing" in text[places[1] : places[2]]  # everything is read, nothing is left
    assert "Of all" not in text


def test_the_last_line_counts_everybody(small):
    # Chess: 8 of 8 listed; film: 2 of 4; music: 1 of 1; everything: none listed; once: 2 of 2.
    last = small.print(visitors=1).strip().splitlines()[-1]
    assert last == "Of all recommendations, 87% are of the category the visitor reads most; by chance 33%."


def test_ids_stand_for_titles_where_there_is_no_catalogue_or_it_does_not_know_them(small):
    text = small.print(catalogue=False, visitors=1)
    assert "Title" not in text
    assert "c00" in text
    assert "Neither the dataset nor a catalogue has titles" in text
    small.catalogue.write_text("contentId,title,category\nc01,Known,Chess\n")
    text = small.print(visitors=1)
    assert "Known" in text
    assert "c00" in text


def test_without_a_catalogue_titles_and_categories_are_the_datasets(small):
    titles, categories = zip(*CATALOGUE.values(), strict=True)
    small.write_titles(title=titles, category=categories)
    assert small.print(catalogue=False) == small.print()
    small.write_titles(title=[*titles[:3], None, *titles[4:]])
    text = small.print(catalogue=False, visitors=1)
    assert "Title of c00" in text and "c03" in text and "category" not in text


def test_ids_and_titles_cannot_spoil_the_table(world):
    nasty = ["[red]x[/red]", "a\x1b[31mb\tc", "x" * 10_000, "日本語", " trailing "]
    world.add("[bold]v\x07[/bold]", [0, 1, 2, 3, 4], [5])
    text = world.write([*nasty, *ITEMS[5:]]).print()
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert "\x07" not in text
    for shown in ("[red]x[/red]", "日本語", "Visitor [bold]v"):
        assert shown in text


def test_the_choice_reads_no_more_rows_than_it_needs(small, monkeypatch):
    read = []
    monkeypatch.setattr("pipeline.demo.show.read_rows", lambda p: (read.append(p), tfrecords.read_rows(p))[1])
    text = small.print(visitors=2, everybody_up_to=0, candidates=2)
    assert text.count("Visitor ") == 2
    assert "Of all" not in text
    assert len(read) == 1


def test_missing_or_unfinished_inputs_are_one_clear_line(small):
    def fails(words: str) -> None:
        with pytest.raises(UserError, match=words) as caught:
            small.print()
        assert "\n" not in str(caught.value)

    lines = Path(shard_name(small.predictions.text, 1, 2, ".jsonl"))
    whole = lines.read_text()
    lines.write_text(whole + '{"visitorId": "cut')
    fails(r"predictions-00001-of-00002.jsonl, line \d is not a prediction")
    lines.unlink()
    fails(r"predictions-00001-of-00002.jsonl cannot be read .*; predict again")
    predictions_manifest(files=empty("predictions-00000-of-00002.csv")).write(small.predictions.manifest)
    fails("jsonl in prediction.formats")
    Path(small.predictions.manifest).unlink()
    fails("predictions is not a finished predictions")
    model_manifest().write(small.dataset.manifest)
    fails("is the manifest of a model, not of a dataset")
    Path(small.dataset.manifest).unlink()
    fails("dataset is not a finished dataset")


def test_predictions_of_another_dataset_are_refused(small):
    for shard in range(2):
        Path(shard_name(small.predictions.text, shard, 2, ".jsonl")).write_text(
            '{"visitorId": "another", "recommendations": []}\n'
        )
    with pytest.raises(UserError, match="contains none of the visitors"):
        small.print()


def test_the_command_takes_paths_from_config_and_flags(small, capsys):
    flags = ["--config", str(small.config), "--visitors", "2", "--catalogue", str(small.catalogue)]
    assert cli.run(show.main, flags) == 0
    assert capsys.readouterr().out.count("Visitor ") == 2
    assert cli.run(show.main, [*flags, "--visitor_id", "nobody"]) == 2
    assert "has 9 visitors, but not number 1 of --visitor_id" in capsys.readouterr().err
    assert cli.run(show.main, [*flags, "--predictions_dir", "elsewhere"]) == 2
    assert "elsewhere is not a finished predictions" in capsys.readouterr().err
    assert cli.run(show.main, [*flags[:4], "--catalogue", "absent.csv"]) == 2
    assert capsys.readouterr().err == "error: catalogue absent.csv does not exist; check the path\n"
    small.catalogue.write_text("id,name\n")
    assert cli.run(show.main, flags) == 2
    assert "has no column contentId" in capsys.readouterr().err
    assert cli.run(show.main, [*flags, "--visitors", "0"]) == 2
