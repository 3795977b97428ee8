"""Every setting of `serve-model`, declared once: flags, KEDGE_* variables, checks and documentation come from here.

A flag wins over the environment, the environment over the default. What is unknown is an error.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kedge_server.addresses import Address, parse_address

PREFIX = "KEDGE_"

_KUBERNETES = re.compile(
    r"KEDGE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""Kubernetes puts these into every pod where a service is called `kedge` or `kedge-…`; they are not ours."""

_LINK = re.compile(r"(tcp|udp|sctp)://")


class SettingsInvalid(Exception):
    """A setting that is unknown, missing or out of bounds; the message names it and what is expected."""


def _address(text: object) -> object:
    return parse_address(text) if isinstance(text, str) else text


def _names(text: object) -> object:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


AddressSetting = Annotated[Address, BeforeValidator(_address)]
FormatSetting = Literal[
    "auto", "onnx", "tflite", "saved_model",
    "onnx-float16", "onnx-int8", "tflite-float16", "tflite-dynamic", "tflite-int8",
]  # fmt: skip
"""The artifact names of the manifest, written out: importing them takes numpy, and `--help` takes none of it."""
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
        description="Batches of a model that run at once. 0: one for every usable core on a CPU, one on a GPU.",
    )
    threads: int = Field(
        default=0, ge=0, le=256, description="Threads inside one run. 0: as many as the bundle was proven with."
    )
    graph_optimization: Literal["auto", "all", "disabled"] = Field(
        default="auto",
        description="What the runtime may rewrite: ONNX Runtime's optimizations, LiteRT's XNNPACK, TensorFlow's "
        "Grappler. `auto`: as the bundle was proven.",
    )
    unproven_options: Literal["refuse", "warn"] = Field(
        default="refuse",
        description="What happens to a version that `--device`, `--threads` and `--graph-optimization` would run "
        "otherwise than its manifest, or an attestation of this machine, proves: it is not served, or it is, with a "
        "warning in the log.",
    )
    max_batch_rows: int = Field(
        default=32, ge=1, le=65_536, description="Rows of a batch of several requests. A larger request runs alone."
    )
    batch_window_ms: float = Field(
        default=0.0,
        ge=0,
        le=10_000,
        description="How long a batch waits for more requests, from its first one. 0: what waits while the instances "
        "are busy becomes the next batch, and nothing waits longer for it.",
    )
    queue_rows: int = Field(
        default=1024,
        ge=1,
        le=2**31 - 1,
        description="Rows that may wait for each model version, and the rows of a request at most. More is refused "
        "with RESOURCE_EXHAUSTED.",
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
    drain_timeout_s: float = Field(
        default=30.0, ge=0, le=3600, description="How long requests in flight have to end after SIGTERM."
    )
    max_message_mb: int = Field(default=64, ge=1, le=2047, description="The largest gRPC message, either way, in MiB.")
    reflection: bool = Field(default=True, description="Whether gRPC server reflection is on: `on` or `off`.")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`auto`: text on a terminal, JSON lines elsewhere. Logs go to standard error."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe event that is logged."
    )


_POSITIONAL = "repository"


def read_settings(
    arguments: Sequence[str], environment: Mapping[str, str], parser: argparse.ArgumentParser
) -> Settings:
    """The settings of this process.

    Args:
        arguments: the command line, without the command's name.
        environment: the process's environment.
        parser: one that `add_flags` has filled.

    Raises:
        SettingsInvalid: unknown, missing or out of bounds.
    """
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        word = unknown[0].partition("=")[0]
        raise SettingsInvalid(f"unknown argument '{word}'{_nearest(word, _flags())}; see serve-model --help")
    values: dict[str, Any] = _from_environment(environment)
    values.update({name: value for name, value in vars(given).items() if value is not None})
    if _POSITIONAL not in values:
        raise SettingsInvalid("say what to serve: serve-model REPOSITORY_OR_BUNDLE (or KEDGE_REPOSITORY)")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsInvalid("; ".join(_sentence(problem) for problem in error.errors())) from error


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare every setting to argparse. Values stay text: pydantic reads those of the environment, too."""
    parser.add_argument(
        _POSITIONAL,
        nargs="?",
        metavar="REPOSITORY_OR_BUNDLE",
        help=_plain(Settings.model_fields[_POSITIONAL].description),
    )
    for name, field in Settings.model_fields.items():
        if name != _POSITIONAL:
            parser.add_argument(
                _flag(name),
                metavar=_expected(name),
                help=f"{_plain(field.description)} Default: {_shown(field.default)}.".replace("%", "%%"),
            )


def markdown_table() -> str:
    """The table of docs/serving.md."""
    lines = ["| flag | environment | values | default | what it does |", "|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        flag = "`REPOSITORY_OR_BUNDLE`" if name == _POSITIONAL else f"`{_flag(name)}`"
        default = "" if field.is_required() else f"`{_shown(field.default)}`"
        expected = _expected(name).replace("|", r"\|")
        lines.append(f"| {flag} | `{_variable(name)}` | {expected} | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    variables = {_variable(name): name for name in Settings.model_fields}
    found: dict[str, Any] = {}
    for variable, value in environment.items():
        if variable in variables:
            found[variables[variable]] = value
        elif variable.startswith(PREFIX) and not _is_kubernetes(variable, value):
            raise SettingsInvalid(f"unknown environment variable {variable}{_nearest(variable, list(variables))}")
    return found


def _is_kubernetes(variable: str, value: str) -> bool:
    is_link = variable.endswith("_PORT") and _LINK.match(value) is not None
    return is_link or _KUBERNETES.fullmatch(variable) is not None


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _sentence(problem: Any) -> str:  # noqa: ANN401 (pydantic's ErrorDetails, which it does not export)
    name = str(problem["loc"][0])
    message = str(problem["msg"]).removeprefix("Value error, ")
    own = "REPOSITORY_OR_BUNDLE" if name == _POSITIONAL else _flag(name)
    got = "" if "got" in message else f", got '{problem['input']}'"
    return f"{own} (or {_variable(name)}): {message[0].lower()}{message[1:]}{got}"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _flags() -> list[str]:
    return [_flag(name) for name in Settings.model_fields if name != _POSITIONAL]


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _expected(name: str) -> str:
    """The values of a setting, in a word or two."""
    annotation = Settings.model_fields[name].annotation
    words: dict[Any, str] = {
        Address: "host:port", Path: "directory", bool: "on|off", int: "integer", float: "number",
        tuple[str, ...]: "names",
    }  # fmt: skip
    return words.get(annotation) or "|".join(get_args(annotation))


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, tuple) and not isinstance(default, Address):
        return ",".join(default) or "(empty)"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _plain(text: str | None) -> str:
    return (text or "").replace("`", "")


if __name__ == "__main__":
    sys.stdout.write(markdown_table())
