"""The session that serves is the one that was proven: in the manifest, or on this machine; else it is refused."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle import cli
from kedge_bundle.attestation import Finding, attest, write_attestation
from kedge_bundle.errors import DeviceUnavailable
from kedge_bundle.machine import this_machine
from kedge_bundle.manifest import Artifact, RuntimeOptions
from kedge_bundle.replay import verify
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.store import Bundle
from kedge_bundle.toolchain import runtime_packages
from kedge_server.client import Client
from kedge_server.loading import LoadFailed
from kedge_server.session import SELF_TEST_ALONE
from tests.server.in_process import prepared
from tests.services.bundles import publish, two_output
from tests.services.server_process import running_server, started_server

ONES = {name: np.ones((1, 3), np.float32) for name in "ab"}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return publish(two_output(), tmp_path, "two")


def attest_command(sentence: str) -> list[str]:
    """The arguments of the `verify-model` that a refusal names."""
    return shlex.split(sentence.partition("to prove it here: verify-model ")[2].partition(";")[0])


@pytest.mark.parametrize(
    ("options", "flags"),
    [({"threads": 2}, ["--threads", "2"]), ({"graph_optimization": "disabled"}, ["--graph-optimization", "disabled"])],
)
def test_other_options_are_refused_until_the_command_that_is_named_has_proven_them(
    bundle: Bundle, options: dict[str, str], flags: list[str]
):
    with pytest.raises(LoadFailed, match=r"--unproven-options warn \(KEDGE_UNPROVEN_OPTIONS=warn\)") as caught:
        prepared(bundle, **options)
    arguments = attest_command(str(caught.value))
    assert arguments == [str(bundle.directory), "--format", "onnx", *flags, "--attest"]
    assert cli.main(arguments) == 0
    found = prepared(bundle, **options)
    assert found.proof.startswith("1.attestation-")
    assert found.unproven == ""
    used = found.runtimes[0].options
    assert [str(getattr(used, name)) for name in options] == [str(value) for value in options.values()]


def test_with_warn_they_are_served_and_it_is_said_that_nothing_but_the_self_test_speaks_for_them(bundle: Bundle):
    found = prepared(bundle, threads=2, unproven_options="warn")
    assert (found.proof, found.runtimes[0].options.threads) == (SELF_TEST_ALONE, 2)
    assert "verify-model" in found.unproven


class WithGpu:
    """Stands in for a machine with a GPU, which no machine that runs these tests has: the CPU answers as one."""

    def __call__(self, bundle: Bundle, artifact: Artifact, options: RuntimeOptions | None = None) -> Runtime:
        wanted = options or artifact.options
        runtime = open_runtime(bundle, artifact, wanted.model_copy(update={"device": "cpu"}))
        if wanted.device == "gpu":
            runtime.options, runtime.device = wanted, "cuda:0"
        return runtime


@pytest.fixture
def _gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("session", "instances"):
        monkeypatch.setattr(f"kedge_server.{module}.open_runtime", WithGpu())


ON_GPU = RuntimeOptions(device="gpu")


def attest_gpu(bundle: Bundle, options: RuntimeOptions = ON_GPU, *, is_proven: bool = True) -> None:
    (artifact,) = bundle.manifest.artifacts
    finding = Finding.of(artifact, options, runtime_packages("onnx", "gpu"), verify(bundle, artifact))
    finding = finding.model_copy(update={"is_proven": is_proven})
    write_attestation(bundle, attest(bundle, this_machine("gpu"), [finding]))


@pytest.mark.usefixtures("_gpu")
def test_auto_takes_the_cpu_where_the_gpu_is_not_proven_and_says_how_to_prove_it(bundle: Bundle):
    found = prepared(bundle, device="auto")
    assert (found.device, found.proof) == ("cpu", "manifest.json")
    assert "--format onnx --device gpu --attest" in found.no_gpu_because
    assert found.unproven == found.no_gpu_because
    attest_gpu(bundle, is_proven=False)
    assert "failed on this machine" in prepared(bundle, device="auto").no_gpu_because


@pytest.mark.usefixtures("_gpu")
def test_auto_takes_a_gpu_that_is_proven(bundle: Bundle):
    attest_gpu(bundle)
    found = prepared(bundle, device="auto")
    assert (found.device, found.no_gpu_because, found.unproven) == ("cuda:0", "", "")
    assert found.proof.startswith("1.attestation-")


@pytest.mark.usefixtures("_gpu")
def test_auto_takes_an_unproven_gpu_with_warn(bundle: Bundle):
    found = prepared(bundle, device="auto", unproven_options="warn")
    assert (found.device, found.proof, found.no_gpu_because) == ("cuda:0", SELF_TEST_ALONE, "")


@pytest.mark.usefixtures("_gpu")
def test_a_gpu_that_was_asked_for_and_is_not_proven_is_refused(bundle: Bundle):
    with pytest.raises(LoadFailed, match="--device gpu --attest"):
        prepared(bundle, device="gpu")
    attest_gpu(bundle)
    assert prepared(bundle, device="gpu").device == "cuda:0"


@pytest.mark.usefixtures("_gpu")
def test_tensorrt_is_a_session_of_its_own(bundle: Bundle):
    asked = {"device": "gpu", "tf32": True, "tensorrt": True}
    attest_gpu(bundle)
    with pytest.raises(LoadFailed, match=r"--device gpu --tf32 on --tensorrt on --attest"):
        prepared(bundle, **asked)
    attest_gpu(bundle, RuntimeOptions(**asked))
    assert prepared(bundle, **asked).runtimes[0].options.tensorrt
    assert not prepared(bundle, **asked | {"device": "cpu"}).runtimes[0].options.tensorrt


def test_auto_without_a_gpu_says_that_and_nothing_of_proofs(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    def without_gpu(bundle: Bundle, artifact: Artifact, options: RuntimeOptions) -> Runtime:
        if options.device == "gpu":
            raise DeviceUnavailable("no CUDA device")
        return open_runtime(bundle, artifact, options)

    monkeypatch.setattr("kedge_server.session.open_runtime", without_gpu)
    found = prepared(bundle, device="auto")
    assert (found.device, found.no_gpu_because, found.unproven) == ("cpu", "no CUDA device", "")


def test_the_server_refuses_in_a_sentence_and_serves_once_the_command_in_it_was_run(bundle: Bundle):
    repository = bundle.directory.parents[1]
    with started_server(repository, "--device", "cpu", "--threads", "2") as server:
        sentence = server.event("cannot_serve")["error"]
        assert server.wait() == 3
    assert "KEDGE_UNPROVEN_OPTIONS=warn" in sentence
    assert cli.main(attest_command(sentence)) == 0
    with running_server(repository, "--device", "cpu", "--threads", "2") as server, Client(server.grpc) as client:
        assert server.event("model_loaded")["proven_by"].startswith("1.attestation-")
        assert client.ask("two", ONES).version == 1


def test_a_new_version_that_is_not_proven_leaves_the_old_one_serving(bundle: Bundle):
    assert cli.main([str(bundle.directory), "--threads", "2", "--attest"]) == 0
    repository = bundle.directory.parents[1]
    publish(two_output(), repository, "two")
    with running_server(repository, "--threads", "2", wait_ready=False) as server, Client(server.grpc) as client:
        assert server.event("model_failed")["version"] == 2
        assert server.event("model_loaded")["version"] == 1
        assert client.ask("two", ONES).version == 1
        (reason,) = server.get("/readyz").json()["reasons"]
        assert "two/2 --format onnx --threads 2 --attest" in reason


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_with_warn_the_server_warns_and_serves(bundle: Bundle, device: str):
    flags = ("--device", device, "--threads", "2", "--unproven-options", "warn")
    with running_server(bundle.directory, *flags) as server, Client(server.grpc) as client:
        warning = server.event("options_not_proven")
        assert (warning["level"], warning["model"], warning["version"]) == ("warning", "two", 1)
        assert "--threads 2 --attest" in warning["because"]
        assert server.event("model_loaded")["proven_by"] == SELF_TEST_ALONE
        assert client.ask("two", ONES).version == 1
