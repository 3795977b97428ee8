"""What LiteRT gets and gives, with a TFLite file of one operation, made without TensorFlow."""

from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from kedge_bundle.manifest import Artifact, RuntimeOptions
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.runtimes.tflite import TfliteRuntime
from kedge_bundle.signature import Signature, TensorSpec
from kedge_bundle.store import describe_file

WORDS = [b"red\0", b"red", b"", b"a\0b", b"\0", "grün".encode(), b"\xff\xfe\0\0"]


@pytest.fixture(params=["all", "disabled"])
def column(tmp_path: Path, request: pytest.FixtureRequest) -> Runtime:
    """Answers the strings `words`, (batch, 1), as `same`."""
    path = tmp_path / "model.tflite"
    path.write_bytes(_reshape_of_strings())
    artifact = Artifact(
        format="tflite",
        path=path.name,
        files=(describe_file(tmp_path, path),),
        inputs={"words": "words"},
        outputs={"same": "same"},
        batch="dynamic",
        verdict="bit-exact",
    )
    words, same = (TensorSpec(name=name, dtype="string", shape=(None, 1)) for name in ("words", "same"))
    signature = Signature(inputs=(words,), outputs=(same,))
    return TfliteRuntime(path, artifact, signature, RuntimeOptions(graph_optimization=request.param))


def test_strings_arrive_whole_and_come_back_whole(column: Runtime):
    words = np.array(WORDS, object).reshape(-1, 1)
    for rows in (words, words[::2], words[:1]):
        same = column.run({"words": rows})["same"]
        assert (same.dtype, same.shape, same.tolist()) == (object, rows.shape, rows.tolist())
        assert all(type(word) is bytes for word in same.ravel())


def _reshape_of_strings() -> bytes:
    """`same = reshape(words, [-1, 1])`."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    reshape = schema.OperatorT()
    reshape.inputs, reshape.outputs = [0, 1], [2]
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors = [
        _tensor("words", schema.TensorType.STRING, [-1, 1]),
        _tensor("shape", schema.TensorType.INT32, [2], buffer=1),
        _tensor("same", schema.TensorType.STRING, [-1, 1]),
    ]
    graph.inputs, graph.outputs, graph.operators = [0], [2], [reshape]
    shape = schema.BufferT()
    shape.data = np.array([-1, 1], np.int32).view(np.uint8)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.inputs, signature.outputs = "serve", [_named("words", 0)], [_named("same", 2)]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers, model.signatureDefs = [schema.BufferT(), shape], [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str, dtype: int, shape: list[int], buffer: int = 0) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.buffer = name, dtype, buffer
    tensor.shape, tensor.shapeSignature = [abs(size) for size in shape], shape
    return tensor


def _named(name: str, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
