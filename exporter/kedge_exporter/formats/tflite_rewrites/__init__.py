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
    fourier,
    gelu,
    pooling,
    products,
    resizing,
    rounding,
    signs,
    trigonometry,
)
from kedge_exporter.formats.tflite_rewrites.graph import replace_nodes
from kedge_exporter.formats.tflite_rewrites.node import CannotRewrite, Rewrite
from kedge_exporter.formats.tflite_rewrites.tables import look_up, put_tables
from kedge_exporter.naming import place
from kedge_exporter.tracing import Frozen

REWRITES: dict[str, Rewrite] = {
    "Abs": Rewrite(signs.absolute, signs.is_of_int64),
    "Acos": Rewrite(trigonometry.acos),
    "Acosh": Rewrite(trigonometry.acosh),
    "Asin": Rewrite(trigonometry.asin),
    "Asinh": Rewrite(trigonometry.asinh),
    "Atan": Rewrite(trigonometry.atan),
    "Atanh": Rewrite(trigonometry.atanh),
    "AvgPool3D": Rewrite(pooling.avg_pool_3d),
    "BatchToSpaceND": Rewrite(blocks.batch_to_space, blocks.is_too_deep),
    "BiasAdd": Rewrite(convolution.bias_add, convolution.is_bias_of_no_image),
    "BitwiseAnd": Rewrite(bits.bitwise_and),
    "BitwiseOr": Rewrite(bits.bitwise_or),
    "Conv3D": Rewrite(convolution.conv_3d, convolution.is_grouped),
    "Cos": Rewrite(trigonometry.cos),
    "Cosh": Rewrite(trigonometry.cosh),
    "Cumprod": Rewrite(cumulative.cumprod),
    "DenseBincount": Rewrite(counting.dense_bincount),
    "Einsum": Rewrite(products.shared_sum, products.shares_every_axis),
    "Erf": Rewrite(error_function.erf, gelu.is_not_in_gelu),
    "Erfc": Rewrite(error_function.erfc, gelu.is_not_in_gelu),
    "Erfinv": Rewrite(error_function.erfinv),
    **dict.fromkeys(("FFT", "FFT2D", "FFT3D", "IFFT", "IFFT2D", "IFFT3D"), Rewrite(fourier.complex_transform)),
    "FloorDiv": Rewrite(rounding.floor_div, rounding.is_of_floats),
    "Invert": Rewrite(bits.invert),
    "LeftShift": Rewrite(bits.left_shift),
    "MaxPool3D": Rewrite(pooling.max_pool_3d),
    "ResizeBicubic": Rewrite(resizing.resize_bicubic),
    "ResizeBilinear": Rewrite(resizing.resize_bilinear, resizing.is_of_integers),
    "Rsqrt": Rewrite(rounding.rsqrt, rounding.may_be_of_zero),
    "ScaleAndTranslate": Rewrite(resizing.scale_and_translate),
    "Sign": Rewrite(signs.sign, signs.is_of_int64),
    "Sin": Rewrite(trigonometry.sin),
    "Sinh": Rewrite(trigonometry.sinh),
    "Softplus": Rewrite(rounding.softplus),
    "SpaceToBatchND": Rewrite(blocks.space_to_batch, blocks.is_too_deep),
    "Tan": Rewrite(trigonometry.tan),
}
"""TensorFlow op -> its other form."""


def with_builtins(frozen: Frozen) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
    """The graph of a model as a GraphDef, with other forms for the ops in `REWRITES`, and its tables inside.

    Raises:
        FormatImpossible: an op has no other form as the model uses it.
    """
    if frozen.calls_functions:
        functions = frozen.function.graph.as_graph_def().library.function
        if any(node.op in REWRITES for function in functions for node in function.node_def):
            frozen = frozen.inlined()  # a function apart does not say the shapes that a rewrite must know
    look_ups = {"LookupTableFindV2": look_up(frozen.tables)} if frozen.tables else {}
    try:
        graph_def = replace_nodes(frozen.function.graph, REWRITES | look_ups)
    except CannotRewrite as error:
        where = place(error.node, frozen.layers)
        reason = f"no builtin TFLite form of tf.{error.op} {where}: {error}"
        raise FormatImpossible("tflite", reason, may_hold_one_row=True) from error
    if frozen.tables:
        put_tables(graph_def, frozen.tables)
    return graph_def
