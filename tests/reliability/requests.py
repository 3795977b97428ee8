"""Requests as bytes, for callers that speak without the client."""

import numpy as np

from kedge_server.pb import open_inference_pb2 as oip
from kedge_server.pb import tensorflow_serving_pb2 as serving
from kedge_server.wire.codec.tensor_proto import encode

PREDICT = "/tensorflow.serving.PredictionService/Predict"


def infer_request(model: str, x: np.ndarray) -> bytes:
    """A ModelInferRequest of the one input `x`, float32."""
    made = oip.ModelInferRequest(model_name=model, raw_input_contents=[x.astype(np.float32).tobytes()])
    made.inputs.add(name="x", datatype="FP32", shape=x.shape)
    return made.SerializeToString()


def predict_request(model: str, x: np.ndarray) -> bytes:
    """A PredictRequest of the one input `x`, float32."""
    made = serving.PredictRequest(model_spec=serving.ModelSpec(name=model))
    made.inputs["x"].CopyFrom(encode(x.astype(np.float32)))
    return made.SerializeToString()
