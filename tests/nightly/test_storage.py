"""Nights with directory, tables and config on gs://, against a storage emulator: the same as on a disk."""

from __future__ import annotations

import json

import pytest

from artifacts import storage
from configs import cli
from configs.errors import UserError
from configs.settings import load_settings
from nightly import retention, rollback
from nightly.runs import live, record
from tests.support import storage_server
from tests.support.nights import Site, read_output

# The client library asks for credentials in a way that it warns about itself, and leaves its sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture
def bucket(monkeypatch):
    with storage_server.emulating() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield "gs://bucket"


def lived(site: Site) -> list:
    """Run a week of nights on a site, and return the outcomes and the runs that are left."""
    seen: list = [site.run(site.day(2)), site.run(site.day(3)), list(site.world.calls), site.live]
    seen += [site.run(site.day(3)), list(site.world.calls)]  # done already
    site.world.fails = {"trainer.evaluate": 3}
    seen += [site.run(site.day(4)), site.live, site.status(site.day(4))]
    seen += [site.run(site.day(6)), site.live]  # no table
    site.table(site.day(3), "rows that came late")
    seen += [site.run(site.day(3)), site.live, record.attempts(site.nights, site.day(3))]
    seen += [read_output(live.read(site.nights).live.predictions_dir).replace(str(site.root), "")]
    seen += [cli.run(lambda argv: rollback.main(argv, site.world), ["--config", site.config]), site.live]
    site.configure(keep=1, keep_failed=0)
    seen += [cli.run(retention.main, ["--config", site.config])]
    seen += [[run.name for run in record.load_all(site.nights)], live.read(site.nights).withdrawn]
    lines = [json.loads(line) for line in storage.read_bytes(site.nights.figures).splitlines()]
    return [*seen, [(line["name"], line["status"], line.get("item_drift")) for line in lines]]


def test_a_week_on_gs_is_a_week_on_a_disk(bucket, tmp_path, capsys):
    remote = lived(Site(f"{bucket}/site"))
    assert remote == lived(Site(tmp_path)), capsys.readouterr()
    assert remote[:2] == [0, 0] and remote[3] == "2024-01-04.1"


def test_a_config_on_gs(bucket):
    storage.write_bytes(f"{bucket}/c.yaml", b"training: {embedding_dimension: 7}")
    assert load_settings(f"{bucket}/c.yaml").training.embedding_dimension == 7
    with pytest.raises(UserError, match=r"config gs://bucket/none.yaml does not exist"):
        load_settings(f"{bucket}/none.yaml")
    with pytest.raises(UserError, match=r"config gs://nowhere/none.yaml does not exist"):
        load_settings("gs://nowhere/none.yaml")
