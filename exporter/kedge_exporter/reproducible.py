"""Whether an export gives the same bytes twice, found out by doing it: against an earlier version, or a second time.

The second time is an export like the first, in a process of its own, from the file to the proof: names that libraries
count up depend on everything that a process did before.
"""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from kedge_bundle.errors import BundleError, BundleUnreadable
from kedge_bundle.manifest import Advice, Artifact, Manifest, Reproducibility, read_manifest
from kedge_bundle.store import sha256_of, staging, versions
from kedge_exporter.advice import NOT_REPRODUCIBLE, require_none
from kedge_exporter.processes import describe_exit, export_environment
from kedge_exporter.progress import Progress
from kedge_exporter.provenance import is_this_toolchain
from kedge_exporter.publish import Draft
from kedge_exporter.request import Failed, Job

Hashes = dict[str, dict[str, str]]
"""Name of the artifact -> path of the file -> sha256."""


def check(
    draft: Draft, artifacts: tuple[Artifact, ...], work: Path, progress: Progress
) -> tuple[Draft, tuple[Artifact, ...]]:
    """The artifacts with what was found of their reproducibility, and the draft with advice where their bytes differ.

    A second export is made only where the user asks for it; an earlier version of the same export costs nothing.

    Raises:
        NotReproducible: bytes differ or could not be compared, and it is strict.
    """
    failure = ""
    if draft.request.checks_reproducible:
        against = "a second export"
        with progress.phase("export again") as phase:
            hashes, failure = _exported_again(draft, work)
            phase.detail = failure or f"{', '.join(hashes)}, to compare"
    else:
        against, hashes = _earlier(draft)
    checked = tuple(_compared(artifact, hashes, against) for artifact in artifacts)
    differing = [one for one in checked if one.reproducible is not None and not one.reproducible.is_identical]
    doubts = [_differs(one, against) for one in differing]
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


def _exported_again(draft: Draft, work: Path) -> tuple[Hashes, str]:
    """Export the file a second time, into a scratch repository: the hashes, and why there are none."""
    scratch = work / "again"
    scratch.mkdir()
    request = draft.request.model_copy(
        update={"output": scratch / "models", "version": 1, "checks_reproducible": False, "is_strict": False}
    )
    if not request.model.is_file() or sha256_of(request.model) != draft.contents.sha256:
        return {}, f"{request.model} is not the file any more that was exported"
    job_file, outcome_file = scratch / "job.json", scratch / "outcome.jsonl"
    with staging(request.output, request.name) as staged, outcome_file.open("wb") as outcome:
        job_file.write_text(Job(request=request, staged=staged, work=scratch).model_dump_json(), "utf-8")
        command = [sys.executable, "-P", "-m", "kedge_exporter.worker", str(job_file), str(outcome.fileno())]
        finished = subprocess.run(  # noqa: S603 (our own module)
            command,
            env=export_environment(scratch),
            stdin=subprocess.DEVNULL,
            pass_fds=(outcome.fileno(),),
            check=False,
        )
        if finished.returncode != 0:
            return {}, f"the process of the second export {describe_exit(finished.returncode)}"
        try:
            manifest = read_manifest(request.output / request.name / "1")
        except BundleUnreadable:
            failed = Failed.model_validate_json(outcome_file.read_bytes().splitlines()[-1])
            return {}, f"the second export failed: {failed.error}"
    shutil.rmtree(scratch)  # a whole bundle
    return _hashes(manifest.artifacts), ""
