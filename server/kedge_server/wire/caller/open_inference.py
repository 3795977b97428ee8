"""The Open Inference Protocol from the caller's side."""

import grpc

from kedge_server.pb import open_inference_pb2 as pb
from kedge_server.wire.caller.answers import Answer, Arrays, Metadata, Tensor, open_shape, warnings_of
from kedge_server.wire.caller.methods import Method
from kedge_server.wire.codec.open_inference import DTYPES, datatype_of, decode_raw, encode_raw
from kedge_server.wire.codec.shapes import checked_shape

_SERVICE = "/inference.GRPCInferenceService"


class OpenInference:
    """Every call that the client makes. Versions: text is a label, None the latest. Timeouts: None is for ever."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._infer = Method(channel, f"{_SERVICE}/ModelInfer", pb.ModelInferResponse)
        self._metadata = Method(channel, f"{_SERVICE}/ModelMetadata", pb.ModelMetadataResponse)
        self._ready = Method(channel, f"{_SERVICE}/ModelReady", pb.ModelReadyResponse)

    def ask(
        self, model: str, inputs: Arrays, version: int | str | None, outputs: tuple[str, ...], timeout_s: float | None
    ) -> Answer:
        """Send inputs, get outputs in the signature's order."""
        request = pb.ModelInferRequest(model_name=model, model_version=_text(version))
        for name, array in inputs.items():
            request.inputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
            request.raw_input_contents.append(encode_raw(array))
        for name in outputs:
            request.outputs.add(name=name)
        response, trailing = self._infer(request, timeout_s)
        raw = list(response.raw_output_contents)  # once: each access to an element of the field copies it
        answers = {
            tensor.name: decode_raw(tensor.datatype, checked_shape(tensor.shape), data)
            for tensor, data in zip(response.outputs, raw, strict=True)
        }
        return Answer(response.model_name, int(response.model_version), answers, warnings_of(trailing))

    def metadata(self, model: str, version: int | str | None, timeout_s: float | None) -> Metadata:
        """The signature, in the model's order, and every version that answers."""
        response, _ = self._metadata(pb.ModelMetadataRequest(name=model, version=_text(version)), timeout_s)
        return Metadata(
            response.name,
            tuple(int(each) for each in response.versions),
            tuple(_tensor(each) for each in response.inputs),
            tuple(_tensor(each) for each in response.outputs),
        )

    def is_ready(self, model: str, version: int | str | None, timeout_s: float | None) -> bool:
        """Whether the version answers; without one, whether any does."""
        response, _ = self._ready(pb.ModelReadyRequest(name=model, version=_text(version)), timeout_s)
        return response.ready


def _text(version: int | str | None) -> str:
    return "" if version is None else str(version)


def _tensor(tensor: pb.ModelMetadataResponse.TensorMetadata) -> Tensor:
    return Tensor(tensor.name, DTYPES[tensor.datatype], open_shape(tensor.shape))
