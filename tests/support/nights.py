"""A small world for nights: steps that write small outputs at once, so that many nights take no time."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from artifacts import storage
from artifacts.checksums import describe_bytes
from artifacts.manifests import (
    DatasetCounts,
    DatasetManifest,
    DatasetSections,
    Days,
    Manifest,
    ModelManifest,
    PredictionSections,
    PredictionsManifest,
    SplitAccount,
    StartAccount,
    SweepRecord,
    TrainedOn,
)
from artifacts.manifests.outcome import (
    Compared,
    Estimate,
    ExperimentOutcome,
    NextDays,
    Outcome,
    OutcomeManifest,
    OutcomeSections,
    ShownGroup,
    Tracked,
    VersionOutcome,
    VisitorGroup,
)
from artifacts.paths import Nights, OutcomeFiles
from configs import cli
from configs.settings import (
    ColdStartSettings,
    DatasetSettings,
    OutcomeSettings,
    PredictionSettings,
    RatingSettings,
    SourceSettings,
    SplitSettings,
    TrainingSettings,
    load_settings,
)
from nightly import run
from nightly.runs import live, record

FIRST = datetime.date(2024, 1, 1)


_COUNTS = {"files_read": 1, "files_outside_window": 0, "rows_read": 10, "rows_rejected": 1}
_NUMBERS = {"users": 3, "items": 3, "interactions": 9}
_MANIFESTS: dict[str, Manifest] = {
    "dataset": DatasetManifest(
        created="2024-01-08T03:00:00+00:00",
        seconds=1.5,
        counts=DatasetCounts(**_COUNTS, **_NUMBERS),
        rejected={"records.malformed": 1},
        skipped={},
        split=SplitAccount(),
        capped_at_max_dwell=0,
        median=5.0,
        days=Days(),
        shards={"items_for_user": 1, "users_for_item": 1},
        compression="none",
        settings=DatasetSections(
            source=SourceSettings(), rating=RatingSettings(), split=SplitSettings(), dataset=DatasetSettings()
        ),
    ),
    "model": ModelManifest(
        dataset=TrainedOn(root="dataset", fingerprint="f", rating=RatingSettings()),
        settings=TrainingSettings(),
        solver="cholesky",
        **_NUMBERS,
        embedding_dimension=128,
        user_factor_shards=1,
        item_factor_shards=1,
        stopped="max_sweeps reached",
        resumed_after_sweep=0,
        seconds=1.5,
        history=[SweepRecord(sweep=1, loss=12.5, rwse=0.25, seconds=1.5)],
        start=StartAccount(),
        cold_start=ColdStartSettings(),
    ),
    "predictions": PredictionsManifest(
        seconds=1.5,
        counts={"visitors": 3, "recommendations": 6},
        rules={},
        factors="trained",
        model_fingerprint="f",
        dataset_fingerprint="f",
        model_version="m",
        run_time="2024-01-08T03:00:00+00:00",
        settings=PredictionSections(prediction=PredictionSettings()),
    ),
}


def write_output(root: str, kind: str, text: str, **fields: Any) -> None:
    """Write an output of one file with its manifest."""
    storage.write_bytes(f"{root}/part", text.encode())
    fields["files"] = {"part": describe_bytes(text.encode())}
    _MANIFESTS[kind].model_copy(update=fields).write(f"{root}/manifest.json")


def read_output(root: str) -> str:
    return storage.read_bytes(f"{root}/part").decode()


@dataclass
class World:
    """Steps whose outputs name their inputs, so that equal texts mean equal ancestors.

    Attributes:
        fails: module -> exit status of its next call. calls: modules as they were run.
        before: called before each step with its module.
    """

    fails: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda module: None

    def __call__(self, command: Sequence[str], say: Callable[[str], None], timeout_s: float) -> int:
        module, *words = command
        pairs = _pairs(words)
        flags, sets = dict(pairs), [text.partition("=") for name, text in pairs if name == "--set"]
        self.before(module)
        self.calls.append(module)
        if module in self.fails:
            say(f"error: {module} was made to fail")
            return self.fails.pop(module)
        overrides = {name: yaml.safe_load(value) for name, _, value in sets}
        settings = load_settings(flags["--config"], overrides).model_dump(mode="json")
        if module == "pipeline.preprocess":
            source = settings["source"]
            held_out = "" if settings["split"]["kind"] == "none" else ", some held out,"
            text = f"{source['input']}{held_out} to {source['end_date']}"
            write_output(flags["--dataset_dir"], "dataset", text)
            _write_statistics(flags["--dataset_dir"])
        elif module == "deploy.vertex.train":
            parent = settings["training"]["warm_start"]
            came = read_output(parent) if parent else "nothing"
            text = f"{read_output(flags['--dataset_dir'])}, k {settings['training']['embedding_dimension']} <- {came}"
            start = StartAccount(digest="d" if parent else None)
            write_output(flags["--model_dir"], "model", text, start=start)
        elif module == "pipeline.outcome":
            write_outcome(flags["--outcome_dir"], settings["outcome"]["predictions"], settings["source"]["end_date"])
        elif module == "trainer.evaluate":
            ours = {"recall@20": {"value": 0.25, "low": 0.2, "high": 0.3}, "coverage@20": {"value": 0.5}}
            content = {"kind": "evaluation", "systems": {"WALS": ours}}
            storage.write_bytes(flags["--output_json"], json.dumps(content).encode())
        elif module == "pipeline.batch_predict":
            models = {"": flags["--model_dir"]}
            models |= {f"{name} ": one["model"] for name, one in settings["experiment"]["variants"].items()}
            each = (f"{name}by {read_output(model)}" for name, model in models.items() if model not in (None, "none"))
            write_output(flags["--output_dir"], "predictions", "; ".join(each))
        say("fine")
        return 0


def write_outcome(root: str, predictions: Sequence[str], day: str) -> None:
    """Write an outcome with as many exposures as there are versions, a tenth of which are clicked."""
    size = len(predictions)
    ctr = Estimate(value=0.1, low=0.05, high=0.2)
    shown = ShownGroup(exposures=10 * size, clicks=size, ctr=ctr)
    tracked = Tracked(whole=shown, by_day={day: shown}, by_rank={}, by_rule={}, by_category={}, by_age={}, due={})
    hits = Compared(live=ctr, popularity=ctr, difference=ctr)
    group = VisitorGroup(visitors=size, metrics={"hit_rate@10": hits})
    days = NextDays(visitors=size, active=size, pairs=size, whole=group)
    split = {"visitors": 0.5, "exposed": 0.0004}
    experiment = ExperimentOutcome(
        control="c", planned_visitors=9, changed=0, shares_changed=False, mismatch=split, variants={}
    )
    together = VersionOutcome(next_days=days, tracked=tracked)
    figures = Outcome(confidence=0.95, together=together, experiments={"e": experiment})
    storage.write_bytes(OutcomeFiles(root).figures, figures.model_dump_json().encode())
    sections = OutcomeSections(outcome=OutcomeSettings(), source=SourceSettings(), resamples=1, confidence=0.95, seed=0)
    OutcomeManifest(
        created="2024-01-08T03:00:00+00:00",
        seconds=1.5,
        runs=[],
        counts={},
        lists={},
        excluded={},
        warnings=["a warning"],
        files={"outcome.json": describe_bytes(figures.model_dump_json().encode())},
        settings=sections,
    ).write(f"{root}/manifest.json")


def _write_statistics(root: str) -> None:
    """Write a histogram and the items' visitors, which change a little from night to night."""
    moved = int(read_output(root)[-2:])  # the day: the text has a path in it, whose length differs
    histogram = {"kind": "median", "edges": [0.0, 0.5, 1.0], "counts": [10, moved]}
    storage.write_bytes(f"{root}/statistics.json", json.dumps({"ratings": histogram}).encode())
    table = io.BytesIO()
    pq.write_table(pa.table({"contentId": [b"a", b"b"], "visitors": [moved, 3]}), table)
    storage.write_bytes(f"{root}/items.parquet", table.getvalue())


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    words = [word for word in words if word != "--replace"]
    return list(zip(words[::2], words[1::2], strict=True))


