"""Which runtime options an artifact was proven with: those of its manifest, and those attested on this machine."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from kedge_bundle.attestation import BEFORE_TF32, Attestation, Finding, attestations, read_attestation
from kedge_bundle.errors import AttestationInvalid, OptionsUnproven
from kedge_bundle.machine import Machine, this_machine
from kedge_bundle.manifest import FILE_NAME, Artifact, RuntimeOptions
from kedge_bundle.store import Bundle
from kedge_bundle.toolchain import runtime_packages

IN_MANIFEST = FILE_NAME
"""Where the proof of the manifest's own options is; that of others is in a file beside the bundle."""


_TOLD = 3
"""Records of a whole fleet may lie beside a bundle: so many are named in a refusal."""


@dataclass(frozen=True)
class _Session:
    """What an attestation must be about to speak for what is to be served."""

    manifest_sha256: str
    artifact: Artifact
    options: RuntimeOptions
    runtime: dict[str, str]
    machine: Machine


def proof_of(bundle: Bundle, artifact: Artifact, options: RuntimeOptions) -> str:
    """The file that says that the artifact answers right with these options: the manifest, or an attestation's name.

    Of several attestations of the same session the newest counts.

    Raises:
        OptionsUnproven: there is none, or it says that the artifact failed; with the command that attests.
    """
    if options == artifact.options:
        return IN_MANIFEST
    wanted = _Session(
        bundle.manifest_sha256,
        artifact,
        options,
        runtime_packages(artifact.format, options.device),
        this_machine(options.device),
    )
    found: list[tuple[str, bool, str]] = []
    objections: list[str] = []
    for path in _beside(bundle.directory, objections):
        try:
            record = read_attestation(path)
        except AttestationInvalid as error:
            objections.append(str(error))
            continue
        finding, objection = _finding(record, wanted)
        if finding is not None:
            found.append((record.date, not finding.is_proven, path.name))
        elif objection:
            objections.append(f"{path.name} {objection}")
    if not found:
        because = f" ({'; '.join(objections[:_TOLD])})" if objections else ""
        raise OptionsUnproven(
            _refusal(bundle, wanted, f"is not, nor does an attestation of this machine say so{because}")
        )
    _, has_failed, name = max(found)  # of two at the same moment, the one that failed
    if has_failed:
        raise OptionsUnproven(_refusal(bundle, wanted, f"failed on this machine, says {name}"))
    return name


def described(options: RuntimeOptions) -> str:
    """Runtime options for people: `gpu, 4 threads, graph optimization all`; what is off is not named."""
    threads = "1 thread" if options.threads == 1 else f"{options.threads} threads"
    more = (", TF32" if options.tf32 else "") + (", TensorRT" if options.tensorrt else "")
    return f"{options.device}, {threads}, graph optimization {options.graph_optimization}{more}"


def attest_command(bundle: Bundle, artifact: Artifact, options: RuntimeOptions) -> str:
    """The command that proves an artifact with these options on this machine, and writes the record."""
    proven = artifact.options
    words = ["verify-model", str(bundle.directory), "--format", artifact.name]
    if options.device != proven.device:
        words += ["--device", options.device]
    if options.threads != proven.threads:
        words += ["--threads", str(options.threads)]
    if options.graph_optimization != proven.graph_optimization:
        words += ["--graph-optimization", options.graph_optimization]
    if options.tf32 != proven.tf32:
        words += ["--tf32", "on" if options.tf32 else "off"]
    if options.tensorrt != proven.tensorrt:
        words += ["--tensorrt", "on" if options.tensorrt else "off"]
    return shlex.join([*words, "--attest"])


def _beside(directory: Path, objections: list[str]) -> list[Path]:
    try:
        return attestations(directory)
    except OSError as error:
        objections.append(f"{directory.parent}: cannot be listed: {error.strerror}")
        return []


def _finding(record: Attestation, wanted: _Session) -> tuple[Finding | None, str]:
    """What a record says of a session; None and, where it is close to it, why it says nothing."""
    same = [f for f in record.findings if (f.artifact, f.options) == (wanted.artifact.name, wanted.options)]
    if not same or record.manifest_sha256 != wanted.manifest_sha256:
        return None, ""
    if wanted.options.device == "gpu" and record.schema_version in BEFORE_TF32:
        return None, "was made before it was on record whether TensorFloat-32 was on"
    if record.machine != wanted.machine:
        return None, f"is of another machine: {', '.join(record.machine.beyond(wanted.machine))}"
    found = next((finding for finding in same if finding.runtime == wanted.runtime), None)
    return found, f"is of {_versions(same[0].runtime)}; here is {_versions(wanted.runtime)}"


def _versions(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items()) or "no runtime"


def _refusal(bundle: Bundle, wanted: _Session, what: str) -> str:
    artifact, options = wanted.artifact, wanted.options
    return (
        f"{bundle.directory}: {artifact.name} is proven with {described(artifact.options)}; {described(options)} "
        f"{what}; to prove it here: {attest_command(bundle, artifact, options)}"
    )
