"""The environments of a clone, which make calls this for: .venv has the jobs, and extras of setup.py if they are named.

    sh deploy/environment.sh [EXTRA ...]                      .venv, with the versions of requirements.lock
    sh deploy/environment.sh --lock FILE --directory .venv-X  the packages of another lock
    sh deploy/environment.sh --packages FILE --directory .venv-X   packages of requirements.lock, and what they need

An environment is made again only if its lock or its Python differs: next to the old one, which a rename replaces once
the new one is complete. Extras are added to an environment that is there. A link is used as it is, never changed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LOCK = "requirements.lock"
STATE = ".ready"
# Gigabytes on the disk, measured with Python 3.13 on Linux; the others' sizes are given by the Makefile.
_JOBS_GB, _ALL_GB = 2.7, 4.3
_WALS = """\
#!/bin/sh
# The command wals of the clone that this environment is in.
bin=$(dirname -- "$(realpath -- "$0")")
PYTHONPATH="$bin/../..${PYTHONPATH:+:$PYTHONPATH}" exec "$bin/python" -m wals "$@"
"""


class SetupError(Exception):
    """A reason, in one line, why an environment cannot be made."""


def main(argv: Sequence[str] | None = None) -> None:
    """Make the environment, or add to it, unless it is ready."""
    parser = argparse.ArgumentParser(prog="environment.sh", description="Make an environment of this clone.")
    parser.add_argument("extras", nargs="*", help="extras of setup.py for .venv; all stands for each of them")
    parser.add_argument("--directory", default=".venv", help="the environment (default: .venv)")
    parser.add_argument("--lock", help="a lock whose packages it has; default: those of setup.py")
    parser.add_argument("--packages", help="a file of names: only these, and what they need, for a part of the program")
    parser.add_argument("--gigabytes", type=float, default=0.0, help="its size, if it is not .venv")
    args = parser.parse_args(argv)
    declared = read_setup(ROOT / "setup.py")
    check_python(declared["python_requires"])
    with _alone():
        wish = Wish(args.lock, args.packages, args.extras, args.gigabytes)
        ensure(ROOT / args.directory, wish, declared)


def read_setup(path: Path) -> dict[str, Any]:
    """Return the arguments of setup.py's call that are literals; setuptools, which would run it, may be missing."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    call = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "setup")
    declared = {}
    for keyword in call.keywords:
        with contextlib.suppress(ValueError):
            declared[str(keyword.arg)] = ast.literal_eval(keyword.value)
    return declared


