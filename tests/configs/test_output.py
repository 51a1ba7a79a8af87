"""-q, -v and --log_json, which every command has."""

import json
import logging

import pytest

from configs import cli
from configs.errors import UserError


def command(argv):
    cli.plain_parser("wals x", "A command.").parse_args(argv)
    with cli.progress("working", stderr=True) as bar:
        bar.say("on the way")
    print("a line\n┏━━┓\n│ a │\n└──┘")
    raise UserError("a mistake")


def test_quiet_prints_errors_alone(capsys):
    assert cli.run(command, ["-q"]) == 2
    assert capsys.readouterr() == ("", "error: a mistake\n")


@pytest.mark.parametrize("flag", ["--log-json", "--log_json"])
def test_each_line_is_a_json_object(flag, capsys):
    assert cli.run(command, [flag]) == 2
    printed = capsys.readouterr()
    records = [json.loads(line) for line in (printed.out + printed.err).splitlines()]
    assert [(record["severity"], record["message"]) for record in records] == [
        ("INFO", "a line"),
        ("INFO", "│ a │"),
        ("WARNING", "on the way"),
        ("ERROR", "error: a mistake"),
    ]
    assert records[0]["time"].endswith("+00:00")


def test_verbose_shows_logs(monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    assert cli.run(command, ["--verbose"]) == 2
    assert logging.root.level == logging.INFO
