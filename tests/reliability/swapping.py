"""A model whose every version answers its own number, and a repository in which only the newest one stays."""

import shutil
import time
from pathlib import Path

import grpc
import numpy as np

from kedge_bundle.signature import Tensors
from kedge_server.pb import open_inference_pb2 as oip
from tests.services.bundles import publish, two_output
from tests.services.server_process import ServerProcess

NAME = "numbered"
INPUTS: Tensors = {"a": np.full((2, 3), 0.5, np.float32), "b": np.full((2, 3), 0.5, np.float32)}
GONE_S = 60.0


def publish_numbered(repository: Path, version: int) -> Path:
    """A version that answers its number to INPUTS, in every value of `total`."""
    return publish(two_output(scale=version), repository, NAME, version=version).directory


def load(server: ServerProcess) -> None:
    """Have the server look at the repository, and wait until it has loaded what it found."""
    with grpc.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelLoad")
        call(oip.RepositoryModelLoadRequest(model_name=NAME).SerializeToString(), timeout=GONE_S)


def swap(server: ServerProcess, repository: Path, version: int) -> None:
    """Publish a version, let it take over from the one before it, and take that away."""
    publish_numbered(repository, version)
    load(server)
    wait_for_only(server, version)
    shutil.rmtree(repository / NAME / str(version - 1))


def wait_for_only(server: ServerProcess, version: int) -> None:
    """Wait until no other version is known."""
    end = time.monotonic() + GONE_S
    while (known := [(model["version"], model["state"]) for model in server.get("/readyz").json()["models"]]) != [
        (version, "ready")
    ]:
        assert time.monotonic() < end, known
        time.sleep(0.01)