class Site:
    """A site with one table per day, its config, and the nights run on it."""

    def __init__(self, root: Path | str, days: int = 5):
        self.root, self.nights, self.world = root, Nights(f"{root}/nights"), World()
        for number in range(days):
            self.table(self.day(number))
        self.config = f"{root}/config.yaml"
        self.configure()

    def configure(self, split: str = "none", experiment: dict[str, Any] | None = None, **nightly) -> None:
        source = {"kind": "ga4", "input": f"{self.root}/events_*", "window_days": 3}
        tree = {"source": source, "nightly": {"directory": self.nights.root, "keep_failed": 9} | nightly}
        tree |= {"split": {"kind": split}, "experiment": experiment or {}}
        storage.write_bytes(self.config, json.dumps(tree).encode())

    @staticmethod
    def day(number: int) -> str:
        return str(FIRST + datetime.timedelta(days=number))

    def table(self, day: str, text: str = "rows") -> str:
        path = f"{self.root}/events_{day.replace('-', '')}.ndjson"
        storage.write_bytes(path, text.encode())
        return path

    def run(self, day: str, *flags: str) -> int:
        """Run a night and return the exit status of the command."""
        self.world.calls = []
        argv = ["--config", self.config, "--date", day, *flags]
        return cli.run(lambda argv: run.main(argv, self.world), argv)

    @property
    def live(self) -> str | None:
        found = live.read(self.nights).live
        return found.name if found else None

    def status(self, day: str) -> str:
        return record.newest(self.nights, day).status
