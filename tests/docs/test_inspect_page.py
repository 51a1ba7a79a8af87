"""docs/inspect.md shows what pipeline.inspect prints for Google's sample; `make docs-test` compares the other one."""

from configs import cli
from pipeline import inspect
from tests.support import documents
from tests.support.documents import ROOT
from tests.support.exports import SHARED, needs_shared

PAGE = ROOT / "docs" / "inspect.md"


@needs_shared
def test_the_page_shows_the_screen_of_googles_sample(tmp_path, monkeypatch, capsys):
    (block,) = [block for block in documents.blocks(PAGE) if "ga4_events.parquet" in block.text]
    ((_, _, *flags),) = block.commands()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ga4_events.parquet").symlink_to(SHARED / "google" / "ga4_events.parquet")
    assert cli.run(inspect.main, flags) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed == list(block.output) and len(printed) > 40
