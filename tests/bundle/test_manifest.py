import json
import os
from pathlib import Path

import pytest

from kedge_bundle.errors import BundleUnreadable, ManifestInvalid
from kedge_bundle.manifest import FILE_NAME, read_manifest
from tests.services import bundles


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return bundles.publish(bundles.two_output(), tmp_path, "two").directory


def edit(directory: Path, **changes: object) -> None:
    path = directory / FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_manifest_comes_back_as_it_was(tmp_path: Path):
    bundle = bundles.publish(bundles.square_root(), tmp_path, "root")
    assert read_manifest(bundle.directory) == bundle.manifest
    assert bundle.manifest.input_stats[0].n == 100
    assert bundle.manifest.artifact("onnx") is not None
    assert bundle.manifest.artifact("tflite") is None


def test_an_unknown_major_schema_version_is_refused(directory: Path):
    edit(directory, schema_version="2.0")
    with pytest.raises(ManifestInvalid, match=r"schema 2\.x; this version of Kedge reads 1\.x"):
        read_manifest(directory)


def test_a_later_minor_version_with_new_fields_is_read(directory: Path):
    edit(directory, schema_version="1.7", something_new={"a": 1})
    assert read_manifest(directory).schema_version == "1.7"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}', "\ufeff{}"])
def test_a_file_that_is_no_manifest_is_refused(directory: Path, text: str):
    (directory / FILE_NAME).write_text(text)
    with pytest.raises(ManifestInvalid, match=FILE_NAME):
        read_manifest(directory)


def test_a_file_that_is_no_text_is_refused(directory: Path):
    (directory / FILE_NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleUnreadable, match="cannot be read"):
        read_manifest(directory)


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/passwd", "a/../../b", "a\\..\\b", "", "./model.onnx", "a//b"])
def test_a_path_that_could_leave_the_bundle_is_refused(directory: Path, path: str):
    artifact = json.loads((directory / FILE_NAME).read_text())["artifacts"][0]
    artifact["files"][0]["path"] = path
    artifact["path"] = path
    edit(directory, artifacts=[artifact])
    with pytest.raises(ManifestInvalid, match="is not a plain path inside the bundle"):
        read_manifest(directory)


def test_names_that_differ_from_the_signature_are_refused(directory: Path):
    artifact = json.loads((directory / FILE_NAME).read_text())["artifacts"][0]
    edit(directory, artifacts=[artifact | {"outputs": {"total": "total"}}])
    with pytest.raises(ManifestInvalid, match="maps the names"):
        read_manifest(directory)


def test_an_artifact_outside_its_own_files_is_refused(directory: Path):
    artifact = json.loads((directory / FILE_NAME).read_text())["artifacts"][0]
    edit(directory, artifacts=[artifact | {"path": "other.onnx"}])
    with pytest.raises(ManifestInvalid, match=r"'other\.onnx', which the onnx runtime reads, is not among the files"):
        read_manifest(directory)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"path": "."}, "which the onnx runtime reads, is not among the files"),
        ({"format": "saved_model", "path": "."}, r"'saved_model\.pb', which the saved_model runtime reads"),
        ({"batch": 0}, r"artifacts\.0\.batch"),
        ({"outputs": {"total": "total", "difference": "total"}}, "two names of the model stand for one"),
    ],
)
def test_an_artifact_that_could_not_be_run_as_proven_is_refused(
    directory: Path, changes: dict[str, object], sentence: str
):
    artifact = json.loads((directory / FILE_NAME).read_text())["artifacts"][0]
    edit(directory, artifacts=[artifact | changes])
    with pytest.raises(ManifestInvalid, match=sentence):
        read_manifest(directory)


@pytest.mark.parametrize("budget", [{"rtol": 1e-5, "atol": -1}, {"rtol": "Infinity", "atol": 0}])
def test_a_budget_that_nothing_or_everything_passes_is_refused(directory: Path, budget: dict[str, object]):
    edit(directory, budget=budget)
    with pytest.raises(ManifestInvalid, match="budget"):
        read_manifest(directory)


def test_a_pipe_in_the_place_of_the_manifest_keeps_nobody_waiting(directory: Path):
    (directory / FILE_NAME).unlink()
    os.mkfifo(directory / FILE_NAME)
    with pytest.raises(BundleUnreadable, match=r"no manifest\.json here"):
        read_manifest(directory)


def test_an_artifact_cannot_stand_twice(directory: Path):
    artifact = json.loads((directory / FILE_NAME).read_text())["artifacts"][0]
    edit(directory, artifacts=[artifact, artifact])
    with pytest.raises(ManifestInvalid, match="an artifact stands twice"):
        read_manifest(directory)


@pytest.mark.parametrize("name", ["", "../two", "a b", ".hidden", "a/b", "x" * 200])
def test_names_that_are_no_directory_or_label_are_refused(directory: Path, name: str):
    edit(directory, name=name)
    with pytest.raises(ManifestInvalid):
        read_manifest(directory)
