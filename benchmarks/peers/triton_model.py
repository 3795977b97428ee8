"""A model of Triton's Python backend with onnxruntime in `execute`; runs in Triton's stub process.

Triton finds it as `model.py`; the parameters of `config.pbtxt` name the ONNX file. The stub's interpreter is the
system's and ignores PYTHONPATH, so the environment's packages are put first here.
"""

import json
import os
import sys
from typing import Any

sys.path.insert(0, os.environ["PYTHONPATH"])

import numpy as np
import onnxruntime  # noqa: TID253 (another environment's)
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One input, one output, in float32; the requests of a batch are run at once."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the file that the configuration names."""
        config = json.loads(args["model_config"])
        self.wanted, self.output = config["input"][0]["name"], config["output"][0]["name"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = config["parameters"]["onnx"]["string_value"]
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def execute(self, requests: list[Any]) -> list[Any]:
        """The answers to a batch; the stub adds the classes of both to `pb_utils` once this module is loaded."""
        arrays = [pb_utils.get_input_tensor_by_name(each, self.wanted).as_numpy() for each in requests]
        (answer,) = self.session.run(None, {self.input: np.concatenate(arrays)})
        parts = np.split(answer, np.cumsum([len(array) for array in arrays])[:-1])
        return [pb_utils.InferenceResponse([pb_utils.Tensor(self.output, part)]) for part in parts]
