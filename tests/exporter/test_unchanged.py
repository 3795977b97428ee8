"""An export that was made already is recognised; whether two exports give the same bytes is found out."""

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kedge_bundle.manifest import Manifest, read_manifest, write_manifest
from kedge_bundle.store import sha256_of
from kedge_exporter.errors import NotReproducible
from kedge_exporter.inspect import inspect
from kedge_exporter.progress import Progress
from kedge_exporter.publish import Draft
from kedge_exporter.reproducible import check
from kedge_exporter.request import ExportRequest
from kedge_exporter.unchanged import Found, find
from tests.exporter.conftest import EXPORT_MODEL, Run

OWN = "import beside\nimport keras\n"
BESIDE = "VALUE = 1\n"
ARGUMENTS = ("cnn.keras", "--formats", "tflite,onnx", "--data", "samples.npz", "--custom", "own.py")


def run_command(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(EXPORT_MODEL), *arguments], cwd=directory, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def first(model_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a file, a module of one's own, samples, and version 1, exported twice to compare."""
    directory = tmp_path_factory.mktemp("first")
    shutil.copy(model_files / "cnn.keras", directory)
    (directory / "own.py").write_text(OWN)
    (directory / "beside.py").write_text(BESIDE)
    np.savez(directory / "samples.npz", pixels=np.random.default_rng(0).uniform(0, 16, (9, 8, 8, 1)))
    finished = run_command(directory, *ARGUMENTS, "--check-reproducible")
    assert finished.returncode == 0, finished.stderr
    assert "reproducible: tflite, onnx: the same bytes as a second export\n" in finished.stdout
    return directory


@pytest.fixture
def place(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all of that, and the current directory."""
    shutil.copytree(first, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def asked(**changes: Any) -> ExportRequest:  # noqa: ANN401
    """The request of version 1, as its flags gave it."""
    return ExportRequest(
        model=Path("cnn.keras"),
        name="cnn",
        formats=("tflite", "onnx"),
        data=Path("samples.npz"),
        custom=Path("own.py"),
        command=("export-model", "again"),
    ).model_copy(update=changes)


def changed_manifest(change: Callable[[Manifest], Manifest]) -> None:
    directory = Path("models/cnn/1")
    write_manifest(directory, change(read_manifest(directory)))


def test_an_unchanged_export_is_recognised_and_says_what_the_first_one_said(first: Path) -> None:
    finished = run_command(first, *ARGUMENTS)
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["format", "tflite", "onnx"]
    assert lines[-1] == (
        "unchanged: models/cnn/1 is the export of this file with these options and this toolchain; --force exports it "
        "again"
    )
    assert any(line.startswith("warning: untrained: ") for line in lines)
    assert finished.stderr == ""
    document = json.loads(run_command(first, *ARGUMENTS, "--json", "--version", "1").stdout)
    assert (document["exit_code"], document["unchanged"], document["version"]) == (0, True, 1)
    assert [warning["code"] for warning in document["warnings"]] == ["untrained"]
    assert [entry["reproducible"]["is_identical"] for entry in document["formats"]] == [True, True]
    assert [path.name for path in (first / "models" / "cnn").iterdir()] == ["1"]


def test_an_unchanged_export_is_recognised_without_loading_what_exports(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a second instead of ten: that is why."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    finished = run_command(first, *ARGUMENTS)
    imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert "unchanged: models/cnn/1" in finished.stdout
    assert "kedge_exporter.unchanged" in imported
    assert not imported & {"tensorflow", "keras", "tf2onnx", "onnxruntime", "ai_edge_litert"}


def test_strict_refuses_an_unchanged_export_as_it_refused_the_first(first: Path) -> None:
    finished = run_command(first, *ARGUMENTS, "--strict")
    assert finished.returncode == 3
    assert finished.stderr.startswith("export-model: --strict: untrained: the model looks untrained: ")
    assert finished.stdout == ""


def test_strict_publishes_nothing_and_lists_every_warning(export_model: Run, model_files: Path, tmp_path: Path) -> None:
    finished = export_model(model_files / "augmented.keras", "--strict", "--json")
    document = json.loads(finished.stdout)
    assert (finished.returncode, document["exit_code"], document["kind"]) == (3, 3, "model-refused")
    assert "untrained: " in document["error"]
    assert "augmentation-inside: " in document["error"]
    assert not (tmp_path / "models").exists()


def test_force_exports_again_and_compares_with_the_earlier_version(first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "place")
    finished = run_command(tmp_path / "place", *ARGUMENTS, "--force")
    assert finished.returncode == 0, finished.stderr
    assert "reproducible: tflite, onnx: the same bytes as version 1\n" in finished.stdout
    assert finished.stdout.endswith("proven and published: models/cnn/2\n")


def test_the_same_request_is_found_wherever_its_files_lie(place: Path) -> None:
    found = find(asked()).exported
    assert found is not None
    assert found.bundle == Path("models/cnn/1")
    assert [result.cases for result in found.formats] == [17, 17]
    for path in ("cnn.keras", "samples.npz", "own.py", "beside.py"):
        (place / "elsewhere").mkdir(exist_ok=True)
        shutil.move(place / path, place / "elsewhere" / path)
    moved = asked(
        model=Path("elsewhere/cnn.keras"), data=Path("elsewhere/samples.npz"), custom=Path("elsewhere/own.py")
    )
    assert find(moved).exported is not None
    assert find(moved.model_copy(update={"checks_reproducible": True})).exported is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"opset": 17},
        {"formats": ("onnx",)},
        {"data": None},
        {"custom": None},
        {"custom": Path("beside.py")},
        {"name": "other"},
        {"version": 2},
        {"output": Path("elsewhere")},
        {"model": Path("gone.keras")},
    ],
)
@pytest.mark.usefixtures("place")
def test_another_option_is_another_export(changes: dict[str, Any]) -> None:
    assert find(asked(**changes)) == Found()


@pytest.mark.parametrize("file", ["cnn.keras", "samples.npz", "own.py", "beside.py"])
def test_another_content_of_a_file_is_another_export(place: Path, file: str) -> None:
    if file == "cnn.keras":
        with zipfile.ZipFile(place / file, "a") as archive:
            archive.comment = b"the same content in another zip"
        assert find(asked()).exported is not None
        (place / file).write_bytes((place / file).read_bytes()[:5000])
    else:
        (place / file).write_bytes((place / file).read_bytes() + b"\n")
    assert find(asked()) == Found()


def test_samples_that_are_replaced_while_they_are_exported_are_not_taken_for_those_that_were(place: Path) -> None:
    before = sha256_of(place / "samples.npz")
    # The module is imported after the samples were read.
    replacing = "import numpy, pathlib\nnumpy.savez(pathlib.Path('samples.npz'), pixels=numpy.ones((9, 8, 8, 1)))\n"
    (place / "own.py").write_text(replacing)
    finished = run_command(place, "cnn.keras", "--formats", "tflite", *ARGUMENTS[3:])
    assert finished.returncode == 0, finished.stderr
    made = read_manifest(place / "models" / "cnn" / "2").recipe
    assert made is not None
    assert made.data_sha256 == before != sha256_of(place / "samples.npz")
    assert find(asked(formats=("tflite",))) == Found()


@pytest.mark.parametrize(
    "change",
    [
        lambda made: {"packages": {**made.packages, "keras": "3.14.0"}},
        lambda made: {"packages": {**made.packages, "extra": "1"}},
        lambda _: {"python": "3.12.0"},
        lambda _: {"machine": "aarch64"},
    ],
)
@pytest.mark.usefixtures("place")
def test_another_toolchain_is_another_export(change: Callable[[Any], dict[str, Any]]) -> None:
    changed_manifest(
        lambda manifest: manifest.model_copy(
            update={"toolchain": manifest.toolchain.model_copy(update=change(manifest.toolchain))}
        )
    )
    assert find(asked()) == Found()


@pytest.mark.usefixtures("place")
def test_another_version_of_a_package_that_the_users_module_imports_is_another_export() -> None:
    changed_manifest(
        lambda manifest: manifest.model_copy(
            update={"recipe": manifest.recipe and manifest.recipe.model_copy(update={"custom_packages": {"gone": "1"}})}
        )
    )
    assert find(asked()) == Found()


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("argument", ["model", "data"])
def test_a_pipe_is_left_for_the_export_to_read(argument: str) -> None:
    os.mkfifo("pipe")
    assert find(asked(**{argument: Path("pipe")})) == Found()


@pytest.mark.usefixtures("place")
def test_a_manifest_that_records_no_options_is_no_reason_to_skip() -> None:
    changed_manifest(lambda manifest: manifest.model_copy(update={"recipe": None}))
    assert find(asked()) == Found()


@pytest.mark.usefixtures("place")
def test_only_the_newest_version_counts_unless_one_is_named() -> None:
    shutil.copytree("models/cnn/1", "models/cnn/2")
    manifest = Path("models/cnn/2/manifest.json")
    manifest.write_text(manifest.read_text().replace('"seed": 0', '"seed": 5'))
    assert find(asked()) == Found()
    assert find(asked(version=1)).exported is not None


@pytest.mark.usefixtures("place")
def test_a_damaged_bundle_is_not_taken_for_an_export_and_that_is_said() -> None:
    with Path("models/cnn/1/model.onnx").open("ab") as file:
        file.write(b"more")
    found = find(asked())
    assert found.exported is None
    assert "not whole: models/cnn/1: 'model.onnx' has" in found.note
    Path("models/cnn/1/manifest.json").write_text("{}")
    assert "manifest.json" in find(asked()).note


@pytest.mark.usefixtures("place")
def test_a_bundle_that_was_not_exported_twice_does_not_answer_for_it() -> None:
    def unchecked(manifest: Manifest) -> Manifest:
        artifacts = [artifact.model_copy(update={"reproducible": None}) for artifact in manifest.artifacts]
        return manifest.model_copy(update={"artifacts": tuple(artifacts)})

    changed_manifest(unchecked)
    assert find(asked()).exported is not None
    assert find(asked(checks_reproducible=True)) == Found()


def draft(request: ExportRequest, staged: Path) -> tuple[Draft, Manifest]:
    """What an export of the same has in hand when everything is proven."""
    manifest = read_manifest(Path("models/cnn/1"))
    assert manifest.reference is not None
    made = Draft(
        request=request,
        contents=inspect(request.model),
        signature=manifest.signature,
        input_stats=(),
        budget=manifest.budget,
        reference=manifest.reference,
        draws=(),
        staged=staged,
    )
    # The modules that the export imported are not imported here.
    vars(made)["recipe"] = manifest.recipe
    return made, manifest


def quiet() -> Progress:
    return Progress(lambda _event: None)


def test_other_bytes_than_those_of_an_earlier_version_are_a_warning_and_strictly_an_error(place: Path) -> None:
    made, manifest = draft(asked(), place)
    tflite, onnx = manifest.artifacts
    file = onnx.files[0].model_copy(update={"sha256": "0" * 64})
    artifacts = (tflite, onnx.model_copy(update={"files": (file,)}))
    compared, checked = check(made, artifacts, place, quiet())
    assert [one.reproducible and one.reproducible.is_identical for one in checked] == [True, False]
    assert [one.reproducible and one.reproducible.against for one in checked] == ["version 1", "version 1"]
    (advice,) = compared.advice
    assert advice.code == "not-reproducible"
    assert advice.message.startswith("onnx: its bytes differ from those of version 1 of the same file")
    strict = replace(made, request=asked(is_strict=True))
    vars(strict)["recipe"] = manifest.recipe
    with pytest.raises(NotReproducible, match="--strict: not-reproducible: onnx: "):
        check(strict, artifacts, place, quiet())


def test_without_an_earlier_version_nothing_is_said_of_the_bytes(place: Path) -> None:
    made, manifest = draft(asked(output=place / "elsewhere"), place)
    compared, checked = check(made, manifest.artifacts, place, quiet())
    assert (compared.advice, checked) == ((), manifest.artifacts)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda place: (place / "samples.npz").unlink(), "the second export failed: --data samples.npz"),
        (
            lambda place: (place / "cnn.keras").write_bytes(b"PK"),
            "cnn.keras is not the file any more that was exported",
        ),
        (lambda place: (place / "cnn.keras").unlink(), "cnn.keras is not the file any more that was exported"),
    ],
)
def test_a_second_export_that_fails_leaves_the_question_open(
    place: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    made, manifest = draft(asked(checks_reproducible=True), place)
    spoil(place)
    compared, checked = check(made, manifest.artifacts, place, quiet())
    assert checked == manifest.artifacts
    assert [advice.code for advice in compared.advice] == ["not-reproducible"]
    assert sentence in compared.advice[0].message
