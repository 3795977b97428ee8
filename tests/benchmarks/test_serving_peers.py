"""Why a side of the serving benchmark is left out or not believed; no other server is installed for it."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest

from benchmarks import serving_models
from benchmarks.load import LoadFailed, Pressure
from benchmarks.peers import environments, sides
from benchmarks.peers.environments import PeerMissing, environment
from benchmarks.serving_models import Model, mlp, network
from benchmarks.serving_runs import Wanted, peer_call
from benchmarks.serving_sides import STREAM, NotServed, Side, WrongAnswer, echo_call, infer_call, kedge, stream_call
from benchmarks.streams import drive_streams
from kedge_server.pb.open_inference_pb2 import ModelStreamInferResponse


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return mlp(tmp_path)


@pytest.fixture
def deaf() -> Iterator[Side]:
    """A gRPC server without a single method."""
    with serving() as side:
        yield side


@contextmanager
def serving(**streams: Callable[[Iterator[bytes], object], Iterator[bytes]]) -> Iterator[Side]:
    server = grpc.server(ThreadPoolExecutor(1))
    handlers = {name: grpc.stream_stream_rpc_method_handler(answer) for name, answer in streams.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Side("own server", os.getpid(), port)
    server.stop(None).wait()


def test_a_peer_runs_only_where_it_is_asked_for(model: Model, tmp_path: Path) -> None:
    wanted = Wanted(tmp_path, tmp_path, frozenset(), frozenset({"triton"}), 1, 1.0)
    with ExitStack() as stack, pytest.raises(PeerMissing, match="not asked for: --peers kserve"):
        peer_call(stack, "kserve", model, wanted)


def test_a_peer_that_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environments.REQUIREMENTS, "kserve", ("./nowhere",))
    with pytest.raises(PeerMissing, match=r"not installed: .*nowhere"):
        environment("kserve", tmp_path)


def test_an_installation_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_INSTALL_S", 0.001)
    with pytest.raises(PeerMissing, match="not installed within 0 s"):
        environment("kserve", tmp_path)


def test_an_environment_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environments.REQUIREMENTS, "kserve", ("./nowhere",))
    (tmp_path / "peers" / "kserve").mkdir(parents=True)
    (tmp_path / "peers" / "kserve" / ".installed").touch()
    assert environment("kserve", tmp_path) == tmp_path / "peers" / "kserve"


def test_a_peer_that_ends_at_once_says_its_last_error(model: Model, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise ValueError('no such model')"]
    (port,) = sides._free_ports(1)
    started = sides._started("Peer", command, added={}, port=port, model=model, scratch=tmp_path)
    with pytest.raises(PeerMissing, match="not ready: ValueError: no such model"), started:
        pass


def test_a_peer_whose_files_are_gone_is_missing(model: Model, tmp_path: Path) -> None:
    (tmp_path / "peers" / "mlserver").mkdir(parents=True)
    (tmp_path / "peers" / "mlserver" / ".installed").touch()
    with ExitStack() as stack, pytest.raises(PeerMissing, match=r"not started: .*No such file"):
        sides.start(stack, "mlserver", model, tmp_path, tmp_path)


def test_a_binary_without_its_libraries_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ldd").write_text("#!/bin/sh\necho '\tlibre2.so.9 => not found'\n")
    (tmp_path / "ldd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeerMissing, match=r"tritonserver lacks libre2\.so\.9; on Debian: apt-get install libre2-9"):
        sides._check_libraries(Path("tritonserver"), {})


def test_a_server_that_answers_something_else_is_not_measured(model: Model) -> None:
    with kedge(model.repository) as side:
        vars(model)["answer"] = np.array([7.0], np.float32)
        with pytest.raises(WrongAnswer, match=r"Kedge answers \[.*\] for 'mlp', onnxruntime \[7\.\]"):
            infer_call(side, model)
        with pytest.raises(WrongAnswer, match=r"the echo answers \d+ other bytes than it was sent"):
            echo_call(side, model)


def test_a_method_that_a_server_does_not_have_is_not_served(model: Model, deaf: Side) -> None:
    with pytest.raises(NotServed, match="Method not found"):
        stream_call(deaf, model)


def test_a_stream_is_asked_once_and_its_answer_compared(model: Model) -> None:
    right, refused = ModelStreamInferResponse(), ModelStreamInferResponse(error_message="no such model")
    right.infer_response.outputs.add(name="score", datatype="FP32", shape=[1, 1])
    right.infer_response.raw_output_contents.append(model.answer.tobytes())
    with serving(ModelStreamInfer=lambda messages, _: (right.SerializeToString() for _ in messages)) as side:
        assert stream_call(side, model).answer_bytes == right.ByteSize()
    answers = serving(ModelStreamInfer=lambda messages, _: (refused.SerializeToString() for _ in messages))
    with answers as side, pytest.raises(WrongAnswer, match="own server answers in its stream: no such model"):
        stream_call(side, model)


def test_a_stream_that_a_server_ends_with_messages_under_way_is_no_throughput(model: Model) -> None:
    answers = serving(ModelStreamInfer=lambda messages, _: (message for message, _ in zip(messages, range(2))))  # noqa: B905
    with answers as side, pytest.raises(LoadFailed, match="the server ended one of them: "):
        drive_streams(echo_call(side, model, STREAM), Pressure(1, 2, 1.0, requests=9))


def test_a_network_that_cannot_be_built_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_models, "_BUILD", "raise SystemExit('no memory')")
    with pytest.raises(RuntimeError, match="ResNet50 cannot be made: no memory"):
        network("ResNet50", tmp_path)


def test_both_protocols_ask_for_the_same(model: Model) -> None:
    other = replace(model, inputs={"features": np.zeros((1, 32), np.float32)})
    assert len(other.infer_request) == len(model.infer_request)
    assert other.predict_request != model.predict_request
