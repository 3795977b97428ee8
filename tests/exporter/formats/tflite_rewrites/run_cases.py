# ruff: noqa: ANN401 (TensorFlow ships no types)
"""Every rewrite against TensorFlow's op: `python -m tests.exporter.formats.tflite_rewrites.run_cases`, JSON lines."""

import json
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from kedge_bundle.signature import Signature, TensorSpec
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats.tflite import prepared
from kedge_exporter.formats.tflite_converter import to_flatbuffer
from kedge_exporter.formats.tflite_refusals import reason
from kedge_exporter.formats.tflite_rewrites import REWRITES
from kedge_exporter.naming import argument_names
from kedge_exporter.tracing import Frozen
from tests.exporter.formats.tflite_rewrites.cases import CASES, REFUSED, Case


def freeze(case: Case, *, is_inlined: bool = False) -> Frozen:
    """The case's function as the exporter's tracing would leave it."""
    names = [f"x{index}" for index in range(len(case.inputs))]
    arguments = argument_names(names)
    shapes = case.shapes or tuple((None, *array.shape[1:]) for array in case.inputs)
    specs = [
        tf.TensorSpec(shape, array.dtype, name=name)
        for name, shape, array in zip(names, shapes, case.inputs, strict=True)
    ]
    tf.config.run_functions_eagerly(run_eagerly=is_inlined)
    concrete = tf.function(lambda *x: {"y": case.function(*x)}, autograph=False).get_concrete_function(*specs)
    tf.config.run_functions_eagerly(run_eagerly=False)
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    answer = concrete.structured_outputs["y"]
    inputs = tuple(
        TensorSpec.model_validate({"name": name, "dtype": str(array.dtype), "shape": shape})
        for name, shape, array in zip(names, shapes, case.inputs, strict=True)
    )
    output = TensorSpec.model_validate({"name": "y", "dtype": answer.dtype.name, "shape": tuple(answer.shape)})

    def never() -> Any:
        raise AssertionError("a function without Keras is not traced again")

    return Frozen(
        function=frozen,
        signature=Signature(inputs=inputs, outputs=(output,)),
        arguments=arguments,
        output_order=("y",),
        layers={"scope": "Scope"},
        tables=(),
        with_batch=lambda _rows: never(),
        inlined=lambda: freeze(case, is_inlined=True),
        in_float32=never,
    )


def difference(expected: np.ndarray[Any, Any], actual: np.ndarray[Any, Any], tolerance: float) -> str:
    """What differs by more than `tolerance` of the largest value, in words; empty when nothing does."""
    if expected.dtype != actual.dtype or expected.shape != actual.shape:
        return f"{actual.dtype} {actual.shape}, expected {expected.dtype} {expected.shape}"
    if expected.dtype.kind != "f":
        return "" if np.array_equal(expected, actual) else f"{actual}, expected {expected}"
    special = ~np.isfinite(expected) | ~np.isfinite(actual)
    if not np.array_equal(expected[special], actual[special], equal_nan=True):
        return f"{actual[special]}, expected {expected[special]}"
    finite = expected[~special].astype(np.float64)
    error = np.abs(finite - actual[~special]).max(initial=0.0)
    return f"off by {error}" if error > tolerance * max(1e-30, np.abs(finite).max(initial=0.0)) else ""


def run(case: Case) -> dict[str, Any]:
    """Convert, run with the rows of the case and with one of them, and compare."""
    frozen = freeze(case)
    found = {node.op for node in frozen.function.graph.as_graph_def().node}
    found |= {node.op for body in frozen.function.graph.as_graph_def().library.function for node in body.node_def}
    content = to_flatbuffer(*prepared(frozen))
    runner = Interpreter(model_content=content).get_signature_runner()
    differences = []
    for rows in {len(case.inputs[0]), 1}:
        inputs = {f"x{index}": array[:rows] for index, array in enumerate(case.inputs)}
        expected = case.function(*map(tf.constant, inputs.values())).numpy()
        differences.append(difference(expected, np.asarray(runner(**inputs)["y"]), case.tolerance))
    return {"difference": " ".join(filter(None, differences)), "has_op": case.op in found}


def refuse(case: Case) -> str:
    """Why the case does not convert; empty when it does."""
    frozen = freeze(case)
    try:
        ready = prepared(frozen)
    except FormatImpossible as error:
        return str(error)
    try:
        to_flatbuffer(*ready)
    except Exception as error:  # noqa: BLE001 (ConverterError, private to TensorFlow)
        return reason(error, frozen.layers)
    return ""


def main() -> None:
    print(json.dumps({"rewrites": sorted(REWRITES)}))  # noqa: T201
    for case in CASES:
        print(json.dumps({"op": case.op, "name": case.name, **run(case)}), flush=True)  # noqa: T201
    for case in REFUSED:
        print(json.dumps({"op": case.op, "name": case.name, "refusal": refuse(case)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
