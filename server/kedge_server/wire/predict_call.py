"""One Predict of TensorFlow Serving: its request to a call, its answer to a response.

Source: tensorflow_serving/apis/predict.proto and what tensorflow-serving-api sends.
"""

import time

from kedge_bundle.signature import Tensors, Violation
from kedge_server.errors import InvalidInput, ModelNotFound
from kedge_server.pb.tensorflow_serving_pb2 import ModelSpec, PredictRequest, PredictResponse
from kedge_server.pipeline import Answer, Call
from kedge_server.wire.codec import tensor_proto
from kedge_server.wire.codec.fields import place_of
from kedge_server.wire.codec.shapes import TensorInvalid
from kedge_server.wire.observed import Metadata, observed_metadata
from kedge_server.wire.services import check_number, parsed
from kedge_server.wire.usual_requests import UsualRequests

SIGNATURE = "serving_default"

_TENSOR = (
    PredictRequest.DESCRIPTOR.fields_by_name["inputs"].number,
    PredictRequest.InputsEntry.DESCRIPTOR.fields_by_name["value"].number,
)
"""Of a request's only input: the way to its TensorProto."""


class PredictCall:
    """A request on its way.

    Args:
        data: the PredictRequest's bytes.
        remaining_s: seconds until the caller's gRPC deadline; None without one.
        usual: what earlier requests said.
    """

    def __init__(self, data: bytes, remaining_s: float | None, usual: UsualRequests) -> None:
        self._data = data
        self._usual = usual
        self._deadline = None if remaining_s is None else time.monotonic() + remaining_s

    def decode(self) -> Call:
        """Parse the request; what is wrong with its tensors goes into the call's violations.

        Raises:
            InvalidInput: it cannot be parsed, names no model, or has absurdly many tensors.
            ModelNotFound: it asks for a signature that no model has.
        """
        data, self._data = self._data, b""
        known = self._usual.find(data, self._deadline)
        if known is not None:
            return known[0]
        request = parsed(PredictRequest, data)
        for field in ("inputs", "output_filter"):
            check_number(field, getattr(request, field))
        spec = request.model_spec
        check_spec(spec)
        inputs, violations = _decode_inputs(request)
        call = Call(
            model=spec.name,
            version=version_number(spec),
            label=version_label(spec),
            inputs=inputs,
            outputs=tuple(dict.fromkeys(request.output_filter)),
            deadline=self._deadline,
            violations=tuple(violations),
        )
        if self._usual.takes(data, call):
            ((_, array),) = call.inputs.items()
            places = (place_of(data, *_TENSOR, field) for field in tensor_proto.fields_of_bytes(array.dtype))
            self._usual.keep(data, call, next(filter(None, places), None))
        return call

    def encode(self, answer: Answer) -> tuple[bytes, Metadata]:
        """The PredictResponse's bytes and the trailing metadata."""
        response = PredictResponse(model_spec=answering_spec(answer.model, answer.version))
        for name, array in answer.outputs.items():
            tensor_proto.encode(array, response.outputs[name])
        return response.SerializeToString(), observed_metadata(answer.stat_violations)


def check_spec(spec: ModelSpec) -> None:
    """Check what a ModelSpec asks for, but not whether the model is here.

    Raises:
        InvalidInput: no name.
        ModelNotFound: another signature than the one that every model has.
    """
    if not spec.name:
        raise InvalidInput([Violation("model_spec.name", "the request names no model in model_spec.name")])
    if spec.signature_name not in ("", SIGNATURE):
        raise ModelNotFound(
            f"model '{spec.name[:80]}' has no signature '{spec.signature_name[:80]}'; every model has '{SIGNATURE}'"
        )


def version_number(spec: ModelSpec) -> int | None:
    """The version that is asked for; None is the latest."""
    return spec.version.value if spec.HasField("version") else None


def version_label(spec: ModelSpec) -> str | None:
    """The version label that is asked for."""
    return spec.version_label if spec.HasField("version_label") else None


def answering_spec(name: str, version: int) -> ModelSpec:
    """The ModelSpec of a response: what answered."""
    spec = ModelSpec(name=name, signature_name=SIGNATURE)
    spec.version.value = version
    return spec


def _decode_inputs(request: PredictRequest) -> tuple[Tensors, list[Violation]]:
    """Every input that can be read, and why each of the others cannot."""
    inputs: Tensors = {}
    violations: list[Violation] = []
    for name, proto in request.inputs.items():
        try:
            inputs[name] = tensor_proto.decode(proto)
        except TensorInvalid as error:
            violations.append(Violation(name, f"input '{name}': {error}"))
    return inputs, violations
