"""An output against its manifest."""

import json

import pytest

from configs.errors import UserError
from configs.settings import TrainingSettings
from pipeline import verify
from tests.support import quick_export
from tests.support.exports import make_dataset, reads, write_ndjson
from trainer.job import training_job


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    rows = [reads(f"v{n}", {f"c{m}": 1000 + n for m in range(n % 4 + 1)}) for n in range(12)]
    make_dataset(root / "dataset", write_ndjson(root / "in.ndjson", rows))
    settings = TrainingSettings(embedding_dimension=2, max_sweeps=2)
    with quick_export.without_graphs():
        training_job.train(settings, str(root / "dataset"), str(root / "model"), False)
    return root


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "flipped": (lambda path: flip(path), "is damaged: its checksum"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has \\d+ bytes"),
    "lost": (lambda path: path.unlink(), "is missing"),
}
FILES = [
    ("dataset", "users_for_item-*"),
    ("dataset", "transform/transform_fn/assets/vocab_users"),
    ("dataset", "transform/transform_fn/saved_model.pb"),
    ("model", "factors/item_factors-*"),
    ("model", "saved_model/variables/variables.data-*"),
]


def test_what_was_just_made_is_whole(whole, capsys):
    (whole / "model" / "evaluation.json").write_text("{}")  # as wals evaluate writes it into a finished model
    verify.main([str(whole / "dataset"), f"{whole}/model/"])
    assert capsys.readouterr().out.count("whole") >= 2


@pytest.mark.parametrize(("kind", "pattern"), FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damaged_file_is_named(whole, kind, pattern, damage):
    (path,) = (whole / kind).glob(pattern)
    before, (spoil, said) = path.read_bytes(), DAMAGES[damage]
    spoil(path)
    try:
        with pytest.raises(UserError, match=rf"{kind}: \S*{path.name} {said}.*; make it again"):
            verify.main([str(whole / kind)])
    finally:
        path.write_bytes(before)


def test_a_file_too_many_and_counts_that_do_not_add_up_are_named(whole):
    stray, path = whole / "dataset" / "items_for_user-00001-of-00002", whole / "dataset" / "manifest.json"
    before = path.read_text()
    content = json.loads(before)
    content["counts"]["interactions"] += 1
    stray.write_text("")
    path.write_text(json.dumps(content))
    try:
        with pytest.raises(
            UserError, match=r"items_for_user-00001-of-00002 is not in the manifest \(and 3 more, above"
        ):
            verify.main([str(whole / "dataset")])
    finally:
        stray.unlink()
        path.write_text(before)


@pytest.mark.parametrize(("content", "said"), [(None, "is not a finished output"), ("{}", "is not a manifest")])
def test_what_is_no_output_is_refused(tmp_path, content, said):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=said):
        verify.main([str(tmp_path)])
