"""Hashed visitorIds and the deletion list, from files to predictions."""

import hashlib
import hmac
import sys
from pathlib import Path

import pytest

from artifacts import privacy
from artifacts.paths import Dataset
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from configs.settings import PrivacySettings, Settings
from pipeline import batch_predict
from tests.support import forkserver
from tests.support.exports import PLAIN_RUNNER, event, make_dataset, ratings, reads, rejected, write_ndjson
from tests.support.predicted import make_world, predict, read_text

KEY = b"0123456789abcdef0123456789abcdef"
RFC_4231_KEY = b"\x0b" * 20


def plain_hash(visitor: str) -> bytes:
    return hmac.new(KEY, visitor.encode(), hashlib.sha256).hexdigest().encode()


@pytest.fixture
def key_file(tmp_path) -> str:
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    return str(path)


def test_the_hash_is_hmac_sha_256():
    expected = b"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"  # RFC 4231, test case 1
    assert privacy.hashed(RFC_4231_KEY, b"Hi There") == expected


@pytest.mark.parametrize("kind", ["ga360", "ga4"])
@pytest.mark.parametrize("listed", [lambda name: name.encode(), plain_hash], ids=["by id", "by hash"])
def test_ids_are_hashed_and_the_deleted_are_gone(tmp_path, key_file, kind, listed):
    row = (lambda v, c: reads(v, c)) if kind == "ga360" else (lambda v, c: [event(v, *pair) for pair in c.items()])
    visitors = {f"visitor {n}": {f"c{n % 3}": 1000 + n, "c3": 500} for n in range(7)}
    rows = [row(visitor, items) for visitor, items in visitors.items()]
    rows = rows if kind == "ga360" else [one for some in rows for one in some]
    (tmp_path / "deleted").write_bytes(listed("visitor 2") + b"\r\n" + listed("visitor 5") + b"\nnobody")
    rules = {"hash_key_file": key_file, "deleted_visitors": str(tmp_path / "deleted")}
    made = make_dataset(tmp_path / "dataset", write_ndjson(tmp_path / "in", rows), kind, privacy=rules)
    del visitors["visitor 2"], visitors["visitor 5"]
    found = ratings(tmp_path / "dataset")
    assert set(found) == {(plain_hash(v), c.encode()) for v, items in visitors.items() for c in items}
    assert made["skipped"]["views.deleted_visitor"] >= 4
    assert made["visitors_hashed_with"] == privacy.key_name(KEY)
    everything = b"".join(path.read_bytes() for path in (tmp_path / "dataset").rglob("*") if path.is_file())
    assert b"visitor 1" not in everything and KEY not in everything


def test_by_visit_the_list_names_the_visitor(tmp_path):
    rows = [reads(name, {"c": 1000}) for name in ("anna", "anna-b", "anna")]
    (tmp_path / "deleted").write_text("anna\n")
    source, rules = {"visitor_key": "visit"}, {"deleted_visitors": str(tmp_path / "deleted")}
    make_dataset(tmp_path / "dataset", write_ndjson(tmp_path / "in", rows), source=source, privacy=rules)
    (visitor,) = Vocabulary.read(Dataset(str(tmp_path / "dataset")).vocab_users).ids
    assert visitor.startswith(b"anna-b-")


def test_rejected_rows_name_no_visitor(tmp_path, key_file):
    rows = [reads("anna", {"c": 1000}), reads("bob\n", {"c": 1000}), reads("gone\n", {"c": 1000})]
    sources = {"max_reject_fraction": 1}
    (tmp_path / "deleted").write_text("gone\\n\nother\n")
    glob = write_ndjson(tmp_path / "in", rows)
    make_dataset(tmp_path / "plain", glob, source=sources)
    assert {row["visitorId"] for row in rejected(tmp_path / "plain")} == {"bob\n", "gone\n"}
    make_dataset(tmp_path / "hashed", glob, source=sources, privacy={"hash_key_file": key_file})
    assert [set(row) & {"visitorId"} for row in rejected(tmp_path / "hashed")] == [set(), set()]
    assert {row["record"] for row in rejected(tmp_path / "hashed")} == {2, 3}


