"""docs/tutorial.ipynb runs from its first cell to its last, and is kept without outputs."""

import nbformat
import pyarrow as pa
import pyarrow.parquet as pq
from jupyter_client import launcher
from nbclient import NotebookClient
from pyarrow import csv

from tests.support import forkserver
from tests.support.documents import ROOT
from tests.support.exports import SHARED

_KERNEL = f"""
import runpy, subprocess, sys
sys.path.append({str(ROOT)!r})
from tests.support import forkserver
forkserver.fork_here()
subprocess.run = forkserver.run
runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
"""


def start_kernel(command, **options) -> forkserver.Popen:
    """Start a kernel that need not import TensorFlow, nor need the commands that it runs."""
    place = command.index("ipykernel_launcher")
    return forkserver.Popen([command[0], "-c", _KERNEL, *command[place + 1 :]], **options)


def test_the_notebook_runs_and_keeps_no_outputs(monkeypatch, tmp_path):
    """Its last section trains on the plays of last.fm, if they are on this machine."""
    ratings = SHARED / "lastfm" / "interactions.csv.gz"
    if ratings.exists():
        types = {"fullVisitorId": pa.string(), "contentId": pa.string(), "session_duration": pa.int64()}
        options = csv.ConvertOptions(column_types=types, include_columns=[*types])
        pq.write_table(csv.read_csv(ratings, convert_options=options), tmp_path / "plays.parquet")
        monkeypatch.setenv("WALS_RATINGS", str(tmp_path / "plays.parquet"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(launcher, "Popen", start_kernel)
    notebook = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT / "docs")}}).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    shown = "".join(out["data"]["text/plain"] for out in outputs if "data" in out)
    assert "'WALS'" in shown and "'popularity'" in shown
    assert "b'projection')" in shown  # what a visitor who was not there is answered
    size = "1,880 users, 4,489 items, 52,668 ratings" if ratings.exists() else "300 users, 80 items"
    assert size in shown