def check_python(requires: str, version: tuple[int, int] = sys.version_info[:2]) -> None:
    """Raise SetupError unless a Python is of a version that setup.py allows, e.g. >=3.11,<3.14."""
    first, end = (tuple(map(int, bound)) for bound in re.findall(r"(\d+)\.(\d+)", requires))
    if not first <= version < end:
        *others, last = [f"{first[0]}.{minor}" for minor in range(first[1], end[1])]
        known = f"{', '.join(others)} or {last}"
        raise SetupError(f"this is Python {version[0]}.{version[1]}; set PYTHON to a Python {known}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait for another process that makes an environment of this clone, as in make --jobs."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def ensure(directory: Path, wish: Wish, declared: dict[str, Any]) -> None:
    """Make the environment, or add the extras to it, unless it is ready."""
    extras = wish.extras
    if directory.is_symlink():
        print(f"{directory.name} is a link: it is used as it is, and not changed", file=sys.stderr)
        return
    known = read_state(directory)
    if known is None and directory.exists():
        raise SetupError(f"{directory.name} was not made by make; move it away")
    wanted = {
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "lock": hashlib.sha256(b"".join((ROOT / path).read_bytes() for path in wish.files)).hexdigest(),
        "extras": sorted(declared["extras_require"].keys() - {"all"} if "all" in extras else extras),
    }
    same = known is not None and all(known.get(key) == wanted[key] for key in ("python", "lock"))
    before = list(known.get("extras", [])) if known else []
    missing = sorted(set(wanted["extras"]) - set(before))
    if same and not missing:
        return
    wanted["extras"] = sorted({*before, *wanted["extras"]})
    needed = wish.gigabytes or (_ALL_GB if "dev" in wanted["extras"] else _JOBS_GB)
    _check_disk(directory, needed - (_JOBS_GB if same else 0))
    packages = wish.requirements(wanted["extras"], declared)
    if same:
        print(f"adding {', '.join(missing)} to {directory.name} ...", file=sys.stderr)
        with _workspace(directory) as workspace:
            _install(_uv(directory, workspace), directory, packages, workspace)
        _write_state(directory, wanted)
    else:
        _replace(directory, wanted, packages, needed)


class Wish(NamedTuple):
    """The content of an environment: the packages of a lock, or some of those of requirements.lock."""

    lock: str | None = None
    packages: str | None = None  # a file of names, one per line; `--no-deps` after one leaves out what it needs
    extras: Sequence[str] = ()
    gigabytes: float = 0.0  # its size, or 0 for that of .venv

    @property
    def files(self) -> list[str]:
        """Return the files that decide what it has."""
        return [self.lock or LOCK, *([self.packages] if self.packages else [])]

    def requirements(self, extras: Sequence[str], declared: dict[str, Any]) -> list[Requirements]:
        """Return what is installed, in order."""
        if self.lock:
            return [Requirements((ROOT / self.lock).read_text(encoding="utf-8"), [])]
        limits: list[str | Path] = ["--constraint", ROOT / LOCK]
        if not self.packages:
            return [Requirements(direct(extras, declared), limits)]
        lines = (ROOT / self.packages).read_text(encoding="utf-8").splitlines()
        names = [line.split() for line in lines if line and not line.startswith("#")]
        whole, alone = ([name for name, *flags in names if bool(flags) is own] for own in (False, True))
        return [Requirements(locked(whole), limits), Requirements(locked(alone), ["--no-deps"])]


class Requirements(NamedTuple):
    """Lines of a lock, and the flags with which uv installs them."""

    text: str
    flags: list[str | Path]


def read_state(directory: Path) -> dict[str, Any] | None:
    """Return the state of an environment; None if it was not made here, {} if by an earlier release."""
    try:
        text = (directory / STATE).read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        state = json.loads(text)
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _write_state(directory: Path, state: dict[str, Any]) -> None:
    part = directory / f"{STATE}.part"
    part.write_text(json.dumps(state), encoding="utf-8")
    part.replace(directory / STATE)


def direct(extras: Sequence[str], declared: dict[str, Any]) -> str:
    """Return the lines of requirements.lock, with their hashes, for what setup.py itself names."""
    named = [*declared["install_requires"], *(name for extra in extras for name in declared["extras_require"][extra])]
    return locked(named)


def locked(named: Sequence[str]) -> str:
    """Return the lines of requirements.lock, with their hashes, for packages; raise SetupError if it lacks one."""
    wanted = {_normal(name): _extras(name) for name in named}
    lines = blocks((ROOT / LOCK).read_text(encoding="utf-8"))
    if unknown := wanted.keys() - {_normal(line) for line in lines}:
        raise SetupError(f"{LOCK} lacks {', '.join(sorted(unknown))}; run make lock")
    return "".join(line.replace("==", f"{wanted[name]}==", 1) for line in lines if (name := _normal(line)) in wanted)


def blocks(lock: str) -> list[str]:
    """Return the requirements of a lock, each with its marker and its hashes."""
    return re.findall(r"^(?=[A-Za-z0-9])(?:.*\\\n)*.*\n", lock, re.MULTILINE)


def _normal(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def _extras(requirement: str) -> str:
    """Return the extras of a requirement in brackets, which a lock does not repeat."""
    match = re.match(r"[\w.-]+(\[[^]]*\])", requirement)
    return match[1] if match else ""


def _check_disk(directory: Path, gigabytes: float) -> None:
    free = shutil.disk_usage(directory.parent).free / 1e9
    print(f"{directory.name} needs {gigabytes:.1f} GB on the disk; {free:.1f} GB are free", file=sys.stderr)
    if free < gigabytes:
        raise SetupError(f"the disk of {directory.parent} has no room for {directory.name}; make room")


def _replace(directory: Path, state: dict[str, Any], packages: Sequence[Requirements], gigabytes: float) -> None:
    """Make an environment next to the old one, and rename it."""
    about = f"Python {state['python']}, {gigabytes:g} GB"
    started = time.monotonic()
    print(f"setting up {directory.name} ({about}) ...", file=sys.stderr)
    for left in directory.parent.glob(f"{directory.name}.part-*"):  # of a process that was killed
        shutil.rmtree(left)
    with _workspace(directory) as workspace:
        new, old = workspace / "new", workspace / "old"
        uv = _uv(ROOT / ".venv", workspace)
        base = getattr(sys, "_base_executable", None) or sys.executable
        _run([uv, "venv", "--quiet", "--relocatable", "--python", base, "--prompt", "wals", new], workspace)
        _install(uv, new, packages, workspace)
        if any(part.flags for part in packages):  # the program's own packages, not those of another lock
            (new / "bin" / "wals").write_text(_WALS, encoding="utf-8")
            (new / "bin" / "wals").chmod(0o755)
        _write_state(new, state)
        if directory.exists():
            directory.rename(old)
        new.rename(directory)
    print(f"{directory.name} is ready after {time.monotonic() - started:.0f} s", file=sys.stderr)


@contextlib.contextmanager
def _workspace(directory: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix=f"{directory.name}.part-", dir=directory.parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _uv(directory: Path, workspace: Path) -> Path:
    """Return the uv of the lock: that of an environment, or one that pip installs for this, whose hash it checks."""
    (locked,) = [block for block in blocks((ROOT / LOCK).read_text(encoding="utf-8")) if _normal(block) == "uv"]
    uv, version = directory / "bin" / "uv", locked.split()[0].partition("==")[2]
    if uv.is_file():
        done = subprocess.run([uv, "--version"], capture_output=True, text=True)  # noqa: S603 - our own program
        if version in done.stdout.split():
            return uv
    requirement, own = workspace / "uv.lock", workspace / "uv"
    requirement.write_text(locked, encoding="utf-8")
    python = Path(sys.executable)
    where: list[str | Path] = ["--no-deps", "--root-user-action", "ignore", "--target", own]
    if importlib.util.find_spec("pip") is None:
        _run([python, "-m", "venv", own], workspace)  # takes some seconds to unpack a pip
        python, where = own / "bin" / "python", []
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", *where]
    _run([*pip, "--require-hashes", "--requirement", requirement], workspace)
    return own / "bin" / "uv"


def _install(uv: Path, directory: Path, packages: Sequence[Requirements], workspace: Path) -> None:
    """Install packages and what they need, in the versions of the lock; uv shows its progress on a terminal."""
    wanted = workspace / "packages.lock"
    for part in filter(lambda part: part.text, packages):
        wanted.write_text(part.text, encoding="utf-8")
        command: list[str | Path] = [uv, "pip", "install", "--python", directory / "bin" / "python"]
        command += ["--require-hashes", "--requirement", wanted, *([] if sys.stderr.isatty() else ["--quiet"])]
        _run([*command, *part.flags], workspace)


def _run(command: Sequence[str | Path], workspace: Path) -> None:
    # The downloads are kept only where the user keeps them already; they are as large as the environment.
    environment = {"UV_CACHE_DIR": str(workspace / "cache")} | os.environ
    if status := subprocess.run(command, env=environment).returncode:  # noqa: S603 - our own programs, no shell
        raise SetupError(f"{Path(command[0]).name} failed with status {status}, as above; run the command again")


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
