"""Configs that extend others, and configs that come with the package."""

import pytest

from configs import places
from configs.errors import UserError
from configs.settings import layers, load_settings


def write(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)


def test_a_config_takes_what_it_lacks_from_the_one_it_extends(tmp_path):
    write(
        tmp_path,
        first="training: {seed: 1, max_sweeps: 1}\nsource: {kind: ga4}",
        second="extends: first.yaml\ntraining: {seed: 2}",
        third="extends: second.yaml\nmodel_dir: m",
    )
    settings = load_settings(str(tmp_path / "third.yaml"))
    assert (settings.training.seed, settings.training.max_sweeps, settings.model_dir) == (2, 1, "m")
    assert [layer.path for layer in layers.read(str(tmp_path / "third.yaml"))] == [
        str(tmp_path / f"{name}.yaml") for name in ("first", "second", "third")
    ]


def test_a_preset_replaces_the_signals_of_the_config_that_it_extends(tmp_path):
    write(
        tmp_path,
        base="source: {kind: ga4, input: x, signals: [{event: purchase, item: items}]}",
        mine="extends: base.yaml\nsource: {preset: ga4_pages}",
    )
    settings = load_settings(str(tmp_path / "mine.yaml"))
    assert settings.source.preset == "ga4_pages" and not settings.source.signals and settings.source.input == "x"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"a": "extends: b.yaml", "b": "extends: a.yaml"}, "extends comes back to"),
        ({"a": "extends: none.yaml"}, "none.yaml does not exist"),
        ({"a": "extends: [b.yaml]"}, "extends must be the path of one file"),
        ({"a": "extends: b.yaml\nsource: {preset: [x]}", "b": "source: {kind: ga4}"}, "source.preset: Input should be"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, texts, said):
    write(tmp_path, **texts)
    with pytest.raises(UserError, match=said):
        load_settings(str(tmp_path / "a.yaml"))


def test_a_name_is_a_file_or_comes_with_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packaged = places.packaged("public_ga4.yaml")
    assert {places.locate(name) for name in ("public_ga4", "public_ga4.yaml", "configs/public_ga4.yaml")} == {packaged}
    write(tmp_path, public_ga4="")
    assert places.locate("public_ga4.yaml") == "public_ga4.yaml"
    assert places.locate("mine.yaml") == "mine.yaml"
    assert places.locate("mine.yaml", "gs://bucket/wals") == "gs://bucket/wals/mine.yaml"
    assert "local" in places.names()
