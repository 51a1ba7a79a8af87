"""nightly.ready: exit status 0 and the date if the night can begin, 2 if its table is missing."""

from configs import cli
from nightly import inputs, ready


def test_a_night_whose_table_is_there_can_begin(site, tmp_path, capsys):
    output = tmp_path / "deep" / "date"
    assert cli.run(ready.main, ["--config", site.config, "--date", site.day(3), "--output", str(output)]) == 0
    assert output.read_text() == site.day(3) == "2024-01-04"
    assert capsys.readouterr().out == "2024-01-04 can begin: 3 tables\n"


def test_a_night_whose_table_is_missing_cannot(site, tmp_path, capsys):
    output = tmp_path / "date"
    assert cli.run(ready.main, ["--config", site.config, "--date", site.day(5), "--output", str(output)]) == 2
    assert "no table of 2024-01-06" in capsys.readouterr().err and not output.exists()


def test_without_a_date_it_is_yesterdays(site, capsys):
    yesterday = str(inputs.yesterday())
    site.table(yesterday)
    assert cli.run(ready.main, ["--config", site.config, "--date", ""]) == 0
    assert capsys.readouterr().out.startswith(f"{yesterday} can begin")


def test_a_date_that_is_not_one_is_a_line(site, capsys):
    assert cli.run(ready.main, ["--config", site.config, "--date", "31.1."]) == 2
    assert "write it as 2024-01-31" in capsys.readouterr().err
