"""TensorFlow Serving's model_config_list, as an operator sends it, to what it asks of us.

Source: tensorflow_serving/config/model_server_config.proto and file_system_storage_path_source.proto.
"""

from collections import Counter

from kedge_bundle.signature import Violation
from kedge_server.admin import ModelRequest
from kedge_server.errors import InvalidInput
from kedge_server.labels import shown
from kedge_server.pb.tensorflow_serving_pb2 import ModelConfig, ReloadConfigRequest
from kedge_server.reconciler import ModelWish
from kedge_server.version_policy import ALL, VersionPolicy, check_labels

_PLATFORMS = ("", "tensorflow")
"""What configurations for TensorFlow Serving say; a bundle says itself what runs it."""


def model_requests(request: ReloadConfigRequest) -> dict[str, ModelRequest]:
    """What is asked for each model of the list.

    Raises:
        InvalidInput: no list, an empty one, or anything in it that cannot be served; every violation is named.
    """
    configs = request.config.model_config_list.config
    if not configs:
        raise InvalidInput(
            [Violation("config.model_config_list", "expected a model_config_list that names the models to serve")]
        )
    times = Counter(config.name for config in configs)
    violations = [
        Violation("config.name", f"model '{shown(name)}' stands in the list {count} times")
        for name, count in times.items()
        if count > 1
    ]
    requests: dict[str, ModelRequest] = {}
    for config in configs:
        try:
            requests[config.name] = _model_request(config)
        except ValueError as error:
            violations.append(Violation(f"config.{shown(config.name)}", f"model '{shown(config.name)}': {error}"))
    if violations:
        raise InvalidInput(violations)
    return requests


def _model_request(config: ModelConfig) -> ModelRequest:
    """What is asked for one model.

    Raises:
        ValueError: it cannot be served so.
    """
    if not config.name:
        raise ValueError("the configuration names no model in name")
    if config.model_platform not in _PLATFORMS:
        raise ValueError(f"expected the model_platform 'tensorflow' or none, got '{shown(config.model_platform)}'")
    return ModelRequest(ModelWish(_policy(config), check_labels(config.version_labels)), config.base_path)


def _policy(config: ModelConfig) -> VersionPolicy | None:
    """The versions that are asked for; None where the configuration leaves that to the server."""
    policy = config.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "latest":
            return VersionPolicy(latest=policy.latest.num_versions or 1)
        case "all":
            return ALL
        case "specific":
            if not policy.specific.versions:
                raise ValueError("model_version_policy.specific: expected versions, got none")
            return VersionPolicy(specific=tuple(sorted(set(policy.specific.versions))))
    return None
