"""The time until an item that is added between two trainings is recommended to the right visitors of the sample.

    python -m benchmarks.serving.added_items [--write]

The sample becomes a dataset with `item_features.fields: auto` and a model by the commands, with the default settings
otherwise, and `wals serve` serves it as users run it. For one category after the other, an item with the title and the
category of an article of it is added, by `POST /items` and then another one by `wals items add`. A thread asks for the
recommendations of a visitor who reads that category until they have the item. The right visitors of an item are those
of whose views half or more are of its category, the wrong ones those of whose views none is. In the end `wals predict`
must have the server's lists.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from artifacts.items_table import ItemsTable
from artifacts.names import CATEGORY, CONTENT_ID, TITLE
from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from artifacts.vocabulary import Vocabulary
from benchmarks.serving.events import ask, is_ready
from benchmarks.support import machine
from benchmarks.wals.hidden_items import prepared
from benchmarks.wals.segments import run
from serving import publish
from tests.support import redis_server
from trainer.inputs.dataset_rows import read_info

K, ASKED = 10, 100  # entries of a list, and visitors of either kind who are asked


class Site(NamedTuple):
    """The sample's visitors, and the categories of their items."""

    names: list[str]
    categories: list[str]
    titles: list[str]
    shares: np.ndarray  # float64 [visitors, categories], of each visitor's items

    def visitors(self, category: int, right: bool) -> list[str]:
        """Return the first visitors who read a category, or who do not."""
        share = self.shares[:, category]
        return [self.names[row] for row in np.flatnonzero(share >= 0.5 if right else share == 0)[:ASKED].tolist()]


def read(dataset: Path) -> Site:
    """Read the visitors and the items of a dataset."""
    info = read_info(str(dataset))
    rows = SparseRows.stacked(list(info.row_files(Dataset(info.root).items_for_user)), info.users)
    table = ItemsTable.read(Dataset(info.root).items, info.items, (CONTENT_ID,), (TITLE, CATEGORY)).table
    names, codes = np.unique(np.array(table[CATEGORY].to_pylist(), str), return_inverse=True)
    counts = np.zeros((info.users, len(names)))
    np.add.at(counts, (np.repeat(np.arange(info.users), rows.lengths), codes[rows.indices]), 1)
    titles = [str(table[TITLE][int(np.flatnonzero(codes == code)[1])]) for code in range(len(names))]
    users = Vocabulary.read(Dataset(info.root).vocab_users, info.users).ids
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return Site([name.decode() for name in users], names.tolist(), titles, shares)


def has(connection: http.client.HTTPConnection, visitor: str, item: str) -> bool:
    """Return whether a visitor's recommendations have an item."""
    found = ask(connection, "GET", f"/recommendations?visitorId={quote(visitor, safe='')}&k={K}")
    return item in [entry["contentId"] for entry in found["recommendations"]]


def lists(connection: http.client.HTTPConnection, visitors: list[str]) -> list[list[str]]:
    """Return the recommendations of visitors."""
    body = {"inputs": {"visitorId": visitors, "k": K}}
    outputs = ask(connection, "POST", "/v1/models/wals:predict", body)["outputs"]
    return [names[:count] for names, count in zip(outputs["contentIds"], outputs["count"], strict=True)]


def first_with(connection: http.client.HTTPConnection, visitors: list[str], item: str) -> float:
    """Return the time at which the first of some visitors has an item; ask until then, for ten seconds."""
    ends = time.perf_counter() + 10
    while time.perf_counter() < ends:
        if any(has(connection, visitor, item) for visitor in visitors):
            return time.perf_counter()
        time.sleep(0.005)
    raise AssertionError(f"{item} was not recommended")


