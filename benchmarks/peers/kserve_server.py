"""KServe's ModelServer with onnxruntime in `predict`; runs in KServe's environment.

Arguments: the model's name, its ONNX file, its output's name, the gRPC port, the HTTP port.
"""

import sys

import onnxruntime  # noqa: TID253 (another environment's)
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class OnnxModel(Model):
    """One input, one output, in float32."""

    def __init__(self, name: str, path: str, output: str) -> None:
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input, self.output = self.session.get_inputs()[0].name, output
        self.ready = True

    async def predict(self, payload: InferRequest, *_: object, **__: object) -> InferResponse:
        """The model's answer as raw contents."""
        (answer,) = self.session.run(None, {self.input: payload.inputs[0].as_numpy()})
        made = InferOutput(self.output, list(answer.shape), "FP32")
        made.set_data_from_numpy(answer, binary_data=True)
        return InferResponse(payload.id or "", self.name, [made])


if __name__ == "__main__":
    name, path, output, grpc_port, http_port = sys.argv[1:]
    ModelServer(http_port=int(http_port), grpc_port=int(grpc_port), workers=1).start([OnnxModel(name, path, output)])
