"""Schemathesis on the server's own OpenAPI description: no 5xx, and no answer that the description does not name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from configs.settings import EventSettings, SourceSettings
from tests.support.served import running, settings

# The coverage of a body's schema is a third of all requests; that of a version has the same one, and the same handler.
ONCE = """
[[operations]]
include-name = "POST /v1/models/{name}/versions/{version}:predict"
phases.coverage.enabled = false
"""


def test_schemathesis_finds_nothing(served_model, tmp_path):
    """A few examples of each operation; `make fuzz-server` takes more."""
    (tmp_path / "schemathesis.toml").write_text(ONCE)
    command = Path(sys.executable).with_name("schemathesis")
    # That the inputs of a request have one number of rows is more than a schema can say: a valid one may be refused.
    flags = ["--max-examples", "5", "--seed", "1", "--no-color", "--exclude-checks", "positive_data_acceptance"]
    flags += ["--request-timeout", "60"]  # a busy machine is not a finding
    events = EventSettings(accept=True, store=str(tmp_path / "events.sqlite"))
    sections = {"source": SourceSettings(kind="ga4", preset="ga4_shop"), "events": events}
    made = settings(served_model / "served", poll_seconds=5, timeout_seconds=60).model_copy(update=sections)
    with running(made) as client:
        run = [command, "run", f"{client.base_url}/openapi.json", *flags]
        done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False)
        statuses = client.get("/metrics").text
    assert done.returncode == 0, done.stdout
    assert 'path="/v1/models/{name}:predict",status="200"' in statuses
    assert 'path="/events",status="200"' in statuses
    assert not re.search(r'path="(?!/readyz).*status="5', statuses)
