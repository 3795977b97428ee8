"""`query-model`: ask a running server once, from the shell, and show what it answers."""

import argparse
import json
import math
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedge_bundle import __version__
from kedge_bundle.signature import describe_dtype, describe_shape
from kedge_server.client import (
    PROTOCOLS,
    Answer,
    Arrays,
    Client,
    ClientError,
    Metadata,
    ServerUnreachable,
    Tensor,
)
from kedge_server.query_inputs import Inputs, InputsInvalid, from_json, from_npy, from_npz
from kedge_server.version_policy import LABEL

_ANSWERED, _REFUSED, _USAGE, _UNREACHABLE = 0, 1, 2, 3
_SHOWN_VALUES = 6
_SHOWN_WARNINGS = 3

_EPILOG = """With neither --data, --input nor --json it shows the model's inputs and outputs.

exit codes:
  0  the model answered
  1  the server refused, failed, or did not answer in time
  2  usage: flags, files, values
  3  no server can be reached"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, print, and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _check(parser, options)
    try:
        with Client(options.address, options.protocol) as client:
            return _query(client, options)
    except ServerUnreachable as error:
        return _fail(options, f"no gRPC server can be reached at {options.address}: {error.message}", _UNREACHABLE)
    except ClientError as error:
        return _fail(options, _refusal(error), _REFUSED, error)
    except (InputsInvalid, ValueError) as error:  # ValueError: the client's word for an array that cannot travel
        return _fail(options, str(error), _USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="query-model",
        description="Ask a running server once and show what the model answers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("address", metavar="ADDRESS", help="the server's gRPC address, host:port")
    parser.add_argument("model", metavar="MODEL", help="the model's name")
    parser.add_argument("--version", type=_version, metavar="N|LABEL", help="default: the latest")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path, metavar="FILE.npz", help="arrays by input name")
    source.add_argument("--input", action="append", metavar="NAME=FILE.npy", help="one input; repeatable")
    source.add_argument("--json", metavar="JSON", help="an object of arrays by input name; one array for one input")
    parser.add_argument("--case", metavar="NAME", help="with --data golden.npz: send the inputs of this golden case")
    parser.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0], help="default: %(default)s")
    parser.add_argument("--timeout-s", type=_positive, default=60.0, metavar="SECONDS", help="default: %(default)g")
    parser.add_argument("--repeat", type=_count, default=1, metavar="N", help="ask N times and show the latency")
    parser.add_argument("--output", type=Path, metavar="FILE.npz", help="write the outputs there")
    parser.add_argument(
        "--json-output", action="store_true", help="print one JSON document, also where there is no answer"
    )
    parser.add_argument("--kedge-version", action="version", version=f"kedge {__version__}")
    return parser


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got '{text}'")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected an integer above 0, got '{text}'")
    return int(text)


def _version(text: str) -> int | str:
    return text if LABEL.fullmatch(text) else _count(text)


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    _, _, port = options.address.rpartition(":")
    if not port.isdigit():
        parser.error(f"ADDRESS: expected host:port, for example localhost:8500, got '{options.address}'")
    if options.case is not None and options.data is None:
        parser.error("--case chooses among the golden cases of --data golden.npz")


def _query(client: Client, options: argparse.Namespace) -> int:
    metadata = _metadata(client, options)
    inputs = _inputs(options, metadata)
    if inputs is None:
        print(_signature_json(metadata) if options.json_output else _signature_text(metadata))
        return _ANSWERED
    for note in inputs.notes:
        print(f"query-model: {note}", file=sys.stderr)
    seconds: list[float] = []
    for _ in range(options.repeat):
        started = time.perf_counter()
        answer = client.ask(options.model, inputs.arrays, version=options.version, timeout_s=options.timeout_s)
        seconds.append(time.perf_counter() - started)
    if options.output is not None:
        try:
            _write_npz(options.output, answer.outputs)
        except OSError as error:
            return _fail(options, f"{options.output}: cannot be written: {error.strerror or error}", _USAGE)
    print(_answer_json(answer, seconds) if options.json_output else _answer_text(answer, seconds))
    return _ANSWERED


def _metadata(client: Client, options: argparse.Namespace) -> Metadata:
    """The model's signature. It costs the server nothing, so a server that does not answer this is not there."""
    try:
        return client.metadata(options.model, version=options.version, timeout_s=options.timeout_s)
    except ClientError as error:
        if error.code == "DEADLINE_EXCEEDED":
            raise ServerUnreachable(error.code, f"no answer within {options.timeout_s:g} s") from error
        raise


