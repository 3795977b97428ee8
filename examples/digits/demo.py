"""`make demo`: train, export, serve and query, with the four commands as a user would run them.

Every step is a process of its own: this program knows numpy and Kedge's client only. One server per format
classifies the same 360 test images, one request an image, and its metrics page is read back.
"""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kedge_bundle.store import open_bundle
from kedge_server.client import Client

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "demo"
BIN = Path(sys.executable).parent
MODEL = "digits"
FORMATS = ("saved_model", "tflite", "onnx")


@dataclass(frozen=True)
class Row:
    """One line of the table. Latency in milliseconds, as the client sees it."""

    format: str
    size: int
    accuracy: float
    largest_difference: float
    p50_ms: float


def main() -> int:
    """Run the demonstration and print its table."""
    started = time.monotonic()
    print("1/3  train a digit classifier on scikit-learn's 1,797 handwritten digits")
    print("    ", run([sys.executable, "-m", "examples.digits.train", WORK]).strip())
    print("2/3  export-model digits.keras")
    exported = run([BIN / "export-model", WORK / "digits.keras", "--output", WORK / "models"])
    print("    ", exported.strip().replace("\n", "\n     "))
    bundle = max((WORK / "models" / MODEL).iterdir(), key=lambda path: int(path.name))
    print("3/3  serve-model, and classify the test split over gRPC from each format")
    test = np.load(WORK / "digits_test.npz")
    rows, requests, values, nans = [], 0.0, 0.0, 0.0
    for format_name in FORMATS:
        with server(bundle, format_name) as (grpc_address, metrics_url):
            rows.append(classify(grpc_address, bundle, format_name, test))
            page = read_page(metrics_url)
        requests += total(page, "kedge_requests_total", 'code="OK"')
        values += total(page, "kedge_output_values_total")
        nans += total(page, "kedge_output_nonfinite_values_total", 'kind="nan"')
    print_table(rows)
    rate = nans / values if values else float("nan")
    print(f"metrics page: {requests:.0f} requests answered, NaN rate {rate:.2%} of {values:.0f} output values")
    print(f"done in {time.monotonic() - started:.0f} s; the bundle is {bundle.relative_to(ROOT)}")
    return 0


def run(command: list[str | Path]) -> str:
    """Run one step and return what it printed; show everything it said if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def server(bundle: Path, format_name: str) -> Iterator[tuple[str, str]]:
    """Serve one format on free loopback ports; yield the gRPC address and the URL of the metrics page."""
    command = [BIN / "serve-model", bundle, "--format", format_name, "--log-format", "json"]
    command += ["--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"]
    with (WORK / f"serve-{format_name}.log").open("w+") as log:
        process = subprocess.Popen([str(part) for part in command], stderr=log, stdout=subprocess.DEVNULL)
        try:
            ports = wait_until_ready(process, Path(log.name))
            yield f"127.0.0.1:{ports['grpc_port']}", f"http://127.0.0.1:{ports['http_port']}/metrics"
        finally:
            process.send_signal(signal.SIGTERM)
            if process.wait(timeout=60):
                sys.exit(f"serve-model ended with {process.returncode}: see {log.name}")


def wait_until_ready(process: "subprocess.Popen[bytes]", log: Path) -> dict[str, int]:
    """Follow the server's JSON log until it says that it is ready; return the ports that it took."""
    deadline = time.monotonic() + 60
    ports: dict[str, int] = {}
    while time.monotonic() < deadline and process.poll() is None:
        events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        for event in events:
            if event["event"] == "serving":
                ports = {name: event[name] for name in ("grpc_port", "http_port")}
            if event["event"] == "ready":
                return ports
        time.sleep(0.1)
    sys.exit(f"serve-model did not get ready:\n{log.read_text()}")


def classify(address: str, bundle: Path, format_name: str, test: "np.lib.npyio.NpzFile") -> Row:
    """Send the test images one by one and compare with the labels and with Keras."""
    answers, seconds = [], []
    with Client(address) as client:
        for image in test["pixels"]:
            before = time.perf_counter()
            outputs = client.predict(MODEL, {"pixels": image[np.newaxis]})
            seconds.append(time.perf_counter() - before)
            answers.append(outputs["digit"][0])
    got = np.stack(answers)
    artifact = open_bundle(bundle).manifest.artifact(format_name)
    return Row(
        format=format_name,
        size=artifact.bytes if artifact else 0,
        accuracy=float((got.argmax(axis=1) == test["labels"]).mean()),
        largest_difference=float(np.abs(got.astype(np.float64) - test["expected"]).max()),
        p50_ms=float(np.median(seconds)) * 1e3,
    )


def read_page(url: str) -> str:
    """The text of the metrics page."""
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 (our own server on loopback)
        return str(response.read(), "utf-8")


def total(page: str, name: str, label: str = "") -> float:
    """The sum of a metric's samples whose labels contain `label`."""
    samples = re.findall(rf"^{name}(\{{[^}}]*\}})? ([0-9.eE+-]+)$", page, re.MULTILINE)
    return sum(float(value) for labels, value in samples if label in labels)


def print_table(rows: list[Row]) -> None:
    """Print the table of formats."""
    print(f"\n     {'format':<12} {'size':>10} {'accuracy':>9} {'vs Keras':>10} {'p50':>9}")
    for row in rows:
        print(
            f"     {row.format:<12} {row.size:>8,} B {row.accuracy:>8.1%} "
            f"{row.largest_difference:>10.1e} {row.p50_ms:>6.2f} ms"
        )
    print()


if __name__ == "__main__":
    sys.exit(main())
