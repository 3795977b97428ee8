"""Each peer with one model: its files are written, its command is started, its readiness is waited for."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import grpc

from benchmarks.peers.environments import PeerMissing, environment
from benchmarks.serving_models import Model
from benchmarks.serving_sides import Side, end
from kedge_server.pb.open_inference_pb2 import ModelReadyRequest, ModelReadyResponse

Start = Callable[[Model, Path, Path], AbstractContextManager[Side]]
"""Starts a peer with a model: the cache of environments, and a scratch directory, come second and third."""

_READY = "/inference.GRPCInferenceService/ModelReady"
_HERE = Path(__file__).parent
_START_S = 60.0
_POLL_S = 0.1
_LONGEST = 300
_TRITON_DEBIAN = "libre2-9 libnuma1 libarchive13 libcurl4 libpython3.11"
_TRITON_INSTANCES = 2
_TRITON_CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: 32
input [{{ name: "{input}" data_type: TYPE_FP32 dims: [{dims}] }}]
output [{{ name: "{output}" data_type: TYPE_FP32 dims: [-1] }}]
parameters {{ key: "onnx" value: {{ string_value: "{onnx}" }} }}
instance_group [{{ count: {instances} kind: KIND_CPU }}]
dynamic_batching {{}}
"""


@contextmanager
def kserve(model: Model, cache: Path, scratch: Path) -> Iterator[Side]:
    """KServe's ModelServer, one worker."""
    home = environment("kserve", cache)
    grpc_port, http_port = _free_ports(2)
    words = [model.name, str(model.onnx), model.output, str(grpc_port), str(http_port)]
    command = [str(home / "bin" / "python"), str(_HERE / "kserve_server.py"), *words]
    with _started("KServe", command, added={}, port=grpc_port, model=model, scratch=scratch) as side:
        yield side


@contextmanager
def mlserver(model: Model, cache: Path, scratch: Path) -> Iterator[Side]:
    """`mlserver start` without parallel workers, which is its faster way for a model that is quick."""
    home = environment("mlserver", cache)
    grpc_port, http_port, metrics_port = _free_ports(3)
    folder = scratch / "mlserver"
    folder.mkdir()
    settings = {"grpc_port": grpc_port, "http_port": http_port, "metrics_port": metrics_port, "parallel_workers": 0}
    parameters = {"uri": str(model.onnx), "extra": {"output": model.output}}
    served = {"name": model.name, "implementation": "mlserver_model.OnnxModel", "parameters": parameters}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "debug": False, **settings}), "utf-8")
    (folder / "model-settings.json").write_text(json.dumps(served), "utf-8")
    command, added = [str(home / "bin" / "mlserver"), "start", str(folder)], {"PYTHONPATH": str(_HERE)}
    with _started("MLServer", command, added=added, port=grpc_port, model=model, scratch=scratch) as side:
        yield side


@contextmanager
def triton(model: Model, cache: Path, scratch: Path) -> Iterator[Side]:
    """Triton's Python backend with two instances and dynamic batching: the binary that nvidia-pytriton carries."""
    packages = next((environment("triton", cache) / "lib").glob("python3.*")) / "site-packages"
    server = packages / "pytriton" / "tritonserver"
    python = packages.parent.name.removeprefix("python")
    stub = server / "backends" / "python" / "triton_python_backend_stub"
    shutil.copy2(server / "python_backend_stubs" / python / stub.name, stub)
    added = {"LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"), "PYTHONPATH": str(packages)}
    for binary in (server / "bin" / "tritonserver", stub):
        _check_libraries(binary, added)
    version = scratch / "triton" / model.name / "1"
    version.mkdir(parents=True)
    shutil.copy2(_HERE / "triton_model.py", version / "model.py")
    ((name, array),) = model.inputs.items()
    config = _TRITON_CONFIG.format(
        name=model.name,
        input=name,
        dims=", ".join(map(str, array.shape[1:])),
        output=model.output,
        onnx=model.onnx,
        instances=_TRITON_INSTANCES,
    )
    (version.parent / "config.pbtxt").write_text(config, "utf-8")
    (port,) = _free_ports(1)
    command = [str(server / "bin" / "tritonserver"), f"--model-repository={version.parents[1]}"]
    command += [f"--backend-directory={server / 'backends'}", f"--grpc-port={port}", "--grpc-address=127.0.0.1"]
    command += ["--allow-http=false", "--allow-metrics=false"]
    with _started("Triton, Python backend", command, added=added, port=port, model=model, scratch=scratch) as side:
        yield side


PEERS: Mapping[str, Start] = {"kserve": kserve, "mlserver": mlserver, "triton": triton}


def start(stack: ExitStack, peer: str, model: Model, cache: Path, scratch: Path) -> Side:
    """Start a peer until `stack` closes.

    Raises:
        PeerMissing: it cannot be installed, or does not start.
    """
    try:
        return stack.enter_context(PEERS[peer](model, cache, scratch))
    except (OSError, StopIteration) as error:
        raise PeerMissing(f"not started: {error}") from error


@contextmanager
def _started(  # noqa: PLR0913 (what a peer is made of, by name)
    name: str, command: list[str], *, added: Mapping[str, str], port: int, model: Model, scratch: Path
) -> Iterator[Side]:
    log = scratch / f"{name}.log"
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | dict(added)
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, text=True, env=variables, cwd=scratch)  # noqa: S603
        try:
            if not _becomes_ready(process, port, model):
                raise PeerMissing(f"not ready: {_last_error(log.read_text('utf-8', 'replace'))}")
            yield Side(name, process.pid, port)
        finally:
            end(process)


def _becomes_ready(process: subprocess.Popen[str], port: int, model: Model) -> bool:
    until = time.monotonic() + _START_S
    request = ModelReadyRequest(name=model.name).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.max_reconnect_backoff_ms", 200)]) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_READY)
        while process.poll() is None and time.monotonic() < until:
            try:
                if ModelReadyResponse.FromString(call(request, timeout=_START_S)).ready:
                    return True
            except grpc.RpcError:
                pass  # it does not listen yet, or does not know the model yet
            time.sleep(_POLL_S)
    return False


def _last_error(log: str) -> str:
    """The last line that speaks of an error; the last of all where none does."""
    lines = log.strip().splitlines() or ["no output"]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1]).strip()[:_LONGEST]


def _check_libraries(binary: Path, added: Mapping[str, str]) -> None:
    """Say which shared libraries a binary lacks, before it is started.

    Raises:
        PeerMissing: some.
    """
    command, variables = [shutil.which("ldd") or "ldd", str(binary)], {**os.environ, **added}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)  # noqa: S603
    missing = [line.split()[0] for line in told.stdout.splitlines() if line.endswith("not found")]
    if missing:
        raise PeerMissing(f"{binary.name} lacks {', '.join(missing)}; on Debian: apt-get install {_TRITON_DEBIAN}")


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
