"""What is asked of an export and what comes out of it, as data that travels between processes."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from kedge_bundle.manifest import FORMATS, Advice, Artifact, FormatName, Reproducibility
from kedge_bundle.parity import ParityReport, Verdict
from kedge_bundle.signature import Signature
from kedge_bundle.stats import InputStats

LOWEST_OPSET, HIGHEST_OPSET = 13, 18
"""Of ONNX: below 13 tf2onnx writes other op forms than those proven here, above 18 it writes none."""


class ExportRequest(BaseModel):
    """The flags of `export-model`.

    Attributes:
        is_strict: whether advice refuses the model.
        is_forced: whether an export that exists already is made again.
        checks_reproducible: whether every format is converted a second time, to compare.
    """

    model_config = ConfigDict(frozen=True)

    model: Path
    name: str
    output: Path = Path("models")
    version: int | None = Field(default=None, ge=1)
    formats: tuple[FormatName, ...] = FORMATS
    data: Path | None = None
    custom: Path | None = None
    opset: int = Field(default=HIGHEST_OPSET, ge=LOWEST_OPSET, le=HIGHEST_OPSET)
    seed: int = Field(default=0, ge=0)
    is_strict: bool = False
    is_forced: bool = False
    checks_reproducible: bool = False
    command: tuple[str, ...] = ()


class Job(BaseModel):
    """What the command hands to the export's own process.

    Attributes:
        staged: the directory that becomes the bundle.
        work: a scratch directory.
    """

    model_config = ConfigDict(frozen=True)

    request: ExportRequest
    staged: Path
    work: Path


class FormatResult(BaseModel):
    """One line of the table at the end. `max_abs_error` is in units of the output."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")

    format: FormatName
    path: str
    bytes: int
    batch: Literal["dynamic"] | int
    verdict: Verdict
    max_abs_error: float | None
    cases: int
    reproducible: Reproducibility | None = None

    @classmethod
    def of(cls, artifact: Artifact, report: ParityReport) -> Self:
        """The line of one artifact and its proof."""
        return cls(
            format=artifact.format,
            path=artifact.path,
            bytes=artifact.bytes,
            batch=artifact.batch,
            verdict=report.verdict,
            max_abs_error=report.max_abs_error,
            cases=len(report.cases),
            reproducible=artifact.reproducible,
        )


class Exported(BaseModel):
    """A published bundle; `unchanged` where it was there already, as the export of the same file."""

    model_config = ConfigDict(frozen=True)

    event: Literal["exported"] = "exported"

    name: str
    version: int
    bundle: Path
    formats: tuple[FormatResult, ...]
    signature: Signature
    input_stats: tuple[InputStats, ...] = ()
    unchanged: bool = False
    warnings: tuple[Advice, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = Field(default={}, description="Wall time of each phase.")


class Failed(BaseModel):
    """An export that published nothing."""

    model_config = ConfigDict(frozen=True)

    event: Literal["failed"] = "failed"

    error: str
    kind: str
    exit_code: int
    reports: tuple[ParityReport, ...] = ()