def measure(port: int, site: Site, config: Path) -> dict[str, Any]:
    """Add two items of each category; return the seconds until they are recommended, and which visitors get them."""
    connection, posted, added, commands = http.client.HTTPConnection("127.0.0.1", port), [], [], []
    found: dict[str, list[bool]] = {"right": [], "wrong": []}
    lists(connection, site.names[:ASKED])  # warms up
    for number, (category, title) in enumerate(zip(site.categories, site.titles, strict=True)):
        right, row = site.visitors(number, True), {CATEGORY: category, TITLE: title}
        started = time.perf_counter()
        ask(connection, "POST", "/items", {"items": [row | {CONTENT_ID: f"posted {number}"}]})
        posted.append(first_with(connection, right[:10], f"posted {number}") - started)
        for kind, visitors in (("right", right), ("wrong", site.visitors(number, False))):
            found[kind] += [f"posted {number}" in names for names in lists(connection, visitors)]
        file = config.with_name("new.jsonl")
        file.write_text(json.dumps(row | {CONTENT_ID: f"added {number}"}))
        started = time.perf_counter()
        run("pipeline.items", "add", str(file), f"--config={config}")
        written = time.perf_counter()
        connection.close()  # the server has closed it, too; the next request opens it again
        added.append(first_with(connection, right[:10], f"added {number}") - written)
        commands.append(written - started)
    return {
        "items": 2 * len(site.categories),
        "post_seconds": spread(posted),
        "after_command_seconds": spread(added),
        "command_seconds": spread(commands),
        "asked": {kind: len(some) for kind, some in found.items()},
        "share_of_visitors": {kind: float(np.mean(some)) for kind, some in found.items()},
    }


def spread(seconds: list[float]) -> dict[str, float]:
    """Return the median and the greatest of some times."""
    return {"median": statistics.median(seconds), "greatest": max(seconds)}


def same_in_batch(port: int, site: Site, config: Path) -> dict[str, int]:
    """Predict with the added items; return how many visitors have the server's list, and in how many it has some."""
    folder = config.with_name("predictions")
    run("pipeline.batch_predict", f"--config={config}", f"--output_dir={folder}", "--replace")
    batch = {}
    for path in folder.glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            answer = json.loads(line)
            batch[answer["visitorId"]] = [entry["contentId"] for entry in answer["recommendations"]]
    served = lists(http.client.HTTPConnection("127.0.0.1", port), site.names)
    assert len(batch) == len(served)
    return {
        "visitors": len(served),
        "same_list": sum(batch[name] == names for name, names in zip(site.names, served, strict=True)),
        "with_added": sum(any(item.startswith(("added ", "posted ")) for item in names) for names in served),
    }


def config_of(folder: Path, port: int) -> Path:
    """Publish the model of a folder, and return the config of its server and of `wals items`; no item is added yet."""
    config, added = folder / "serving.yaml", folder / "added.parquet"
    added.unlink(missing_ok=True)
    tree: dict[str, Any] = {"source": {"kind": "ga360"}, "added_items": str(added), "prediction": {"top_k": K}}
    tree |= {name: str(folder / name.removesuffix("_dir")) for name in ("dataset_dir", "model_dir")}
    tree["serving"] = {"directory": str(folder / "served"), "port": port, "accept_items": True, "max_batch": 5000}
    config.write_text(json.dumps(tree))
    publish.publish(str(folder / "model"), str(folder / "served"), "wals")
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/added_items.json")
    arguments, port = parser.parse_args(), redis_server.free_port()
    config = config_of(prepared("sample, articles"), port)
    site = read(config.with_name("dataset"))
    server = subprocess.Popen([sys.executable, "-m", "serving.server", "--config", str(config)], cwd=machine.ROOT)
    try:
        while not is_ready(port):
            assert server.poll() is None, "the server did not start"
            time.sleep(0.1)
        figures = measure(port, site, config) | {"batch": same_in_batch(port, site, config)}
    finally:
        server.terminate()
        server.wait(60)
    print(json.dumps(figures, indent=1))
    if arguments.write:
        machine.save("added_items", {"k": K, **figures})


if __name__ == "__main__":
    main()
