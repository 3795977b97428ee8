"""One ModelInfer of the Open Inference Protocol: its request to a call, its answer to a response.

Source: open-inference-protocol, specification/protocol/inference_grpc.md, and what Triton's clients send.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.signature import Tensors, Violation
from kedge_server.errors import NotSupported, ServingError
from kedge_server.jobs import USUAL_PRIORITY
from kedge_server.pb.open_inference_pb2 import (
    InferParameter,
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
)
from kedge_server.pipeline import Answer, Call
from kedge_server.wire.codec.fields import cut_out, length_delimited, place_of
from kedge_server.wire.codec.open_inference import datatype_of, decode_contents, decode_raw, encode_raw
from kedge_server.wire.codec.shapes import TensorInvalid, checked_shape
from kedge_server.wire.infer_header import model_name, request_id, version_choice
from kedge_server.wire.observed import Metadata, observed_metadata
from kedge_server.wire.services import check_number, parsed
from kedge_server.wire.status import status_of
from kedge_server.wire.usual_requests import UsualRequests

_Input = ModelInferRequest.InferInputTensor

_SHARED_MEMORY = "shared_memory_region"
_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_FIELDS = ModelInferRequest.DESCRIPTOR.fields_by_name
_ID, _RAW = _FIELDS["id"].number, _FIELDS["raw_input_contents"].number
_INFER_RESPONSE = ModelStreamInferResponse.DESCRIPTOR.fields_by_name["infer_response"].number

_FINAL = "triton_final_response"
"""Set on each answer of a stream, as Triton does: its clients may wait for the answer that says so."""

_IS_FINAL = ModelInferResponse(parameters={_FINAL: InferParameter(bool_param=True)}).SerializeToString()


class InferCall:
    """A request on its way, and what of it comes back in the response.

    Args:
        data: the ModelInferRequest's bytes.
        remaining_s: seconds until the caller's gRPC deadline; None without one.
        usual: what earlier requests said.
    """

    def __init__(self, data: bytes, remaining_s: float | None, usual: UsualRequests) -> None:
        self._data = data
        self._usual = usual
        self._deadlines = [] if remaining_s is None else [time.monotonic() + remaining_s]
        self._id = ""

    def decode(self) -> Call:
        """Parse the request; what is wrong with its tensors goes into the call's violations.

        Raises:
            InvalidInput: it cannot be parsed, names no model, or has absurdly many tensors.
            ModelNotFound: the version is neither a number nor a label.
            NotSupported: it belongs to a sequence of requests.
        """
        data, self._data = self._data, b""
        known = self._usual.find(data, self._deadlines[0] if self._deadlines else None)
        if known is not None:
            call, name = known
            self._id = request_id(name)
            return call
        header, (ids, raw) = cut_out(data, _ID, _RAW)
        request = parsed(ModelInferRequest, header)
        self._id = request_id(ids[-1]) if ids else request.id  # the last one counts
        check_number("raw_input_contents", request.raw_input_contents)
        # Once: each access to an element of the field copies it.
        inputs, found = _decode_inputs(request, raw or list(request.raw_input_contents))
        version, label = version_choice(request.model_name, request.model_version)
        call = Call(
            model=model_name(request.model_name),
            version=version,
            label=label,
            inputs=inputs,
        )
        if request.outputs:
            check_number("outputs", request.outputs)
            found = [*_output_violations(request), *found]
            call.outputs = tuple(dict.fromkeys(output.name for output in request.outputs))
        if request.parameters:
            self._read_parameters(request, call, found)
        if self._deadlines:
            call.deadline = min(self._deadlines)
        if found:
            call.violations = tuple(found)
        if not request.parameters and len(ids) <= 1 and self._usual.takes(data, call):
            self._usual.keep(data, call, place_of(data, _RAW), place_of(data, _ID) if ids else None)
        return call

    def encode(self, answer: Answer) -> tuple[bytes, Metadata]:
        """The ModelInferResponse's bytes, outputs always raw, and the trailing metadata."""
        response = ModelInferResponse(model_name=answer.model, model_version=str(answer.version), id=self._id)
        for name, array in answer.outputs.items():
            response.outputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
            response.raw_output_contents.append(encode_raw(array))
        return response.SerializeToString(), observed_metadata(answer.stat_violations)

    def refused(self, error: ServingError) -> bytes:
        """The ModelStreamInferResponse's bytes for a request of a stream that gets no answer."""
        response = ModelStreamInferResponse(error_message=f"{error.code}: {status_of(error).message}")
        response.infer_response.id = self._id
        response.infer_response.parameters[_FINAL].bool_param = True
        return response.SerializeToString()

    def _read_parameters(self, request: ModelInferRequest, call: Call, found: list[Violation]) -> None:
        """Take `timeout`, in microseconds (the sooner of two deadlines counts), and `priority` into account.

        Raises:
            NotSupported: it belongs to a sequence of requests.
        """
        parameters = request.parameters
        if any(name in parameters for name in _SEQUENCE):
            raise NotSupported("sequences of requests are not served: every request stands alone")
        if "timeout" in parameters:
            timeout_us = _whole_number(parameters["timeout"])
            if timeout_us is None:
                text = "parameter 'timeout': expected microseconds as an integer above 0"
                found.append(Violation("parameters.timeout", text))
            elif timeout_us:
                self._deadlines.append(time.monotonic() + timeout_us / 1e6)
        if "priority" in parameters:
            priority = _whole_number(parameters["priority"])
            if priority is None:
                text = f"parameter 'priority': expected an integer; 1 goes first, and {USUAL_PRIORITY} is usual"
                found.append(Violation("parameters.priority", text))
            call.priority = priority or USUAL_PRIORITY


