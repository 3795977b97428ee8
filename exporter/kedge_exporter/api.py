"""`export_model`: what the command does, for notebooks and pipelines. Imports no heavy library.

The export runs in a process of its own, with a Keras of its own; the caller's process keeps its backend, its signal
handlers and its standard output.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from kedge_bundle.manifest import FORMATS
from kedge_exporter.attempt import Attempt, OnPhase, attempt, check_installed
from kedge_exporter.errors import CannotWrite, ExportError
from kedge_exporter.failures import error_of, failed_of
from kedge_exporter.flags import limits_of, parse, request_of
from kedge_exporter.given import Given, StrPath, files_of
from kedge_exporter.progress import PhaseEvent, Progress
from kedge_exporter.request import HIGHEST_OPSET, Exported, Failed
from kedge_exporter.terminal import phase_line
from kedge_exporter.wording import in_python

__all__ = ["Exported", "export_model"]


def export_model(  # noqa: PLR0913 (the flags of the command, each by its name)
    model: object,
    output: StrPath = "models",
    *,
    name: str | None = None,
    version: int | None = None,
    data: StrPath | ArrayLike | Mapping[str, ArrayLike] | None = None,
    formats: str | Sequence[str] = FORMATS,
    quantize: str | Sequence[str] = (),
    min_snr_db: float | None = None,
    min_agreement: float | None = None,
    custom: StrPath | None = None,
    opset: int = HIGHEST_OPSET,
    seed: int = 0,
    atol: float | None = None,
    rtol: float | None = None,
    measure: bool = False,
    strict: bool = False,
    force: bool = False,
    check_reproducible: bool = False,
    memory_limit_mb: int | None = None,
    load_timeout_s: float | None = None,
    timeout_s: float | None = None,
    verbose: bool = False,
    on_phase: Callable[[PhaseEvent], None] | None = None,
) -> Exported:
    """Export a Keras model to SavedModel, TFLite and ONNX, prove every format, and publish one bundle.

    Everything but `model`, `data`, `verbose` and `on_phase` is the flag of `export-model` with that name.

    Args:
        model: the path of a `.keras` file, or a live `keras.Model`; a live one is saved to a temporary file first.
        output: the model repository; the bundle becomes `<output>/<name>/<version>`.
        name: the model's name; that of the file, or of the live model, made safe, when None.
        version: the version to publish; the next free one when None.
        data: real inputs for the proof and the statistics: the path of an `.npz`, arrays of shape (rows, ...) by
            the names of the inputs, or one such array where the model has one input.
        formats: some of `saved_model`, `tflite`, `onnx`.
        quantize: smaller artifacts to add: `float16`, `dynamic`, `int8`, or names such as `tflite-int8`.
        min_snr_db: the least signal-to-noise of a quantized artifact, in dB; the default of its kind when None.
        min_agreement: its least top-1 agreement, a share from 0 to 1; the default of its kind when None.
        custom: a Python file that defines the model's own classes; it is run.
        opset: of ONNX.
        seed: of the proof's inputs.
        atol: let answers differ from Keras' by this much, in units of the output, where the difference is more than
            rounding; only rounding may differ when None.
        rtol: the same, as a share of the output's largest value; both add up.
        measure: measure latencies on this machine, also where nothing is quantized.
        strict: take warnings for errors.
        force: export again what the newest version is the export of already.
        check_reproducible: export a second time and compare the bytes.
        memory_limit_mb: stop an export whose processes hold more; four fifths of the free memory when None.
        load_timeout_s: stop when loading takes longer; 300 seconds when None.
        timeout_s: stop when the export takes longer; two hours when None.
        verbose: print each phase with its time on standard output.
        on_phase: called in the caller's thread when a phase begins (`seconds` is None) and when it ends; what it
            raises stops the export.

    Returns:
        The published bundle: `path`, `artifact("onnx")`, `formats`, `signature`, `warnings`, `notes`.

    Raises:
        ParityNotProven: a format does not answer as Keras does; `reports` has every comparison.
        FidelityNotMet: a quantized artifact keeps too little of the answers; `reports` has every comparison.
        UsageError: an argument cannot be followed, or `model` is no model.
        ModelUnreadable, ModelRefused: Keras or Kedge does not take the model; `custom` is where its own classes are.
        FormatImpossible: a requested format cannot be produced.
        ExportError: the others of `kedge_exporter.errors`. Whichever it is, nothing was published.
    """
    options: dict[str, object] = {
        "output": os.fspath(output),
        "name": name,
        "version": version,
        "formats": formats if isinstance(formats, str) else ",".join(formats),
        "quantize": (quantize,) if isinstance(quantize, str) else tuple(quantize),
        "min-snr-db": min_snr_db,
        "min-agreement": min_agreement,
        "custom": None if custom is None else os.fspath(custom),
        "opset": opset,
        "seed": seed,
        "atol": atol,
        "rtol": rtol,
        "measure": measure,
        "strict": strict,
        "force": force,
        "check-reproducible": check_reproducible,
        "memory-limit-mb": memory_limit_mb,
        "load-timeout-s": load_timeout_s,
        "timeout-s": timeout_s,
    }
    told = _teller(on_phase, is_verbose=verbose)
    try:
        check_installed()
        with tempfile.TemporaryDirectory(prefix="kedge-given-") as directory:
            given = files_of(model, data, Path(directory), Progress(told))
            made = _attempt(given, options, told)
    except ExportError as error:
        raise _error(failed_of(error)) from error.__cause__
    except OSError as error:
        raise _error(failed_of(CannotWrite(f"{error.filename}: {error.strerror}; nothing was published"))) from error
    if isinstance(made.outcome, Exported):
        return made.outcome
    raise _error(made.outcome, made.log, given)


def _attempt(given: Given, options: dict[str, object], told: OnPhase) -> Attempt:
    """Say it in the command's flags, which are checked in one place only."""
    arguments = _flags({**options, "data": given.data})
    flags = parse([*arguments, "--", str(given.model)])
    request = request_of(flags, [given.renamed(argument) for argument in (*arguments, "--", str(given.model))])
    return attempt(request, limits_of(flags), told)


def _flags(options: Mapping[str, object]) -> list[str]:
    found: list[str] = []
    for name, value in options.items():
        if isinstance(value, tuple):
            found += [f"--{name}={one}" for one in value]
        elif value is True:
            found.append(f"--{name}")
        elif value is not None and value is not False:
            found.append(f"--{name}={value}")
    return found


def _teller(on_phase: OnPhase | None, *, is_verbose: bool) -> OnPhase:
    """What is told of each phase: the caller's function, and who reads standard output where that was asked for."""

    def told(event: PhaseEvent) -> None:
        if is_verbose and event.seconds is not None:
            sys.stdout.write(phase_line(event) + "\n")
            sys.stdout.flush()
        if on_phase is not None:
            on_phase(event)

    return told


def _error(failed: Failed, log: Path | None = None, given: Given | None = None) -> ExportError:
    """The exception for a failure, in words of Python."""
    sentence = in_python(failed.error if given is None else given.explained(failed.error))
    error = error_of(failed.model_copy(update={"error": sentence}))
    if log is not None:
        error.add_note(f"the log is {log}")
    return error
