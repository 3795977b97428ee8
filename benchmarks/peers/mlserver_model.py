"""A model of MLServer's with onnxruntime in `predict`; runs in MLServer's environment."""

import onnxruntime  # noqa: TID253 (another environment's)
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    """One input, one output, in float32; `parameters.extra` names the output."""

    async def load(self) -> bool:
        """Open the file that `parameters.uri` names."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = self.settings.parameters.uri
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The model's answer."""
        (answer,) = self.session.run(None, {self.input: NumpyCodec.decode_input(payload.inputs[0])})
        output = NumpyCodec.encode_output(self.settings.parameters.extra["output"], answer)
        return InferenceResponse(model_name=self.name, outputs=[output])
