"""The systemd units and Kubernetes manifests: they start commands that exist, as a user, and ask the right addresses.

`make deploy-lint` checks them against the schemas of systemd and Kubernetes.
"""

from __future__ import annotations

import configparser
import re
import shlex

import pytest
import yaml

import configs
from configs.settings import ServingSettings
from nightly.steps.process import GRACE_SECONDS
from tests.support import dockerfile
from tests.support.documents import ROOT, read

UNITS = {path.name: path for path in sorted((ROOT / "deploy" / "systemd").iterdir())}
MANIFESTS = {
    (document["kind"], document["metadata"]["name"]): document
    for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
}
SERVER = MANIFESTS["Deployment", "wals-server"]["spec"]["template"]["spec"]
NIGHT = MANIFESTS["CronJob", "wals-night"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
STAGES = dockerfile.stages()


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str
    parser.read_string(UNITS[name].read_text(encoding="utf-8"))
    return parser


@pytest.mark.parametrize("name", ["wals-server.service", "wals-night.service"])
def test_a_unit_starts_a_command_of_a_clone(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    service = unit(name)["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert program == f"{service['WorkingDirectory']}/.venv/bin/wals"
    local = [re.sub(r"^/etc/wals/\w+\.yaml$", "configs/local.yaml", word) for word in words]
    assert local != words and read(["wals", *local]) is None
    assert service["User"] == "wals" and service["NoNewPrivileges"] == "true" and not service["CapabilityBoundingSet"]


def test_a_unit_waits_as_long_as_its_command_needs_to_end():
    assert int(unit("wals-server.service")["Service"]["TimeoutStopSec"]) > ServingSettings().timeout_seconds + 1
    assert int(unit("wals-night.service")["Service"]["TimeoutStopSec"]) > GRACE_SECONDS
    assert unit("wals-night.timer")["Timer"]["OnCalendar"].endswith("UTC"), "as the dates of the nights"


@pytest.mark.parametrize(("pod", "stage"), [(SERVER, "server"), (NIGHT, "jobs")])
def test_a_container_runs_a_command_of_its_image_as_its_user(pod, stage, monkeypatch):
    monkeypatch.chdir(ROOT)
    (container,) = pod["containers"]
    assert container["image"].endswith(f"/{stage}:{configs.__version__}")
    entry = STAGES[stage].command()[: -len(STAGES[stage].last("CMD").split(","))]
    words = [word.replace("gs://BUCKET/wals/nightly.yaml", "configs/nightly.yaml") for word in container["args"]]
    assert read([*entry, *words]) is None
    user = pod["securityContext"]
    assert f"{user['runAsUser']}:{user['runAsGroup']}" == STAGES[stage].last("USER") and user["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    account = MANIFESTS["ServiceAccount", pod["serviceAccountName"]]
    assert account["metadata"]["annotations"]["iam.gke.io/gcp-service-account"].endswith(
        "@PROJECT.iam.gserviceaccount.com"
    )


def test_the_probes_ask_what_the_server_answers():
    """Alive while the process runs; ready, and so in the Service, only with a version."""
    (container,) = SERVER["containers"]
    (port,) = container["ports"]
    assert str(port["containerPort"]) == STAGES["server"].last("EXPOSE")
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    assert {container[name]["httpGet"]["port"] for name in paths} == {port["name"]}
    source = (ROOT / "serving" / "http" / "app.py").read_text(encoding="utf-8")
    assert all(f'"{path}"' in source for path in paths.values())


def test_a_pod_ends_its_requests_before_it_is_killed():
    (container,) = SERVER["containers"]
    pause = int(re.search(r"sleep\((\d+)\)", container["lifecycle"]["preStop"]["exec"]["command"][-1])[1])
    assert SERVER["terminationGracePeriodSeconds"] > pause + ServingSettings().timeout_seconds + 1


def test_the_service_and_the_budget_select_the_pods():
    labels = MANIFESTS["Deployment", "wals-server"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["Service", "wals-server"]["spec"]["selector"] == labels
    budget = MANIFESTS["PodDisruptionBudget", "wals-server"]["spec"]
    assert budget["selector"]["matchLabels"] == labels
    assert budget["minAvailable"] < MANIFESTS["Deployment", "wals-server"]["spec"]["replicas"], (
        "or no node can be drained"
    )
