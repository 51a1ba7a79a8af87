"""A small world for nights: steps that write small outputs at once, so that many nights cost nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from configs import manifest


def write_output(root: str, kind: str, text: str, **more) -> None:
    """An output of one file with its manifest."""
    Path(root).mkdir(parents=True, exist_ok=True)
    (Path(root) / "part").write_text(text)
    checksum = google_crc32c.Checksum(text.encode()).hexdigest().decode()
    content = {"files": {"part": {"bytes": len(text.encode()), "crc32c": checksum}}} | more
    (Path(root) / "manifest.json").write_text(manifest.stamp(kind, content))


def read_output(root: str) -> str:
    return (Path(root) / "part").read_text()


@dataclass
class World:
    """Runs steps: each output says what it was made of, so that equal texts mean equal ancestors.

    Attributes:
        fails: module -> exit status of its next call. calls: modules as they were run.
        before: called before each step with its module.
    """

    fails: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda module: None

    def __call__(self, command: Sequence[str], say: Callable[[str], None], timeout_s: float) -> int:
        module, *words = command
        flags = dict(zip(words[::2], words[1::2], strict=False)) if "--replace" not in words else _pairs(words)
        self.before(module)
        self.calls.append(module)
        if module in self.fails:
            say(f"error: {module} was made to fail")
            return self.fails.pop(module)
        settings = yaml.safe_load(Path(flags["--config"]).read_text())
        if module == "pipeline.preprocess":
            source = settings["source"]
            counts = {"counts": {"interactions": 9, "users": 3, "items": 3, "rows_read": 10, "rows_rejected": 1}}
            counts |= {"rejected": {"records.malformed": 1}, "median": 5.0}
            write_output(flags["--dataset_dir"], "dataset", f"{source['input']} to {source['end_date']}", **counts)
            _write_statistics(flags["--dataset_dir"])
        elif module == "cloud.train":
            parent = settings["training"]["warm_start"]
            came = read_output(parent) if parent else "nothing"
            text = f"{read_output(flags['--dataset_dir'])}, k {settings['training']['embedding_dimension']} <- {came}"
            history = {"history": [{"loss": 12.5, "rwse": 0.25}], "start": {"digest": "d"} if came != "nothing" else {}}
            write_output(flags["--model_dir"], "model", text, **history)
        elif module == "trainer.evaluate":
            ours = {"recall@20": {"value": 0.25, "low": 0.2, "high": 0.3}, "coverage@20": {"value": 0.5}}
            Path(flags["--output_json"]).write_text(json.dumps({"kind": "evaluation", "systems": {"WALS": ours}}))
        elif module == "pipeline.batch_predict":
            counts = {"counts": {"visitors": 3, "recommendations": 6}}
            write_output(flags["--output_dir"], "predictions", f"by {read_output(flags['--model_dir'])}", **counts)
        say("fine")
        return 0


def _write_statistics(root: str) -> None:
    """A histogram and the items' visitors, which move a little from night to night."""
    moved = len(read_output(root)) % 2 + int(read_output(root)[-2:])
    histogram = {"kind": "median", "edges": [0.0, 0.5, 1.0], "counts": [10, moved]}
    Path(root, "statistics.json").write_text(json.dumps({"ratings": histogram}))
    items = {"contentId": [b"a", b"b"], "visitors": [moved, 3]}
    pq.write_table(pa.table(items), Path(root, "items.parquet"))


def _pairs(words: Sequence[str]) -> dict[str, str]:
    words = [word for word in words if word != "--replace"]
    return dict(zip(words[::2], words[1::2], strict=True))
