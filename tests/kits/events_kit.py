"""Kill the server, and Redis, at random moments while clients send events; no acknowledged event may be lost.

python -m tests.kits.events_kit [--kills N] [--seed N]

Each client notes what was acknowledged. Every item is named after the visitor who views it. After the last kill, each
acknowledged view must be in the store, in its visitor's views, and no visitor may have a view of another.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from configs.settings import EventSettings
from serving import publish
from serving.events.live import opened_store
from tests.support import redis_server
from tests.support.served import write_model

CLIENTS, VIEWS_PER_VISITOR = 8, 20


class Server:
    """The command `wals serve`, started again after each kill on the same port."""

    def __init__(self, root: Path, store: str, workers: int):
        events = {"accept": True, "store": store, "max_per_visitor": 1000}
        serving = {"directory": str(root / "served"), "port": redis_server.free_port(), "workers": workers}
        config = {"source": {"kind": "ga4", "preset": "ga4_shop"}, "events": events, "serving": serving}
        self.url, self._config = f"http://127.0.0.1:{serving['port']}", root / "config.yaml"
        self._config.write_text(json.dumps(config))
        self._log = (root / "log").open("ab")

    def start(self) -> None:
        command = [sys.executable, "-m", "serving.server", "--config", str(self._config)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, start_new_session=True)
        ends = time.monotonic() + 120
        while not self._ready():
            assert time.monotonic() < ends and self._process.poll() is None, "the server did not start"
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill all of its processes."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def _ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=1) as answer:  # noqa: S310
            return answer.status == 200
        return False


class Client(threading.Thread):
    """Sends views one after the other, and notes which were acknowledged."""

    def __init__(self, number: int, url: str, stop: threading.Event):
        super().__init__(name=f"client-{number}")
        self._number, self._url, self._stop_event = number, url, stop
        self.acknowledged: list[tuple[str, str]] = []
        self.refused = self.sent = 0

    def run(self) -> None:
        while not self._stop_event.is_set():
            visitor = f"{self._number}-{self.sent // VIEWS_PER_VISITOR}"
            item = f"{visitor}/{self.sent}"
            self.sent += 1
            if self._post(visitor, item):
                self.acknowledged.append((visitor, item))
            else:
                self.refused += 1
                time.sleep(0.05)

    def _post(self, visitor: str, item: str) -> bool:
        event = {"name": "view_item", "params": {"items": [{"item_id": item}]}}
        body = json.dumps({"client_id": visitor, "events": [event]}).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self._url}/events", body, headers)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return json.load(answer)["kept"] == 1
        except (OSError, ValueError):  # killed, or 503
            return False


def run(root: Path, store: str, kills: int, rng: random.Random, redis: redis_server.RedisServer | None) -> bool:
    """Kill and start again, compare, print a line, and return whether nothing was lost or mixed."""
    server, stop = Server(root, store, workers=1 if redis else 2), threading.Event()
    server.start()
    clients = [Client(number, server.url, stop) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for number in range(kills):
        time.sleep(rng.uniform(0.2, 2))
        if redis and number % 2:
            redis.kill()
            redis.start()
        else:
            server.kill()
            server.start()
    time.sleep(1)
    stop.set()
    for client in clients:
        client.join()
    server.kill()
    kept = asyncio.run(_views(store, {visitor for client in clients for visitor, _ in client.acknowledged}))
    acknowledged = [pair for client in clients for pair in client.acknowledged]
    lost = sum(item not in kept[visitor] for visitor, item in acknowledged)
    mixed = sum(item.partition("/")[0] != visitor for visitor, items in kept.items() for item in items)
    sent, refused = (sum(getattr(client, name) for client in clients) for name in ("sent", "refused"))
    kind = "redis" if redis else "file"
    print(f"{kind}: {kills} kills, {sent} views sent, {len(acknowledged)} acknowledged, {refused} not;", end=" ")
    print(f"{len(kept)} visitors; {lost} lost, {mixed} of another visitor", flush=True)
    return len(acknowledged) > 100 * kills // 10 and not lost and not mixed


async def _views(store: str, visitors: set[str]) -> dict[str, set[str]]:
    opened = opened_store(EventSettings(store=store, timeout_seconds=30))
    try:
        return {name: {view.item.decode() for view in await opened.of(name.encode(), 0)} for name in visitors}
    finally:
        await opened.close()


def main() -> int:
    """Run with a file, then with Redis, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng, sound = random.Random(args.seed), []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        publish.publish(str(write_model(root, 1_000, 160)), str(root / "served"), "wals")
        sound.append(run(root, str(root / "events.sqlite"), args.kills, rng, None))
        if redis_server.PROGRAM is None:
            print("redis: not tried; no redis-server, make system installs it")
        else:
            with redis_server.running(root) as redis:
                sound.append(run(root, redis.url, args.kills, rng, redis))
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
