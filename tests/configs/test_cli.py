"""The parts that all commands share: exit status, quiet imports, and the progress bar."""

import gc
import importlib
import os
import re
import subprocess
import sys
import textwrap

import pytest

from configs import cli
from configs.errors import GateError, MachineError, UserError


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (None, 0, ""),
        (UserError("do this"), 2, "error: do this\n"),
        (GateError("not good enough"), 3, "error: not good enough\n"),
        (MachineError("no room"), 1, "error: no room\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (OSError(28, "No space left on device", "/a"), 1, "error: /a: No space left on device; make room, and run"),
    ],
)
def test_run_turns_errors_into_one_line_and_a_status(capsys, error, status, line):
    def main(argv):
        if error is not None:
            raise error

    assert cli.run(main) == status
    printed = capsys.readouterr().err
    assert printed.startswith(line) and printed.count("\n") == (error is not None)


def test_an_error_in_the_code_keeps_its_traceback():
    def main(argv):
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        cli.run(main)


def test_quiet_imports_keep_the_collector_off_and_turn_it_on_again():
    with cli.quiet_imports():
        assert not gc.isenabled()
    assert gc.isenabled()


def in_a_terminal(code: str) -> str:
    """Run code whose standard output and error are a terminal, and return what it prints."""
    pty = pytest.importorskip("pty")
    main, worker = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=worker, stderr=worker, env=environment) as process:
        os.close(worker)
        printed = b""
        while True:
            try:
                printed += os.read(main, 4096)
            except OSError:  # the terminal is closed
                break
    assert process.returncode == 0, printed
    os.close(main)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", printed.decode())


PROGRESS = """
    from configs import cli
    with cli.progress("working", 20, "sweeps") as bar:
        bar.say("sweep 1 [of] 20")
        bar.update(3)
        bar.update(7, description="still working")
"""


def test_a_progress_bar_on_a_terminal_shows_title_count_and_lines():
    printed = in_a_terminal(PROGRESS)
    assert "sweep 1 [of] 20" in printed
    assert re.search(r"still working .*7 of 20 sweeps +\d:\d\d:\d\d left", printed)


def test_a_log_has_a_line_now_and_then_with_rows_and_the_time_left(capsys):
    with cli.progress("evaluating", unit="visitors", every_s=0) as bar:
        bar.update(1000, total=4000)
    with cli.progress("searching", every_s=0) as bar:
        bar.update(1)
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"evaluating: 1,000 of 4,000 visitors, 25%, about \d+ s left", first)
    assert re.fullmatch(r"searching: \d+ s", second)


def test_elsewhere_the_lines_alone_are_printed(capsys):
    with cli.progress("working", 20, "sweeps") as bar:
        bar.say("sweep 1")
        bar.update(3)
    with cli.progress("working", quiet=True) as bar:
        bar.say("nothing of this")
    printed = capsys.readouterr()
    assert (printed.out.strip(), printed.err) == ("sweep 1", "")


def test_a_module_is_hidden_from_an_import_alone(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with cli._without("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    imported = importlib.import_module("colorsys")
    with cli._without("colorsys"):
        assert importlib.import_module("colorsys") is imported
