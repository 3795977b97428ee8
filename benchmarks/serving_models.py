"""The models of the serving benchmark as bundles, with a request for each in both protocols.

The MLP is a few ONNX nodes, published at once. The networks are built by Keras and exported, with their proof, by
`export-model`; that takes a minute, so they stay in the cache that the caller names.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper  # noqa: TID253 (it builds a model)

from benchmarks import bare
from kedge_bundle.signature import Signature, Tensors, TensorSpec
from kedge_bundle.stats import InputStats
from kedge_bundle.store import open_bundle
from kedge_server.pb import open_inference_pb2, tensorflow_serving_pb2
from kedge_server.wire.codec.tensor_proto import DATA_TYPES
from tests.services.bundles import TinyModel, publish

NETWORKS = ("MobileNetV2", "ResNet50")
IMAGE = (96, 96, 3)
MLP = "mlp"
_MLP_SIZES = (32, 64, 1)
_SAMPLES = 32
_BUILD = """
import sys, keras, numpy
name, path, data = sys.argv[1:]
keras.utils.set_random_seed(0)
model = getattr(keras.applications, name)(weights=None, input_shape={shape}, classifier_activation=None)
model.save(path)
images = numpy.random.default_rng(0).random(({samples}, *{shape}), numpy.float32)
numpy.savez(data, **{{model.inputs[0].name: images}})
"""


@dataclass(frozen=True)
class Model:
    """A served model and what it is asked.

    Attributes:
        name: its name in the repository, lower case.
        repository: the directory that `serve-model` is given; it holds this model alone.
        onnx: the ONNX file of its only version.
        inputs: one row, within what training saw.
        output: the name of its only output, float32.
    """

    name: str
    repository: Path
    onnx: Path
    inputs: dict[str, NDArray[np.float32]]
    output: str

    @cached_property
    def answer(self) -> NDArray[np.float32]:
        """What onnxruntime answers to `inputs`, without the axes: it is compared with what servers answer."""
        session = bare.session(self.onnx, threads=1)
        (output,) = session.run(None, bare.feeds(session, self.inputs))
        return np.asarray(output, np.float32).ravel()

    @cached_property
    def infer_request(self) -> bytes:
        """`ModelInferRequest`, tensors as raw contents."""
        request = open_inference_pb2.ModelInferRequest(model_name=self.name)
        for name, array in self.inputs.items():
            request.inputs.add(name=name, datatype="FP32", shape=array.shape)
            request.raw_input_contents.append(array.tobytes())
        return request.SerializeToString()

    @cached_property
    def predict_request(self) -> bytes:
        """`PredictRequest`, tensors as tensor content, as `tf.make_tensor_proto` writes arrays."""
        request = tensorflow_serving_pb2.PredictRequest()
        request.model_spec.name = self.name
        for name, array in self.inputs.items():
            tensor = request.inputs[name]
            tensor.dtype = DATA_TYPES[str(array.dtype)]
            for size in array.shape:
                tensor.tensor_shape.dim.add(size=size)
            tensor.tensor_content = array.tobytes()
        return request.SerializeToString()


def mlp(directory: Path, name: str = MLP) -> Model:
    """Publish 32 → 64 → 1 in float32, with statistics of its training, below `directory`."""
    rng = np.random.default_rng(0)
    wide, hidden, narrow = _MLP_SIZES
    weights = {
        "w1": rng.normal(0, wide**-0.5, (wide, hidden)).astype(np.float32),
        "b1": rng.normal(0, 0.1, hidden).astype(np.float32),
        "w2": rng.normal(0, hidden**-0.5, (hidden, narrow)).astype(np.float32),
        "b2": np.zeros(narrow, np.float32),
    }

    def answer(inputs: Tensors) -> Tensors:
        layer = np.maximum(np.matmul(inputs["features"], weights["w1"]) + weights["b1"], 0)
        return {"score": layer @ weights["w2"] + weights["b2"]}

    model = TinyModel(
        signature=Signature(
            inputs=(TensorSpec(name="features", dtype="float32", shape=(None, wide)),),
            outputs=(TensorSpec(name="score", dtype="float32", shape=(None, narrow)),),
        ),
        nodes=[
            helper.make_node("Gemm", ["features", "w1", "b1"], ["sum"]),
            helper.make_node("Relu", ["sum"], ["layer"]),
            helper.make_node("Gemm", ["layer", "w2", "b2"], ["score"]),
        ],
        answer=answer,
        golden_inputs={"features": rng.normal(size=(8, wide)).astype(np.float32)},
        initializers=tuple(numpy_helper.from_array(array, name) for name, array in weights.items()),
        input_stats=(
            InputStats(input="features", source="data", n=10_000, mean=(0.0,) * wide, std=(1.0,) * wide,
                       min=(-4.0,) * wide, max=(4.0,) * wide),
        ),
    )  # fmt: skip
    repository = directory / name
    bundle = publish(model, repository, name)
    row = np.linspace(-2, 2, wide, dtype=np.float32)[None]
    return Model(name, repository, bundle.directory / "model.onnx", {"features": row}, "score")


def network(kind: str, cache: Path) -> Model:
    """A network of `keras.applications` for images of 96 x 96 x 3, from the cache or exported into it.

    Raises:
        RuntimeError: Keras or `export-model` failed.
    """
    name = kind.lower()
    repository = cache / name
    if not (repository / name / "1").is_dir():
        _export(kind, cache, repository)
    bundle = repository / name / "1"
    image = np.random.default_rng(1).random((1, *IMAGE), np.float32)
    manifest = open_bundle(bundle).manifest
    (given,), (answered,) = manifest.signature.inputs, manifest.signature.outputs
    return Model(name, repository, bundle / "model.onnx", {given.name: image}, answered.name)


def _export(kind: str, cache: Path, repository: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    file, data = cache / f"{kind.lower()}.keras", cache / f"{kind.lower()}.npz"
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    code = _BUILD.format(shape=IMAGE, samples=_SAMPLES)
    command = str(Path(sys.executable).with_name("export-model"))
    for words in (
        [sys.executable, "-c", code, kind, str(file), str(data)],
        [command, str(file), "--output", str(repository), "--formats", "onnx", "--data", str(data)],
    ):
        done = subprocess.run(words, check=False, env=environment, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"{kind} cannot be made: {done.stderr[-1000:]}")
