"""The server under load on loopback, while versions of the model roll over: requests a second, p50, p99, errors.

    python -m benchmarks.serving.load [--seconds 60] [--connections 32] [--versions 3] [--api get|predict] [--events 10]
    python -m benchmarks.serving.load --model_dir data/model

The model is a made one (--users 30000 --items 5000 --k 64, seed 0, 10 items a visitor on average), or one that
training wrote. The server runs as users run it, in a process of its own; wrk (Debian has it) asks it for 10
recommendations of one visitor after the other from one thread, on the same machine. With --events, so many of 100
requests are views of an item in place of a question.
Ends with 1 where any request failed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np

from artifacts.manifests import ModelManifest
from artifacts.paths import Dataset, Model
from benchmarks.prediction import job
from benchmarks.support import machine
from configs.cli import import_tensorflow
from configs.settings import ColdStartSettings

SEED, VISITORS, K = 0, 20_000, 10
_WORKER_BYTES = 100 << 20  # what starts the workers has less


def make(root: Path, users: int, items: int, k: int) -> Path:
    """Write a model directory with an untrained SavedModel; its dataset is next to it."""
    import_tensorflow()
    from artifacts import checksums, factor_tables
    from trainer.als import wals
    from trainer.inputs.dataset_rows import RowFiles, read_info
    from trainer.saved_model import export

    job.make(root, users, items, k)
    dataset, model = Dataset(str(root / "dataset")), Model(str(root / "model"))
    blocks = RowFiles(read_info(dataset.root).shards(dataset.items_for_user), users, items).load()
    sides = []
    for factors, size in ((model.user_factors, users), (model.item_factors, items)):
        table = factor_tables.read_table(factors)
        sides.append(wals.Side(table, np.zeros(size, np.int64), np.ones(size, np.float32), size))
    objective = wals.Objective(0.1, 2.0, 0.0)
    export.save(model.saved_model, dataset, sides[0], sides[1], blocks, objective, ColdStartSettings())
    manifest = ModelManifest.read(model.manifest)
    manifest.files = checksums.describe_all(model.root)
    manifest.write(model.manifest)
    return root / "model"


def write_requests(model: Path, path: Path, api: str, events: int) -> None:
    """Write one address or body per line, for visitors in random order; `events` of 100 are views."""
    items = (model / "saved_model" / "assets" / "vocab_items").read_bytes().split(b"\n")[:-1]
    chance = random.Random(SEED + 1)
    ids = (model / "saved_model" / "assets" / "vocab_users").read_bytes().split(b"\n")[:-1]
    random.Random(SEED).shuffle(ids)
    with open(path, "w") as file:
        for name in ids[:VISITORS]:
            if chance.random() < events / 100:
                item = chance.choice(items).decode("utf-8", "replace")
                event = {"name": "view_item", "params": {"items": [{"item_id": item}]}}
                file.write(json.dumps({"client_id": name.decode("utf-8", "replace"), "events": [event]}) + "\n")
            elif api == "get":
                file.write(f"/recommendations?visitorId={quote_from_bytes(name, safe='')}&k={K}\n")
            else:
                inputs = {"visitorId": [name.decode("utf-8", "replace")], "k": K}
                file.write(json.dumps({"signature_name": "recommend", "inputs": inputs}) + "\n")


def get(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - loopback
        return answer.read().decode()


def ready(url: str) -> bool:
    try:
        return bool(get(url + "readyz"))
    except urllib.error.HTTPError:
        return False


def loaded(url: str, wanted: int) -> int:
    """Return how many versions all workers have loaded, once they are as many as wanted or after ten seconds."""
    loads, ends = 0, time.monotonic() + 10
    while loads < wanted and time.monotonic() < ends:
        line = next(line for line in get(url + "metrics").splitlines() if line.startswith("wals_model_loads_total "))
        loads = int(float(line.split()[1]))
        time.sleep(0.2)
    return loads


def publish(model: Path, config: Path, number: int) -> None:
    command = [sys.executable, "-m", "serving.publish", "--config", str(config), "--model_dir", str(model)]
    subprocess.run([*command, "--version", str(number)], check=True, capture_output=True)


def measure(args: argparse.Namespace, model: Path, root: Path) -> dict:
    """Run wrk once: its figures, the versions that the server loaded, and its memory with each of them."""
    config, requests = root / "config.yaml", root / "requests"
    sections = {"serving": {"directory": str(root / "served"), "port": 0, "workers": args.workers}}
    if args.events:
        sections["source"] = {"kind": "ga4", "preset": "ga4_shop"}
        sections["events"] = {"accept": True, "store": str(root / "events.sqlite")}
    config.write_text(json.dumps(sections))
    write_requests(model, requests, args.api, args.events)
    publish(model, config, 1)
    more = [text for value in args.more for text in ("--set", value)]
    command = [sys.executable, "-m", "serving.server", "--config", str(config), *more]
    with (
        open(root / "log", "w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        try:
            url = (server.stdout.readline().split(" on ") + [""])[1].strip()
            while not ready(url):
                time.sleep(0.1)
            script = Path(__file__).with_suffix(".lua")
            wrk = ["wrk", "-t1", f"-c{args.connections}", f"-d{args.seconds}s", "--timeout", "10s", "-s", script, url]
            with subprocess.Popen([*wrk, "--", requests, args.api], stdout=subprocess.PIPE, text=True) as load:
                resident, started = [], time.monotonic()
                for number in range(2, args.versions + 2):
                    due = started + args.seconds * (number - 1) / (args.versions + 1)
                    time.sleep(max(0.0, due - time.monotonic()))
                    resident.append(machine.proportional_of_tree(server.pid))
                    publish(model, config, number)
                    while json.loads(get(url + "readyz"))["version"] != number and load.poll() is None:
                        time.sleep(0.2)  # the next one would take its place
                said = load.communicate(timeout=args.seconds + 30)[0]
            loads = loaded(url, args.workers * (args.versions + 1))
            resident.append(machine.proportional_of_tree(server.pid))
            processes = [process for process in machine.memory_of_tree(server.pid) if process["Rss"] > _WORKER_BYTES]
        finally:
            server.terminate()
    found = json.loads(said.strip().splitlines()[-1])
    kinds = {"Rss": "resident", "Pss": "proportional", "Private_Dirty": "own"}
    workers = [{name: round(process[kind] / 2**20) for kind, name in kinds.items()} for process in processes]
    versions = {"loads": loads, "taken_over": loads // args.workers - 1}
    return found | versions | {"resident_mb": [round(size / 2**20) for size in resident], "workers_mb": workers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, help="of a trained model (default: a made one)")
    parser.add_argument("--events", type=int, default=0, metavar="PERCENT", help="of the requests that are views")
    parser.add_argument("--api", choices=["get", "predict"], default="get")
    sizes = {"seconds": 60, "connections": 32, "versions": 3, "users": 30_000, "items": 5_000, "k": 64}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--workers", type=int, default=1, help="of the server (default: 1)")
    parser.add_argument("--set", dest="more", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("this needs wrk: apt-get install wrk")
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        model = args.model_dir or make(Path(folder), args.users, args.items, args.k)
        manifest = ModelManifest.read(str(model / "manifest.json"))
        users, items = manifest.users, manifest.items
        print(
            f"{users:,} visitors, {items:,} items; {args.connections} connections, {args.seconds} s, {args.api}; "
            f"{args.versions} versions roll over"
        )
        found = measure(args, model, Path(folder))
    errors = sum(found["errors"].values())
    rate = found["requests"] / found["seconds"]
    print(
        f"{rate:,.0f} requests/s; p50 {found['p50_ms']:.1f} ms, p90 {found['p90_ms']:.1f}, p99 {found['p99_ms']:.1f}, "
        f"p99.9 {found['p999_ms']:.1f}, most {found['max_ms']:.0f}; {errors} errors of {found['requests']:,}; "
        f"{found['taken_over']} versions taken over; server, MB with each "
        f"version: {', '.join(map(str, found['resident_mb']))}"
    )
    for worker in found["workers_mb"]:
        print(f"a worker: {worker['resident']} MB, {worker['proportional']} by shares, {worker['own']} of its own")
    _, bandwidth = machine.limits()
    read_ms = 1000 * 4 * items * args.k / bandwidth
    print(f"one read of the items' table at the measured {bandwidth / 1e9:.1f} GB/s: {read_ms:.1f} ms")
    about = {"seed": SEED, "users": users, "items": items, "k": args.k, "versions": args.versions, "rate": round(rate)}
    about |= {"events_percent": args.events, "bandwidth_bytes": bandwidth, "table_read_ms": read_ms}
    figures = about | found | {"errors": errors}
    size = ("" if items == sizes["items"] else f"_{items}") + f"_workers{args.workers}" * (args.workers > 1)
    machine.save(f"serve_load_{args.api}_{args.seconds}{size}{'_mixed' if args.events else ''}", figures)
    if errors or found["taken_over"] != args.versions:
        sys.exit(f"not without errors, or not all versions were taken over: {found}")


if __name__ == "__main__":
    main()
