"""Versions on disk: published whole, refused if incomplete, and loaded without losing a request."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import httpx
import pytest
import tensorflow as tf

from artifacts.names import SERVED_ITEMS
from configs.errors import UserError
from serving import publish
from serving.models import versions
from serving.models.model import Model, free_tables
from tests.support import forkserver
from tests.support.served import predict, running, settings, wait, write_small_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [write_small_model(root / str(n), n) for n in (1, 2, 3)]


def state(client: httpx.Client, number: int) -> tuple[str, str]:
    answer = client.get(f"/v1/models/wals/versions/{number}")
    if answer.status_code != 200:
        return "", ""
    (version,) = answer.json()["model_version_status"]
    return version["state"], version["status"]["error_message"]


def served(client: httpx.Client) -> int | None:
    return client.get("/readyz").json().get("version")


def test_publishing_copies_whole_and_numbers_versions(models, tmp_path):
    directory = str(tmp_path / "served")
    assert publish.publish(str(models[0]), directory, "wals") == (1, True)
    assert publish.publish(str(models[0]), directory, "wals") == (1, False)
    assert publish.publish(str(models[1]), directory, "wals", 20240131) == (20240131, True)
    assert publish.publish(str(models[0]), directory, "wals") == (20240132, True)
    assert {path.name for path in (tmp_path / "served" / "wals").iterdir()} == {"1", "20240131", "20240132"}
    manifest = versions.check(f"{directory}/wals/1")
    assert manifest.users == 60 and "saved_model.pb" in manifest.files
    with pytest.raises(UserError, match="exists already"):
        publish.publish(str(models[2]), directory, "wals", 1)
    with pytest.raises(UserError, match="numbered from 1"):
        publish.publish(str(models[2]), directory, "wals", 0)
    with pytest.raises(UserError, match="not a finished model"):
        publish.publish(str(tmp_path / "none"), directory, "wals")


def test_a_version_that_goes_gives_its_tables_back(models):
    model = Model(1, str(models[0] / "saved_model"))
    loaded = vars(model._backend)["_loaded"]
    tables = [part for name in ("visitor_ids", "item_ids") for part in vars(getattr(loaded, name)).values()]
    handles = [table.resource_handle for table in tables if hasattr(table, "resource_handle")]
    sizes = [int(tf.raw_ops.LookupTableSizeV2(table_handle=handle)) for handle in handles]
    assert sizes[:2] == [60, 60]  # both ways between ids and places
    building = tf.Graph()
    with building.as_default():  # as while another version is loaded
        del model, tables, loaded
        gc.collect()
    assert not building.get_operations()
    free_tables()
    for handle in handles:
        with pytest.raises(tf.errors.NotFoundError):
            tf.raw_ops.LookupTableSizeV2(table_handle=handle)


def test_a_model_that_does_not_match_its_manifest_is_not_published(models, tmp_path):
    damaged = tmp_path / "model"
    shutil.copytree(models[0], damaged)
    with open(damaged / "saved_model" / "assets" / "vocab_users", "r+b") as file:
        file.write(b"X")
    with pytest.raises(UserError, match="vocab_users does not match its manifest"):
        publish.publish(str(damaged), str(tmp_path / "served"), "wals")
    assert list((tmp_path / "served" / "wals").iterdir()) == []


def bare(models, to: Path) -> Path:
    """Copy a SavedModel by hand, as TensorFlow Serving's documentation does."""
    shutil.copytree(models[0] / "saved_model", to)
    return to


def damage(path: Path, how: str) -> None:
    if how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    elif how == "odd":
        path.parent.mkdir()
        path.write_bytes(b"PAR1")
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("manifest", "name", "how", "reason"),
    [
        (True, "assets/vocab_items", "flipped", "vocab_items is damaged"),
        (True, "saved_model.pb", "cut", "saved_model.pb has .* bytes where"),
        (True, "variables/variables.index", "gone", "variables.index is missing"),
        (True, "manifest.json", "cut", "not a manifest"),
        (False, "saved_model.pb", "gone", "no saved_model.pb"),
        (False, "saved_model.pb", "cut", "cannot load"),
        (False, "variables/variables.index", "gone", "no variables/variables.index"),
        (False, "variables/variables.data-00000-of-00001", "cut", "cannot load"),
        (False, "variables/variables.data-00000-of-00001", "gone", "cannot load"),
        (False, "assets/vocab_users", "gone", "cannot load"),
        (False, "assets/vocab_users", "cut", "vocab_users"),
        (False, SERVED_ITEMS, "odd", "items.parquet cannot be read; copy the version again"),
    ],
)
def test_what_is_not_whole_is_refused_and_named(models, tmp_path, manifest, name, how, reason):
    from serving.errors import UnusableError
    from serving.models.model import Model

    if manifest:
        publish.publish(str(models[0]), str(tmp_path), "wals")
    else:
        bare(models, tmp_path / "wals" / "1")
    version = tmp_path / "wals" / "1"
    damage(version / name, how)
    with pytest.raises(UnusableError, match=reason):
        Model(1, str(version))


