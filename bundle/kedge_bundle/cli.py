"""`verify-model`: replay a bundle's golden answers on this machine, with the runtimes that are installed here."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kedge_bundle import __version__
from kedge_bundle.errors import BundleError
from kedge_bundle.manifest import ARTIFACT_NAMES, Artifact
from kedge_bundle.store import Bundle, is_bundle, open_bundle, versions
from kedge_bundle.toolchain import requirements
from kedge_bundle.verification import (
    NO_RECORD,
    NO_RUNTIME,
    PROVEN,
    Record,
    exit_code,
    verify_artifact,
    write_record,
)
from kedge_bundle.verification_output import as_json, as_table
from kedge_bundle.wanted import WantedOptions

_REFUSED = 3

_EXIT_CODES = """exit codes:
  0  every artifact that was checked answers as Keras did; a quantized one, as it did when it was judged
  1  an artifact answers differently
  2  usage
  3  the bundle is unreadable, damaged or not what was proven
  4  an artifact that was asked for is not in the bundle, or nothing here can run it as it was asked for
  5  every artifact that was checked answers right, but the attestation cannot be written"""


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
        return _refuse(str(error.args[0]), NO_RUNTIME, as_json=options.json)
    if options.requirements:
        return _show_requirements(bundle, as_json=options.json)
    wanted = WantedOptions(
        options.device, options.threads, options.graph_optimization, _is_on(options.tf32), _is_on(options.tensorrt)
    )
    with contextlib.nullcontext() if options.verbose else _quiet_stderr():
        outcomes = [
            verify_artifact(bundle, artifact, wanted.of(artifact), was_asked_for=bool(options.format))
            for artifact in artifacts
        ]
    code = exit_code(outcomes)
    record = Record()
    if options.attest:
        record = write_record(bundle, outcomes)
        code = code or (NO_RECORD if record.problem else PROVEN)
    show = as_json if options.json else as_table
    print(show(bundle, outcomes, record, code))
    if record.problem:
        print(f"verify-model: {record.problem}", file=sys.stderr)
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
        "--device", choices=("cpu", "gpu"), help="run on this device; default: as proven in the manifest"
    )
    parser.add_argument("--threads", type=_count, metavar="N", help="threads inside one run; default: as proven")
    parser.add_argument(
        "--graph-optimization",
        choices=("all", "disabled"),
        help="what the runtime may rewrite: ONNX Runtime's optimizations, LiteRT's XNNPACK; default: as proven",
    )
    parser.add_argument(
        "--tf32",
        choices=("on", "off"),
        help="whether a GPU may round what it multiplies to TensorFloat-32; default: as proven, which is off",
    )
    parser.add_argument(
        "--tensorrt",
        choices=("on", "off"),
        help="whether onnxruntime gives TensorRT what it takes of the graph; needs --tf32 on; default: as proven, off",
    )
    parser.add_argument(
        "--attest",
        action="store_true",
        help="write what was found here beside the bundle: VERSION.attestation-….json; serve-model then serves with "
        "these options on this machine",
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


def _is_on(text: Literal["on", "off"] | None) -> bool | None:
    return None if text is None else text == "on"


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


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
    return PROVEN


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
