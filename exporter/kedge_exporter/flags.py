"""The flags of `export-model`: declared, read and checked as far as they can be before any work."""

import argparse
import math
import re
from pathlib import Path
from typing import NoReturn

from kedge_bundle.manifest import FORMATS, HIGHEST_VERSION, MODEL_NAME, FormatName
from kedge_exporter.errors import EXIT_CODES, UsageError
from kedge_exporter.limits import Limits, default_memory_bytes
from kedge_exporter.quantize_flags import QUANTIZE_CHOICES, default_thresholds, wanted_artifacts
from kedge_exporter.request import HIGHEST_OPSET, LOWEST_OPSET, ExportRequest

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST_NAME = 128


class _Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that `--json` speaks for wrong flags as well."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see export-model --help")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The flags as they were given.

    Raises:
        UsageError: an unknown flag, or a value that is not one.
    """
    parser = _Parser(
        prog="export-model",
        description="Export a .keras file to SavedModel, TFLite and ONNX, prove that every format answers as Keras "
        "does, and publish the bundle as <output>/<name>/<version>.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", type=Path, metavar="MODEL.keras")
    parser.add_argument("--output", type=Path, default=Path("models"), help="the model repository (default: models)")
    parser.add_argument("--name", help="the model's name (default: the file's, made safe)")
    parser.add_argument("--version", type=int, help="the version to publish (default: the next free one)")
    parser.add_argument("--formats", default=",".join(FORMATS), help="which formats (default: %(default)s)")
    parser.add_argument(
        "--data", type=Path, metavar="SAMPLES.npz", help="real inputs by name, for the proof and for the statistics"
    )
    parser.add_argument(
        "--custom", type=Path, metavar="MODULE.py", help="a module that defines the model's own classes; it is run"
    )
    parser.add_argument("--opset", type=int, default=HIGHEST_OPSET, help="of ONNX (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the proof's inputs (default: %(default)s)")
    parser.add_argument(
        "--atol",
        type=float,
        help="let answers differ from Keras' by this much, in units of the output, where the difference is more than "
        "rounding (default: only rounding may differ)",
    )
    parser.add_argument("--rtol", type=float, help="the same, as a share of the output's largest value; both add up")
    _add_quantization(parser)
    parser.add_argument(
        "--strict", action="store_true", help="warnings are errors (exit code 3); docs/advice.md lists them"
    )
    parser.add_argument(
        "--force", action="store_true", help="export again what the newest version is the export of already"
    )
    parser.add_argument(
        "--check-reproducible",
        action="store_true",
        help="export a second time, in a process of its own, and say whether the bytes are the same",
    )
    parser.add_argument(
        "--memory-limit-mb",
        type=int,
        help="stop an export whose processes hold more (default: four fifths of the memory that is free)",
    )
    parser.add_argument(
        "--load-timeout-s", type=float, default=300.0, help="stop when loading takes longer (default: %(default)g)"
    )
    parser.add_argument(
        "--timeout-s", type=float, default=7200.0, help="stop when the export takes longer (default: %(default)g)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of progress and table")
    parser.add_argument("--verbose", action="store_true", help="keep TensorFlow's log and say where it is")
    return parser.parse_args(arguments)


def _add_quantization(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quantize",
        action="append",
        default=[],
        choices=QUANTIZE_CHOICES,
        metavar="KIND",
        help=f"add smaller artifacts (repeatable): {', '.join(QUANTIZE_CHOICES)}; int8 needs --data",
    )
    parser.add_argument(
        "--min-snr-db",
        type=float,
        help=f"the least signal-to-noise of a quantized artifact (default: {default_thresholds('min_snr_db')})",
    )
    parser.add_argument(
        "--min-agreement",
        type=float,
        help=f"the least top-1 agreement, 0 to 1 (default: {default_thresholds('min_agreement')})",
    )
    parser.add_argument(
        "--measure", action="store_true", help="measure latencies on this machine (--quantize does it in any case)"
    )


def request_of(flags: argparse.Namespace, given: list[str]) -> ExportRequest:
    """The flags, checked as far as they can be before any work.

    Raises:
        UsageError: a flag that cannot be followed.
    """
    name = flags.name if flags.name is not None else _safe_name(flags.model.stem)
    if not MODEL_NAME.fullmatch(name):
        raise UsageError(
            f"--name '{name}': expected at most {_LONGEST_NAME} letters, digits, '_', '-' and '.', beginning with a "
            "letter, a digit or '_'"
        )
    if flags.version is not None and not 1 <= flags.version <= HIGHEST_VERSION:
        raise UsageError(f"--version {flags.version}: versions are 1, 2, 3 ... up to {HIGHEST_VERSION}")
    if not LOWEST_OPSET <= flags.opset <= HIGHEST_OPSET:
        raise UsageError(f"--opset {flags.opset}: expected {LOWEST_OPSET} to {HIGHEST_OPSET}")
    if flags.custom is not None and not flags.custom.is_file():
        raise UsageError(f"--custom {flags.custom}: no such file; expected a Python module")
    if flags.seed < 0:
        raise UsageError(f"--seed {flags.seed}: expected 0 or more")
    for flag, value in (("--atol", flags.atol), ("--rtol", flags.rtol)):
        if value is not None and not 0 <= value < math.inf:
            raise UsageError(f"{flag} {value:g}: expected 0 or more")
    return ExportRequest(
        model=flags.model,
        name=name,
        output=flags.output,
        version=flags.version,
        formats=_formats(flags.formats),
        data=flags.data,
        custom=flags.custom,
        opset=flags.opset,
        seed=flags.seed,
        atol=flags.atol,
        rtol=flags.rtol,
        quantize=wanted_artifacts(flags, _formats(flags.formats)),
        min_snr_db=flags.min_snr_db,
        min_agreement=flags.min_agreement,
        is_timed=flags.measure or bool(flags.quantize),
        is_strict=flags.strict,
        is_forced=flags.force,
        checks_reproducible=flags.check_reproducible,
        command=("export-model", *given),
    )


def check_version_is_free(request: ExportRequest) -> None:
    """Say before any work that the version which was asked for cannot be had.

    Raises:
        UsageError: it exists.
    """
    if request.version is not None:
        place = request.output / request.name / str(request.version)
        if place.exists():
            raise UsageError(f"--version {request.version}: {place} exists; published versions never change")


def limits_of(flags: argparse.Namespace) -> Limits:
    """What the export may take of the machine.

    Raises:
        UsageError: a limit that nothing could keep.
    """
    if flags.memory_limit_mb is not None and flags.memory_limit_mb < 1:
        raise UsageError(f"--memory-limit-mb {flags.memory_limit_mb}: expected 1 or more")
    for flag, seconds in (("--load-timeout-s", flags.load_timeout_s), ("--timeout-s", flags.timeout_s)):
        if not seconds > 0:  # NaN is not either
            raise UsageError(f"{flag} {seconds:g}: expected more than 0 seconds")
    memory = default_memory_bytes() if flags.memory_limit_mb is None else flags.memory_limit_mb << 20
    return Limits(memory, flags.load_timeout_s, flags.timeout_s)


def _safe_name(stem: str) -> str:
    """A file's stem as a model name."""
    return _NOT_IN_NAMES.sub("_", stem).lstrip(".-")[:_LONGEST_NAME] or "model"


def _formats(text: str) -> tuple[FormatName, ...]:
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    unknown = sorted(wanted - set(FORMATS))
    if unknown or not wanted:
        raise UsageError(f"--formats '{text}': expected some of {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in wanted)
