"""Manifests: typed, told apart by kind and schema version, and refused with the command that makes them again."""

import json

import pytest

from artifacts import manifests
from artifacts.checksums import FileDescription, digest_of
from artifacts.manifests import DatasetManifest, ModelManifest, PredictionsManifest
from configs.errors import UserError
from tests.support.manifests import dataset_manifest, model_manifest, predictions_manifest

FILES = {name: FileDescription(bytes=1, crc32c=f"{number:08x}") for number, name in enumerate(("a", "deep/b"))}


@pytest.mark.parametrize("make", [dataset_manifest, model_manifest, predictions_manifest])
def test_a_manifest_comes_back_as_it_was_written(tmp_path, make):
    manifest = make(files=FILES)
    path = str(tmp_path / "manifest.json")
    manifest.write(path)
    read = type(manifest).read(path)
    assert read.model_dump() == manifest.model_dump() == manifests.read_any(str(tmp_path)).model_dump()
    assert read.digest() == manifest.digest() == digest_of(json.loads(manifest.to_json()))


def test_the_digest_is_that_of_the_file_even_if_it_lacks_a_newer_setting():
    content = json.loads(model_manifest().to_json())
    del content["settings"]["patience"]
    assert ModelManifest.parse(json.dumps(content), "p").digest() == digest_of(content)


@pytest.mark.parametrize(
    ("manifest", "command"),
    [
        (dataset_manifest, "rerun wals preprocess --replace"),
        (model_manifest, "rerun wals train --replace"),
        (predictions_manifest, "rerun wals predict --replace"),
    ],
)
def test_an_output_of_an_earlier_schema_is_refused_with_the_command_to_rerun(tmp_path, manifest, command):
    made = manifest()
    found = f"has schema version 1, this code reads {made.schema_version}"
    content = json.loads(made.to_json()) | {"schema_version": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        type(made).read(str(tmp_path / "manifest.json"))
    assert str(caught.value) == f"{tmp_path}/manifest.json {found}; {command}"
    with pytest.raises(UserError, match=f"{found}; {command}"):
        manifests.read_any(str(tmp_path))


def lacking(name: str) -> dict:
    content = json.loads(dataset_manifest().to_json())
    del content["counts"][name]
    return content


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not a manifest"),
        ("[]", "is not a manifest"),
        ('{"kind": ["dataset"]}', "is not a manifest"),
        (model_manifest().to_json(), "is the manifest of a model, not of a dataset; check the path"),
        (json.dumps(lacking("users")), "lacks counts.users; rerun wals preprocess"),
        (json.dumps(json.loads(dataset_manifest().to_json()) | {"counts": 1}), "has a wrong counts: "),
        (json.dumps(json.loads(dataset_manifest().to_json()) | {"more": 1}), "has a wrong more: Extra inputs"),
        (json.dumps(json.loads(dataset_manifest().to_json()) | {"self": 1}), "has a wrong self: Extra inputs"),
        (json.dumps(json.loads(dataset_manifest().to_json()) | {"files": 1}), "has a wrong files: "),
        (
            predictions_manifest(kind="audiences").to_json(),
            "is the manifest of an audiences directory, not of a dataset; check the path",
        ),
    ],
)
def test_what_is_not_a_manifest_is_refused_in_one_line(content, problem):
    with pytest.raises(UserError) as caught:
        DatasetManifest.parse(content, "d/manifest.json")
    assert problem in str(caught.value) and str(caught.value).startswith("d/manifest.json ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_manifest_is_an_output_that_is_not_finished(tmp_path):
    with pytest.raises(UserError, match=r"none is not a finished model .*run wals train"):
        ModelManifest.read(str(tmp_path / "none" / "manifest.json"))
    with pytest.raises(UserError, match="is not a finished output"):
        manifests.read_any(str(tmp_path))


def test_predictions_of_each_kind_have_one_manifest():
    for kind in ("predictions", "audiences", "similar_items", "similar_visitors"):
        made = predictions_manifest(kind=kind)
        assert PredictionsManifest.parse(made.to_json(), "p").kind == kind


def test_the_fingerprint_tells_files_apart_whatever_their_order():
    one, other = dataset_manifest(files=FILES), dataset_manifest(files={"a": FILES["deep/b"], "deep/b": FILES["a"]})
    reordered = dataset_manifest(files=dict(reversed(FILES.items())), seconds=2.0)
    assert one.fingerprint() == reordered.fingerprint() != other.fingerprint()
