"""What is asked of an export and what comes out of it, as data that travels between processes."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from kedge_bundle.fidelity import FidelityReport, FidelityVerdict
from kedge_bundle.manifest import FORMATS, Advice, Artifact, ArtifactName, FormatName, Latency, Reproducibility
from kedge_bundle.parity import Budget, ParityReport, Verdict
from kedge_bundle.signature import Signature
from kedge_bundle.stats import InputStats
from kedge_exporter.culprit.curve import LayerCurve

LOWEST_OPSET, HIGHEST_OPSET = 13, 18
"""Of ONNX: below 13 tf2onnx writes other op forms than those proven here, above 18 it writes none."""


class ExportRequest(BaseModel):
    """The flags of `export-model`.

    Attributes:
        quantize: the quantized artifacts to make, in the order of `ARTIFACT_NAMES`.
        min_snr_db: what every one of them must reach, in dB; the default of its kind when None.
        min_agreement: the same, a share of rows.
        atol, rtol: an explicit tolerance, `atol + rtol * scale` from Keras' own answers; None: rounding only.
        is_timed: whether latencies are measured where nothing is quantized.
        is_strict: whether advice refuses the model.
        is_forced: whether an export that exists already is made again.
        checks_reproducible: whether the file is exported a second time, to compare the bytes.
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
    quantize: tuple[ArtifactName, ...] = ()
    min_snr_db: float | None = Field(default=None, allow_inf_nan=False)
    min_agreement: float | None = Field(default=None, ge=0, le=1)
    atol: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    rtol: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    is_timed: bool = False
    is_strict: bool = False
    is_forced: bool = False
    checks_reproducible: bool = False
    command: tuple[str, ...] = ()

    @property
    def tolerance(self) -> Budget | None:
        """The explicit tolerance; None where rounding is all that is allowed."""
        if self.atol is None and self.rtol is None:
            return None
        return Budget(atol=self.atol or 0.0, rtol=self.rtol or 0.0)


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
    """One line of the table at the end.

    Attributes:
        format: the artifact's name.
        share: of the bytes of the float32 artifact in this format.
        max_abs_error: in units of the output; None for a quantized artifact, of which it would say nothing.
        cases: how many cases proved it.
        fidelity: of a quantized artifact, how it compares with Keras.
        latency: where it was measured.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")

    format: ArtifactName
    share: float = 1.0
    path: str
    bytes: int
    batch: Literal["dynamic"] | int
    verdict: Verdict | FidelityVerdict
    max_abs_error: float | None
    cases: int
    reproducible: Reproducibility | None = None
    fidelity: FidelityReport | None = None
    latency: Latency | None = None

    @classmethod
    def listing(cls, artifacts: tuple[Artifact, ...], reports: tuple[ParityReport, ...]) -> "tuple[Self, ...]":
        """The lines of a bundle's artifacts and the proofs of those that have one."""
        by_format = {report.format: report for report in reversed(reports)}  # the session that serves is the first
        wide = {artifact.format: artifact.bytes for artifact in artifacts if artifact.quantization == "none"}
        return tuple(cls._of(one, by_format.get(one.name), wide.get(one.format, one.bytes)) for one in artifacts)

    @classmethod
    def _of(cls, artifact: Artifact, report: ParityReport | None, wide_bytes: int) -> Self:
        return cls(
            format=artifact.name,
            share=round(artifact.bytes / wide_bytes, 4),
            path=artifact.path,
            bytes=artifact.bytes,
            batch=artifact.batch,
            verdict=artifact.verdict,
            max_abs_error=None if report is None else report.max_abs_error,
            cases=0 if report is None else len(report.cases),
            reproducible=artifact.reproducible,
            fidelity=None if artifact.quantized is None else artifact.quantized.fidelity,
            latency=artifact.latency,
        )


class Exported(BaseModel):
    """A published bundle; `unchanged` where it was there already, as the export of the same file.

    Shows itself as the table that `export-model` prints, and in notebooks as a table of HTML.
    """

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

    @property
    def path(self) -> Path:
        """The bundle's directory, `<output>/<name>/<version>`."""
        return self.bundle

    def artifact(self, name: str) -> Path:
        """Where one artifact lies: a file, or the bundle's directory for `saved_model`.

        Args:
            name: one of those in `formats`, for instance `onnx` or `tflite-int8`.

        Raises:
            KeyError: the bundle has no such artifact.
        """
        paths = {result.format: result.path for result in self.formats}
        if name not in paths:
            raise KeyError(f"'{name}' is not in {self.bundle}, which has {', '.join(paths)}")
        return self.bundle / paths[name]

    def __repr__(self) -> str:
        from kedge_exporter.result_text import result_text  # noqa: PLC0415 (it is made of what is defined here)

        return result_text(self)

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        """What notebooks show: https://ipython.readthedocs.io/en/stable/config/integrating.html#rich-display."""
        from kedge_exporter.result_html import result_html  # noqa: PLC0415 (as above)

        return result_html(self)


class Failed(BaseModel):
    """An export that published nothing."""

    model_config = ConfigDict(frozen=True)

    event: Literal["failed"] = "failed"

    error: str
    kind: str
    exit_code: int
    reports: tuple[ParityReport, ...] = ()
    layers: tuple[LayerCurve, ...] = ()
    fidelity: tuple[FidelityReport, ...] = ()
