"""What operators ask for while the server runs, over both protocols."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from kedge_server.client import Client
from kedge_server.pb import open_inference_pb2 as oip
from kedge_server.pb import tensorflow_serving_pb2 as tfs
from tests.server.in_process import tampered
from tests.server.wire.served import MODEL_SERVICE, OPEN_INFERENCE, Caller, violations
from tests.services.bundles import identity, publish, slow_matmul, two_output
from tests.services.server_process import ServerProcess, running_server

LOAD, UNLOAD = f"{OPEN_INFERENCE}RepositoryModelLoad", f"{OPEN_INFERENCE}RepositoryModelUnload"
RELOAD = f"{MODEL_SERVICE}HandleReloadConfigRequest"
Policy = tfs.FileSystemStoragePathSourceConfig.ServableVersionPolicy
ONES = {name: np.ones((1, 3), np.float32) for name in "ab"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    models = tmp_path / "models"
    publish(two_output(scale=1), models, "two")
    publish(two_output(scale=2), models, "two")
    publish(identity(), models, "identity")
    return models


@dataclass
class Operator:
    """Somebody who asks for models."""

    server: ServerProcess
    caller: Caller
    client: Client

    def load(self, name: str) -> grpc.RpcError | None:
        return self.caller.refusal(LOAD, oip.RepositoryModelLoadRequest(model_name=name))

    def unload(self, name: str) -> grpc.RpcError | None:
        return self.caller.refusal(UNLOAD, oip.RepositoryModelUnloadRequest(model_name=name))

    def reload(self, *configs: tfs.ModelConfig) -> grpc.RpcError | None:
        return self.caller.refusal(RELOAD, request(*configs))

    def index(self) -> dict[str, str]:
        """`model/version` -> state."""
        path, asked = f"{OPEN_INFERENCE}RepositoryIndex", oip.RepositoryIndexRequest()
        models = self.caller.ask(path, asked, oip.RepositoryIndexResponse).models
        return {f"{model.name}/{model.version}": model.state for model in models}

    def version(self) -> int:
        """Which version of `two` answers without a number."""
        return self.client.ask("two", ONES).version


@contextmanager
def operating(repository: Path, *flags: str) -> Iterator[Operator]:
    with (
        running_server(repository, "--watch", "off", "--allow-admin", "on", *flags) as server,
        grpc.insecure_channel(server.grpc) as channel,
        Client(server.grpc) as client,
    ):
        yield Operator(server, Caller(channel), client)


def request(*configs: tfs.ModelConfig) -> tfs.ReloadConfigRequest:
    return tfs.ReloadConfigRequest(config=tfs.ModelServerConfig(model_config_list=tfs.ModelConfigList(config=configs)))


def config(name: str, policy: dict[str, Any] | None = None, **more: Any) -> tfs.ModelConfig:  # noqa: ANN401 (fields of the message)
    if policy is not None:
        more["model_version_policy"] = Policy(**policy)
    return tfs.ModelConfig(name=name, **more)


def told(error: grpc.RpcError | None) -> tuple[str, str]:
    """The code and the sentence of a refusal."""
    assert error is not None
    return error.code().name, error.details() or ""


ALL, LATEST = {"all": Policy.All()}, {"latest": Policy.Latest(num_versions=1)}


def specific(*versions: int) -> dict[str, Any]:
    return {"specific": Policy.Specific(versions=versions)}


@pytest.mark.parametrize("path", [LOAD, UNLOAD, RELOAD])
def test_without_the_flag_nobody_is_an_operator(caller: Caller, path: str):
    for data in (b"", b"\x12\x03two"):
        assert told(caller.refusal(path, data)) == (
            "PERMISSION_DENIED",
            "loading and unloading by request is off: start the server with --allow-admin on",
        )


def test_the_extension_is_told_only_where_it_is_served(caller: Caller, repository: Path):
    path, asked = f"{OPEN_INFERENCE}ServerMetadata", oip.ServerMetadataRequest()
    assert "model_repository" not in caller.ask(path, asked, oip.ServerMetadataResponse).extensions
    with operating(repository) as operator:
        assert "model_repository" in operator.caller.ask(path, asked, oip.ServerMetadataResponse).extensions


def test_a_new_version_is_loaded_by_request(repository: Path):
    with operating(repository, "--versions", "latest:1") as operator:
        publish(two_output(scale=3), repository, "two")
        assert operator.version() == 2
        assert operator.load("two") is None
        assert operator.version() == 3
        operator.server.event("model_unloaded")
        assert operator.index() == {"identity/1": "READY", "two/3": "READY"}


def test_a_new_model_is_loaded_by_request(repository: Path):
    with operating(repository) as operator:
        publish(identity(), repository, "new")
        publish(identity(), repository.parent, "elsewhere")
        assert operator.load("new") is None
        assert operator.index()["new/1"] == "READY"
        for name in ("absent", "../elsewhere", "new/1", ".", ""):
            code, sentence = told(operator.load(name))
            assert code == ("NOT_FOUND" if name else "INVALID_ARGUMENT")
            assert "the repository has no model" in sentence or not name


def test_a_load_that_fails_says_why_and_changes_nothing(repository: Path):
    with operating(repository) as operator:
        broken = publish(two_output(scale=3), repository, "two").directory
        whole = (broken / "model.onnx").read_bytes()
        tampered(broken)
        for _ in range(2):  # the second is tried as well
            code, sentence = told(operator.load("two"))
            assert code == "FAILED_PRECONDITION"
            assert sentence.startswith(f"model 'two' version 3: {broken}: 'model.onnx' is not the file that was proven")
            assert operator.version() == 2
        assert operator.index()["two/3"] == "UNAVAILABLE"
        assert operator.server.get("/readyz").status == 200
        status_request = tfs.GetModelStatusRequest(model_spec=tfs.ModelSpec(name="two"))
        path = f"{MODEL_SERVICE}GetModelStatus"
        (newest, *_) = operator.caller.ask(path, status_request, tfs.GetModelStatusResponse).model_version_status
        assert (newest.version, newest.state, newest.status.error_code) == (3, tfs.ModelVersionStatus.END, 13)
        (broken / "model.onnx").write_bytes(whole)
        assert operator.load("two") is None
        assert operator.version() == 3


def test_an_unloaded_model_is_gone_until_it_is_loaded(repository: Path):
    with operating(repository) as operator:
        assert operator.version() == 2
        assert operator.unload("two") is None
        assert operator.index() == {"identity/1": "READY"}
        assert {labels["model"] for labels, _ in operator.server.samples("kedge_requests_total")} == {"identity", ""}
        assert told(operator.unload("two")) == ("NOT_FOUND", "model 'two' is not here")
        assert operator.server.get("/readyz").status == 200
        assert operator.unload("identity") is None
        assert operator.server.get("/readyz").json()["reasons"] == ["there is no model"]
        assert operator.load("two") is None
        assert operator.version() == 2


def test_a_model_is_unloaded_also_while_the_repository_is_gone(repository: Path):
    with operating(repository) as operator:
        away = repository.rename(repository.with_name("away"))
        assert operator.load("two") is None  # as it was, since nothing else can be seen
        assert operator.version() == 2
        assert operator.unload("two") is None
        assert operator.index() == {"identity/1": "READY"}
        assert told(operator.load("two"))[0] == "NOT_FOUND"
        away.rename(repository)
        assert operator.load("two") is None


def test_a_required_model_that_is_unloaded_makes_the_server_not_ready(repository: Path):
    with operating(repository, "--required-models", "two") as operator:
        assert operator.unload("two") is None
        assert operator.server.get("/readyz").json()["reasons"] == ["required model 'two' is not here"]


def test_parameters_and_repositories_that_would_be_without_effect_are_refused(repository: Path):
    with operating(repository) as operator:
        asked = oip.RepositoryModelLoadRequest(model_name="two", repository_name="other")
        asked.parameters["config"].string_param = "{}"
        assert violations(operator.caller.refusal(LOAD, asked)) == [
            ("parameters.config", "parameter 'config' is not served: a bundle is served as it is"),
            ("repository_name", "this server has one repository; leave repository_name empty"),
        ]
        unload = oip.RepositoryModelUnloadRequest(model_name="two")
        unload.parameters["unload_dependents"].bool_param = True
        assert operator.caller.refusal(UNLOAD, unload) is None


def test_a_configuration_says_which_models_versions_and_labels_are_served(repository: Path):
    with operating(repository) as operator:
        base_path = str(repository / "two")
        labels = {"stable": 1, "canary": 2}
        wanted = config("two", ALL, base_path=base_path, model_platform="tensorflow", version_labels=labels)
        answer = operator.caller.ask(RELOAD, request(wanted), tfs.ReloadConfigResponse)
        assert answer.status.error_code == 0
        operator.server.event("model_unloaded")
        assert operator.index() == {"two/1": "READY", "two/2": "READY"}
        assert operator.server.event("labels")["labels"] == labels

        assert operator.reload(config("two", specific(1)), config("identity")) is None
        assert operator.index()["identity/1"] == "READY"
        assert operator.version() == 1

        publish(identity(), repository, "new")
        assert operator.load("new") is None
        assert operator.reload(config("two", LATEST)) is None
        assert operator.version() == 2


def test_a_configuration_that_cannot_be_served_changes_nothing_and_names_every_violation(repository: Path):
    with operating(repository) as operator:
        before = operator.index()
        error = operator.reload(
            config("two", specific()),
            config("identity", version_labels={"7": 1}),
            config("two"),
            config(""),
            config("other", model_platform="pytorch"),
        )
        assert [description for _, description in violations(error)] == [
            "model 'two' stands in the list 2 times",
            "model 'two': model_version_policy.specific: expected versions, got none",
            "model 'identity': '7' is no label: expected a letter first, then letters, digits, '_', '.', '-'",
            "model '': the configuration names no model in name",
            "model 'other': expected the model_platform 'tensorflow' or none, got 'pytorch'",
        ]
        assert violations(operator.reload(config("two", base_path="/models/two"))) == [
            ("two.base_path", f"model 'two': expected the base_path {repository}/two, got '/models/two'")
        ]
        assert violations(operator.reload())[0][0] == "config.model_config_list"
        assert told(operator.reload(config("two"), config("absent"))) == (
            "NOT_FOUND",
            "the repository has no model 'absent'",
        )
        assert operator.index() == before


def test_a_configuration_whose_version_is_not_there_says_so_and_the_old_one_answers(repository: Path):
    with operating(repository) as operator:
        assert told(operator.reload(config("two", LATEST, version_labels={"canary": 9}))) == (
            "FAILED_PRECONDITION",
            "label 'canary' of model 'two' waits for version 9, which is not ready",
        )
        tampered(publish(two_output(scale=3), repository, "two").directory)
        code, sentence = told(operator.reload(config("two", specific(3))))
        assert code == "FAILED_PRECONDITION"
        assert "model 'two' version 3: " in sentence
        assert operator.version() == 2


def test_a_configuration_of_a_version_that_is_not_there_says_so(repository: Path):
    with operating(repository) as operator:
        assert told(operator.reload(config("two", specific(9)))) == (
            "FAILED_PRECONDITION",
            "model 'two' has no version 9",
        )
        assert operator.version() == 2


def test_what_operators_ask_while_the_server_starts_is_done_when_it_has(tmp_path: Path):
    publish(slow_matmul(), tmp_path, "slow")
    flags = ("--watch", "off", "--allow-admin", "on", "--tune", "full")
    for call in (UNLOAD, LOAD):
        message = {
            UNLOAD: oip.RepositoryModelUnloadRequest(model_name="slow"),
            LOAD: oip.RepositoryModelLoadRequest(model_name="slow"),
        }[call]
        with (
            running_server(tmp_path, *flags, wait_ready=False) as server,
            grpc.insecure_channel(server.grpc) as channel,
        ):
            assert not any(event["event"] == "model_loaded" for event in server.log())
            channel.unary_unary(call)(message.SerializeToString(), timeout=60, wait_for_ready=True)
            assert server.event("model_loaded")
            operator = Operator(server, Caller(channel), Client(server.grpc))
            assert (operator.index().get("slow/1") == "READY") is (call == LOAD)
            operator.client.close()
            assert server.stop() == 0


def test_a_caller_that_goes_away_leaves_no_version_half_loaded(repository: Path):
    with operating(repository, "--max-batch-rows", "512") as operator:
        publish(slow_matmul(), repository, "slow")
        asked = oip.RepositoryModelLoadRequest(model_name="slow").SerializeToString()
        call = operator.caller.channel.unary_unary(LOAD).future(asked, timeout=20)
        while operator.index().get("slow/1") != "LOADING":
            assert not call.done()
        call.cancel()
        assert operator.version() == 2  # the others answer meanwhile
        assert operator.load("slow") is None
        assert operator.index()["slow/1"] == "READY"
