"""Records beside a bundle: what they hold, that an edit shows, and that nobody takes one for a version."""

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from kedge_bundle.attestation import Attestation, attestations, read_attestation
from kedge_bundle.errors import AttestationInvalid
from kedge_bundle.machine import this_machine
from kedge_bundle.manifest import FILE_NAME, RuntimeOptions
from kedge_bundle.store import Bundle, models, next_version, open_bundle, versions
from kedge_bundle.verification import Record, verify_artifact, write_record
from tests.services.bundles import publish, two_output


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return publish(two_output(), tmp_path / "models", "two")


def attested(bundle: Bundle, options: RuntimeOptions | None = None) -> Path:
    record = attest(bundle, options)
    assert record.path is not None, record.problem
    return record.path


def attest(bundle: Bundle, options: RuntimeOptions | None = None) -> Record:
    (artifact,) = bundle.manifest.artifacts
    return write_record(bundle, [verify_artifact(bundle, artifact, options or artifact.options, was_asked_for=True)])


def edit(path: Path, **changes: Any) -> None:  # noqa: ANN401 (any field of the record)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(path: Path) -> str:
    with pytest.raises(AttestationInvalid) as caught:
        read_attestation(path)
    return str(caught.value)


def test_a_record_says_what_was_run_on_what_and_what_came_out(bundle: Bundle):
    record = read_attestation(attested(bundle, RuntimeOptions(threads=2)))
    assert (record.name, record.version) == ("two", 1)
    assert record.manifest_sha256 == hashlib.sha256((bundle.directory / FILE_NAME).read_bytes()).hexdigest()
    assert record.files == bundle.manifest.files
    assert record.machine == this_machine()
    assert record.machine.architecture == platform.machine()
    assert (record.python, record.date[-1]) == (platform.python_version(), "Z")
    (finding,) = record.findings
    assert finding.options == RuntimeOptions(threads=2)
    assert finding.runtime == {"onnxruntime": onnxruntime.__version__}
    assert (finding.artifact, finding.device, finding.cases, finding.rows) == ("onnx", "cpu", 1, 4)
    assert finding.is_proven
    assert finding.max_abs_error is not None
    assert isinstance(finding.report, dict)
    assert finding.report["verdict"] == finding.verdict


def test_a_record_lies_beside_the_bundle_and_is_no_version_of_it(bundle: Bundle):
    parent = bundle.directory.parent
    path = attested(bundle)
    assert path.parent == parent
    assert path.name.startswith("1.attestation-")
    assert versions(parent) == [(1, bundle.directory)]
    assert models(parent.parent) == {"two": [(1, bundle.directory)]}
    assert next_version(parent) == 2
    open_bundle(bundle.directory)  # every hash is as it was
    assert not [entry for entry in parent.iterdir() if entry.name.startswith(".")]  # nothing is left of writing it
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_same_question_replaces_its_answer_and_another_stands_beside_it(bundle: Bundle):
    first = attested(bundle)
    assert attested(bundle) == first
    second = attested(bundle, RuntimeOptions(threads=2))
    assert attestations(bundle.directory) == sorted([first, second])
    assert attestations(bundle.directory.with_name("11")) == []


def test_an_edit_shows(bundle: Bundle):
    path = attested(bundle)
    good = path.read_text()
    edit(path, host="another")
    assert "was changed after it was written" in refusal(path)
    path.write_text(good.replace('"is_proven": true', '"is_proven": false'))
    assert "was changed after it was written" in refusal(path)
    document = json.loads(good)
    path.write_text(json.dumps(document))  # another layout says the same
    assert isinstance(read_attestation(path), Attestation)
    del document["sha256"]
    path.write_text(json.dumps(document))
    assert "was changed after it was written" in refusal(path)


@pytest.mark.parametrize("text", ["", "no JSON", "[1, 2]", "3"])
def test_what_is_no_record_is_refused_by_its_name(bundle: Bundle, text: str):
    path = attested(bundle)
    path.write_text(text)
    assert refusal(path).startswith(str(path))


def signed(document: dict[str, Any]) -> str:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return json.dumps(document | {"sha256": hashlib.sha256(canonical.encode()).hexdigest()})


def test_a_later_minor_schema_is_read_and_another_major_one_is_not(bundle: Bundle):
    path = attested(bundle)
    document = {name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"}
    path.write_text(signed(document | {"schema_version": "1.9", "weather": "fair"}))
    assert read_attestation(path).schema_version == "1.9"
    path.write_text(signed(document | {"schema_version": "2.0"}))
    assert "schema 2.x" in refusal(path)
    path.write_text(signed(document | {"findings": []}))
    assert "findings" in refusal(path)


def test_a_record_that_cannot_be_read_is_refused(bundle: Bundle):
    path = attested(bundle)
    path.unlink()
    assert "cannot be read: No such file" in refusal(path)


def test_an_artifact_that_fails_is_recorded_as_failed(bundle: Bundle, tmp_path: Path):
    other = publish(two_output(scale=2.5), tmp_path / "other", "two")
    mixed = Bundle(other.directory, other.manifest.model_copy(update={"golden": bundle.manifest.golden}))
    (mixed.directory / "golden.npz").write_bytes((bundle.directory / "golden.npz").read_bytes())
    (finding,) = read_attestation(attested(mixed)).findings
    assert (finding.is_proven, finding.verdict) == (False, "failed")
    assert "total" in finding.reason


def test_a_place_that_cannot_be_written_is_said_in_a_sentence(bundle: Bundle):
    # The record's name would be longer than a file's may be: the one refusal that root meets, too.
    long = bundle.directory.rename(bundle.directory.with_name("v" * 240))
    record = attest(open_bundle(long))
    assert record.path is None
    assert "cannot be written beside" in record.problem
    assert "File name too long" in record.problem