def _inputs(options: argparse.Namespace, metadata: Metadata) -> Inputs | None:
    if options.data is not None:
        return from_npz(options.data, options.case, metadata)
    if options.input is not None:
        return from_npy(options.input)
    return None if options.json is None else from_json(options.json, metadata)


def _fail(options: argparse.Namespace, message: str, code: int, refusal: ClientError | None = None) -> int:
    """Say why there is no answer, for people and, with --json-output, for programs; the exit code."""
    print(f"query-model: {message}", file=sys.stderr)
    if options.json_output:
        document: dict[str, Any] = {"error": message, "exit_code": code}
        if refusal is not None:
            violations = [vars(violation) for violation in refusal.violations]
            document |= {"error": refusal.message, "code": refusal.code, "violations": violations}
        print(json.dumps(document, indent=2))
    return code


def _refusal(error: ClientError) -> str:
    """Every violation on a line of its own, where there are several."""
    later = "" if error.retry_after_s is None else f"; try again in {error.retry_after_s:.3g} s"
    if len(error.violations) > 1:
        lines = "".join(f"\n  {violation.description}" for violation in error.violations)
        return f"{error.code}: {len(error.violations)} things are wrong with the request:{lines}"
    return f"{error.code}: {error.message}{later}"


def _signature_text(metadata: Metadata) -> str:
    versions = ", ".join(map(str, metadata.versions))
    rows = [
        (side, tensor.name, tensor.dtype, describe_shape(tensor.shape, first="batch"))
        for side, tensors in (("input", metadata.inputs), ("output", metadata.outputs))
        for tensor in tensors
    ]
    return f"{metadata.name}, version {versions}\n{_table([('', 'name', 'dtype', 'shape'), *rows])}"


def _answer_text(answer: Answer, seconds: list[float]) -> str:
    rows = [
        (name, describe_dtype(array), describe_shape(array.shape), _first_values(array))
        for name, array in answer.outputs.items()
    ]
    lines = [f"{answer.model}, version {answer.version}", _table([("output", "dtype", "shape", "first values"), *rows])]
    lines += [f"warning: {warning}" for warning in answer.warnings[:_SHOWN_WARNINGS]]
    if (more := len(answer.warnings) - _SHOWN_WARNINGS) > 0:
        lines.append(f"warning: … and {more} more; --json-output lists them")
    if len(seconds) > 1:
        p50, p99 = np.percentile(seconds, [50, 99]) * 1000
        lines.append(f"{len(seconds)} calls, one after the other: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    return "\n".join(lines)


def _first_values(array: NDArray[Any]) -> str:
    flat = array.ravel()
    shown = [_text(value) if isinstance(value, bytes) else f"{value:.6g}" for value in flat[:_SHOWN_VALUES].tolist()]
    return ", ".join(shown) + (f", … ({flat.size})" if flat.size > _SHOWN_VALUES else "")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _signature_json(metadata: Metadata) -> str:
    def side(tensors: tuple[Tensor, ...]) -> dict[str, Any]:
        return {tensor.name: {"dtype": tensor.dtype, "shape": tensor.shape} for tensor in tensors}

    document = {
        "model": metadata.name,
        "versions": metadata.versions,
        "inputs": side(metadata.inputs),
        "outputs": side(metadata.outputs),
    }
    return json.dumps(document, indent=2)


def _answer_json(answer: Answer, seconds: list[float]) -> str:
    document = {
        "model": answer.model,
        "version": answer.version,
        "outputs": {
            name: {"dtype": describe_dtype(array), "shape": array.shape, "values": _json_values(array.tolist())}
            for name, array in answer.outputs.items()
        },
        "warnings": [{**vars(warning), "value": _json_values(warning.value)} for warning in answer.warnings],
        "seconds": seconds,
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _json_values(value: Any) -> Any:  # noqa: ANN401 (nested lists of whatever an array holds)
    """Values that JSON can carry: NaN and infinities as "NaN", "Infinity" and "-Infinity", bytes as text."""
    if isinstance(value, list):
        return [_json_values(item) for item in value]
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _write_npz(path: Path, arrays: Arrays) -> None:
    """Write outputs by name. Not with numpy.savez, which takes an output called `file` for its own argument."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                # Object arrays need pickle, which nobody should load; fixed-width bytes carry strings as well.
                stored = array.astype(np.bytes_) if array.dtype == object else array
                np.lib.format.write_array(member, stored, allow_pickle=False)


if __name__ == "__main__":
    sys.exit(main())
