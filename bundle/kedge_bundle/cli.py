"""`verify-model`: replay a bundle's golden answers on this machine, with the runtimes that are installed here."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kedge_bundle import __version__
from kedge_bundle.errors import BundleError, RunnerError, RuntimeMissing
from kedge_bundle.manifest import ARTIFACT_NAMES, Artifact
from kedge_bundle.parity import ParityReport
from kedge_bundle.replay import verify
from kedge_bundle.store import Bundle, is_bundle, open_bundle, versions
from kedge_bundle.toolchain import other_versions, requirements

_PROVEN, _NOT_PROVEN, _USAGE, _REFUSED, _NO_RUNTIME = 0, 1, 2, 3, 4

_EXIT_CODES = """exit codes:
  0  every artifact that was checked answers as Keras did; a quantized one, as it did when it was judged
  1  an artifact answers differently
  2  usage
  3  the bundle is unreadable, damaged or not what was proven
  4  an artifact that was asked for is not in the bundle, or nothing here can run it"""


@dataclass(frozen=True)
class _Outcome:
    """What became of one format: a report, or the reason why there is none."""

    artifact: Artifact
    report: ParityReport | None = None
    skipped: str = ""
    failed: str = ""

    @property
    def verdict(self) -> str:
        if self.report is not None:
            return self.report.verdict
        return "failed" if self.failed else "not checked"

    @property
    def explanation(self) -> str:
        return self.report.first_failure() if self.report is not None else self.failed or self.skipped


def main(arguments: list[str] | None = None) -> int:
    """Verify one bundle and return the exit code."""
    options = _parser().parse_args(arguments)
    # TensorFlow announces its CPU features on every import; errors still come through.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        bundle = _open(options.bundle)
        artifacts = _chosen(bundle, options.format)
    except BundleError as error:
        return _refuse(str(error), _REFUSED, as_json=options.json)
    except LookupError as error:
        return _refuse(str(error.args[0]), _NO_RUNTIME, as_json=options.json)
    if options.requirements:
        return _show_requirements(bundle, as_json=options.json)
    with contextlib.nullcontext() if options.verbose else _quiet_stderr():
        outcomes = [_verify(bundle, artifact, was_asked_for=bool(options.format)) for artifact in artifacts]
    code = _exit_code(outcomes)
    print(_as_json(bundle, outcomes, code) if options.json else _as_table(bundle, outcomes, code))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="verify-model",
        description="Replay a bundle's golden answers on this machine, with the runtimes that are installed here.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle: the directory <name>/<version>")
    parser.add_argument(
        "--format",
        action="append",
        choices=ARTIFACT_NAMES,
        metavar="NAME",
        help=f"check this artifact (repeatable): {', '.join(ARTIFACT_NAMES)}; default: every one whose runtime is "
        "installed",
    )
    parser.add_argument(
        "--requirements",
        action="store_true",
        help="verify nothing; print what made the bundle as a requirements file: verify-model BUNDLE --requirements "
        "> requirements.txt",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("--verbose", action="store_true", help="let the runtimes write to standard error")
    parser.add_argument("--version", action="version", version=f"kedge {__version__}")
    return parser


def _open(directory: Path) -> Bundle:
    try:
        return open_bundle(directory)
    except BundleError as error:
        inside = versions(directory)
        if inside and not is_bundle(directory):
            raise type(error)(f"{directory} holds the versions of a model; name one: {inside[-1][1]}") from error
        raise


def _chosen(bundle: Bundle, formats: list[str] | None) -> list[Artifact]:
    if not formats:
        return list(bundle.manifest.artifacts)
    found = {artifact.name: artifact for artifact in bundle.manifest.artifacts}
    absent = [name for name in formats if name not in found]
    if absent:
        raise LookupError(f"{bundle.directory}: no {', '.join(absent)} in this bundle; it has {', '.join(found)}")
    return [artifact for name, artifact in found.items() if name in formats]


def _verify(bundle: Bundle, artifact: Artifact, *, was_asked_for: bool) -> _Outcome:
    try:
        return _Outcome(artifact, report=verify(bundle, artifact))
    except RuntimeMissing as error:
        return _Outcome(artifact, failed=str(error)) if was_asked_for else _Outcome(artifact, skipped=str(error))
    except (RunnerError, BundleError) as error:
        return _Outcome(artifact, failed=str(error))


def _exit_code(outcomes: list[_Outcome]) -> int:
    if any(outcome.report is not None and not outcome.report.is_proven for outcome in outcomes):
        return _NOT_PROVEN
    if any(outcome.failed for outcome in outcomes) or not any(outcome.report for outcome in outcomes):
        return _NO_RUNTIME
    return _PROVEN


def _as_table(bundle: Bundle, outcomes: list[_Outcome], code: int) -> str:
    head = ("format", "device", "cases", "rows", "verdict", "largest error")
    rows = [head]
    for outcome in outcomes:
        report = outcome.report
        cases = report.cases if report else ()
        rows.append(
            (
                outcome.artifact.name,
                report.device if report else "-",
                str(len(cases)),
                str(sum(case.rows for case in cases)),
                outcome.verdict,
                f"{report.max_abs_error:.2e}" if report and cases else "-",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{outcome.artifact.name}: {outcome.explanation}" for outcome in outcomes if outcome.explanation]
    lines += [f"note: {note}" for note in _notes(bundle, outcomes)]
    manifest = bundle.manifest
    verdict = {_PROVEN: "answers as Keras did", _NOT_PROVEN: "does NOT answer as Keras did"}
    of_quantized = any(outcome.report and outcome.artifact.quantized for outcome in outcomes)
    own = "; a quantized artifact is asked for its own answers of when it was judged" if of_quantized else ""
    lines.append(f"{manifest.name} version {manifest.version} {verdict.get(code, 'could not be verified')} here{own}.")
    return "\n".join(lines)


def _as_json(bundle: Bundle, outcomes: list[_Outcome], code: int) -> str:
    # Reports go through text: only there does the schema write NaN and infinity as JSON can hold them.
    document = {
        "bundle": str(bundle.directory),
        "name": bundle.manifest.name,
        "version": bundle.manifest.version,
        "exit_code": code,
        "notes": _notes(bundle, outcomes),
        "formats": [
            {
                "format": outcome.artifact.name,
                "verdict": outcome.verdict,
                "explanation": outcome.explanation,
                "report": json.loads(outcome.report.model_dump_json()) if outcome.report else None,
            }
            for outcome in outcomes
        ],
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _notes(bundle: Bundle, outcomes: list[_Outcome]) -> list[str]:
    """The versions that made the bundle, where those that ran it here are others."""
    checked = [outcome.artifact.format for outcome in outcomes if outcome.report is not None]
    found = [str(other) for name in checked for other in other_versions(bundle.manifest, name)]
    return list(dict.fromkeys(found))


def _show_requirements(bundle: Bundle, *, as_json: bool) -> int:
    toolchain = bundle.manifest.toolchain
    lines = requirements(toolchain)
    if not lines:
        message = f"{bundle.directory}: the manifest records no packages"
        return _refuse(message, _REFUSED, as_json=as_json)
    made_on = f"python {toolchain.python}, {toolchain.platform}"
    if as_json:
        print(json.dumps({"python": toolchain.python, "platform": toolchain.platform, "requirements": lines}, indent=2))
    else:
        print(f"# {bundle.manifest.name} version {bundle.manifest.version} was made with {made_on}")
        print("\n".join(lines))
    return _PROVEN


def _refuse(message: str, code: int, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": message, "exit_code": code}, indent=2))
    print(f"verify-model: {message}", file=sys.stderr)
    return code


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep what native libraries write to file descriptor 2 out of the output; show it if Python itself fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except BaseException:
            chatter.seek(0)
            os.write(kept, chatter.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


if __name__ == "__main__":
    sys.exit(main())
