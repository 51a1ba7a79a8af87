"""The commands around a night: rollback, retention, status."""

from __future__ import annotations

import json
from pathlib import Path

from configs import cli
from nightly import retention, rollback, status
from nightly.runs import live, record
from tests.support.nights import Site


def rollback_(site: Site, *flags: str) -> int:
    return cli.run(lambda argv: rollback.main(argv, site.world), ["--config", site.config, *flags])


def test_rollback_goes_back_one_version_and_the_bad_one_stays_out(site, capsys):
    for number in (1, 2, 3):
        assert site.run(site.day(number)) == 0
    assert rollback_(site) == 0
    assert site.live == "2024-01-03.1" and "withdrawn: 2024-01-04.1" in capsys.readouterr().out
    assert site.run(site.day(3)) == 0 and site.world.calls == [] and site.live == "2024-01-03.1"
    assert "2024-01-04.1 was withdrawn by a rollback" in capsys.readouterr().out
    assert site.run(site.day(4)) == 0 and site.live == "2024-01-05.1"
    assert record.newest(site.nights, site.day(4)).manifest.parent.date == "2024-01-03", "not the withdrawn one"
    assert rollback_(site, "--to", "2024-01-02") == 0 and site.live == "2024-01-02.1"
    assert rollback_(site) == 2
    assert "2024-01-02.1 is live, and a version before it does not exist" in capsys.readouterr().err
    assert rollback_(site, "--to", "2024-01-31") == 2
    assert "2024-01-31 is not a version to go back to; choose one of 2024-01-02.1" in capsys.readouterr().err


def test_rollback_refuses_a_version_that_is_not_whole_and_changes_nothing(site, capsys):
    assert rollback_(site) == 2
    assert "nothing is live" in capsys.readouterr().err
    for number in (1, 2):
        assert site.run(site.day(number)) == 0
    (Path(site.nights.night(site.day(1), 1).predictions) / "part").unlink()
    assert rollback_(site) == 2
    assert "2024-01-02.1 cannot go live" in (said := capsys.readouterr().err) and "part is missing" in said
    assert site.live == "2024-01-03.1"


def test_retention_keeps_what_it_says(tmp_path, capsys):
    site = Site(tmp_path, days=9)
    site.configure(keep=3, keep_failed=1, catch_up_days=0)
    for number in range(1, 8):
        site.world.fails = {"deploy.vertex.train": 1} if number in (2, 4) else {}
        assert site.run(site.day(number)) in (0, 1)
    kept = [run_.name for run_ in record.load_all(site.nights)]
    assert kept == ["2024-01-05.1", "2024-01-06.1", "2024-01-07.1", "2024-01-08.1"], "three live ones, a failed one"
    assert [version.name for version in live.read(site.nights).versions] == [kept[0 + 1], kept[2], kept[3]]
    site.configure(keep=2, keep_failed=0)
    flags = ["--config", site.config]
    assert cli.run(retention.main, [*flags, "--dry_run"]) == 0
    assert capsys.readouterr().out.split("\n")[-3:-1] == ["2024-01-05.1", "2024-01-06.1"]
    assert len(record.load_all(site.nights)) == 4
    assert cli.run(retention.main, flags) == 0
    assert [run_.name for run_ in record.load_all(site.nights)] == ["2024-01-07.1", "2024-01-08.1"]


def test_retention_keeps_all_other_runs_while_there_are_fewer_than_it_may_keep(tmp_path):
    site = Site(tmp_path, days=5)
    site.configure(keep_failed=3, catch_up_days=0)
    for number in (1, 2):
        site.world.fails = {"deploy.vertex.train": 1}
        assert site.run(site.day(number)) == 1
    assert site.run(site.day(3)) == 0
    assert [run_.name for run_ in record.load_all(site.nights)] == ["2024-01-02.1", "2024-01-03.1", "2024-01-04.1"]


def test_status_shows_what_is_live_and_fails_where_it_is_old(site, capsys):
    site.world.fails = {"deploy.vertex.train": 1}
    site.run(site.day(2)), site.run(site.day(3))
    capsys.readouterr()
    flags = ["--config", site.config]
    assert cli.run(status.main, [*flags, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["live"]["date"] == site.day(3)
    assert [(run_["name"], run_["status"]) for run_ in found["runs"]] == [
        ("2024-01-03.1", "promoted"),
        ("2024-01-04.1", "live"),
    ]
    assert cli.run(status.main, flags) == 0
    shown = capsys.readouterr().out
    assert "live: 2024-01-04.1" in shown and "promoted" in shown and "0.2500" in shown, "recall@20"
    assert cli.run(status.main, [*flags, "--max_age_days", "2"]) == 2
    assert "days old, more than 2; run wals night" in capsys.readouterr().err
