"""Nights of an experiment: each variant's model is trained in the night, until wals promote ends the experiment."""

from __future__ import annotations

from typing import Any

import pytest

from artifacts import storage
from artifacts.paths import Night
from configs import cli
from nightly import promote
from nightly.runs import record
from tests.support.nights import Site, read_output

TRAIN, PREDICT = "deploy.vertex.train", "pipeline.batch_predict"


def experiment(site: Site, **short: Any) -> dict[str, Any]:
    short = {"share": 0.4, "settings": {"training.embedding_dimension": 16}} | short
    variants = {"long": {"share": 0.5}, "short": short, "holdout": {"share": 0.1, "model": "none"}}
    return {"name": "length", "variants": variants, "promoted": f"{site.root}/promoted.json"}


def night(site: Site, number: int) -> Night:
    return record.newest(site.nights, site.day(number)).night


def test_each_night_trains_the_variants_and_predicts_by_them(site):
    site.configure(experiment=experiment(site))
    for number in (2, 3):
        assert site.run(site.day(number)) == 0 and site.world.calls.count(TRAIN) == 2
    first, second = night(site, 2), night(site, 3)
    model, short = read_output(second.model), read_output(second.variant("short"))
    assert ", k auto <- " in model and ", k 16 <- " in short
    assert short.endswith(read_output(first.variant("short"))), "it starts from its own of the night before"
    assert read_output(second.predictions) == f"by {model}; short by {short}"
    assert not storage.exists(second.variant("holdout")) and not storage.exists(second.variant("long"))


def test_what_changes_a_variant_repeats_the_steps_that_depend_on_it(site):
    site.configure(experiment=experiment(site))
    site.world.fails = {PREDICT: 1}
    assert site.run(site.day(2)) == 1
    storage.write_bytes(f"{night(site, 2).variant('short')}/part", b"a flipped bit")
    assert site.run(site.day(2)) == 0 and site.world.calls.count(TRAIN) == 2
    site.configure(experiment=experiment(site, settings={"training.embedding_dimension": 8}))
    site.world.fails = {PREDICT: 1}
    assert site.run(site.day(3)) == 1
    site.configure(experiment=experiment(site, settings={"training.embedding_dimension": 16}))
    assert site.run(site.day(3)) == 0 and TRAIN in site.world.calls
    assert ", k 16 <- " in read_output(night(site, 3).variant("short"))


def test_with_a_refit_the_variants_are_of_the_dataset_that_is_predicted_for(site):
    site.configure("last_n", experiment(site), refit=True)
    assert site.run(site.day(2)) == 0 and site.world.calls.count(TRAIN) == 3
    assert read_output(night(site, 2).variant("short")).startswith(read_output(night(site, 2).whole_dataset))


def test_the_night_after_a_promotion_is_trained_by_the_variant(site, capsys):
    """The section may stay: the variants are trained no more, and the night's model has the settings."""
    site.configure(experiment=experiment(site))
    assert site.run(site.day(2)) == 0
    assert cli.run(promote.main, ["short", "--config", site.config]) == 0
    assert site.run(site.day(3)) == 0 and site.world.calls.count(TRAIN) == 1
    after = night(site, 3)
    assert ", k 16 <- " in read_output(after.model) and not storage.exists(after.variants)
    assert read_output(after.predictions) == f"by {read_output(after.model)}"
    assert site.run(site.day(3)) == 0 and site.world.calls == [], "it is as it should be"
    site.configure()
    assert site.run(site.day(4)) == 0 and ", k auto <- " in read_output(night(site, 4).model), "as its config has it"


@pytest.mark.parametrize("ended", [False, True])
def test_a_variant_with_a_model_of_another_dataset_is_refused_before_the_night_begins(site, capsys, ended):
    site.configure(experiment=experiment(site, settings={}, model="data/model-short"))
    if ended:
        assert cli.run(promote.main, ["short", "--config", site.config]) == 0
    assert site.run(site.day(2)) == 2 and site.world.calls == []
    said = capsys.readouterr().err
    assert "experiment.variants.short has the model data/model-short" in said and "name the settings" in said


def test_settings_that_a_variant_cannot_have_are_one_line(site, capsys):
    for settings, said in (
        ({"source.kind": "ga360"}, "experiment.variants.short: settings has source.kind; a variant"),
        ({"training.embedding_dimension": -1}, "experiment.variants.short.settings: training.embedding_dimension"),
        ({"training.k": 1}, "experiment.variants.short.settings: unknown key training.k"),
    ):
        site.configure(experiment=experiment(site, settings=settings))
        assert site.run(site.day(2)) == 2
        assert said in capsys.readouterr().err
