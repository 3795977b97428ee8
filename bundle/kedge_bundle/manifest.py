"""`manifest.json`: what is in a bundle, where it came from, and what was proven. The only reader and writer."""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from kedge_bundle.cases import Case
from kedge_bundle.errors import BundleUnreadable, ManifestInvalid
from kedge_bundle.fidelity import FidelityReport, FidelityVerdict
from kedge_bundle.judge import Judge
from kedge_bundle.parity import Budget, Verdict
from kedge_bundle.rounding import Reference
from kedge_bundle.signature import Signature
from kedge_bundle.stats import InputStats

SCHEMA_MAJOR, SCHEMA_MINOR = 1, 2
FILE_NAME = "manifest.json"

FormatName = Literal["saved_model", "tflite", "onnx"]
FORMATS: tuple[FormatName, ...] = ("saved_model", "tflite", "onnx")

Quantization = Literal["none", "float16", "dynamic", "int8"]
ArtifactName = Literal[
    "saved_model", "tflite", "onnx", "tflite-float16", "tflite-dynamic", "tflite-int8", "onnx-float16", "onnx-int8"
]
ARTIFACT_NAMES: tuple[ArtifactName, ...] = get_args(ArtifactName)
"""What people choose an artifact by: the format, and behind a hyphen how it was made smaller."""

HIGHEST_VERSION = (1 << 63) - 1
"""Both protocols carry versions as 64 bit integers."""

MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""Model names are directory names, gRPC service names and metric labels: nothing that any of them would refuse."""


def _relative(path: str) -> str:
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or str(pure) != path:
        raise ValueError(f"'{path}' is not a plain path inside the bundle")
    return path


RelativePath = Annotated[str, AfterValidator(_relative)]


class _Part(BaseModel):
    """Frozen; fields of later minor versions are ignored."""

    model_config = ConfigDict(frozen=True)


class File(_Part):
    """One file of the bundle."""

    path: RelativePath
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class RuntimeOptions(_Part):
    """How a runtime runs an artifact. The proof records these; the server serves with the same."""

    device: Literal["cpu", "gpu"] = "cpu"
    threads: int = Field(default=1, ge=1, description="Threads inside one run.")
    graph_optimization: Literal["all", "disabled"] = "all"
    tf32: bool = Field(
        default=False,
        description="Whether a GPU may round what it multiplies to TensorFloat-32: 10 bits of a float32's 23.",
    )
    tensorrt: bool = Field(
        default=False,
        description="Whether onnxruntime gives NVIDIA's TensorRT what it takes of the graph. Only with `tf32`.",
    )


class Reproducibility(_Part):
    """Whether the same export gave the same bytes a second time."""

    is_identical: bool
    against: str = Field(description="What it was compared with: `version 3`, or `a second export`.")


class Latency(_Part):
    """What one run took where the bundle was made: what was seen there, no promise. One thread, through the runtime."""

    p50_ms: float = Field(ge=0)
    p99_ms: float = Field(ge=0)
    runs: int = Field(ge=1)
    rows: int = Field(ge=1, description="Rows of each run.")
    cpu: str = Field(default="", description="The processor's own name; empty where the system does not say.")


class Quantized(_Part):
    """What a quantized artifact was judged by, and what it should answer.

    Attributes:
        golden: the artifact's own answers to the inputs of the bundle's golden cases, as seen when it was made.
        budget: the error that a replay of them may show: integer kernels round differently from one processor to
            another, and a step that is off travels through the network.
        calibration_rows: rows that set the ranges of activations; none of them was judged.
        fidelity: how it compares with Keras.
    """

    golden: File
    budget: Budget
    calibration_rows: int = Field(default=0, ge=0)
    fidelity: FidelityReport


class Artifact(_Part):
    """The model in one format, at one precision."""

    format: FormatName
    quantization: Quantization = "none"
    path: str = Field(description="The file, or `.` where the format is a directory (SavedModel).")
    files: tuple[File, ...] = Field(min_length=1)
    inputs: dict[str, str] = Field(description="Keras input name -> the name that this format uses.")
    outputs: dict[str, str] = Field(description="Keras output name -> the name that this format uses.")
    batch: Literal["dynamic"] | Annotated[int, Field(ge=1)] = Field(
        description="`dynamic`, or the number of rows of every run."
    )
    opset: int | None = None
    ops: tuple[str, ...] = ()
    options: RuntimeOptions = Field(default=RuntimeOptions(), description="The options that were proven.")
    verdict: Verdict | FidelityVerdict
    max_abs_error: float | None = None
    quantized: Quantized | None = Field(default=None, description="None for an artifact that answers as Keras does.")
    latency: Latency | None = None
    min_runtime: str | None = Field(default=None, description="The oldest LiteRT that runs the file, where it says so.")
    reproducible: Reproducibility | None = Field(default=None, description="None: not checked.")

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.name not in ARTIFACT_NAMES:
            raise ValueError(f"there is no {self.format} in {self.quantization}; expected one of {ARTIFACT_NAMES}")
        if self.verdict != "failed" and (self.quantization == "none") != (self.quantized is None):
            raise ValueError(f"'{self.name}' must say what it was judged by if, and only if, it is quantized")
        if self.verdict != "failed" and (self.quantization == "none") != (self.verdict != "within-fidelity"):
            raise ValueError(
                f"'{self.name}' has the verdict '{self.verdict}': fidelity is for quantized artifacts, parity "
                "for the others"
            )
        if self.quantized is not None and self.quantized.fidelity.verdict != self.verdict:
            raise ValueError(f"'{self.name}' has the verdict '{self.verdict}', and its fidelity another one")
        if self.main_path not in {file.path for file in self.files}:
            raise ValueError(f"'{self.main_path}', which the {self.format} runtime reads, is not among the files")
        for names in (self.inputs, self.outputs):
            if len(set(names.values())) != len(names):
                raise ValueError(f"two names of the model stand for one of the {self.format} artifact: {names}")
        return self

    @property
    def name(self) -> str:
        """One of `ARTIFACT_NAMES`."""
        return self.format if self.quantization == "none" else f"{self.format}-{self.quantization}"

    @property
    def main_path(self) -> str:
        """The file that the runtime reads first."""
        return "saved_model.pb" if self.format == "saved_model" and self.path == "." else self.path

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return sum(file.bytes for file in self.files)

    @property
    def sha256(self) -> str:
        """The hash that names this artifact: that of its main file."""
        return next(file.sha256 for file in self.files if file.path == self.main_path)


class Source(_Part):
    """The `.keras` file that the bundle was made from."""

    file_name: str
    sha256: str
    content_sha256: str = Field(description="Over the members' names and bytes: the same after re-zipping.")
    keras_version: str = Field(description="The version that saved the file.")


class Toolchain(_Part):
    """What made the bundle."""

    packages: dict[str, str] = Field(description="Every distribution that takes part in an export, with its version.")
    python: str
    platform: str
    machine: str = Field(default="", description="The kind of processor: `x86_64`, `aarch64`.")
    cpu_flags: tuple[str, ...] = ()
    seed: int
    command: tuple[str, ...] = ()


class Recipe(_Part):
    """What was asked of the export, as far as it decides what comes out."""

    options: dict[str, JsonValue] = Field(description="The flags that matter, with their defaults filled in.")
    data_sha256: str | None = Field(default=None, description="Of the file given with --data.")
    custom: dict[str, str] = Field(
        default={}, description="The module given with --custom, first, and what it imported, from it -> sha256."
    )
    custom_packages: dict[str, str] = Field(
        default={}, description="Installed packages that were imported beside those of the toolchain, with versions."
    )


class Advice(_Part):
    """Something of the model that its author should know; `docs/advice.md` lists the codes."""

    code: str
    message: str = Field(description="What was found, why it matters, and what to do about it.")
    layer: str | None = Field(default=None, description="Where, when it is one layer.")


class Manifest(_Part):
    """The contract of a bundle."""

    schema_version: str = Field(default=f"{SCHEMA_MAJOR}.{SCHEMA_MINOR}", pattern=r"^\d+\.\d+$")
    name: str
    version: int = Field(ge=1, le=HIGHEST_VERSION)
    created: str = Field(description="UTC, ISO 8601.")
    signature: Signature
    input_stats: tuple[InputStats, ...] = ()
    budget: Budget = Field(description="The tolerance where there is no float64 reference.")
    tolerance: Budget | None = Field(default=None, description="The one that was asked for with --atol and --rtol.")
    reference: Reference | None = Field(default=None, description="None in bundles of schema 1.1 and older.")
    artifacts: tuple[Artifact, ...] = Field(min_length=1)
    golden: File
    proof: File
    report: File | None = Field(default=None, description="The proof for people; None in bundles of schema 1.1.")
    source: Source
    toolchain: Toolchain
    recipe: Recipe | None = None
    advice: tuple[Advice, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="What the export had to say of the proof and the samples.")

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if not MODEL_NAME.fullmatch(self.name):
            raise ValueError(f"'{self.name}' is not a model name: letters, digits, '_', '-' and '.', not first")
        names = [artifact.name for artifact in self.artifacts]
        if len(set(names)) != len(names):
            raise ValueError(f"an artifact stands twice: {names}")
        for artifact in self.artifacts:
            for given, wanted in (
                (artifact.inputs, self.signature.input_names),
                (artifact.outputs, self.signature.output_names),
            ):
                if set(given) != set(wanted):
                    raise ValueError(
                        f"{artifact.name} maps the names {sorted(given)}, the signature has {sorted(wanted)}"
                    )
        return self

    def judge(self, cases: list[Case]) -> Judge:
        """What the answers to these cases are held to."""
        return Judge.of(cases, self.budget, self.tolerance, self.reference)

    def artifact(self, name: str) -> Artifact | None:
        """The artifact of this name, one of `ARTIFACT_NAMES`, or None."""
        return next((artifact for artifact in self.artifacts if artifact.name == name), None)

    @property
    def files(self) -> tuple[File, ...]:
        """Every file that the manifest answers for."""
        own_answers = (artifact.quantized.golden for artifact in self.artifacts if artifact.quantized is not None)
        files = (file for artifact in self.artifacts for file in artifact.files)
        report = () if self.report is None else (self.report,)
        return (*files, *own_answers, self.golden, self.proof, *report)


def read_manifest(directory: Path) -> Manifest:
    """Read `manifest.json` of a bundle.

    Raises:
        BundleUnreadable: there is none, or it cannot be read.
        ManifestInvalid: not JSON, another major schema version, or contradictory.
    """
    return parse_manifest(directory, read_manifest_bytes(directory))


def read_manifest_bytes(directory: Path) -> bytes:
    """The bytes of a bundle's `manifest.json`: what its hash is of.

    Raises:
        BundleUnreadable: there is none, or it cannot be read.
    """
    path = directory / FILE_NAME
    try:
        if not path.is_file():  # nor a pipe, on which a reader would wait for ever
            raise BundleUnreadable(f"{directory}: no {FILE_NAME} here; a bundle is the directory <name>/<version>")
        return path.read_bytes()
    except OSError as error:
        raise BundleUnreadable(f"{path}: cannot be read: {error.strerror}") from error


def parse_manifest(directory: Path, data: bytes) -> Manifest:
    """What the bytes of a `manifest.json` say; `directory` is where they came from, for the errors.

    Raises:
        BundleUnreadable, ManifestInvalid: as `read_manifest`.
    """
    path = directory / FILE_NAME
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleUnreadable(f"{path}: cannot be read: {error}") from error
    try:
        major = _Versioned.model_validate_json(text).schema_version.partition(".")[0]
        if major != str(SCHEMA_MAJOR):
            raise ManifestInvalid(f"{path}: schema {major}.x; this version of Kedge reads {SCHEMA_MAJOR}.x")
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or "document"
        raise ManifestInvalid(f"{path}: {where}: {first['msg']}") from error


def write_manifest(directory: Path, manifest: Manifest) -> bytes:
    """Write `manifest.json` into a bundle that is being made; its bytes."""
    data = (manifest.model_dump_json(indent=2) + "\n").encode()
    (directory / FILE_NAME).write_bytes(data)
    return data


class _Versioned(BaseModel):
    schema_version: str
