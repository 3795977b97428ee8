"""TensorFlow's TFLite converter, fed with the frozen graph itself.

`tf.lite.TFLiteConverter.from_saved_model` loads the model three times before the converter proper sees it, and needs
TensorFlow to write it first: 9.4 s of CPU for ResNet50, against 1.4 s here. The converter also reads SavedModels of the
first kind, a graph and a signature, nothing else; such a one is written without TensorFlow's functions.
"""

import tempfile
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf
from tensorflow.lite.python.convert import convert_saved_model

from kedge_exporter.formats import flat_saved_model
from kedge_exporter.formats.tflite_rewrites.tables import INITIALIZER
from kedge_exporter.tracing import Frozen

Weights = Literal["float32", "float16", "int8"]


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
        initializer = INITIALIZER if any(node.name == INITIALIZER for node in graph_def.node) else ""
        flat_saved_model.write(frozen, graph_def, Path(scratch), initializer)
        content: bytes = convert_saved_model(
            saved_model_dir=scratch,
            saved_model_version=1,
            saved_model_tags={tf.saved_model.SERVING},
            saved_model_exported_names=[flat_saved_model.SIGNATURE],
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
