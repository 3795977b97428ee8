"""The ops that TFLite lacks or answers otherwise, written with ops that it has: one small module per family."""

from typing import Any

from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats.tflite_rewrites import (
    bits,
    blocks,
    convolution,
    counting,
    cumulative,
    error_function,
    pooling,
    resizing,
    rounding,
    trigonometry,
)
from kedge_exporter.formats.tflite_rewrites.graph import replace_nodes
from kedge_exporter.formats.tflite_rewrites.node import Rewrite
from kedge_exporter.formats.tflite_rewrites.tables import look_up, put_tables
from kedge_exporter.tracing import Frozen

REWRITES: dict[str, Rewrite] = {
    "Acos": trigonometry.acos,
    "Acosh": trigonometry.acosh,
    "Asin": trigonometry.asin,
    "Asinh": trigonometry.asinh,
    "Atan": trigonometry.atan,
    "Atanh": trigonometry.atanh,
    "AvgPool3D": pooling.avg_pool_3d,
    "BatchToSpaceND": blocks.batch_to_space,
    "BitwiseAnd": bits.bitwise_and,
    "BitwiseOr": bits.bitwise_or,
    "Conv3D": convolution.conv_3d,
    "Cos": trigonometry.cos,
    "Cosh": trigonometry.cosh,
    "Cumprod": cumulative.cumprod,
    "DenseBincount": counting.dense_bincount,
    "Erf": error_function.erf,
    "Erfc": error_function.erfc,
    "Erfinv": error_function.erfinv,
    "FloorDiv": rounding.floor_div,
    "Invert": bits.invert,
    "LeftShift": bits.left_shift,
    "MaxPool3D": pooling.max_pool_3d,
    "ResizeBicubic": resizing.resize_bicubic,
    "Rsqrt": rounding.rsqrt,
    "ScaleAndTranslate": resizing.scale_and_translate,
    "Sin": trigonometry.sin,
    "Sinh": trigonometry.sinh,
    "Softplus": rounding.softplus,
    "SpaceToBatchND": blocks.space_to_batch,
    "Tan": trigonometry.tan,
}
"""TensorFlow op -> its other form."""


_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def with_builtins(frozen: Frozen) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
    """The graph of a model as a GraphDef, with other forms for the ops in `REWRITES`, and its tables inside.

    Raises:
        FormatImpossible: an op has no other form as the model uses it.
    """
    try:
        return _rewritten(frozen)
    except FormatImpossible:
        # A function that TensorFlow compiles apart does not say the shapes that a rewrite must know.
        if not any(node.op in _CALLS for node in frozen.function.graph.as_graph_def().node):
            raise
        return _rewritten(frozen.inlined())


def _rewritten(frozen: Frozen) -> Any:  # noqa: ANN401
    if not frozen.tables:
        return replace_nodes(frozen.function.graph, REWRITES)
    graph_def = replace_nodes(frozen.function.graph, {**REWRITES, "LookupTableFindV2": look_up(frozen.tables)})
    put_tables(graph_def, frozen.tables)
    return graph_def
