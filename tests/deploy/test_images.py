"""The images and the compose file: what they copy, install and start; `make deploy-lint` checks their syntax, too."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support import dockerfile, imports
from tests.support.documents import ROOT, read

STAGES = dockerfile.stages()
# What starts in a target: of `jobs` and `worker`, the commands of a night and of the tutorial.
STARTS = {
    "jobs": ["pipeline.preprocess", "pipeline.batch_predict", "trainer.task", "trainer.tune", "report.page"],
    "worker": ["pipeline.preprocess", "pipeline.batch_predict", "trainer.task", "nightly.ready"],
    "template": ["deploy.dataflow_template.launch"],
    "trainer": ["trainer.task"],
    "server": ["serving.server"],
}
STARTS["jobs"] += ["serving.server", "serving.publish", "nightly.run", "deploy.vertex.train", "wals.__main__"]
COMPOSE = yaml.safe_load((ROOT / "deploy" / "docker" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]


@pytest.mark.parametrize("name", STARTS)
def test_an_image_has_the_rooms_and_the_packages_of_what_it_starts(name):
    stage = STAGES[name]
    installed, copied = stage.installed(), set(stage.copied())
    for module in STARTS[name]:
        rooms, others = imports.reached(module)
        assert rooms <= copied, module
        needed = {owner: other for other in others for owner in imports.owners(other)}
        missing = {owner for owner in needed if dockerfile.normalized(owner) not in installed}
        assert not missing, f"{module} imports {missing}"


def test_an_image_that_lacks_a_package_is_found():
    stage = dockerfile.Stage("x", "python", [("RUN", "uv pip install --system --constraint a.lock numpy pyyaml")])
    assert stage.installed() == {"numpy", "pyyaml"}
    assert "tfx-bsl" in STAGES["trainer"].installed() and "apache-beam" not in STAGES["trainer"].installed()
    assert {"apache-beam", "optuna", "jinja2", "uvicorn", "fastavro"} <= STAGES["jobs"].installed()
    assert STAGES["server"].installed().isdisjoint({"apache-beam", "optuna", "tensorflow-transform"})


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_what_is_copied_exists_and_is_in_the_context(stage):
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for source in stage.copied():
        assert (ROOT / source).exists() and source.split("/")[0] not in ignored, source


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_a_base_is_a_tag_that_stays_or_a_digest(stage):
    """Google publishes the launcher's under `latest` alone; pin.sh adds its digest."""
    assert (
        stage.base in STAGES or stage.name == "launcher" or re.search(r":\d[\w.-]+(@sha256:[0-9a-f]{64})?$", stage.base)
    )
    beam = re.search(r"^apache-beam.*==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[1]
    assert STAGES["worker"].base.partition("@")[0] == f"apache/beam_python3.11_sdk:{beam}"


@pytest.mark.parametrize("name", ["jobs", "trainer", "server"])
def test_an_image_starts_a_program_that_takes_its_flags_without_being_root(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", STAGES[name].last("USER"))
    assert read(STAGES[name].command()) is None


def test_the_server_answers_where_its_health_is_asked(monkeypatch):
    port = STAGES["server"].last("EXPOSE")
    assert f"http://127.0.0.1:{port}/healthz" in STAGES["server"].last("HEALTHCHECK")
    assert f"http://127.0.0.1:{port}/readyz" in SERVICES["serve"]["healthcheck"]["test"][-1]
    assert SERVICES["serve"]["ports"] == [f"127.0.0.1:{port}:{port}"], "from this machine alone"


def test_each_target_that_a_page_builds_exists():
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", dockerfile.DOCKERFILE]
    named = {name for page in pages for name in re.findall(r"--target (\w+)", page.read_text(encoding="utf-8"))}
    assert named == STARTS.keys()


def test_pin_adds_the_digest_that_each_tag_has_now(tmp_path):
    """A stand-in for docker returns another digest for each image; a second run replaces the first one's."""
    copy, program = tmp_path / "Dockerfile", tmp_path / "docker"
    copy.write_text(dockerfile.DOCKERFILE.read_text(encoding="utf-8"), encoding="utf-8")
    program.write_text(
        '#!/bin/sh\n[ "$1 $2 $3" = "buildx imagetools inspect" ] || exit 9\n'
        'echo "sha256:$(echo "$4$N" | sha256sum | cut -c1-64)"\n'
    )
    program.chmod(0o755)
    pinned = []
    for number in "12":
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "N": number}
        subprocess.run(["sh", ROOT / "deploy/docker/pin.sh", copy], env=environment, check=True, capture_output=True)
        pinned.append(dockerfile.stages(copy))
    for name in ("jobs", "worker", "launcher", "trainer", "server"):
        first, second = pinned[0][name].base, pinned[1][name].base
        assert re.fullmatch(re.escape(STAGES[name].base) + "@sha256:[0-9a-f]{64}", first) and first != second
        assert second.partition("@")[0] == STAGES[name].base and second.count("@") == 1
    assert pinned[1]["jobs"].instructions == STAGES["jobs"].instructions


def test_pin_stops_at_an_image_that_cannot_be_found(tmp_path):
    copy, program = tmp_path / "Dockerfile", tmp_path / "docker"
    copy.write_text(dockerfile.DOCKERFILE.read_text(encoding="utf-8"), encoding="utf-8")
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    command = ["sh", ROOT / "deploy/docker/pin.sh", copy]
    assert subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True).returncode == 1
    assert copy.read_text(encoding="utf-8") == dockerfile.DOCKERFILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_a_command_of_its_image_as_its_user(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    service = SERVICES[name]
    stage = STAGES[service["build"]["target"]]
    context = Path(ROOT / "deploy" / "docker" / service["build"]["context"]).resolve()
    assert context == ROOT and (context / service["build"]["dockerfile"]).is_file()
    assert service["image"] == f"wals/{stage.name}:{_version()}"
    assert read([*stage.command()[: -len(stage.last("CMD").split(","))], *service["command"]]) is None
    assert service["user"] == stage.last("USER") and service["cap_drop"] == ["ALL"] and service["read_only"]
    (volume,) = service["volumes"]
    assert volume.split(":")[:2] == ["data", "/app/data"] and "data" in COMPOSE["volumes"]


def _version() -> str:
    import configs

    return configs.__version__


def test_the_services_run_in_the_order_of_the_data():
    """Each starts once those that it reads from have succeeded."""
    needs = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    assert {state["condition"] for need in needs.values() for state in need.values()} == {
        "service_completed_successfully"
    }
    done: list[str] = []
    while len(done) < len(needs):
        ready = [name for name in needs if name not in done and needs[name].keys() <= set(done)]
        assert ready, "a circle"
        done += ready
    assert done == ["sample", "preprocess", "train", "evaluate", "predict", "publish", "serve"]
