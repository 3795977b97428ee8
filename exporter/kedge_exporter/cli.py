"""`export-model`: flags -> the export, in a process of its own -> a table -> an exit code. Imports no heavy library."""

import argparse
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from kedge_bundle.manifest import FORMATS, HIGHEST_VERSION, MODEL_NAME, FormatName
from kedge_bundle.store import staging
from kedge_exporter.errors import EXIT_CODES, CannotWrite, ExportError, OutputNotWritable, UsageError
from kedge_exporter.request import HIGHEST_OPSET, LOWEST_OPSET, Exported, ExportRequest, Failed, Job
from kedge_exporter.supervise import run_export
from kedge_exporter.terminal import Terminal

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST_NAME = 128
_NEEDED = ("keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with the code of `errors.EXIT_CODES`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    terminal = Terminal(is_json="--json" in given)
    log: Path | None = None
    outcome: Exported | Failed
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
        signal.signal(signal.SIGHUP, _stop)
    try:
        flags = _parser().parse_args(given)
        _check_installed()
        outcome, log = _export(_request(flags, given), terminal, is_log_wanted=flags.verbose)
    except ExportError as error:
        outcome = _failed(error)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    terminal.show_outcome(outcome, log)
    sys.exit(outcome.exit_code if isinstance(outcome, Failed) else 0)


class _Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that `--json` speaks for wrong flags as well."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see export-model --help")


def _parser() -> argparse.ArgumentParser:
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
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of progress and table")
    parser.add_argument("--verbose", action="store_true", help="keep TensorFlow's log and say where it is")
    return parser


def _check_installed() -> None:
    """Say at once what an edge box lacks; the packages are looked for, not imported."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"export-model needs {', '.join(missing)}, not installed in {sys.prefix}; pip install 'kedge[export]' "
            "where models are trained"
        )


def _request(flags: argparse.Namespace, given: list[str]) -> ExportRequest:
    """The flags, checked as far as they can be before any work."""
    name = flags.name if flags.name is not None else _safe_name(flags.model.stem)
    if not MODEL_NAME.fullmatch(name):
        raise UsageError(
            f"--name '{name}': expected at most {_LONGEST_NAME} letters, digits, '_', '-' and '.', beginning with a "
            "letter, a digit or '_'"
        )
    if flags.version is not None and not 1 <= flags.version <= HIGHEST_VERSION:
        raise UsageError(f"--version {flags.version}: versions are 1, 2, 3 ... up to {HIGHEST_VERSION}")
    if flags.version is not None and (flags.output / name / str(flags.version)).exists():
        raise UsageError(
            f"--version {flags.version}: {flags.output / name / str(flags.version)} exists; published versions never "
            "change"
        )
    if not LOWEST_OPSET <= flags.opset <= HIGHEST_OPSET:
        raise UsageError(f"--opset {flags.opset}: expected {LOWEST_OPSET} to {HIGHEST_OPSET}")
    if flags.custom is not None and not flags.custom.is_file():
        raise UsageError(f"--custom {flags.custom}: no such file; expected a Python module")
    if flags.seed < 0:
        raise UsageError(f"--seed {flags.seed}: expected 0 or more")
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
        command=("export-model", *given),
    )


def _safe_name(stem: str) -> str:
    """A file's stem as a model name."""
    return _NOT_IN_NAMES.sub("_", stem).lstrip(".-")[:_LONGEST_NAME] or "model"


def _formats(text: str) -> tuple[FormatName, ...]:
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    unknown = sorted(wanted - set(FORMATS))
    if unknown or not wanted:
        raise UsageError(f"--formats '{text}': expected some of {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in wanted)


def _export(
    request: ExportRequest, terminal: Terminal, *, is_log_wanted: bool
) -> tuple[Exported | Failed, Path | None]:
    """Run the export; only the bundle stays on the disk, and the log where it is wanted or explains a failure."""
    try:
        scratch = Path(tempfile.mkdtemp(prefix="kedge-export-"))
    except OSError as error:
        raise OutputNotWritable(f"no room for temporary files: {error}; set TMPDIR to a writable directory") from error
    log = scratch / "export.log"
    is_log_kept = False
    try:
        outcome = _staged_export(request, scratch, log, terminal)
        is_log_kept = is_log_wanted or isinstance(outcome, Failed)
    finally:
        shutil.rmtree(scratch / "work", ignore_errors=True)
        if not (is_log_kept and log.exists() and log.stat().st_size):
            shutil.rmtree(scratch, ignore_errors=True)
    return outcome, log if log.exists() else None


def _staged_export(request: ExportRequest, scratch: Path, log: Path, terminal: Terminal) -> Exported | Failed:
    """Run the export in a staging directory of ours, which goes when this returns, even if the export was killed."""
    with ExitStack() as stack:
        try:
            staged = stack.enter_context(staging(request.output, request.name))
        except OSError as error:
            raise OutputNotWritable(
                f"--output {request.output}: cannot be written: {error.strerror} ({error.filename})"
            ) from error
        work = scratch / "work"
        try:
            work.mkdir()
            return run_export(Job(request=request, staged=staged, work=work), log, terminal.show_phase)
        except OSError as error:
            return _failed(CannotWrite(f"{error.filename}: {error.strerror}; nothing was published"))
        except ExportError as error:
            return _failed(error)


def _failed(error: ExportError) -> Failed:
    return Failed(error=str(error), kind=error.kind, exit_code=error.exit_code)


def _stop(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
