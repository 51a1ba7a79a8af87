"""docs/vertex-pipeline.md: the job of Cloud Run is one that its program and Cloud Run take, and its costs add up."""

from __future__ import annotations

import re

import pytest

import configs
from tests.support import documents
from tests.support.documents import ROOT, read

PAGE = ROOT / "docs" / "vertex-pipeline.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = [words for block in documents.blocks(PAGE) for words in block.commands() if words[0] == "gcloud"]
# GiB by vCPU: cloud.google.com/run/docs/configuring/jobs/cpu.
MEMORY = {1: (0.125, 4), 2: (0.125, 8), 4: (2, 16), 6: (4, 24), 8: (4, 32)}
# $ per vCPU-second and per GiB-second, with the seconds of a month that are free.
CPU, GIB = (0.000018, 240_000), (0.000002, 450_000)


def flags(*start: str) -> dict[str, str]:
    """Return the flags of the command that begins with these words, and whose flags are `--name=value`."""
    words = next(words for words in COMMANDS if words[: len(start)] == list(start))
    return dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--") and "=" in word)


@pytest.mark.parametrize("words", [words for words in COMMANDS if any("--args=" in word for word in words)], ids=len)
def test_the_arguments_of_the_container_are_those_of_a_command(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    (arguments,) = [word.removeprefix("--args=") for word in words if word.startswith("--args=")]
    local = arguments.replace("gs://BUCKET/wals/nightly.yaml", "configs/nightly.yaml")
    assert local != arguments and read(["wals", *local.split(",")]) is None


def test_the_job_has_a_size_that_cloud_run_has():
    job = flags("gcloud", "run", "jobs", "create")
    sizes = [(int(job["cpu"]), job["memory"])] + [
        (int(cpu), memory) for cpu, memory in re.findall(r"`--cpu=(\d) --memory=(\d+Gi)`", TEXT)
    ]
    assert len(sizes) == 2
    for cpu, memory in sizes:
        low, high = MEMORY[cpu]
        assert low <= int(memory.removesuffix("Gi")) <= high
    assert job["image"].endswith(f"/jobs:{configs.__version__}") and job["max-retries"] == "0"


def test_the_schedule_starts_that_job_as_an_account_that_may():
    schedule = flags("gcloud", "scheduler", "jobs", "create", "http")
    binding = flags("gcloud", "run", "jobs", "add-iam-policy-binding")
    assert schedule["uri"].endswith("/v2/projects/PROJECT/locations/REGION/jobs/wals-night:run")
    assert binding["member"] == f"serviceAccount:{schedule['oauth-service-account-email']}"
    assert binding["role"] == "roles/run.invoker" and schedule["time-zone"] == "Etc/UTC"


def cost(cpu: int, gib: int, seconds: float) -> tuple[float, float]:
    """Return $ per month of 30 nights, without and with the free tier."""
    used = [(30 * seconds * cpu, *CPU), (30 * seconds * gib, *GIB)]
    return sum(amount * price for amount, price, _ in used), sum(
        max(0.0, amount - free) * price for amount, price, free in used
    )


def test_the_costs_are_the_quantities_times_the_prices():
    for text, size in {"the steps submit": (2, 8, 5400), "all in the container": (8, 32, 1800)}.items():
        (row,) = re.findall(rf"^\| Cloud Run, {text} .*", TEXT, re.MULTILINE)
        shown = tuple(map(float, re.findall(r"(\d+\.\d\d) \$", row.strip("| ").split("|")[-1])))
        assert shown == pytest.approx(cost(*size), abs=0.005)
    assert f"{30 * (0.03 + 1.5 * 0.154):.2f} $" in TEXT
    assert f"32 GiB costs {cost(8, 32, 600)[1]:.2f} $" in re.sub(r"\s+", " ", TEXT)
