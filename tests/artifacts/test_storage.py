"""gs:// as well as local paths: against a storage emulator, over HTTP."""

import gc

import numpy as np
import pyarrow as pa
import pytest
from gcp_storage_emulator.server import RequestHandler

from artifacts import checksums, factor_tables, publish, storage
from artifacts.checksums import describe_bytes
from artifacts.items_table import ItemsTable
from artifacts.names import CONTENT_ID, VISITORS
from artifacts.storage import locks
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from configs.settings import SourceSettings
from pipeline.sources import input_files
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
    """The bucket behind a server that refuses each request once as too busy; the refused requests."""
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
            with storage.open_to_write(f"{staging}/part") as file:  # in several requests
                file.write(content)
            storage.write_bytes(f"{staging}/manifest.json", MANIFEST)
        assert storage.read_bytes(f"{root}/part") == content
    assert storage.read_bytes(f"{root}/manifest.json") == MANIFEST
    assert list(storage.list_files(f"{bucket}/busy")) == ["manifest.json", "part"]
    assert {method for method, _ in flaky} == {"GET", "POST", "PUT", "DELETE"} and len(flaky) > 10


MANIFEST = b'{"kind": "dataset", "schema_version": 3}'
GLOBS = {  # of the files below, as Beam's FileSystems.match reads the patterns
    "a/*/part": ["a/1/part", "a/2/part"],
    "a/1/*": ["a/1/manifest.json", "a/1/part"],
    "*": ["b"],
    "a/?/*.json": ["a/1/manifest.json"],
    "none*": [],
    "a/[12]/part": ["a/1/part", "a/2/part"],
    "a/[!2]/part": ["a/1/part"],
    "a[/]1/part": [],
    "**": ["a/1/deep/x.json", "a/1/manifest.json", "a/1/part", "a/2/part", "b"],
    "a/**.json": ["a/1/deep/x.json", "a/1/manifest.json"],
    "a/**/*.json": ["a/1/deep/x.json", "a/1/manifest.json"],
    "a/1/**/*.json": ["a/1/deep/x.json", "a/1/manifest.json"],
    "a/1**part": ["a/1/part"],
    "none/**": [],
}


def test_storage_does_the_same_on_gs_as_on_a_disk(bucket, tmp_path):
    items = {"a/1/manifest.json": b"{}", "a/1/part": b"one", "a/2/part": b"two", "b": b"", "a/1/deep/x.json": b"x"}
    described = {name: describe_bytes(data) for name, data in (("part", b"one"), ("deep/x.json", b"y"), ("gone", b""))}
    seen = []
    for root in (f"{bucket}/same", str(tmp_path / "same")):
        for name, data in items.items():
            storage.write_bytes(f"{root}/{name}", data)
        assert [storage.read_bytes(f"{root}/{name}") for name in items] == list(items.values())
        with pytest.raises(FileNotFoundError):
            storage.read_bytes(f"{root}/a/none")
        with pytest.raises(FileNotFoundError):
            storage.open_to_read(f"{root}/a/none")
        for pattern, matching in GLOBS.items():
            assert [file.path.removeprefix(f"{root}/") for file in storage.glob(f"{root}/{pattern}")] == matching, (
                pattern
            )
        sizes = {name: file.bytes for name, file in storage.list_files(f"{root}/a").items()}
        changed = storage.glob(f"{root}/b")[0].changed
        storage.write_bytes(f"{root}/b", b"again")
        assert storage.glob(f"{root}/b")[0].changed != changed, "a table that is written again"
        problems = list(checksums.problems(f"{root}/a/1", described))
        directories = [storage.list_directories(f"{root}/{name}") for name in ("a", "a/1", "none")]
        storage.copy(f"{root}/a/1/part", f"{root}/c")
        kinds = [(storage.exists(f"{root}/{n}"), storage.is_directory(f"{root}/{n}")) for n in ("a", "c", "a/none")]
        storage.remove(f"{root}/a/1")
        storage.remove(f"{root}/b")
        storage.remove(f"{root}/none")
        seen.append((sizes, problems, directories, kinds, list(storage.list_files(root)), storage.exists(root)))
    assert seen[0] == seen[1]
    assert seen[0][1:] == (
        ["deep/x.json is damaged: its checksum is not the manifest's", "gone is missing"],
        [["1", "2"], ["deep"], []],
        [(True, True), (True, False), (False, False)],
        ["a/2/part", "c"],
        True,
    )


