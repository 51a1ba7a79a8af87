"""Settings, manifests and commands: what is accepted, and what a mistake is answered with."""

from pathlib import Path

import pytest

from artifacts import manifests
from artifacts.paths import Dataset, Model, join, shard_name
from configs import cli, reference
from configs.errors import UserError
from configs.settings import TrainingSettings, load_settings
from configs.settings.search import load_search

SEARCH = Path(__file__).parents[2] / "configs" / "search.yaml"  # ranges, not settings
CONFIGS = sorted(path for path in SEARCH.parent.glob("*.yaml") if path != SEARCH)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_loads(path):
    assert load_settings(str(path)).source.kind in ("ga360", "ga4", "table")


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
        ("source: {start_date: 20240201, end_date: 2024-01-01}", "start_date 2024-02-01 lies after end_date"),
        ("source: {min_dwell_ms: 5, max_dwell_ms: 4}", "max_dwell_ms is below min_dwell_ms"),
        ("source: {kind: table, rating_column: a, duration_column: b}", "duration_column or rating_column, not both"),
        ("source: {kind: table, rating_column: stars}", "rating.kind median is for dwell"),
        ("rating: {kind: ordinal}", "kind: ordinal and a table `ordinal:`"),
        ("source: [", "is not YAML"),
        ("- 1", "holds no settings by name"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        load_settings(write(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


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


def test_manifest_round_trip_and_refusals():
    text = manifests.stamp("dataset", {"counts": {"users": 3}})
    assert manifests.parse(text, "dataset", "p")["counts"] == {"users": 3}
    with pytest.raises(UserError, match="belongs to a dataset, not to a model"):
        manifests.parse(text, "model", "p")
    with pytest.raises(UserError, match="has schema version 99, this code reads 1; make the dataset again"):
        manifests.parse(text.replace('"schema_version": 1', '"schema_version": 99'), "dataset", "p")
    with pytest.raises(UserError, match="is not a manifest"):
        manifests.parse("{", "dataset", "p")


def test_fingerprint_tells_datasets_apart():
    one = {"files": {"a": {"crc32c": "1"}, "b": {"crc32c": "2"}}}
    other = {"files": {"a": {"crc32c": "2"}, "b": {"crc32c": "1"}}}
    reordered = {"files": dict(reversed(one["files"].items()))}
    assert manifests.fingerprint(one) == manifests.fingerprint(reordered) != manifests.fingerprint(other)


def test_paths():
    assert join("gs://bucket/a/", "b") == "gs://bucket/a/b"
    assert Dataset("d").vocab_users == "d/transform/transform_fn/assets/vocab_users"
    assert shard_name(Model("m").user_factors, 3, 8, ".npy") == "m/factors/user_factors-00003-of-00008.npy"


def test_the_readme_has_the_settings_as_they_are():
    fields = [field for _, _, fields in reference.sections() for field in fields]
    assert all(field.description for _, field in fields), "each is described"
    page = reference.page()
    assert all(page.count(f"| `{key}` |") == 1 for key, _ in fields)
    assert "| `training.unobserved_weight` | `0.1` |" in page
    assert "| `model_dir` |  |" in page


def test_the_shipped_search_loads_and_covers_the_defaults():
    search, training = load_search(str(SEARCH)), TrainingSettings()
    assert search.metric_name == "recall@20" and set(search.space["rating.kind"].choices) >= {"median", "binary"}
    for key, values in search.space.items():
        if key.startswith("training."):
            default = getattr(training, key.removeprefix("training."))
            assert default in values.choices or values.low <= default <= values.high


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("space: {training.sed: {choices: [1]}}", "space.training.sed cannot be searched (known: ridge, rating.kind"),
        ("space: {source.kind: {choices: [ga4]}}", "space.source.kind cannot be searched"),
        ("space: {training.embedding_dimension: {low: 0, high: 8}}", "training.embedding_dimension: 0 is refused"),
        ("space: {training.solver: {choices: [auto, magic]}}", "training.solver: magic is refused"),
        ("space: {ridge: {low: 2, high: 1}}", "low 2 must lie below high 1"),
        ("space: {ridge: {low: 0, high: 1, log: true}}", "log needs a low above 0"),
        ("space: {ridge: {choices: [1], low: 1, high: 2}}", "give either choices, or low and high"),
        ("space: {ridge: {high: 2}}", "give either choices, or low and high"),
        ("space: {rating.kind: {choices: [stars]}}", "give choices among median"),
        ("space: {ridge: {choices: [1]}, training.regularization_coeff: {choices: [1]}}", "not both"),
        ("space: {ridge: {choices: [1]}}\nminutes: null", "give trials or minutes"),
        ("space: {ridge: {choices: [1]}}\nworker: 2", "worker: unknown key"),
        ("space: {}", "space: Dictionary should have at least 1"),
        ("[1]", "holds no settings by name"),
        ("space: [", "is not YAML"),
    ],
)
def test_a_mistake_in_the_search_is_named_in_one_line(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        load_search(write(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"nowhere\.yaml cannot be read"):
        load_search("nowhere.yaml")


def test_another_kind_of_rating_leaves_the_configs_scale_behind(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("rating: {kind: median, scale: 3}")
    assert load_settings(str(path), {"rating.kind": "median"}).rating.factor == 3
    assert load_settings(str(path), {"rating.kind": "linear"}).rating.factor == 1
    assert load_settings(str(path), {"rating.kind": "linear", "rating.scale": 0.5}).rating.factor == 0.5
