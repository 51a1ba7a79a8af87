"""wals inspect: one screen, and a config with which the usual commands work."""

import datetime

import pytest

from configs import cli
from configs.settings import load_settings
from pipeline import inspect
from tests.support.exports import SHARED, event, hit, interactions, needs_shared, session, write_ndjson


def screen(capsys, *argv: str) -> list[str]:
    """Run the command and return the lines that it prints."""
    assert cli.run(inspect.main, list(argv)) == 0
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def joined(lines: list[str]) -> str:
    """Return lines as one, where a table may have broken them."""
    return " ".join(" ".join(lines).split())


def refusal(capsys, *argv: str) -> str:
    assert cli.run(inspect.main, list(argv)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    return captured.err


def shop_event(visitor: int, name: str, items: list[str], day: int = 1) -> dict:
    listed = [{"item_id": item, "item_name": f"Item {item}"} for item in items]
    stamp = int(datetime.datetime(2024, 1, day, tzinfo=datetime.UTC).timestamp() * 1e6) + visitor
    when = {"event_date": f"202401{day:02}", "event_timestamp": str(stamp)}
    return event(f"v{visitor}", None, 100, event_name=name, items=listed, **when)


def shop(days: int = 1) -> list[dict]:
    views = [shop_event(visitor, "view_item", [f"i{visitor % 3}"], 1 + visitor % days) for visitor in range(12)]
    return [*views, shop_event(1, "purchase", ["i1", "(not set)"])]


def screens() -> list[dict]:
    params = [{"key": "firebase_screen", "value": {"string_value": "home"}}]
    return [event(f"v{n}", None, event_name="screen_view", event_params=params) for n in range(5)]


def pages(**params: str) -> list[dict]:
    rows = [event(f"v{n}", None, 100, event_name="page_view") for n in range(12)]
    for number, row in enumerate(rows):
        row["event_params"] += [
            {"key": key, "value": {"string_value": f"{value}{number % 4}"}} for key, value in params.items()
        ]
    return rows


def sessions(index: int | None = None, products: bool = False) -> list[dict]:
    rows = []
    for number in range(40):
        hits = [hit(each, 1000 * each, f"a{(number + each) % 12}") for each in range(3)]
        for at, each in enumerate(hits):
            each["page"] = {"pagePath": f"/p{at}"}
            each["customDimensions"] = [{"index": "3", "value": f"client {number}"}]
            if index:
                each["customDimensions"].append({"index": str(index), "value": f"a{(number + at) % 12}"})
            if products:
                each |= {"eCommerceAction": {"action_type": "2"}, "product": [{"productSKU": f"s{at}"}]}
        rows.append(session(f"v{number}", number, hits))
    return rows


@pytest.mark.parametrize(
    ("rows", "preset", "more"),
    [
        (shop(), "ga4_shop", {}),
        (pages(), "ga4_pages", {}),
        (pages(content_id="c"), "ga4_articles", {"item_parameter": "content_id"}),
        (pages(article_key="c", client_id="x"), "ga4_articles", {"item_parameter": "article_key"}),
        (screens(), "ga4_app", {}),
        (sessions(), "ga360_pages", {}),
        (sessions(index=10), "ga360_dimension", {"item_dimension_index": 10}),
        (sessions(index=21), "ga360_dimension", {"item_dimension_index": 21}),
        (sessions(index=21, products=True), "ga360_shop", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_preset_that_fits_is_proposed(tmp_path, capsys, rows, preset, more):
    export, config = write_ndjson(tmp_path / "export_1.json", rows), tmp_path / "mine.yaml"
    lines = screen(capsys, str(export), "--write", str(config))
    source = load_settings(str(config)).source
    assert (source.preset, source.input) == (preset, str(export))
    assert {name: getattr(source, name) for name in more} == more
    assert f"wrote {config}; next: wals preprocess --config {config}" in lines


def test_items_without_ids_are_named_by_their_names(tmp_path, capsys):
    rows = shop()
    for row in rows:
        row["items"] = [{"item_id": "(not set)", "item_name": item["item_name"]} for item in row["items"]]
    config = tmp_path / "mine.yaml"
    text = joined(screen(capsys, str(write_ndjson(tmp_path / "events_1.json", rows)), "--write", str(config)))
    source = load_settings(str(config)).source
    assert {signal.item for signal in source.all_signals} == {"items.item_name"} and source.preset == "ga4_shop"
    assert [signal.weight for signal in source.all_signals] == [10, 4, 1]
    assert "all 13 12 4" in text and "no ids: items.item_id (not set) 14" in text


def test_a_preset_can_be_chosen_if_it_fits(tmp_path, capsys):
    export = str(write_ndjson(tmp_path / "events_1.json", shop()))
    assert "  preset: ga4_pages  # or ga4_shop" in screen(capsys, export, "--preset", "ga4_pages")
    assert "these do: ga4_shop, ga4_pages" in refusal(capsys, export, "--preset", "ga4_app")
    assert "is for a GA360 export" in refusal(capsys, export, "--preset", "ga360_shop")
    (tmp_path / "t.csv").write_text("user,item\nu,i\n")
    assert "is a table" in refusal(capsys, str(tmp_path / "t.csv"), "--preset", "ga4_shop")


def test_a_config_is_never_replaced_unasked(tmp_path, capsys):
    export, config = str(write_ndjson(tmp_path / "events_1.json", shop())), tmp_path / "mine.yaml"
    config.write_text("mine")
    assert "exists already" in refusal(capsys, export, "--write", str(config)) and config.read_text() == "mine"
    screen(capsys, export, "--write", str(config), "--replace")
    assert load_settings(str(config)).dataset_dir == "data/mine/dataset"


def test_a_table_without_visitors_has_a_screen_but_no_config(tmp_path, capsys):
    (tmp_path / "items.csv").write_text("contentId,title\n1,A\n2,B\n")
    lines = screen(capsys, str(tmp_path / "items.csv"))
    assert "no column that looks like the ids of visitors" in joined(lines) and "proposed config" not in lines
    assert "is not written" in refusal(capsys, str(tmp_path / "items.csv"), "--write", str(tmp_path / "c.yaml"))
    assert not (tmp_path / "c.yaml").exists()


def test_a_table_without_names_is_proposed_as_one(tmp_path, capsys):
    path, config = tmp_path / "u.data", tmp_path / "c.yaml"
    rows = [f"{user}\t{10 + (user * 7 + n) % 40}\t{1 + n % 5}\t{881250949 + n}" for user in range(20) for n in range(9)]
    path.write_text("\n".join(rows) + "\n")
    text = joined(screen(capsys, str(path), "--write", str(config)))
    made = load_settings(str(config))
    source = made.source
    assert (source.visitor_column, source.item_column, source.rating_column) == ("column1", "column2", "column3")
    assert (source.time_column, source.time_unit, source.csv.header) == ("column4", "s", False)
    assert len(interactions(made)[0]) == 180 and "guessed from their places" in text


def test_names_that_yaml_would_misread_are_quoted(tmp_path, capsys):
    path, config = tmp_path / "a: b # c.csv", tmp_path / "c.yaml"
    path.write_text("User: id,on\nu1,i1\nu2,i2\n")
    screen(capsys, str(path), "--write", str(config))
    source = load_settings(str(config)).source
    assert (source.input, source.visitor_column, source.item_column) == (str(path), "User: id", "on")


def test_the_screen_has_80_columns_and_no_secrets(tmp_path, capsys):
    rows = [*shop(days=9), *[event(f"v{n}", "jane@example.com", 5, event_name="signed_up" * 12) for n in range(9)]]
    lines = screen(capsys, str(write_ndjson(tmp_path / "events_1.json", rows)))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= max(80, len(str(tmp_path)) + 40) and "\x1b" not in text
    assert "jane" not in text and len(lines) < 60


def test_windows_and_warnings(tmp_path, capsys):
    rows = [shop_event(n, "view_item", ["a", "b", "c", "d"], day=1 + n % 30) for n in range(60)]
    rows += [event(None, None, 5, event_name="page_view") for _ in range(20)] + [b'{"event_name": "x"}x']
    lines = screen(capsys, str(write_ndjson(tmp_path / "events_1.json", rows)))
    text = joined(lines)
    for said in (
        "! 0 % of the visitors come back on another day: widen the window",
        "! 25 % of the events have no visitor",
        "! view_item mostly carries 4 items, a list",
        "! 1 record cannot be read",
    ):
        assert said in text


def test_few_who_come_back_in_a_long_window_do_not_call_for_a_longer_one(tmp_path, capsys):
    rows = [shop_event(n, "view_item", [f"i{n % 3}"]) for n in range(180)]
    for n, row in enumerate(rows):
        row["event_date"] = f"{datetime.date(2024, 1, 1) + datetime.timedelta(days=n // 2):%Y%m%d}"
    text = joined(screen(capsys, str(write_ndjson(tmp_path / "events_1.json", rows))))
    assert "! 0 % of the visitors come back on another day of 90: more days will hardly help" in text


def test_a_bot_is_suspected(tmp_path, capsys):
    rows = [event("bot", f"c{n}", 5, event_name="page_view", event_timestamp=str(10**15 + n)) for n in range(600)]
    rows += [event(f"v{n}", "c1", 5, event_name="page_view") for n in range(5)]
    lines = screen(capsys, str(write_ndjson(tmp_path / "events_1.json", rows)))
    assert "bots        1 visitor, 600 views (over 500 views a day)" in lines


GA4, GA360 = "google/ga4_events.parquet", "google/ga360_sessions_20170801.parquet"


@needs_shared
@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("lastfm/ga360/*", "ga360_dimension", (52_668, 1880, 4489)),
        (GA4, "ga4_shop", (19_506, 2013, 953)),
        (GA360, "ga360_shop", (1033, 418, 265)),
        (GA360, "ga360_pages", (5347, 1186, 294)),
    ],
)
def test_the_proposed_config_reaches_the_known_pairs(tmp_path, capsys, name, preset, expected):
    config = tmp_path / "c.yaml"
    lines = screen(capsys, str(SHARED / name), "--preset", preset, "--write", str(config))
    pairs, _ = interactions(load_settings(str(config)))
    assert (len(pairs), len({visitor for visitor, _ in pairs}), len({item for _, item in pairs})) == expected
    figures = " ".join(f"{number:,}" for number in expected)
    assert any(figures in " ".join(line.split()) for line in lines)
