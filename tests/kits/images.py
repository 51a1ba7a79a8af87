"""Build the images with buildah and run the compose file's commands in them: `make images-test`.

For a machine without Docker and without a registry of images: Debian of the same release with the same Python, from
Debian's packages, takes the place of python:3.11-slim-bookworm. Needs root, and Debian's buildah and debootstrap.

    python -m tests.kits.images                  jobs and server, then sample to serve
    python -m tests.kits.images --targets trainer --only_build
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
BASE = "localhost/wals-base"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")  # the machine's own, also of a proxy that it is behind
PACKAGES = "python3.11,python3.11-venv,python3-pip,ca-certificates"
USER = 10001
_BASE = f"""\
FROM scratch
ADD tree /
ENV PIP_CERT={CERTIFICATES} SSL_CERT_FILE={CERTIFICATES}
RUN ln -s /usr/bin/python3.11 /usr/local/bin/python && rm -f /usr/lib/python3.11/EXTERNALLY-MANAGED
"""


def main(argv: list[str] | None = None) -> int:
    """Build, run, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.kits.images", description=__doc__.partition("\n")[0])
    parser.add_argument("--targets", nargs="+", default=["jobs", "server"], help="targets of the Dockerfile")
    parser.add_argument("--directory", default="data/engines/images", help="where images and the volume are kept")
    parser.add_argument("--only_build", action="store_true", help="do not run the compose file's commands")
    args = parser.parse_args(argv)
    missing = [name for name in ("buildah", "debootstrap") if not shutil.which(name)]
    if missing or os.geteuid():
        print(f"error: as root, with Debian's {' and '.join(missing or ['buildah'])}", file=sys.stderr)
        return 2
    buildah = Buildah(Path(args.directory).absolute())
    buildah.make_base()
    for target in args.targets:
        buildah.build(target)
    if not args.only_build:
        run_services(buildah, yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"])
    return 0


class Buildah:
    """Images and containers below a directory."""

    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def command(self, *words: str) -> list[str]:
        return ["buildah", "--root", f"{self.directory}/store", "--runroot", f"{self.directory}/run", *words]

    def call(self, *words: str) -> str:
        """Run a command of buildah and return what it prints."""
        environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
        return subprocess.run(
            self.command(*words), env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    def make_base(self) -> None:
        """Make the base image, unless it is there."""
        if self.call("images", "--quiet", "--filter", f"reference={BASE}"):
            return
        tree = self.directory / "tree"
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", tree], check=True)
        shutil.copy(CERTIFICATES, f"{tree}{CERTIFICATES}")
        recipe = self.directory / "Dockerfile"
        recipe.write_text(_BASE, encoding="utf-8")
        self.call("bud", "--layers=false", "--file", str(recipe), "--tag", BASE, str(self.directory))
        shutil.rmtree(tree)

    def build(self, target: str) -> None:
        """Build a target of the Dockerfile on that base."""
        started = time.monotonic()
        words = ["--layers=false", "--build-arg", f"PYTHON_IMAGE={BASE}", "--file", str(DOCKER / "Dockerfile")]
        self.call("bud", *words, "--target", target, "--tag", f"localhost/wals-{target}", str(ROOT))
        print(f"{target}: built in {time.monotonic() - started:.0f} s", flush=True)

    def start(self, target: str, words: list[str], volume: Path) -> subprocess.Popen:
        """Start the program of an image with other arguments; the volume is its /app/data."""
        container = self.call("from", f"localhost/wals-{target}")
        config = json.loads(self.call("inspect", container))["OCIv1"]["config"]
        command = [*config["Entrypoint"], *words]
        run = self.command("run", "--volume", f"{volume}:/app/data", container, "--", *command)
        environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
        return subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)


def run_services(buildah: Buildah, services: dict[str, dict[str, Any]]) -> None:
    """Run the jobs one after the other, then ask the server for a visitor's recommendations."""
    volume = buildah.directory / "volume"
    shutil.rmtree(volume, ignore_errors=True)
    volume.mkdir()
    os.chown(volume, USER, USER)
    for name, service in services.items():
        if name != "serve":
            started = time.monotonic()
            process = buildah.start(service["build"]["target"], service["command"], volume)
            said, _ = process.communicate()
            if process.returncode:
                raise SystemExit(f"{name} ended with status {process.returncode}:\n{said}")
            print(f"{name}: done in {time.monotonic() - started:.0f} s", flush=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    process = buildah.start("server", [*services["serve"]["command"], "--port", port], volume)
    try:
        print(f"serve: {recommendations(process, f'http://127.0.0.1:{port}', volume)}")
    finally:
        os.killpg(process.pid, signal.SIGTERM)


def recommendations(server: subprocess.Popen, url: str, volume: Path) -> str:
    """Wait for the server, and return its answer for the first visitor."""
    next(line for line in server.stdout if line.startswith("serving"))
    deadline = time.monotonic() + 300
    while True:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=10).close()  # noqa: S310 - loopback
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
    visitor = (volume / "serving/wals/1/assets/vocab_users").read_bytes().split(b"\n")[0].decode()
    with urllib.request.urlopen(f"{url}/recommendations?visitorId={visitor}&k=3", timeout=60) as answer:  # noqa: S310
        found = json.load(answer)["recommendations"]
    assert len(found) == 3, found
    return f"{len(found)} items for a visitor"


if __name__ == "__main__":
    sys.exit(main())
