"""SavedModels of the first kind: a graph and a signature, no objects, no functions around it.

What a SavedModel artifact is, and what TensorFlow's TFLite converter reads.
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/saved_model.proto
"""

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from kedge_bundle.signature import TensorSpec
from kedge_exporter.tracing import Frozen

FILE = "saved_model.pb"
SIGNATURE = "serving_default"
_INITIALIZE = "__saved_model_init_op"
"""The signature of what loaders run first, and the name of its output."""


def write(frozen: Frozen, graph_def: Any, directory: Path, initializer: str = "") -> None:  # noqa: ANN401
    """Write `saved_model.pb`.

    Args:
        frozen: tells the names of what goes in and comes out.
        graph_def: its graph, or one with the same inputs and outputs.
        directory: where to; it exists.
        initializer: the name of the operation that loaders run first, where there is one.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    saved = SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    meta.meta_info_def.tags.append(tf.saved_model.SERVING)
    meta.meta_info_def.tensorflow_version = tf.version.VERSION
    meta.graph_def.CopyFrom(graph_def)
    signature = meta.signature_def[SIGNATURE]
    signature.method_name = tf.saved_model.PREDICT_METHOD_NAME
    for spec in frozen.signature.inputs:
        name = frozen.arguments[spec.name]
        signature.inputs[name].CopyFrom(_tensor_info(f"{name}:0", spec))
    specs = {spec.name: spec for spec in frozen.signature.outputs}
    # The frozen function answers in the order of the sorted names, not in the model's.
    for name, tensor in zip(frozen.output_order, frozen.function.outputs, strict=True):
        # Freezing forgets shapes behind functions that were not inlined; the signature knows them.
        signature.outputs[name].CopyFrom(_tensor_info(tensor.name, specs[name]))
    if initializer:
        first = meta.signature_def[_INITIALIZE].outputs[_INITIALIZE]
        first.name = initializer
        first.tensor_shape.unknown_rank = True
    (directory / FILE).write_bytes(saved.SerializeToString(deterministic=True))


def _tensor_info(tensor: str, spec: TensorSpec) -> TensorInfo:
    return TensorInfo(
        name=tensor,
        dtype=tf.as_dtype(spec.dtype).as_datatype_enum,
        tensor_shape=tf.TensorShape(spec.shape).as_proto(),
    )
