"""Whether an export gives the same bytes twice, found out by doing it: against an earlier version, or a second time.

`check` is used by the export. `python -m kedge_exporter.reproducible` is the second time: a fresh process that reads,
loads, traces and converts as the first one did, proves nothing, and leaves the hashes of what it made.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from kedge_bundle.cases import read_npz
from kedge_bundle.errors import BundleError
from kedge_bundle.manifest import Advice, Artifact, Manifest, Reproducibility, read_manifest
from kedge_bundle.store import sha256_of, versions
from kedge_exporter.advice import NOT_REPRODUCIBLE, require_none
from kedge_exporter.formats import convert
from kedge_exporter.inspect import inspect
from kedge_exporter.processes import describe_exit, export_environment
from kedge_exporter.progress import Progress
from kedge_exporter.provenance import is_this_toolchain
from kedge_exporter.publish import Draft, convert_options
from kedge_exporter.request import ExportRequest

Hashes = dict[str, dict[str, str]]
"""Name of the artifact -> path of the file -> sha256."""

_HASHES: TypeAdapter[Hashes] = TypeAdapter(Hashes)
_PROMISED = ("onnx", "tflite")
"""Whose bytes are promised to be the same; the fingerprint of a SavedModel is drawn by chance."""


class _Again(BaseModel):
    """What the fresh process is asked to convert, and what came of it the first time."""

    model_config = ConfigDict(frozen=True)

    request: ExportRequest
    artifacts: tuple[Artifact, ...]
    directory: Path
    hashes: Path


def check(
    draft: Draft, artifacts: tuple[Artifact, ...], work: Path, progress: Progress
) -> tuple[Draft, tuple[Artifact, ...]]:
    """The artifacts with what was found of their reproducibility, and the draft with advice where their bytes differ.

    A second conversion is made only where the user asks for it; an earlier version of the same export costs nothing.

    Raises:
        NotReproducible: bytes differ or could not be compared, and it is strict.
    """
    failure = ""
    if draft.request.checks_reproducible:
        against = "a second conversion"
        with progress.phase("convert again") as phase:
            hashes, failure = _converted_again(draft, artifacts, work)
            phase.detail = failure or f"{', '.join(hashes)}, to compare"
    else:
        against, hashes = _earlier(draft)
    checked = tuple(_compared(artifact, hashes, against) for artifact in artifacts)
    differing = [one for one in checked if one.reproducible is not None and not one.reproducible.is_identical]
    doubts = [_differs(one, against) for one in differing if one.format in _PROMISED]
    if failure:
        doubts.append(Advice(code=NOT_REPRODUCIBLE, message=f"whether the bytes are the same twice is open: {failure}"))
    if draft.request.is_strict:
        require_none(tuple(doubts))
    return replace(draft, advice=(*draft.advice, *doubts)), checked


def _compared(artifact: Artifact, hashes: Hashes, against: str) -> Artifact:
    if artifact.name not in hashes:
        return artifact
    is_identical = {file.path: file.sha256 for file in artifact.files} == hashes[artifact.name]
    found = Reproducibility(is_identical=is_identical, against=against)
    return artifact.model_copy(update={"reproducible": found})


def _differs(artifact: Artifact, against: str) -> Advice:
    return Advice(
        code=NOT_REPRODUCIBLE,
        message=f"{artifact.name}: its bytes differ from those of {against} of the same file with the same options and "
        "toolchain; both are proven, but their hashes do not tell that they hold the same model; please report it with "
        "the layers of the model",
    )


def _earlier(draft: Draft) -> tuple[str, Hashes]:
    """The newest version that the same export made before, and the hashes of its files."""
    request = draft.request
    for number, directory in reversed(versions(request.output / request.name)):
        try:
            manifest = read_manifest(directory)
        except BundleError:  # of another schema, or damaged: nothing to compare with
            continue
        if _is_same_export(draft, manifest):
            return f"version {number}", _hashes(manifest.artifacts)
    return "", {}


def _is_same_export(draft: Draft, manifest: Manifest) -> bool:
    return (
        manifest.source.content_sha256 == draft.contents.content_sha256
        and manifest.recipe == draft.recipe
        and is_this_toolchain(manifest.toolchain)
    )


def _hashes(artifacts: tuple[Artifact, ...]) -> Hashes:
    return {artifact.name: {file.path: file.sha256 for file in artifact.files} for artifact in artifacts}


def _converted_again(draft: Draft, artifacts: tuple[Artifact, ...], work: Path) -> tuple[Hashes, str]:
    """Convert a second time in a fresh process: the hashes, and why there are none."""
    if sha256_of(draft.request.model) != draft.contents.sha256:
        return {}, f"{draft.request.model} is not the file any more that was exported"
    scratch = work / "again"
    scratch.mkdir()
    job = _Again(
        request=draft.request,
        # What was made smaller afterwards is made from these.
        artifacts=tuple(artifact for artifact in artifacts if artifact.quantization == "none"),
        directory=scratch,
        hashes=scratch / "hashes.json",
    )
    job_file = scratch / "job.json"
    job_file.write_text(job.model_dump_json(), "utf-8")
    command = [sys.executable, "-P", "-m", "kedge_exporter.reproducible", str(job_file)]
    finished = subprocess.run(  # noqa: S603 (our own module)
        command, env=export_environment(scratch), stdin=subprocess.DEVNULL, check=False
    )
    if finished.returncode != 0:
        return {}, f"the process of the second conversion {describe_exit(finished.returncode)}"
    try:
        return _HASHES.validate_json(job.hashes.read_bytes()), ""
    except (FileNotFoundError, ValidationError) as error:
        return {}, f"the second conversion left no hashes: {error}"


def convert_again(job_file: Path) -> None:
    """The fresh process: from the file to the artifacts, as the export did it."""
    job = _Again.model_validate_json(job_file.read_bytes())
    request = job.request
    contents = inspect(request.model, copy_into=job.directory, has_custom=request.custom is not None)
    data = None if request.data is None else read_npz(request.data)
    from kedge_exporter import keras_model, tracing  # noqa: PLC0415 (Keras comes in after the file was read as data)

    frozen = tracing.trace(keras_model.load(contents, request.custom, data))
    made = []
    for artifact in job.artifacts:
        directory = job.directory / artifact.name
        directory.mkdir()
        is_as_traced = artifact.batch in ("dynamic", frozen.batch)
        again = frozen if is_as_traced else frozen.with_batch(int(artifact.batch))
        made.append(convert(artifact.format, again, directory, convert_options(request)))
    job.hashes.write_bytes(_HASHES.dump_json(_hashes(tuple(made))))


if __name__ == "__main__":
    convert_again(Path(sys.argv[1]))
