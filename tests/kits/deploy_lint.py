"""Check the files of deploy/ by the linters and schemas of their own programs: `make deploy-lint`.

Runs in the environment of tests/requirements/deploy.lock: hadolint for the Dockerfile, the compose specification's
JSON schema, Kubernetes' schemas, and, where systemd is installed, systemd-analyze.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
KUBERNETES = ("1.27", "1.33")  # the oldest that the manifests are for, and a recent one


def commands(units: Path) -> list[list[str]]:
    """Return the commands; `units` is a folder with the systemd units, whose programs exist."""
    docker, kubernetes = DEPLOY / "docker", sorted(map(str, (DEPLOY / "kubernetes").glob("*.yaml")))
    found = [
        [str(BIN / "hadolint"), str(docker / "Dockerfile")],
        [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(docker / "compose.yaml")],
    ]
    for version in KUBERNETES:
        found.append([str(BIN / "kubernetes-validate"), "--strict", "--kubernetes-version", version, *kubernetes])
    if shutil.which("systemd-analyze"):
        found.append(["systemd-analyze", "verify", *sorted(map(str, units.iterdir()))])
    else:
        print("systemd units: NOT CHECKED, systemd is not installed")
    return found


def copy_units(target: Path) -> None:
    """Copy the units with /bin/true in place of /opt/wals/.venv/bin/wals, which systemd-analyze looks for."""
    for unit in (DEPLOY / "systemd").iterdir():
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (target / unit.name).write_text(text, encoding="utf-8")


def main() -> int:
    """Run the checks, print the output of those that fail, and return the number of these."""
    with tempfile.TemporaryDirectory() as folder:
        copy_units(Path(folder))
        failed = 0
        for command in commands(Path(folder)):
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            said = (done.stdout + done.stderr).strip()
            bad = done.returncode != 0 or (command[0] == "systemd-analyze" and bool(said))
            print(f"{' '.join(Path(word).name for word in command)}: {'FAILED' if bad else 'ok'}")
            if bad:
                failed += 1
                print(said)
    return failed


if __name__ == "__main__":
    sys.exit(main())
