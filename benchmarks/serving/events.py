"""The time from a view to the changed answer, and of each of its parts, with a file and with Redis as store.

    python -m benchmarks.serving.events [--visitors 300] [--users 30000] [--items 5000] [--k 64]

The server runs as users run it, in a process of its own. For one visitor after the other, the benchmark asks for
recommendations, posts a view of the first item, and asks again: the answer must have changed, and must not have the
item. The time from the first byte of the view to the last byte of the changed answer counts. A write and fsync of 4 kB
to the same disk in the same turns is what the disk allows.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from benchmarks.serving.load import make, ready
from benchmarks.support import machine
from serving import publish
from tests.support import redis_server

SEED = 0


def serve(root: Path, store: str) -> tuple[subprocess.Popen, int]:
    """Start the server and return its process and its port."""
    port = redis_server.free_port()
    config = {
        "source": {"kind": "ga4", "preset": "ga4_shop"},
        "events": {"accept": True, "store": store},
        "serving": {"directory": str(root / "served"), "port": port},
    }
    (root / "config.yaml").write_text(json.dumps(config))
    server = subprocess.Popen([sys.executable, "-m", "serving.server", "--config", str(root / "config.yaml")])
    ends = time.monotonic() + 300
    while not is_ready(port):
        assert time.monotonic() < ends and server.poll() is None, "the server did not start"
        time.sleep(0.1)
    return server, port


def is_ready(port: int) -> bool:
    """Return whether the server of a port answers with a version."""
    try:
        return ready(f"http://127.0.0.1:{port}/")
    except OSError:
        return False


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Return the JSON of an answer, which must be 200."""
    headers = {"content-type": "application/json"} if body else {}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return json.loads(text)


def measure(port: int, names: list[bytes], scratch: Path) -> dict[str, float]:
    """Return the figures of one store, in ms: medians and 99th percentiles over visitors."""
    connection, whole, posts, gets, plain, disk = http.client.HTTPConnection("127.0.0.1", port), [], [], [], [], []
    connection.connect()
    for number, name in enumerate(names):
        path = f"/recommendations?visitorId={quote_from_bytes(name, safe='')}&k=10"
        started = time.perf_counter()
        before = ask(connection, "GET", path)
        viewed = before["recommendations"][0]["contentId"]
        event = {"name": "view_item", "params": {"items": [{"item_id": viewed}]}}
        posting = time.perf_counter()
        assert ask(connection, "POST", "/events", {"client_id": name.decode(), "events": [event]})["kept"] == 1
        asking = time.perf_counter()
        after = ask(connection, "GET", path)
        ended = time.perf_counter()
        items = [entry["contentId"] for entry in after["recommendations"]]
        assert after["rule"] == "live" and viewed not in items
        if number >= 20:  # the first requests warm up
            for times, seconds in ((whole, ended - posting), (posts, asking - posting), (gets, ended - asking)):
                times.append(seconds)
            plain.append(posting - started)
            disk.append(_sync(scratch))
    figures = {
        "view_to_answer": whole,
        "post": posts,
        "answer_with_events": gets,
        "answer_before": plain,
        "fsync": disk,
    }
    return {
        f"{name}_{kind}_ms": 1000 * figure
        for name, times in figures.items()
        for kind, figure in (("p50", statistics.median(times)), ("p99", statistics.quantiles(times, n=100)[98]))
    }


def _sync(path: Path) -> float:
    """Return the seconds of a write of 4 kB that the disk confirms."""
    with path.open("ab") as file:
        file.write(bytes(4096))
        file.flush()
        started = time.perf_counter()
        os.fsync(file.fileno())
        return time.perf_counter() - started


def main() -> int:
    """Measure both stores and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("visitors", 300), ("users", 30_000), ("items", 5_000), ("k", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    stores: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        model = make(root, args.users, args.items, args.k)
        manifest = json.loads((model / "manifest.json").read_text())
        manifest["dataset"] |= {"median": 1.0}
        (model / "manifest.json").write_text(json.dumps(manifest))
        publish.publish(str(model), str(root / "served"), "wals")
        ids = (model / "saved_model" / "assets" / "vocab_users").read_bytes().split(b"\n")[: args.visitors + 20]
        with redis_server.running(root) as redis:
            for kind, store in (("file", str(root / "events.sqlite")), ("redis", redis.url)):
                server, port = serve(root, store)
                try:
                    stores[kind] = measure(port, ids, root / "scratch")
                finally:
                    server.terminate()
                    server.wait(60)
    for kind, figures in stores.items():
        print(kind, {name: round(figure, 2) for name, figure in figures.items()})
    sizes = {"visitors": args.visitors, "users": args.users, "items": args.items, "k": args.k, "seed": SEED}
    machine.save("events", sizes | {"load": os.getloadavg()[0], "stores": stores})
    return 0


if __name__ == "__main__":
    sys.exit(main())
