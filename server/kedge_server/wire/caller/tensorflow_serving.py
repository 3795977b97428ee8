"""TensorFlow Serving's protocol from the caller's side. Its maps have no order, so tensors come sorted by name."""

from collections.abc import Mapping

import grpc

from kedge_server.pb import tensorflow_serving_pb2 as pb
from kedge_server.pb.tensor_pb2 import TensorInfo
from kedge_server.wire.caller.answers import Answer, Arrays, Metadata, Tensor, open_shape, warnings_of
from kedge_server.wire.caller.methods import Method
from kedge_server.wire.codec.tensor_proto import DTYPES, decode, encode

_PREDICTION, _MODEL = "/tensorflow.serving.PredictionService", "/tensorflow.serving.ModelService"
_SIGNATURE_DEF, _SIGNATURE = "signature_def", "serving_default"


class TensorflowServing:
    """Every call that the client makes. Versions: text is a label, None the latest. Timeouts: None is for ever."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._predict = Method(channel, f"{_PREDICTION}/Predict", pb.PredictResponse)
        self._metadata = Method(channel, f"{_PREDICTION}/GetModelMetadata", pb.GetModelMetadataResponse)
        self._status = Method(channel, f"{_MODEL}/GetModelStatus", pb.GetModelStatusResponse)

    def ask(
        self, model: str, inputs: Arrays, version: int | str | None, outputs: tuple[str, ...], timeout_s: float | None
    ) -> Answer:
        """Send inputs, get outputs."""
        request = pb.PredictRequest(model_spec=_spec(model, version), output_filter=outputs)
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(encode(array))
        response, trailing = self._predict(request, timeout_s)
        answers = {name: decode(response.outputs[name]) for name in sorted(response.outputs)}
        return Answer(response.model_spec.name, response.model_spec.version.value, answers, warnings_of(trailing))

    def metadata(self, model: str, version: int | str | None, timeout_s: float | None) -> Metadata:
        """The signature, and the version that it is of."""
        request = pb.GetModelMetadataRequest(model_spec=_spec(model, version), metadata_field=[_SIGNATURE_DEF])
        response, _ = self._metadata(request, timeout_s)
        signatures = pb.SignatureDefMap.FromString(response.metadata[_SIGNATURE_DEF].value)
        signature = signatures.signature_def[_SIGNATURE]
        return Metadata(
            response.model_spec.name,
            (response.model_spec.version.value,),
            _tensors(signature.inputs),
            _tensors(signature.outputs),
        )

    def is_ready(self, model: str, version: int | str | None, timeout_s: float | None) -> bool:
        """Whether the version answers; without one, whether any does."""
        response, _ = self._status(pb.GetModelStatusRequest(model_spec=_spec(model, version)), timeout_s)
        return any(each.state == pb.ModelVersionStatus.AVAILABLE for each in response.model_version_status)


def _spec(model: str, version: int | str | None) -> pb.ModelSpec:
    spec = pb.ModelSpec(name=model)
    if isinstance(version, str):
        spec.version_label = version
    elif version is not None:
        spec.version.value = version
    return spec


def _tensors(infos: Mapping[str, TensorInfo]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name, DTYPES[infos[name].dtype], open_shape(dim.size for dim in infos[name].tensor_shape.dim))
        for name in sorted(infos)
    )