def test_the_newest_whole_version_answers_whatever_lies_beside_it(models, tmp_path):
    directory, root = tmp_path, tmp_path / "wals"
    with running(settings(directory), ready=False) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503 and not answer.json()["ready"]
        wait(lambda: "run wals publish" in client.get("/readyz").json()["reason"])
        assert client.get("/recommendations?visitorId=a").status_code == 503
        assert client.get("/v1/models/wals").status_code == 404
        bare(models, root / "1")
        wait(lambda: served(client) == 1)
        (root / "9").mkdir()
        (root / "notes").mkdir()
        wait(lambda: state(client, 9) == ("END", "it is empty"))
        assert served(client) == 1
        # A copy that goes on: refused until it is whole.
        shutil.copytree(models[1] / "saved_model", root / "5", ignore=shutil.ignore_patterns("variables.data*"))
        wait(lambda: "cannot load" in state(client, 5)[1])
        assert state(client, 5)[0] == "END" and served(client) == 1
        shutil.copytree(models[1] / "saved_model", root / "5", dirs_exist_ok=True)
        wait(lambda: served(client) == 5)
        assert state(client, 1)[0] == "END" and "wals_model_version 5.0" in client.get("/metrics").text
        # The way back: without its directory a version leaves, and the one before answers again.
        shutil.rmtree(root / "5")
        wait(lambda: served(client) == 1)
        shutil.rmtree(root)
        wait(lambda: state(client, 9) == ("", ""))
        assert served(client) == 1 and predict(client, "recommend", visitorId=["v0"], k=1)["count"] == [1]


def test_versions_roll_over_under_load_without_an_error(models, tmp_path):
    """Each answer is whole, and of the version that it names."""
    publish.publish(str(models[0]), str(tmp_path), "wals")
    scores = {1: 1.0, 2: 2.0, 3: 3.0, 4: 1.0}
    stop, statuses, mixed, numbers = threading.Event(), set(), [], set()
    with running(settings(tmp_path)) as client:

        def ask(part):
            with httpx.Client(base_url=client.base_url, timeout=30) as connection:
                while not stop.wait(0.005):
                    answer = connection.get(f"/recommendations?visitorId=v{part}&k=3")
                    statuses.add(answer.status_code)
                    content = answer.json()
                    numbers.add(content.get("modelVersion"))
                    if [line["score"] for line in content["recommendations"]] != [scores[content["modelVersion"]]] * 3:
                        mixed.append(content)

        threads = [threading.Thread(target=ask, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number, model in ((2, models[1]), (3, models[2]), (4, models[0])):
                publish.publish(str(model), str(tmp_path), "wals")
                wait(lambda number=number: number in numbers)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert statuses == {200} and numbers == {1, 2, 3, 4} and not mixed


def test_the_commands_publish_and_serve_and_stop_when_told(models, tmp_path, capsys):
    """The server with the packages of its image alone: no Beam, and neither of the other rooms."""
    config = tmp_path / "config.yaml"
    config.write_text(f"model_dir: {models[0]}\nserving: {{directory: {tmp_path / 'served'}, port: 0}}\n")

    def command(module, *flags):
        return [sys.executable, "-m", module, "--config", str(config), *flags]

    done = forkserver.run(command("serving.publish"), capture_output=True, text=True, check=True)
    assert done.stdout == f"published {tmp_path / 'served'}/wals/1\n"
    publish.main(["--config", str(config)])
    assert "is this model already" in capsys.readouterr().out
    script = Path(forkserver.__file__).with_name("server_image.py")
    serve = [sys.executable, str(script), "--config", str(config)]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().split(" on ")[1].strip()
        wait(lambda: ready(url))
        with urllib.request.urlopen(f"{url}recommendations?visitorId=v0&k=2") as answer:  # noqa: S310 - loopback
            assert len(json.load(answer)["recommendations"]) == 2
        server.terminate()
        assert server.wait(30) in (0, -15)
        log = server.stderr.read()
    assert "version 1: live" in log and "Traceback" not in log and "v0" not in log


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}readyz"):  # noqa: S310 - loopback
            return True
    except urllib.error.HTTPError:
        return False
