# ruff: noqa: ANN401 (TensorFlow ships no types)
"""Runs the cases of every test in this directory, and prints a JSON line for each: [module, case, outcome]."""

import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from kedge_bundle.manifest import RuntimeOptions
from kedge_bundle.runtimes.onnx import OnnxRuntime
from kedge_bundle.signature import Signature, TensorSpec
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import ConvertOptions, convert
from kedge_exporter.tables import Table
from kedge_exporter.tracing import Frozen, _keep_shapes
from tests.exporter.formats.onnx_handlers.case import Case

EQUAL = "equal"


def frozen(case: Case) -> tuple[Frozen, list[NDArray[Any]]]:
    """The case as the exporter would have traced it, and TensorFlow's answers."""
    shapes = case.shapes or tuple((None, *array.shape[1:]) for array in case.inputs)
    names = [f"x{number}" for number in range(len(case.inputs))]
    dtypes = ["string" if array.dtype == object else str(array.dtype) for array in case.inputs]
    specs = [tf.TensorSpec(shape, dtype, name=name) for shape, dtype, name in zip(shapes, dtypes, names, strict=True)]

    def serve(*tensors: Any) -> dict[str, Any]:
        made = case.function(tf, *tensors)
        made = made if isinstance(made, tuple) else (made,)
        return {f"y{number}": tensor for number, tensor in enumerate(made)}

    with tf.device("/CPU:0"):
        traced = tf.function(serve, autograph=False).get_concrete_function(*specs)
        answers = traced(*map(tf.constant, case.inputs))
        function = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    _keep_shapes(traced.graph, function.graph)
    inputs = [TensorSpec(name=n, dtype=d, shape=s) for n, d, s in zip(names, dtypes, shapes, strict=True)]
    outputs = [
        TensorSpec(name=name, dtype=tensor.dtype.name, shape=(None,) * tensor.shape.rank)
        for name, tensor in answers.items()
    ]
    made = Frozen(
        function=function,
        signature=Signature(inputs=tuple(inputs), outputs=tuple(outputs)),
        arguments={name: name for name in names},
        output_order=tuple(sorted(answers)),
        layers={},
        tables=_tables(traced, function),
        with_batch=_never,
        inlined=_never,
        in_float32=_never,
    )
    return made, [tensor.numpy() for tensor in answers.values()]


def _tables(traced: Any, function: Any) -> tuple[Table, ...]:
    """Tables of strings to int64 only; those of layers are read by `tables_of`, and tested with models."""
    handles = {inside.op.name: outside for outside, inside in traced.graph.captures if outside.dtype == tf.resource}
    found = []
    for name in (tensor.op.name for tensor in function.inputs if tensor.op.name in handles):
        keys, values = tf.raw_ops.LookupTableExportV2(table_handle=handles[name], Tkeys=tf.string, Tvalues=tf.int64)
        found.append(Table(name, keys.numpy(), values.numpy(), -1, handles[name]))
    return tuple(found)


def _never(*_: object) -> Frozen:
    raise AssertionError


def outcome(case: Case) -> str:
    """`equal`, or what is not."""
    made, expected = frozen(case)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            artifact = convert("onnx", made, Path(scratch), ConvertOptions(opset=case.opset))
        except FormatImpossible as error:
            return str(error)
        path = Path(scratch) / artifact.path
        with OnnxRuntime(path, artifact, made.signature, RuntimeOptions()) as runtime:
            given = {f"x{number}": array for number, array in enumerate(case.inputs)}
            answers = runtime._run(given)
    for number, wanted in enumerate(expected):
        if difference := unequal(answers[f"y{number}"], wanted, case.tolerance):
            return difference
    return EQUAL


def unequal(got: NDArray[Any], wanted: NDArray[Any], tolerance: float) -> str:
    if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
        return f"{got.dtype} {got.shape}, expected {wanted.dtype} {wanted.shape}"
    is_float = wanted.dtype.kind == "f"
    with np.errstate(invalid="ignore"):
        same = np.allclose(got, wanted, tolerance, tolerance, equal_nan=True) if is_float else (got == wanted).all()
    return "" if same else f"{got.tolist()}, expected {wanted.tolist()}"


def main() -> None:
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"tests.exporter.formats.onnx_handlers.{path.stem}")
        for name, case in module.CASES.items():
            print(json.dumps([path.stem, name, outcome(case)]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
