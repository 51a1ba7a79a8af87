"""wals promote: the end of an experiment, in one line."""

from __future__ import annotations

import yaml

from configs import cli
from nightly import promote
from ranking.experiments import promoted


def test_promote_ends_the_experiment_of_the_config(tmp_path, capsys):
    variants = {"long": {"share": 0.5}, "short": {"share": 0.5}}
    experiment = {"name": "length", "variants": variants, "promoted": str(tmp_path / "promoted.json")}
    config = tmp_path / "wals.yaml"
    config.write_text(yaml.safe_dump({"experiment": experiment}))
    assert cli.run(promote.main, ["short", "--config", str(config)]) == 0
    assert "experiment length has ended: all visitors have short" in capsys.readouterr().out
    assert promoted.read(experiment["promoted"]).experiments["length"].variant == "short"
    assert cli.run(promote.main, ["medium", "--config", str(config)]) != 0
    assert "experiment length has no variant medium (it has long, short)" in capsys.readouterr().err
