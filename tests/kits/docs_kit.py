"""Runs the commands that README and docs print, as they stand, in a copy of the tree: make docs-test.

    python -m tests.kits.docs_kit --pages README.md docs/tutorial.md

Pages are run one after the other in one copy, after `make run`; what a block marks (`needs:`, `long:`) is left out, and
a server is stopped at the end of its page. Exit status 1 if a command fails, or if it does not print a line that the
page shows below it; the output of a command that fails is shown.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support import documents
from tests.support.documents import ROOT, Block

# First what others build on; the rest in the order of their names.
FIRST = ("docs/tutorial.md", "README.md", "docs/ga4.md", "docs/evaluation.md")
PORT = 8501  # of every server that a page starts, and that its next commands ask


def copy(target: Path) -> None:
    """Copy the files that git has or would take, and link the environment."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to((ROOT / ".venv").resolve())
    program = target / ".bin" / "wals"  # that of .venv would run the tree that .venv is in
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nexec python -m wals "$@"\n')
    program.chmod(0o755)


def environment(tree: Path) -> dict[str, str]:
    """Return the environment of a shell in which .venv is activated."""
    path = f"{tree / '.bin'}{os.pathsep}{tree / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {
        "PATH": path,
        "VIRTUAL_ENV": str(tree / ".venv"),
        "COLUMNS": "160",  # the longest verdict in one line
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


class Done(NamedTuple):
    """A block that was run: what is wrong with it, or null, and all that it printed."""

    wrong: str | None
    printed: str


def run(block: Block, tree: Path, before: str = "") -> Done:
    """Run a block by bash.

    Args:
        before: what an earlier run of the block printed, which made a file that this run finds.
    """
    shell = ["bash", "-euo", "pipefail", "-c", block.text]
    done = subprocess.run(shell, cwd=tree, env=environment(tree), capture_output=True, text=True, check=False)
    printed = f"{before}{done.stdout}{done.stderr}"
    if done.returncode:
        return Done(f"exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}", printed)
    missing = documents.not_printed(block.output, printed)
    return Done("\n".join(["not in the output:", *missing]) if missing else None, printed)


def port_is_taken(port: int) -> bool:
    """Return True if another server listens on the port of the pages' servers: it would answer in their place."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serve(block: Block, tree: Path) -> subprocess.Popen:
    """Start a server, and wait until it answers."""
    shell = ["bash", "-euo", "pipefail", "-c", block.text]
    process = subprocess.Popen(
        shell,
        cwd=tree,
        env=environment(tree),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    for _ in range(120):
        ready = ["curl", "-sf", f"http://127.0.0.1:{PORT}/readyz"]
        if subprocess.run(ready, capture_output=True, check=False).returncode == 0 or process.poll() is not None:
            break
        time.sleep(1)
    return process


def run_page(page: Path, tree: Path, sample_run: str) -> list[str]:
    """Run a page's blocks; return what failed, one line per block.

    Args:
        sample_run: what `make run` printed when it made the sample.
    """
    failed, servers = [], []
    try:
        for block in documents.blocks(page):
            started = time.monotonic()
            if block.kind == "server":
                servers.append(serve(block, tree))
                wrong = None if servers[-1].poll() is None else "the server did not come up"
            else:
                before = sample_run if block.text.startswith("make run\n") else ""
                wrong = run(block, tree, before).wrong if block.kind == "run" else None
            said = f"left out: {block.why}" if block.why else f"{time.monotonic() - started:.0f} s"
            print(f"{'FAILED' if wrong else 'ok':6} {block}  {said}", flush=True)
            if wrong:
                print(wrong, flush=True)
                failed.append(str(block))
    finally:
        for process in servers:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pages; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.kits.docs_kit", description=__doc__.splitlines()[0])
    parser.add_argument("--pages", nargs="+", metavar="PAGE", help="these alone, e.g. docs/tutorial.md")
    parser.add_argument("--port", type=int, default=PORT, help="the port that must be free (default: %(default)s)")
    args = parser.parse_args(arguments)
    names = [str(page.relative_to(ROOT)) for page in documents.pages()]
    chosen = args.pages or sorted(names, key=lambda name: (FIRST + (name,)).index(name))
    serves = any(block.kind == "server" for name in chosen for block in documents.blocks(ROOT / name))
    if serves and port_is_taken(args.port):
        print(
            f"the port of the pages' servers, {args.port}, is taken; stop the program that listens on it, and run again"
        )
        return 1
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy(tree)
        prepared = run(Block(ROOT / "README.md", 0, "make run\n", "run"), tree)
        if prepared.wrong:
            print(f"make run: {prepared.wrong}")
            return 1
        for name in chosen:
            failed += run_page(ROOT / name, tree, prepared.printed)
    print(f"failed: {', '.join(failed)}" if failed else "every command works as printed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
