"""gs:// as well as local paths: against a storage emulator, over HTTP."""

import gc

import pytest
from apache_beam.io.filesystems import FileSystems
from gcp_storage_emulator.server import RequestHandler

from artifacts import locks, publish, storage
from artifacts.vocabulary import read_vocabulary
from configs.errors import UserError
from configs.settings import SourceSettings
from pipeline.sources import inputs
from tests.support import storage_server
from tests.support.exports import make_dataset, reads, write_ndjson


@pytest.fixture(scope="module")
def bucket():
    """A bucket of its own on a free port of the loopback interface."""
    with storage_server.emulating() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield "gs://bucket"
    gc.collect()  # the clients' sockets, while their warnings are ignored


# The client library asks for credentials in a way that it warns about itself, and leaves its sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture
def flaky(bucket, monkeypatch):
    """The bucket behind a server that is at first too busy for each request; gives how often it was."""
    refused = set()

    def often_busy(method):
        def answer(self):
            key = (method, self.path.partition("upload_id=")[0])
            if key in refused:
                plain[method](self)
                return
            refused.add(key)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        return answer

    plain = {name: getattr(RequestHandler, f"do_{name}") for name in ("GET", "POST", "PUT", "DELETE")}
    for name in plain:
        monkeypatch.setattr(RequestHandler, f"do_{name}", often_busy(name))
    monkeypatch.setattr("random.uniform", lambda low, high: 0.0)  # of the waits between tries, so that none is long
    return refused


def test_a_busy_storage_is_asked_again(flaky, bucket, tmp_path):
    root = f"{bucket}/busy"
    for content in (b"one", b"two"):
        with publish.staged(root, "dataset", replace=True) as staging:
            publish.write_file(f"{staging}/part", content)
            publish.write_file(f"{staging}/manifest.json", b'{"kind": "dataset", "schema_version": 1}')
        assert storage.read_bytes(f"{root}/part") == content
    assert publish.read_manifest(f"{root}/manifest.json", "dataset")["schema_version"] == 1
    assert sorted(publish.list_files(f"{bucket}/busy")) == [f"{root}/manifest.json", f"{root}/part"]
    assert {method for method, _ in flaky} == {"GET", "POST", "PUT", "DELETE"} and len(flaky) > 10


def test_an_export_on_gs_gives_the_dataset_of_the_local_one(bucket, tmp_path):
    rows = [reads("a", {"x": 1000, "y": 3000}), reads("b", {"x": 500})]
    local = write_ndjson(tmp_path / "in" / "ga_sessions_20240101.ndjson.gz", rows)
    publish.write_file(f"{bucket}/in/ga_sessions_20240101.ndjson.gz", local.read_bytes())
    publish.write_file(f"{bucket}/in/ga_sessions_intraday_20240102.ndjson", b"{oops\n")
    make_dataset(tmp_path / "local", local)
    make_dataset(tmp_path / "remote", f"{bucket}/in/ga_sessions_*")
    for name in ("items_for_user-00000-of-00001", "users_for_item-00000-of-00001"):
        assert (tmp_path / "remote" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def test_an_output_on_gs_appears_whole_or_not_at_all(bucket):
    root = f"{bucket}/out"

    def write(content: bytes) -> None:
        with publish.staged(root, "dataset", replace=True) as staging:
            publish.write_file(f"{staging}/part/one", content)
            if content == b"broken":
                raise UserError("no")
            publish.write_file(f"{staging}/manifest.json", b'{"kind": "dataset", "schema_version": 1}')

    with pytest.raises(UserError):
        write(b"broken")
    assert publish.list_files(root) == publish.list_files(f"{root}.partial") == []
    write(b"first")
    with pytest.raises(UserError):
        write(b"broken")
    assert storage.open_to_read(f"{root}/part/one").read() == b"first"
    write(b"second")
    assert storage.open_to_read(f"{root}/part/one").read() == b"second"
    assert sorted(publish.list_files(root)) == [f"{root}/manifest.json", f"{root}/part/one"]
    assert publish.read_manifest(f"{root}/manifest.json", "dataset")["schema_version"] == 1
    with pytest.raises(UserError, match="is not empty"), publish.staged(root, "dataset", replace=False):
        pytest.fail("it was handed out all the same")


def test_a_second_run_on_gs_is_refused(bucket):
    # One after the other: which of two wins that come at once, the emulator does not decide (no preconditions).
    refused = pytest.raises(UserError, match=r"gs://bucket/locked: another run is at work on it \(.*process \d+\)")
    with locks.claim(f"{bucket}/locked/"):
        with refused, publish.staged(f"{bucket}/locked", "dataset", replace=True):
            pytest.fail("two runs at once")
        assert storage.open_to_read(f"{bucket}/locked.lock").read()
    with locks.claim(f"{bucket}/locked"):
        pass  # it is free again
    assert not FileSystems.exists(f"{bucket}/locked.lock")


def test_what_is_missing_on_gs_is_said_as_on_a_disk(bucket):
    with pytest.raises(UserError, match=r"gs://bucket/none does not exist"):
        read_vocabulary(f"{bucket}/none")
    with pytest.raises(UserError, match=r"no file matches gs://bucket/none\*"):
        inputs.match_input(SourceSettings(input=f"{bucket}/none*"))
    assert not FileSystems.exists(f"{bucket}/none")
