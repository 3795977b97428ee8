"""Attestations: records of what `verify-model` found on a machine, beside the bundle. The only reader and writer.

A record lies beside the bundle's directory, not in it: a bundle never changes, and `1.attestation-….json` is no version
to Kedge, to TensorFlow Serving or to Triton, all of which look for directories with a number for a name.
"""

import hashlib
import json
import os
import platform
import socket
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from kedge_bundle import __version__
from kedge_bundle.errors import AttestationInvalid
from kedge_bundle.machine import Machine
from kedge_bundle.manifest import Artifact, File, RuntimeOptions
from kedge_bundle.parity import ParityReport
from kedge_bundle.store import Bundle

SCHEMA_MAJOR, SCHEMA_MINOR = 1, 1

BEFORE_TF32 = ("1.0",)
"""Schemas that do not say whether TensorFloat-32 was on. It was, where a GPU had it: the runtimes' own default."""

_DIGEST = "sha256"


class _Part(BaseModel):
    """Frozen; fields of later minor versions are ignored."""

    model_config = ConfigDict(frozen=True)


class Finding(_Part):
    """What became of one artifact: its golden answers were replayed with these options, in this runtime."""

    artifact: str
    sha256: str = Field(description="Of the artifact's main file.")
    options: RuntimeOptions
    runtime: dict[str, str] = Field(description="The distributions that ran it, with their versions.")
    device: str = Field(description="The device in use, by the runtime's own account.")
    is_proven: bool
    verdict: str
    reason: str = Field(default="", description="One sentence on what differs; empty when it is proven.")
    cases: int
    rows: int
    max_abs_error: float | None
    report: JsonValue = Field(description="Every number: the report as `verify-model --json` prints it.")

    @classmethod
    def of(
        cls, artifact: Artifact, options: RuntimeOptions, runtime: dict[str, str], report: ParityReport
    ) -> "Finding":
        """The finding that a replay's report stands for."""
        document = json.loads(report.model_dump_json())  # through text: only there NaN and infinity are strings
        largest = report.max_abs_error
        return cls(
            artifact=artifact.name,
            sha256=artifact.sha256,
            options=options,
            runtime=runtime,
            device=report.device,
            is_proven=report.is_proven,
            verdict=report.verdict,
            reason=report.first_failure(),
            cases=len(report.cases),
            rows=sum(case.rows for case in report.cases),
            max_abs_error=largest if largest < float("inf") else None,
            report=document,
        )


class Attestation(_Part):
    """One run of `verify-model` on one machine. The file holds `sha256` beside these: an edit shows."""

    schema_version: str = Field(default=f"{SCHEMA_MAJOR}.{SCHEMA_MINOR}", pattern=r"^\d+\.\d+$")
    kedge: str = __version__
    date: str = Field(description="UTC, ISO 8601.")
    name: str
    version: int
    manifest_sha256: str = Field(description="Of the bundle's manifest.json, which has the hash of every other file.")
    files: tuple[File, ...] = Field(description="The bundle's files, as they were checked before the run.")
    machine: Machine
    host: str = Field(description="For people; nothing is decided by it.")
    system: str
    python: str
    findings: tuple[Finding, ...] = Field(min_length=1)


def attest(bundle: Bundle, machine: Machine, findings: list[Finding]) -> Attestation:
    """The record of what was found on this machine, now."""
    return Attestation(
        date=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        name=bundle.manifest.name,
        version=bundle.manifest.version,
        manifest_sha256=bundle.manifest_sha256,
        files=bundle.manifest.files,
        machine=machine,
        host=socket.gethostname(),
        system=platform.platform(),
        python=platform.python_version(),
        findings=tuple(findings),
    )


def write_attestation(bundle: Bundle, attestation: Attestation) -> Path:
    """Write a record beside the bundle, whole or not at all; the same question on the same machine replaces its answer.

    Raises:
        OSError: the directory of the bundle's versions cannot be written.
    """
    directory = Path(os.path.abspath(bundle.directory))  # noqa: PTH100 (resolve() would follow a link to elsewhere)
    path = directory.with_name(_file_name(directory.name, attestation))
    document = attestation.model_dump(mode="json")
    text = json.dumps(document | {_DIGEST: digest_of(document)}, indent=2, allow_nan=False) + "\n"
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    staged = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # mkstemp made it for its owner alone; servers run as somebody else
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return path


def read_attestation(path: Path) -> Attestation:
    """Read what `write_attestation` wrote.

    Raises:
        AttestationInvalid: it cannot be read, was edited, or is of another major schema version.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise AttestationInvalid(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise AttestationInvalid(f"{path}: not JSON: {error}") from error
    if not isinstance(document, dict) or document.pop(_DIGEST, None) != digest_of(document):
        raise AttestationInvalid(f"{path}: was changed after it was written: its sha256 is not that of what it says")
    major = str(document.get("schema_version")).partition(".")[0]
    if major != str(SCHEMA_MAJOR):
        raise AttestationInvalid(f"{path}: schema {major}.x; this version of Kedge reads {SCHEMA_MAJOR}.x")
    try:
        return Attestation.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise AttestationInvalid(f"{path}: {where}: {first['msg']}") from error


def attestations(directory: Path) -> list[Path]:
    """The records beside a bundle's directory, by name."""
    prefix = f"{directory.name}.attestation-"
    beside = directory.parent.iterdir()
    return sorted(path for path in beside if path.name.startswith(prefix) and path.suffix == ".json")


def digest_of(document: JsonValue) -> str:
    """The SHA-256 of a document as canonical JSON: keys sorted, no space, ASCII."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _file_name(bundle: str, attestation: Attestation) -> str:
    """`<version>.attestation-<machine>-<question>.json`: which artifacts, with which options, in which runtimes."""
    question: list[JsonValue] = [
        finding.model_dump(mode="json", include={"artifact", "options", "runtime"}) for finding in attestation.findings
    ]
    machine = digest_of(attestation.machine.model_dump(mode="json"))
    return f"{bundle}.attestation-{machine[:12]}-{digest_of(question)[:8]}.json"
