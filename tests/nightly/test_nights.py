"""Nights, rollback and retention over steps that cost nothing; test_seven.py has the real ones."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
import yaml

from artifacts import storage
from configs import cli
from configs.settings import TrainingSettings
from nightly import run
from nightly.runs import live, outputs, record
from tests.support.nights import Site, World, read_output

ALL = ["pipeline.preprocess", "deploy.vertex.train", "trainer.evaluate", "pipeline.batch_predict"]


def test_a_dry_run_names_the_steps_and_writes_nothing(site, capsys):
    """Before the first night, after it, after a change of one setting, and after a missed night."""

    def preview(day):
        before = files_below(site.root)
        assert site.run(day, "--dry-run") == 0 and site.world.calls == []
        assert files_below(site.root) == before
        return dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())

    first = preview(site.day(2))
    assert first["live"] == "nothing" and first["2024-01-03"].startswith("3 tables")
    assert "would run python -m pipeline.preprocess" in first["preprocess"] and "would run" in first["predict"]
    assert first["promote"] == "2024-01-03.1 would go live"
    assert site.run(site.day(2)) == 0
    capsys.readouterr()
    assert {preview(site.day(2))[step] for step in ("preprocess", "train", "predict")} == {"done already"}
    later = preview(site.day(4))
    assert later["2024-01-04 was missed, or did not end"] == "it would run first" and later["live"] == "2024-01-03.1"


def files_below(root):
    return sorted((str(path), path.read_bytes()) for path in Path(root).rglob("*") if path.is_file())


def test_a_night_goes_live_and_the_next_starts_from_it(site):
    assert site.run(site.day(2)) == 0 and site.world.calls == ALL
    assert site.live == "2024-01-03.1"
    assert site.run(site.day(3)) == 0 and site.live == "2024-01-04.1"
    run_ = record.newest(site.nights, site.day(3))
    content = json.loads(Path(run_.night.manifest).read_text())
    assert content["kind"] == "run" and content["code_version"] and content["status"] == "promoted"
    assert content["settings"]["source"]["start_date"] == "2024-01-02"
    assert [Path(file["path"]).name[7:15] for file in content["inputs"]] == ["20240102", "20240103", "20240104"]
    assert content["parent"]["date"] == "2024-01-03" and content["parent"]["model_digest"]
    assert read_output(run_.night.model).count("<-") == 2, "warm start from the night before"
    assert {step: done["status"] for step, done in content["steps"].items()} == dict.fromkeys(
        ["preprocess", "train", "evaluate", "predict"], "done"
    )
    assert Path(run_.night.log("train")).read_text() == "fine\n"


def test_a_step_is_skipped_where_its_output_is_whole_and_made_of_the_same(site, capsys):
    for number, module in enumerate(ALL):
        day = site.day(number)
        site.world.fails = {module: 9}
        assert site.run(day) == 1
        assert f"{module} was made to fail" in capsys.readouterr().err
        assert site.status(day) == "failed"
        assert site.run(day) == 0
        assert site.world.calls == ALL[number:], "those before were done"
    assert site.run(site.day(3)) == 0 and site.world.calls == []


def test_a_changed_setting_redoes_what_depends_on_it_alone(site):
    site.world.fails = {"pipeline.batch_predict": 1}
    assert site.run(site.day(2)) == 1
    assert site.run(site.day(2), "--set", "prediction.top_k=7") == 0
    assert site.world.calls == ["pipeline.batch_predict"]
    site.world.fails = {"trainer.evaluate": 1}
    assert site.run(site.day(3)) == 1
    assert site.run(site.day(3), "--set", "training.seed=7") == 0
    assert site.world.calls == ALL[1:]


@pytest.mark.parametrize("key", ["audiences_dir", "similar_items_dir", "similar_visitors_dir", "predictions_dir"])
def test_moving_an_unrelated_directory_repeats_nothing(site, key):
    site.world.fails = {"pipeline.batch_predict": 1}
    assert site.run(site.day(2), "--set", f"{key}=here") == 1
    assert site.run(site.day(2), "--set", f"{key}=there") == 0
    assert site.world.calls == ["pipeline.batch_predict"], "the step that had failed, and no other"
    assert site.run(site.day(2), "--set", f"{key}=elsewhere") == 0
    assert site.world.calls == [] and site.live == "2024-01-03.1", "what went live stays as it is"


def test_a_damaged_output_is_made_again(site, capsys):
    site.world.fails = {"trainer.evaluate": 1}
    assert site.run(site.day(2)) == 1
    (Path(record.newest(site.nights, site.day(2)).night.dataset) / "part").write_text("flipped")
    assert site.run(site.day(2)) == 0
    assert "preprocess: again" in (said := capsys.readouterr().out) and "part has 7 bytes" in said
    assert site.world.calls == ["pipeline.preprocess", "trainer.evaluate", "pipeline.batch_predict"], "the same dataset"


def test_what_went_live_is_never_written_to_again(site):
    assert site.run(site.day(2)) == 0
    before = read_output(record.newest(site.nights, site.day(2)).night.model)
    site.table(site.day(2), "rows of the third day, written again")
    site.world.fails = {"trainer.evaluate": 3}
    assert site.run(site.day(2)) == 3 and site.live == "2024-01-03.1"
    first = site.nights.night(site.day(2), 1)
    assert read_output(first.model) == before and outputs.version_damage(first.model, first.predictions) is None
    assert record.attempts(site.nights, site.day(2)) == [1, 2] and site.status(site.day(2)) == "gate failed"
    (Path(first.predictions) / "part").write_text("a flipped bit")
    site.table(site.day(2), "and again")
    assert site.run(site.day(2)) == 0 and site.live == "2024-01-03.2"


def test_a_model_that_fails_the_gate_stays_out(site, capsys):
    assert site.run(site.day(2)) == 0
    site.world.fails = {"trainer.evaluate": 3}
    assert site.run(site.day(3)) == 3
    assert "2024-01-04.1 did not pass the gate, 2024-01-03.1 stays live" in capsys.readouterr().err
    assert site.live == "2024-01-03.1" and site.world.calls == ALL[:3]
    # Nothing has changed, so neither has the answer; another gate is asked again.
    assert site.run(site.day(3), "--only", "promote") == 2  # no predictions were made
    site.configure(require=["recall@20>=0.1"])
    assert site.run(site.day(3)) == 0 and site.world.calls == ALL[2:] and site.live == "2024-01-04.1"


def test_a_refit_sees_what_was_held_out_and_goes_live(site, capsys):
    site.configure(split="last_n", refit=True)
    refit = ["pipeline.preprocess", "deploy.vertex.train"]
    assert site.run(site.day(2)) == 0 and site.world.calls == ALL[:3] + refit + ALL[3:]
    night, version = record.newest(site.nights, site.day(2)).night, live.read(site.nights).live
    assert version.model_dir == night.refit_model and version.dataset_dir == night.dataset
    whole = f"{site.root}/events_* to 2024-01-03"
    assert read_output(night.whole_dataset) == whole and "some held out" in read_output(night.dataset)
    k = TrainingSettings().embedding_dimension
    assert read_output(night.refit_model) == f"{whole}, k {k} <- {read_output(night.model)}", "from the measured one"
    assert read_output(version.predictions_dir) == f"by {read_output(night.refit_model)}"
    # The next night starts from what is live, and is compared with the measured dataset, which is like its own.
    assert site.run(site.day(3)) == 0
    config = yaml.safe_load(Path(record.newest(site.nights, site.day(3)).night.config).read_text())
    assert (
        config["training"]["warm_start"] == version.model_dir
        and config["validation"]["baseline"] == version.dataset_dir
    )
    site.world.fails = {"trainer.evaluate": 3}
    assert site.run(site.day(4)) == 3 and site.world.calls == ALL[:3], "what fails the gate is not refitted"
    # Damaged after it went live: made again. Switched off: another version, too.
    Path(live.read(site.nights).live.model_dir, "part").write_text("flipped")
    assert site.run(site.day(3)) == 0 and site.live == "2024-01-04.2"
    site.configure(split="last_n")
    assert site.run(site.day(3)) == 0 and site.live == "2024-01-04.3" and site.world.calls == ALL
    for step in ("preprocess", "train", "evaluate", "refit_preprocess", "refit", "predict", "promote"):
        site.configure(split="last_n", refit=True)
        assert site.run(site.day(4), "--only", step) == 0, capsys.readouterr()
    assert site.live == "2024-01-05.1" and live.read(site.nights).live.model_dir.endswith("refit/model")


def test_the_gate_is_passed_to_the_evaluation(site):
    seen = []
    site.world.before = seen.append
    original = site.world.__call__

    def execute(command, say, timeout_s):
        seen.append(command)
        return original(command, say, timeout_s)

    site.configure(require=["recall@20>=0.1", "ndcg@20>=0.05"], beats=["popularity"])
    run.main(["--config", site.config, "--date", site.day(2)], execute)
    evaluate = next(command for command in seen if command[0] == "trainer.evaluate")
    gate = ["--require", "recall@20>=0.1", "--require", "ndcg@20>=0.05", "--beats", "popularity"]
    assert list(evaluate[-6:]) == gate


def test_a_date_without_a_table_waits_and_is_caught_up_with(site, capsys):
    assert site.run(site.day(2)) == 0
    missing = Path(site.table(site.day(3)))
    missing.unlink()
    assert site.run(site.day(3)) == 2
    assert "no table of 2024-01-04 matches" in (said := capsys.readouterr().err) and "wait for the export" in said
    assert site.live == "2024-01-03.1" and site.status(site.day(3)) == "no table"
    site.table(site.day(3))
    assert site.run(site.day(4)) == 0
    assert site.world.calls == ALL + ALL and site.live == "2024-01-05.1"
    assert "2024-01-04 was missed" in capsys.readouterr().out
    assert read_output(record.newest(site.nights, site.day(4)).night.model).count("<-") == 3


def test_catching_up_is_bounded_and_does_not_stop_tonight(tmp_path, capsys):
    site = Site(tmp_path, days=12)
    assert site.run(site.day(2)) == 0
    assert run.missed_dates(site.nights, datetime.date(2024, 1, 12), 3) == [
        datetime.date(2024, 1, day) for day in (9, 10, 11)
    ]
    site.world.fails = {"deploy.vertex.train": 1}
    assert site.run(site.day(11)) == 0
    assert "2024-01-09 is left out: 2024-01-09.1: train failed" in capsys.readouterr().err
    assert record.dates(site.nights) == ["2024-01-03", "2024-01-09", "2024-01-10", "2024-01-11", "2024-01-12"]
    assert site.live == "2024-01-12.1"
    assert run.missed_dates(site.nights, datetime.date(2024, 1, 12), 9) == [], "nothing older than what is live"


def test_yesterdays_model_gone_or_damaged_is_a_cold_start(site, capsys):
    assert site.run(site.day(2)) == 0
    (Path(site.nights.night(site.day(2), 1).model) / "part").write_text("flipped")
    assert site.run(site.day(3)) == 0
    assert "2024-01-04.1 cold start: the model of 2024-01-03.1 cannot be used" in capsys.readouterr().out
    assert read_output(record.newest(site.nights, site.day(3)).night.model).endswith("<- nothing")


def test_after_an_upgrade_the_outputs_of_older_code_are_a_cold_start_without_comparison(site, capsys):
    for number in (2, 3):
        assert site.run(site.day(number)) == 0
    for root in (live.read(site.nights).live.dataset_dir, live.read(site.nights).live.model_dir):
        manifest = Path(root, "manifest.json")
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 0}))
    assert site.run(site.day(4)) == 0 and site.live == "2024-01-05.1"
    printed = capsys.readouterr().out
    assert "2024-01-05.1 cold start: the model of 2024-01-04.1 cannot be used" in printed
    assert "2024-01-05.1 is not compared with the dataset of 2024-01-04.1" in printed
    config = yaml.safe_load(Path(record.newest(site.nights, site.day(4)).night.config).read_text())
    assert config["validation"]["baseline"] is None and config["training"]["warm_start"] is None


def test_an_older_date_does_not_go_live_over_a_newer_one(site, capsys):
    assert site.run(site.day(3)) == 0
    assert site.run(site.day(2)) == 0
    assert site.live == "2024-01-04.1" and site.status(site.day(2)) == "not promoted"
    assert "2024-01-04.1 is live, and newer" in capsys.readouterr().out


def test_a_dataset_is_held_against_the_live_ones_and_the_gate_is_its_too(site, capsys):
    baselines = []
    original = site.world.__call__

    def execute(command, say, timeout_s):
        if command[0] == "pipeline.preprocess":
            baselines.append(yaml.safe_load(Path(command[2]).read_text())["validation"]["baseline"])
            if len(baselines) == 4:
                say("error: users 10 -> 2 (-80%)")
                return 3
        return original(command, say, timeout_s)

    def night(number: int, *flags: str) -> int:
        argv = ["--config", site.config, "--date", site.day(number), *flags]
        return cli.run(lambda argv: run.main(argv, execute), argv)

    assert [night(number) for number in range(1, 3)] == [0, 0]
    assert night(3, "--set", "nightly.validate_dataset=false") == 0
    assert night(4) == 3 and site.live == "2024-01-04.1" and site.status(site.day(4)) == "gate failed"
    assert "2024-01-04.1 stays live: users 10 -> 2 (-80%)" in capsys.readouterr().err
    assert night(4) == 0 and site.live == "2024-01-05.1", "nothing was made, so it is asked again"
    dataset = site.nights.night(site.day(3), 1).dataset
    assert baselines == [None, None, None, dataset, dataset], (
        "no baseline for the first, nor for a window that still grows"
    )


def test_steps_one_by_one_as_a_scheduler_starts_them(site, capsys):
    assert site.run(site.day(2), "--only", "train") == 2
    assert "preprocess is not done" in (err := capsys.readouterr().err) or "run the steps before it first" in err
    for number, name in enumerate(("preprocess", "train", "evaluate", "predict")):
        assert site.run(site.day(2), "--only", name) == 0 and site.world.calls == [ALL[number]]
        assert site.live is None
    assert site.run(site.day(2), "--only", "promote") == 0 and site.live == "2024-01-03.1"


def test_two_runs_at_once_the_second_is_refused(site, capsys):
    def second(module):
        site.world.before = lambda module: None
        assert cli.run(lambda argv: run.main(argv, World()), ["--config", site.config, "--date", site.day(2)]) == 2
        assert "another run is at work on it" in capsys.readouterr().err

    site.world.before = second
    assert site.run(site.day(2)) == 0 and site.live == "2024-01-03.1"


@pytest.mark.parametrize("name", ["intraday_{}.ndjson", "fresh_{}.ndjson", "intraday_{}/part-0.ndjson"])
@pytest.mark.parametrize("include_intraday", ["false", "true"])
def test_an_unfinished_table_does_not_make_a_night(site, capsys, name, include_intraday):
    assert site.run(site.day(2)) == 0
    Path(site.table(site.day(3))).unlink()
    storage.write_bytes(f"{site.root}/events_{name.format('20240104')}", b"rows")
    if name.endswith("part-0.ndjson"):
        tree = json.loads(storage.read_bytes(site.config))
        tree["source"]["input"] = f"{site.root}/events_**"
        storage.write_bytes(site.config, json.dumps(tree).encode())
    flags = ["--set", f"source.include_intraday={include_intraday}"]
    assert site.run(site.day(3), *flags) == 2
    assert "no table of 2024-01-04 matches" in capsys.readouterr().err
    assert site.world.calls == [] and site.live == "2024-01-03.1"


def test_the_outcome_of_the_last_versions_is_measured(site, capsys):
    """Not of withdrawn ones; if it fails, the night goes on."""
    site.configure(outcome_nights=2)
    measured = []
    original = site.world.__call__

    def execute(command, say, timeout_s):
        if command[0] == "pipeline.outcome":
            sets = [word.partition("=")[2] for word in command if word.startswith("outcome.")]
            measured.append([yaml.safe_load(value) for value in sets])
        return original(command, say, timeout_s)

    def night(number: int, *flags: str) -> int:
        argv = ["--config", site.config, "--date", site.day(number), *flags]
        return cli.run(lambda argv: run.main(argv, execute), argv)

    assert [night(number) for number in range(4)] == [0] * 4
    assert "2024-01-01.1 outcome: nothing was live before" in capsys.readouterr().out
    nights = [site.nights.night(site.day(day), 1) for day in range(3)]
    assert measured == [
        [[night.predictions for night in some], [night.dataset for night in some]]
        for some in (nights[:1], nights[:2], nights[1:])
    ]
    assert record.newest(site.nights, site.day(3)).manifest.figures["exposures"] == 20
    assert night(3) == 0 and len(measured) == 3, "done already"
    site.world.fails["pipeline.outcome"] = 2
    assert night(4) == 0 and site.live == "2024-01-05.1"
    assert "pipeline.outcome was made to fail; the night goes on without it" in capsys.readouterr().out
    assert "exposures" not in record.newest(site.nights, site.day(4)).manifest.figures
