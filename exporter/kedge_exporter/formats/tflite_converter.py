"""TensorFlow's TFLite converter, fed with the frozen graph itself.

`tf.lite.TFLiteConverter.from_saved_model` loads the model three times before the converter proper sees it, and needs
TensorFlow to write it first: 9.4 s of CPU for ResNet50, against 1.4 s here. The converter also reads SavedModels of the
first kind, a graph and a signature, nothing else; such a one is written here without TensorFlow's functions.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.lite.python.convert import convert_saved_model

from kedge_exporter.formats.saved_model import SIGNATURE
from kedge_exporter.formats.tflite_rewrites.tables import INITIALIZER
from kedge_exporter.tracing import Frozen

Weights = Literal["float32", "float16", "int8"]

_SERVE = "serve"
_INIT_OP = "__saved_model_init_op"
_PREDICT = "tensorflow/serving/predict"


def to_flatbuffer(frozen: Frozen, graph_def: Any, weights: Weights = "float32") -> bytes:  # noqa: ANN401
    """The TFLite file of a graph, builtin ops only, with a signature that carries Keras' names.

    Args:
        frozen: tells the names of what goes in and comes out.
        graph_def: the graph to convert: that of `frozen`, or one with the same inputs and outputs.
        weights: how weights are kept; `int8` also multiplies in int8, by ranges found in every run.

    Raises:
        ConverterError: the graph holds what has no builtin form.
    """
    with tempfile.TemporaryDirectory(prefix="kedge-") as scratch:
        write_graph(frozen, graph_def, Path(scratch))
        content: bytes = convert_saved_model(
            saved_model_dir=scratch,
            saved_model_version=1,
            saved_model_tags={_SERVE},
            saved_model_exported_names=[SIGNATURE],
            target_ops={tf.lite.OpsSet.TFLITE_BUILTINS},
            allow_custom_ops=False,
            lower_tensor_list_ops=True,
            # By default every infinity becomes the largest float: masks, padding of maxima and isinf() go wrong.
            canonicalizing_inf_as_min_max_float=False,
            post_training_quantize=weights != "float32",
            quantize_to_float16=weights == "float16",
            enable_mlir_dynamic_range_quantizer=weights != "float32",
        )
    return content


def write_graph(frozen: Frozen, graph_def: Any, directory: Path) -> None:  # noqa: ANN401
    """Write a graph as `saved_model.pb` of the first kind: one signature, no objects, no variables."""
    saved_model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta_graph = saved_model.meta_graphs.add()
    meta_graph.meta_info_def.tags.append(_SERVE)
    meta_graph.meta_info_def.tensorflow_version = tf.__version__
    meta_graph.graph_def.CopyFrom(graph_def)
    signature = meta_graph.signature_def[SIGNATURE]
    signature.method_name = _PREDICT
    for spec in frozen.signature.inputs:
        argument = frozen.arguments[spec.name]
        _describe(signature.inputs, argument, f"{argument}:0", spec)
    outputs = {spec.name: spec for spec in frozen.signature.outputs}
    for name, tensor in zip(frozen.output_order, frozen.function.outputs, strict=True):
        _describe(signature.outputs, name, tensor.name, outputs[name])
    if any(node.name == INITIALIZER for node in meta_graph.graph_def.node):
        initializer = meta_graph.signature_def[_INIT_OP].outputs[_INIT_OP]
        initializer.name = INITIALIZER
        initializer.tensor_shape.unknown_rank = True
    (directory / "saved_model.pb").write_bytes(saved_model.SerializeToString(deterministic=True))


def _describe(tensors: Mapping[str, Any], key: str, tensor: str, spec: Any) -> None:  # noqa: ANN401
    tensors[key].name = tensor
    tensors[key].dtype = tf.as_dtype(spec.dtype).as_datatype_enum
    tensors[key].tensor_shape.CopyFrom(tf.TensorShape(spec.shape).as_proto())
