"""Settings, manifests and commands: what is accepted, and the error for each mistake."""

import codecs
import json
from pathlib import Path

import pytest
import yaml

from artifacts.paths import Dataset, Model, join, shard_name
from configs import cli, reference
from configs.errors import UserError
from configs.settings import Settings, SourceSettings, TrainingSettings, load_settings, resolve
from configs.settings.search import SearchSettings, load_search
from configs.settings.section import RENAMED, keys_of, section_of

SEARCH = Path(__file__).parents[2] / "configs" / "search.yaml"  # ranges, not settings
CONFIGS = sorted(path for path in SEARCH.parent.glob("*.yaml") if path != SEARCH)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_loads(path):
    settings, given = load_settings(str(path)), yaml.safe_load(path.read_text())
    assert settings.source.kind in ("ga360", "ga4", "table")
    assert given.keys().isdisjoint({"rating", "training", "neighbourhood"}), "a source alone gets the same model"


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sorce: {}", "unknown key sorce (known: source, rating, dataset"),
        ("source: {inputs: x}", "unknown key source.inputs (known: kind, input"),
        ("source: {kind: ga5}", "source.kind: Input should be 'ga360', 'ga4' or 'table'"),
        ("training: {embedding_dimension: 0}", "training.embedding_dimension: Input should be greater than or equal"),
        ("training: {regularization_coeff: x}", "training.regularization_coeff: Input should be 'auto'"),
        ("source: {start_date: 20240201, end_date: 2024-01-01}", "start_date 2024-02-01 is after end_date"),
        ("source: {min_dwell_ms: 5, max_dwell_ms: 4}", "max_dwell_ms is below min_dwell_ms"),
        ("source: {kind: table, rating_column: a, duration_column: b}", "duration_column or rating_column, not both"),
        ("source: {kind: table, rating_column: stars}", "rating.kind median is for dwell"),
        ("rating: {kind: ordinal}", "kind: ordinal and a mapping `ordinal:`"),
        ("source: [", "is not YAML"),
        ("- 1", "contains no settings by name"),
        # impossible dates, as YAML and as exports write them
        ("source: {start_date: 2024-02-30}", "source.start_date: 2024-02-30 is not a date (day value is outside"),
        ("source: {start_date: 20240230}", "source.start_date: 2024-02-30 is not a date (day value is outside"),
        ("source: {end_date: '2024-13-01'}", "source.end_date: 2024-13-01 is not a date (month value is outside"),
        ("source: {end_date: 2024-02-30 25:61:00}", "source.end_date: 2024-02-30 25:61:00 is not a date"),
        (
            "source: {end_date: 2024-01-05 10:00:00}",
            "source.end_date: is not a date, or has a time of day; write it as",
        ),
        ("source: {end_date: 2024}", "source.end_date: is not a date, or has a time of day; write it as 2024-01-31"),
        ("source: {end_date: -1.5}", "source.end_date: is not a date, or has a time of day"),
        ("training: {seed: 1:30}", "training.seed: Input should be a valid integer"),
        ("source: {end_date: tomorrow}", "source.end_date: tomorrow is not a date"),
        ('source: {end_date: "a\\nb"}', "source.end_date: a b is not a date"),
        ('"a\\nb": 1', "unknown key a b"),
        ("training: {seed: !!int ''}", "is not YAML"),
        ("source: {end_date: 0001-01-02, window_days: 30}", "source.end_date: Input should be greater than or equal"),
        ("source: {end_date: 2024-01-02, window_days: 999999}", "source.window_days: Input should be less than"),
        ("split: {kind: time, time: 2024-02-30}", "split.time: 2024-02-30 is not a date"),
        # keys that are given twice
        ("training: {seed: 1}\ntraining: {seed: 2}", "key training is given twice, in lines 1 and 2; remove one"),
        ("training:\n  seed: 1\n  k: 3\n  seed: 2", "key seed is given twice, in lines 2 and 4; remove one"),
        ("training: {seed: 1, 'seed': 1}", "key seed is given twice"),
        # numbers, text and truth in each other's place
        ("training: {seed: 'seven'}", "training.seed: Input should be a valid integer"),
        ("source: {item_parameter: 7}", "source.item_parameter: 7 must be text; put it in quotes"),
        (
            "rating: {kind: ordinal, ordinal: {yes: 1}}",
            "rating.ordinal.1.[key]: True must be text; put it in quotes",
        ),
        ("training: {tolerance: .nan}", "training.tolerance: Input should be a finite number"),
        ("training: {unobserved_weight: .inf}", "training.unobserved_weight: Input should be a finite number"),
        ("training: {max_sweeps: yes}", "training: max_sweeps must be a number, not true"),
        ("rating: {scale: false}", "rating: scale must be a number, not false"),
        ("training: 5", "training: must be a mapping, KEY: VALUE"),
        # signals and page rules
        ("source: {kind: ga4, signals: {event: a, item: page}}", "source.signals: must be a list"),
        ("source: {kind: ga4, signals: [purchase]}", "source.signals.0: must be a mapping, KEY: VALUE"),
        ("source: {kind: ga4, signals: [{event: 5, item: page}]}", "source.signals.0.event: must be a list"),
        ("source: {kind: ga4, signals: [{event: '', item: page}]}", "source.signals.0.event.0: String should have"),
        ("source: {kind: ga4, page: {include: /a}}", "source.page.include: must be a list"),
        ("source: {preset: ga4_shop, page: {include: [/a]}}", "page: no signal and no attribute has the field page"),
        ("source: {kind: table, page: {keep_host: false}}", "page is for exports of Google Analytics, not for kind"),
        ("source: {kind: ga4, signals: [{event: a, item: page, weight: 1e-7}]}", "weight of 1e-07 is too small or too"),
        ("source: {kind: ga4, signals: [{event: a, item: page, weight: -1e30}]}", "weight of -1e+30 is too small or"),
        ("a: &a [*a]", "unknown key a (known:"),
        ("[" * 5000, "is nested too deeply"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        load_settings(write(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("load", [load_settings, load_search])
def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path, encoding, load):
    texts = {
        load_settings: "training: {seed: 7} # é",
        load_search: "seed: 7 # é\nspace: {ridge: {choices: [1]}}\nk: 3\nminutes: 1",
    }
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    path = tmp_path / "config.yaml"
    path.write_bytes(mark + texts[load].encode(encoding))
    found = load(str(path))
    assert (found.training.seed if load is load_settings else found.seed) == 7


def test_a_config_in_latin_1_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes("catalogue: été.csv".encode("latin-1"))
    with pytest.raises(UserError, match="is not YAML") as caught:
        load_settings(str(path))
    assert "\n" not in str(caught.value)


def test_numbers_in_quotes_are_numbers(tmp_path):
    path = write(
        tmp_path, "source: {window_days: '30', end_date: '20240301'}\ntraining: {seed: '7', tolerance: '1e-3'}"
    )
    settings = load_settings(path, {"training.embedding_dimension": "16"})
    assert (settings.source.window_days, str(settings.source.start_date)) == (30, "2024-02-01")
    assert (settings.training.seed, settings.training.tolerance, settings.training.embedding_dimension) == (7, 1e-3, 16)


def test_null_on_the_command_line_unsets_what_the_config_has(tmp_path):
    path = write(tmp_path, "catalogue: c.csv\nsource: {max_views_a_day: 500, item_parameter: x}\n")
    settings = load_settings(path, {"catalogue": None, "source.max_views_a_day": None})
    assert (settings.catalogue, settings.source.max_views_a_day, settings.source.item_parameter) == (None, None, "x")
    with pytest.raises(UserError, match=r"source\.item_parameter"):
        load_settings(path, {"source.item_parameter": None})


@pytest.mark.parametrize(("old", "new"), [item for item in RENAMED.items() if " " not in item[0]])
def test_a_renamed_setting_is_named_with_its_new_name(tmp_path, old, new):
    assert new in set(keys_of(Settings)) and old not in set(keys_of(Settings))
    section, _, key = old.rpartition(".")
    text = f"{section}: {{{key}: 3}}" if section else f"{key}: 3"
    for tree, overrides in ((text, {}), ("{}", {old: "3"})):
        with pytest.raises(UserError, match=rf"config\.yaml: {old} is now called {new}$"):
            load_settings(write(tmp_path, tree), overrides)


@pytest.mark.parametrize(("old", "new"), [item for item in RENAMED.items() if " " in item[0]])
def test_a_renamed_value_is_named_with_its_new_name(tmp_path, old, new):
    key, value = old.split()
    with pytest.raises(UserError, match=f"{key} {value} is now called {new}$"):
        load_settings(write(tmp_path, "{}"), {key: value})
    assert getattr(load_settings(write(tmp_path, "{}"), {key: new}).prediction, key.removeprefix("prediction.")) == new


def test_all_renamed_settings_are_named_at_once(tmp_path):
    with pytest.raises(UserError, match=r"source.content_column is now called .*; targets_dir is now called"):
        load_settings(write(tmp_path, "targets_dir:\nsource: {content_column: a}"))


def test_settings_are_resolved_by_a_function_and_once_is_enough(tmp_path):
    tree = {
        "source": {"end_date": "2024-01-31", "window_days": 31},
        "split": {"kind": "time", "days": 2},
        "cloud": {"project": "p", "labels": {"a": "1", "b": "2"}},
        "bigquery": {"labels": {"b": "3"}},
    }
    raw = Settings.model_validate(tree)
    assert (raw.source.start_date, raw.split.time, raw.bigquery.project) == (None, None, None)
    found = resolve(raw)
    assert str(found.source.start_date) == "2024-01-01" and str(found.split.time) == "2024-01-30 00:00:00"
    assert (found.bigquery.project, found.bigquery.labels) == ("p", {"a": "1", "b": "3"})
    assert resolve(found) == found and resolve(resolve(Settings())) == resolve(Settings())
    assert load_settings(write(tmp_path, json.dumps(tree))) == found
    assert resolve(Settings.model_validate(found.model_dump())) == found, "as a night passes them to its steps"


def test_every_setting_is_described_by_a_sentence():
    for section in (Settings, SearchSettings):
        for key in keys_of(section):
            field, model = None, section
            for part in key.split("."):
                field = model.model_fields[part]
                model = section_of(field.annotation)
            text = field.description or ""
            assert len(text.split()) >= 4 and text.endswith((".", '"].')), f"{key}: {text}"
            assert "ikewise" not in text and not text.startswith(("Of ", "That ", "Which ")), f"{key}: {text}"
            assert len(text) < 250, f"{key} is not short"


def test_a_config_that_is_missing():
    with pytest.raises(UserError, match=r"config nowhere.yaml does not exist; see configs/local.yaml"):
        load_settings("nowhere.yaml")


def test_flags_win_over_assignments_and_those_over_the_file(tmp_path):
    path = write(tmp_path, "source: {kind: ga4, item_parameter: a}\ntraining: {seed: 1, max_sweeps: 4}\n")
    parser = cli.parser("test", "test")
    args = parser.parse_args(["--config", path, "--set", "training.seed=2", "--set", "source.item_parameter=b"])
    settings = cli.settings_from(args, {"source.item_parameter": "c", "source.kind": None})
    found = (
        settings.source.kind,
        settings.source.item_parameter,
        settings.training.seed,
        settings.training.max_sweeps,
    )
    assert found == ("ga4", "c", 2, 4)


def test_dates_as_yaml_and_as_exports_write_them(tmp_path):
    source = load_settings(write(tmp_path, "source: {start_date: 2024-01-31, end_date: 20240201}")).source
    assert (str(source.start_date), str(source.end_date)) == ("2024-01-31", "2024-02-01")


def test_a_window_slides_with_its_last_day(tmp_path):
    path = write(tmp_path, "source: {window_days: 30}")
    assert load_settings(path).source.start_date is None
    settings = load_settings(path, {"source.end_date": "2024-03-01"})
    assert str(settings.source.start_date) == "2024-02-01"
    assert type(settings).model_validate(settings.model_dump()) == settings
    with pytest.raises(UserError, match="start_date 2024-02-02 is not window_days 30 before end_date"):
        load_settings(path, {"source.end_date": "2024-03-01", "source.start_date": "2024-02-02"})


def test_decay_of_ratings_needs_an_end_to_count_back_from(tmp_path):
    with pytest.raises(UserError, match=r"rating.half_life_days counts back from source.end_date"):
        load_settings(write(tmp_path, "rating: {half_life_days: 7}"))
    table = "source: {kind: table, end_date: 2024-01-31}\nrating: {half_life_days: 7, kind: linear}"
    with pytest.raises(UserError, match=r"rating.half_life_days needs source.time_column"):
        load_settings(write(tmp_path, table))


def test_run_gives_exit_statuses(capsys):
    def fails(argv):
        raise UserError("do this")

    assert cli.run(lambda argv: None) == 0
    assert cli.run(fails) == 2
    assert capsys.readouterr().err == "error: do this\n"


def test_paths():
    assert join("gs://bucket/a/", "b") == "gs://bucket/a/b"
    assert Dataset("d").vocab_users == "d/transform/transform_fn/assets/vocab_users"
    assert shard_name(Model("m").user_factors, 3, 8, ".npy") == "m/factors/user_factors-00003-of-00008.npy"


def test_the_page_of_settings_has_each_with_its_default():
    fields = [field for _, _, fields in reference.sections() for field in fields]
    assert all(field.description for _, field in fields), "each is described"
    page = reference.page()
    assert all(page.count(f"### `{key}`\n") == 1 for key, _ in fields)
    assert "### `training.unobserved_weight`\n\nDefault: `0.1`. " in page
    assert "### `model_dir`\n\nDefault: unset. " in page


def test_the_shipped_search_loads_and_covers_the_defaults():
    search, training = load_search(str(SEARCH)), TrainingSettings()
    assert search.metric_name == "recall@20" and set(search.space["rating.kind"].choices) >= {"median", "binary"}
    for key, values in search.space.items():
        if key.startswith("training."):
            default = getattr(training, key.removeprefix("training."))
            defaults = (128, 256) if default == "auto" else (default,)
            assert all(one in values.choices or values.low <= one <= values.high for one in defaults)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("space: {training.sed: {choices: [1]}}", "space.training.sed cannot be searched (known: ridge, rating.kind"),
        ("space: {source.kind: {choices: [ga4]}}", "space.source.kind cannot be searched"),
        ("space: {training.embedding_dimension: {low: 0, high: 8}}", "training.embedding_dimension: 0 is refused"),
        ("space: {training.solver: {choices: [auto, magic]}}", "training.solver: magic is refused"),
        ("space: {ridge: {low: 2, high: 1}}", "low 2 must be below high 1"),
        ("space: {ridge: {low: 0, high: 1, log: true}}", "log needs a low above 0"),
        ("space: {ridge: {choices: [1], low: 1, high: 2}}", "give either choices, or low and high"),
        ("space: {ridge: {high: 2}}", "give either choices, or low and high"),
        ("space: {rating.kind: {choices: [stars]}}", "give choices among median"),
        ("space: {ridge: {choices: [1]}, training.regularization_coeff: {choices: [1]}}", "not both"),
        ("space: {ridge: {choices: [1]}}\nminutes: null", "give trials or minutes"),
        ("space: {ridge: {choices: [1]}}\nworker: 2", "unknown key worker (known: metric, k, space"),
        ("space: {}", "space: Dictionary should have at least 1"),
        ("[1]", "contains no settings by name"),
        ("space: [", "is not YAML"),
        ("k: 1\nk: 2", "key k is given twice, in lines 1 and 2"),
    ],
)
def test_a_mistake_in_the_search_is_named_in_one_line(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        load_search(write(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"nowhere\.yaml does not exist; see configs/search.yaml"):
        load_search("nowhere.yaml")


def test_another_kind_of_rating_leaves_the_configs_scale_behind(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("rating: {kind: median, preset: course, scale: 2}")
    assert load_settings(str(path), {"rating.kind": "median"}).rating.factor == 2
    assert load_settings(str(path), {"rating.kind": "linear"}).rating.factor == 1
    assert load_settings(str(path), {"rating.kind": "linear", "rating.scale": 0.5}).rating.factor == 0.5


def test_a_leading_zero_is_no_octal(tmp_path):
    (tmp_path / "c.yaml").write_text("training: {seed: 010, embedding_dimension: 1_6}\n")
    training = load_settings(str(tmp_path / "c.yaml")).training
    assert (training.seed, training.embedding_dimension) == (10, 16)


@pytest.mark.parametrize(
    "more",
    [
        {"preset": "ga4_pages"},
        {"kind": "ga4", "item_parameter": "page_location"},
        {"preset": "ga4_shop", "attributes": {"seen_on": "page"}},
        {"preset": "ga4_shop", "page": {"keep_parameters": []}},  # as --explain_source prints it
    ],
)
def test_page_rules_need_the_field_page(more):
    assert SourceSettings.model_validate({"page": {"include": ["/a"]}} | more).page_rules.keep_parameters == ()