def predictions(root: Path, out: Path, deleted: Path, **prediction) -> None:
    tree = {"dataset_dir": str(root / "dataset"), "model_dir": str(root / "model")}
    tree |= {"beam": {"runner": PLAIN_RUNNER}, "prediction": prediction}
    settings = Settings.model_validate(tree | {"privacy": {"deleted_visitors": str(deleted)}})
    batch_predict.predict(settings, [], False, str(out))


def test_the_deleted_are_neither_answered_nor_given(tmp_path):
    root = make_world(tmp_path, 3)
    predict(root, tmp_path / "all")
    everyone = read_text(tmp_path / "all")
    gone = set(sorted(everyone)[::4])
    (tmp_path / "deleted").write_bytes(b"".join(name + b"\n" for name in gone))
    predictions(root, tmp_path / "some", tmp_path / "deleted")
    assert read_text(tmp_path / "some") == {name: given for name, given in everyone.items() if name not in gone}
    predictions(root, tmp_path / "audiences", tmp_path / "deleted", kind="audiences", top_k=150 - len(gone))
    text = b"".join(path.read_bytes() for path in (tmp_path / "audiences").glob("*.txt"))
    assert not [name for name in gone if name in text] and text


def test_another_key_than_the_dataset_is_refused(tmp_path, key_file):
    root = make_world(tmp_path, 1)
    tree = {"dataset_dir": str(root / "dataset"), "model_dir": str(root / "model")}
    settings = Settings.model_validate(tree | {"privacy": {"hash_key_file": key_file}})
    with pytest.raises(UserError, match="not hashed with this key"):
        batch_predict.predict(settings, [], False, str(tmp_path / "out"))


def test_mistakes_are_one_line_that_holds_no_key(tmp_path, monkeypatch):
    (tmp_path / "short").write_text("secret")
    monkeypatch.setenv("A_KEY", "secret")
    for rules, words in (
        ({"hash_key_file": str(tmp_path / "none")}, "cannot be read"),
        ({"hash_key_file": str(tmp_path / "short")}, "shorter than 16 bytes"),
        ({"hash_key_env": "A_KEY"}, "shorter than 16 bytes"),
        ({"hash_key_env": "NO_SUCH_KEY"}, "is not set here"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            privacy.read_key(PrivacySettings.model_validate(rules))
        assert "secret" not in str(caught.value)
    with pytest.raises(UserError, match=r"deleted_visitors .* does not exist"):
        privacy.read_deleted(PrivacySettings(deleted_visitors=str(tmp_path / "none")), None)


def test_the_command_hashes_ids(tmp_path, key_file):
    config = tmp_path / "config.yaml"
    config.write_text(f"privacy: {{hash_key_file: {key_file}}}\n")
    command = [sys.executable, "-m", "pipeline.hash_ids", "--config", str(config)]
    done = forkserver.run(command, input=b"anna\nbob", capture_output=True, check=True)
    assert done.stdout.split() == [plain_hash("anna"), plain_hash("bob")]


@pytest.mark.parametrize(("data", "left"), [(b"", 3), (b"zoe\ncarl\n", 2), (b"ANNA\nzoe\n", None)])
def test_a_deletion_list_of_which_nobody_is_in_the_data_fails(tmp_path, capsys, data, left):
    path = write_ndjson(tmp_path / "in", [reads(name, {"c": 1000}) for name in ("anna", "bob", "carl")])
    (tmp_path / "list").write_bytes(data)
    rules = {"deleted_visitors": str(tmp_path / "list")}
    if left is None:
        with pytest.raises(UserError, match=r"no id of privacy.deleted_visitors .* is in the data") as error:
            make_dataset(tmp_path / "out", path, privacy=rules)
        assert "ANNA" not in str(error.value)
    else:
        made = make_dataset(tmp_path / "out", path, privacy=rules)
        assert made["counts"]["users"] == left
        assert made["deletion_list"] == {"lines": data.count(b"\n"), "found": 3 - left}
        assert "deletion list: found" in capsys.readouterr().out