def in_stream(response: bytes, metadata: Metadata) -> bytes:
    """The bytes of a ModelStreamInferResponse; what would be trailing metadata are parameters of the response."""
    response += _IS_FINAL  # two messages, one behind the other, are one
    if metadata:
        told = ModelInferResponse()
        for key, value in metadata:
            told.parameters[key].string_param = value
        response += told.SerializeToString()
    return length_delimited(_INFER_RESPONSE, response)


def _whole_number(parameter: InferParameter) -> int | None:
    """An integer parameter that is not negative; 0 is Triton's word for none at all; None if it is something else."""
    match parameter.WhichOneof("parameter_choice"):
        case "int64_param":
            return parameter.int64_param if parameter.int64_param >= 0 else None
        case "uint64_param":
            return parameter.uint64_param
    return None


def _output_violations(request: ModelInferRequest) -> Iterator[Violation]:
    for output in request.outputs:
        if _SHARED_MEMORY in output.parameters:
            yield Violation(
                output.name, f"output '{output.name}': shared memory is not served; outputs come in the response"
            )
        if "classification" in output.parameters:
            yield Violation(
                output.name, f"output '{output.name}': classification is not served; sort the values that come back"
            )


def _decode_inputs(request: ModelInferRequest, raw: Sequence[bytes | memoryview]) -> tuple[Tensors, list[Violation]]:
    """Every input that can be read, and why each of the others cannot."""
    check_number("inputs", request.inputs)
    if len(raw) == len(request.inputs) == 1:  # the usual request, in half of the time
        tensor = request.inputs[0]
        try:
            if not tensor.HasField("contents"):
                return {tensor.name: _decode_input(tensor, raw, 0)}, []
        except TensorInvalid as error:
            return {}, [Violation(tensor.name, f"input '{tensor.name}': {error}")]
    if raw and any(tensor.HasField("contents") for tensor in request.inputs):
        text = "the request mixes raw_input_contents and contents; send all inputs in one of the two forms"
        return {}, [Violation(tensor.name, f"input '{tensor.name}': {text}") for tensor in request.inputs]
    times = Counter(tensor.name for tensor in request.inputs)
    violations = [
        Violation(name, f"input '{name}': stands in the request {count} times")
        for name, count in times.items()
        if count > 1
    ]
    inputs: Tensors = {}
    for index, tensor in enumerate(request.inputs):
        if times[tensor.name] == 1:
            try:
                inputs[tensor.name] = _decode_input(tensor, raw, index)
            except TensorInvalid as error:
                violations.append(Violation(tensor.name, f"input '{tensor.name}': {error}"))
    if len(raw) > len(request.inputs):
        text = f"expected {len(request.inputs)} raw_input_contents, one for each input, got {len(raw)}"
        violations.append(Violation("raw_input_contents", text))
    return inputs, violations


def _decode_input(tensor: _Input, raw: Sequence[bytes | memoryview], index: int) -> NDArray[np.generic]:
    if tensor.parameters and _SHARED_MEMORY in tensor.parameters:
        raise TensorInvalid("shared memory is not served; send the values in the request")
    shape = checked_shape(tensor.shape)
    if not raw:
        return decode_contents(tensor.datatype, shape, tensor.contents)
    if index >= len(raw):
        raise TensorInvalid(f"expected its values in raw_input_contents[{index}], got {len(raw)} raw_input_contents")
    return decode_raw(tensor.datatype, shape, raw[index])