def test_files_are_copied_between_a_disk_and_gs(bucket, tmp_path):
    data = np.random.default_rng(0).bytes(9_000_000)  # more than one request
    (tmp_path / "one").write_bytes(data)
    storage.copy(str(tmp_path / "one"), f"{bucket}/copied/two")
    storage.copy(f"{bucket}/copied/two", str(tmp_path / "new" / "three"))
    assert (tmp_path / "new" / "three").read_bytes() == data
    with storage.open_to_read(f"{bucket}/copied/two") as file:
        assert file.seek(-5, 2) == len(data) - 5 and file.read() == data[-5:]
        assert file.seek(7) == 7 and file.read(3) == data[7:10] and file.tell() == 10
    with pytest.raises(TypeError), storage.open_to_write(f"{bucket}/copied/four") as file:
        file.writelines([b"half", "no bytes"])
    assert list(storage.list_files(f"{bucket}/copied")) == ["two"]


def test_tables_are_read_from_gs_as_from_a_disk(bucket):
    table = np.random.default_rng(1).standard_normal((11, 3)).astype(np.float32)
    factor_tables.write_table(f"{bucket}/t", table, 2)
    assert np.array_equal(factor_tables.read_table(f"{bucket}/t"), table)
    items = ItemsTable(pa.table({CONTENT_ID: ["a", "b"], VISITORS: [2, 1]}))
    storage.write_bytes(f"{bucket}/items.parquet", items.to_bytes())
    assert ItemsTable.read(f"{bucket}/items.parquet", 2, (CONTENT_ID, VISITORS)).table == items.table


def test_an_export_on_gs_gives_the_dataset_of_the_local_one(bucket, tmp_path):
    rows = [reads("a", {"x": 1000, "y": 3000}), reads("b", {"x": 500})]
    local = write_ndjson(tmp_path / "in" / "ga_sessions_20240101.ndjson.gz", rows)
    storage.write_bytes(f"{bucket}/in/ga_sessions_20240101.ndjson.gz", local.read_bytes())
    storage.write_bytes(f"{bucket}/in/ga_sessions_intraday_20240102.ndjson", b"{oops\n")
    make_dataset(tmp_path / "local", local)
    make_dataset(tmp_path / "remote", f"{bucket}/in/ga_sessions_*")
    for name in ("items_for_user-00000-of-00001", "users_for_item-00000-of-00001"):
        assert (tmp_path / "remote" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def test_an_output_on_gs_appears_whole_or_not_at_all(bucket):
    root = f"{bucket}/out"

    def write(content: bytes) -> None:
        with publish.staged(root, "dataset", replace=True) as staging:
            storage.write_bytes(f"{staging}/part/one", content)
            if content == b"broken":
                raise UserError("no")
            storage.write_bytes(f"{staging}/manifest.json", MANIFEST)

    with pytest.raises(UserError):
        write(b"broken")
    assert storage.list_files(root) == storage.list_files(f"{root}.partial") == {}
    write(b"first")
    with pytest.raises(UserError):
        write(b"broken")
    assert storage.open_to_read(f"{root}/part/one").read() == b"first"
    write(b"second")
    assert storage.open_to_read(f"{root}/part/one").read() == b"second"
    assert list(storage.list_files(root)) == ["manifest.json", "part/one"]
    assert storage.read_bytes(f"{root}/manifest.json") == MANIFEST
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
    assert not storage.exists(f"{bucket}/locked.lock")


def test_what_is_missing_on_gs_is_said_as_on_a_disk(bucket):
    with pytest.raises(UserError, match=r"gs://bucket/none does not exist"):
        Vocabulary.read(f"{bucket}/none")
    with pytest.raises(UserError, match=r"no file matches gs://bucket/none\*"):
        input_files.match_files(SourceSettings(input=f"{bucket}/none*"))
    assert not storage.exists(f"{bucket}/none")
