"""Every setting of `serve-model`, declared once: flags, KEDGE_* variables, checks and documentation come from here.

How they are read is in `settings_reading.py`.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kedge_server.addresses import Address, parse_address
from kedge_server.version_policy import ALL, Label, VersionPolicy, parse_labels

Rows = Annotated[int, Field(ge=1, le=65_536)]


def _address(text: object) -> object:
    return parse_address(text) if isinstance(text, str) else text


def _listed(text: str) -> tuple[str, ...]:
    """What stands between the commas, without spaces; nothing that is empty."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _names(text: object) -> object:
    return _listed(text) if isinstance(text, str) else text


def _sizes(text: object) -> object:
    """Numbers of rows, ascending; what is none is pydantic's to tell."""
    if not isinstance(text, str):
        return text
    parts = _listed(text)
    return tuple(sorted({int(part) for part in parts})) if all(map(str.isdecimal, parts)) else parts


def _policy(text: object) -> object:
    return VersionPolicy.parse(text) if isinstance(text, str) else text


def _labels(text: object) -> object:
    return parse_labels(text) if isinstance(text, str) else text


AddressSetting = Annotated[Address, BeforeValidator(_address)]
FormatSetting = Literal[
    "auto", "onnx", "tflite", "saved_model",
    "onnx-float16", "onnx-int8", "tflite-float16", "tflite-dynamic", "tflite-int8",
]  # fmt: skip
"""The artifact names of the manifest, written out: importing them takes numpy, and `--help` takes none of it."""
VersionsSetting = Annotated[VersionPolicy, BeforeValidator(_policy)]
LabelsSetting = Annotated[tuple[Label, ...], BeforeValidator(_labels)]
SizesSetting = Annotated[tuple[Rows, ...], BeforeValidator(_sizes)]
NamesSetting = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Settings(BaseModel):
    """The settings, in the order of the documentation. Durations and sizes have their unit in the name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: Path = Field(
        description="The directory to serve: a repository (`<name>/<version>` inside), one model's directory "
        "(`<version>` inside), or one bundle."
    )
    grpc_address: AddressSetting = Field(
        default=Address("0.0.0.0", 8500),  # noqa: S104 (a server in a container is reached from outside of it)
        description="Where gRPC listens. Port 0 lets the system choose; the log names it.",
    )
    http_address: AddressSetting = Field(
        default=Address("0.0.0.0", 8501),  # noqa: S104 (as above)
        description="Where `/metrics`, `/healthz` and `/readyz` are.",
    )
    versions: VersionsSetting = Field(
        default=ALL,
        description="Which versions of each model to serve: every one, the latest so many that can be served, or those "
        "that are named. Versions that a label names are served besides.",
    )
    labels: LabelsSetting = Field(
        default=(),
        description="Names for versions: `digits:stable=3,digits:canary=4`. For a model with a file `labels.json` in "
        "its directory, that file counts.",
    )
    watch: bool = Field(
        default=True,
        description="Whether the repository is followed while the server runs: new versions are loaded, those that "
        "are taken away are unloaded, labels move.",
    )
    allow_admin: bool = Field(
        default=False,
        description="Whether callers may load and unload models: RepositoryModelLoad, RepositoryModelUnload, "
        "HandleReloadConfigRequest.",
    )
    format: FormatSetting = Field(
        default="auto",
        description="Which artifact of each bundle to serve. `auto`: the first of onnx, tflite, saved_model that the "
        "bundle has and that a runtime is installed for; never a quantized one, which answers a little otherwise.",
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        default="auto",
        description="`gpu` ends the server where the GPU is not really in use after loading; `auto` takes a GPU where "
        "the runtime gets one and an attestation proves it, else the CPU, and says in the log and in "
        "`kedge_model_info` which device it took.",
    )
    instances: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Batches of a model that run at once. 0: what `--tune` finds best; without it, one for every "
        "usable core on a CPU, one on a GPU.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Threads inside one run. 0: what `--tune` finds best of what is proven; without it, as many as "
        "the bundle was proven with.",
    )
    graph_optimization: Literal["auto", "all", "disabled"] = Field(
        default="auto",
        description="What the runtime may rewrite: ONNX Runtime's optimizations, LiteRT's XNNPACK, TensorFlow's "
        "Grappler. `auto`: as the bundle was proven.",
    )
    tf32: bool = Field(
        default=False,
        description="Whether a GPU may round what it multiplies to TensorFloat-32, 10 bits of a float32's 23: `on` or "
        "`off`. On a CPU it means nothing.",
    )
    tensorrt: bool = Field(
        default=False,
        description="Whether onnxruntime gives NVIDIA's TensorRT what it takes of the graph: `on` or `off`. Needs "
        "TensorRT's libraries and `--tf32 on`; see [verifying](verifying.md#on-a-gpu).",
    )
    unproven_options: Literal["refuse", "warn"] = Field(
        default="refuse",
        description="What happens to a version that `--device`, `--threads`, `--graph-optimization`, `--tf32` and "
        "`--tensorrt` would run otherwise than its manifest, or an attestation of this machine, proves: it is not "
        "served, or it is, with a warning in the log.",
    )
    max_batch_rows: int = Field(
        default=32,
        ge=1,
        le=65_536,
        description="Rows of a batch. A larger request is split over the instances and put together again. Where it "
        "is not given, `--tune` may take fewer.",
    )
    tune: Literal["off", "quick", "full"] = Field(
        default="quick",
        description="Whether instances, threads and batch rows that are not given are measured at load, and for how "
        "long: `quick` takes 0.6 s for a model, `full` ten seconds.",
    )
    latency_bound_ms: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="How long a batch may take, at the 95th percentile, in what `--tune` chooses. 0: no bound; then it "
        "takes the smallest batch that is nearly as good as the best. With `--tune off` it means nothing.",
    )
    state_dir: Path | None = Field(
        default=None,
        description="Where it is kept what `--tune` found on this machine. By default `$XDG_STATE_HOME/kedge`, or "
        "`~/.local/state/kedge`.",
    )
    compute_nice: int = Field(
        default=5,
        ge=0,
        le=19,
        description="How far threads that run models on a CPU stand behind those that answer, in steps of `nice`. It "
        "counts among the threads of the server; other programs notice it only where they share its control group or "
        "session, and so it does not matter in a container or a service of its own. 0: all are alike.",
    )
    batch_window_ms: float = Field(
        default=0.0,
        ge=0,
        le=10_000,
        description="How long a batch waits for more requests, from its first one. 0: what waits while the instances "
        "are busy becomes the next batch, and nothing waits longer for it.",
    )
    allowed_batch_sizes: SizesSetting = Field(
        default=(),
        description="Rows that a batch may have, separated by commas; others are filled up to the next one with copies "
        "of their last row, and the largest is `--max-batch-rows`. Empty: any number. For runtimes that prepare "
        "themselves for each new shape, GPUs above all.",
    )
    queue_rows: int = Field(
        default=1024,
        ge=1,
        le=2**31 - 1,
        description="Rows that may wait for each model version, and the rows of a request at most. More is refused "
        "with RESOURCE_EXHAUSTED.",
    )
    queue_mb: int = Field(
        default=256,
        ge=1,
        le=2**20,
        description="What the inputs that wait for each model version may hold in memory, in MiB. More is refused with "
        "RESOURCE_EXHAUSTED.",
    )
    required_models: NamesSetting = Field(
        default=(),
        description="The models, separated by commas, without which the server is not ready. Empty: every version of "
        "every model that was found.",
    )
    input_stats: Literal["off", "observe", "reject"] = Field(
        default="observe",
        description="What happens to inputs unlike those of training: nothing, counted and told in the trailing "
        "metadata, or refused.",
    )
    input_stats_margin: float = Field(
        default=0.1,
        ge=0,
        allow_inf_nan=False,
        description="Share of the training range that a value may lie outside of it.",
    )
    input_stats_z_score: float = Field(
        default=8.0,
        gt=0,
        allow_inf_nan=False,
        description="Training standard deviations that a value may lie from the training mean.",
    )
    nonfinite_inputs: Literal["reject", "observe"] = Field(
        default="reject", description="Whether NaN and infinity in inputs are refused or only counted."
    )
    nonfinite_outputs: Literal["observe", "reject"] = Field(
        default="observe", description="Whether NaN and infinity in outputs are only counted or become an error."
    )
    on_device_error: Literal["keep", "exit"] = Field(
        default="keep",
        description="What happens after an error that leaves a GPU unusable for this process: its models are not ready "
        "and everything else goes on, or requests in flight are answered and the server ends with exit code 6.",
    )
    drain_timeout_s: float = Field(
        default=30.0, ge=0, le=3600, description="How long requests in flight have to end after SIGTERM."
    )
    max_message_mb: int = Field(default=64, ge=1, le=2047, description="The largest gRPC message, either way, in MiB.")
    unread_mb: int = Field(
        default=256,
        ge=1,
        le=2**20,
        description="What a connection may leave unread of its answers, in MiB; gRPC keeps them in memory. Further "
        "answers of more than 64 KiB are refused with RESOURCE_EXHAUSTED, and streams are not read further, but for "
        "one request of each.",
    )
    reflection: bool = Field(default=True, description="Whether gRPC server reflection is on: `on` or `off`.")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`auto`: text on a terminal, JSON lines elsewhere. Logs go to standard error."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe event that is logged."
    )

    @property
    def largest_batch_rows(self) -> int:
        """Rows of the largest batch: of the sizes that are allowed, where only some are."""
        return max(self.allowed_batch_sizes, default=self.max_batch_rows)
