"""Tiny real bundles, made without TensorFlow: ONNX graphs of a few nodes, published by the real store."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.manifest import Artifact, Manifest, Source, Toolchain
from kedge_bundle.parity import Budget
from kedge_bundle.signature import Signature, Tensors, TensorSpec
from kedge_bundle.stats import InputStats
from kedge_bundle.store import Bundle, describe_file, staging, write_bundle

OPSET = 18
_ONNX_DTYPE = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


@dataclass(frozen=True)
class TinyModel:
    """A few ONNX nodes, the same arithmetic in numpy, and golden inputs."""

    signature: Signature
    nodes: list[onnx.NodeProto]
    answer: Callable[[Tensors], Tensors]
    golden_inputs: Tensors
    initializers: tuple[onnx.TensorProto, ...] = ()
    input_stats: tuple[InputStats, ...] = ()
    batch: str | int = "dynamic"


def publish(model: TinyModel, repository: Path, name: str, version: int | None = None) -> Bundle:
    """Write `model` into `repository` as a bundle, as the exporter would."""
    with staging(repository, name) as staged:
        onnx.save(_onnx_model(model), staged / "model.onnx")
        case = Case("case0", model.golden_inputs, model.answer(model.golden_inputs))
        write_cases(staged / "golden.npz", [case])
        (staged / "parity.json").write_text("{}\n")
        artifact = Artifact(
            format="onnx",
            path="model.onnx",
            files=(describe_file(staged, staged / "model.onnx"),),
            inputs={n: n for n in model.signature.input_names},
            outputs={n: n for n in model.signature.output_names},
            batch=model.batch,
            opset=OPSET,
            ops=tuple(sorted({node.op_type for node in model.nodes})),
            verdict="within-tolerance",
            max_abs_error=0.0,
        )

        def make_manifest(number: int) -> Manifest:
            return Manifest(
                name=name,
                version=number,
                created="2026-01-01T00:00:00Z",
                signature=model.signature,
                input_stats=model.input_stats,
                budget=Budget.for_precision("float32"),
                artifacts=(artifact,),
                golden=describe_file(staged, staged / "golden.npz"),
                proof=describe_file(staged, staged / "parity.json"),
                source=Source(
                    file_name=f"{name}.keras", sha256="0" * 64, content_sha256="0" * 64, keras_version="3.15.1"
                ),
                toolchain=Toolchain(packages={}, python="3.11", platform="test", seed=0),
            )

        return write_bundle(staged, repository, make_manifest, version=version)


def _onnx_model(model: TinyModel) -> onnx.ModelProto:
    def values(specs: tuple[TensorSpec, ...]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(
                spec.name,
                _ONNX_DTYPE[spec.dtype],
                [f"d{i}" if size is None else size for i, size in enumerate(spec.shape)],
            )
            for spec in specs
        ]

    graph = helper.make_graph(
        model.nodes,
        "tiny",
        values(model.signature.inputs),
        values(model.signature.outputs),
        initializer=list(model.initializers),
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def _spec(name: str, shape: tuple[int | None, ...], dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def identity(dtype: str = "float32", shape: tuple[int | None, ...] = (None, 4)) -> TinyModel:
    """`y = x`: for row identity and for every dtype."""
    sizes = tuple(2 if size is None else size for size in shape)
    values = np.arange(int(np.prod(sizes))).reshape(sizes)
    golden = (
        np.array([str(v).encode() for v in values.ravel()], object).reshape(sizes)
        if dtype == "string"
        else values.astype(dtype)
    )
    return TinyModel(
        signature=Signature(inputs=(_spec("x", shape, dtype),), outputs=(_spec("y", shape, dtype),)),
        nodes=[helper.make_node("Identity", ["x"], ["y"])],
        answer=lambda inputs: {"y": inputs["x"]},
        golden_inputs={"x": golden},
    )


def doubled() -> TinyModel:
    """`y = [x, x]`, (batch, 4) to (batch, 8): answers are larger than requests."""
    return TinyModel(
        signature=Signature(inputs=(_spec("x", (None, 4)),), outputs=(_spec("y", (None, 8)),)),
        nodes=[helper.make_node("Concat", ["x", "x"], ["y"], axis=1)],
        answer=lambda inputs: {"y": np.concatenate([inputs["x"], inputs["x"]], axis=1)},
        golden_inputs={"x": np.arange(8, dtype=np.float32).reshape(2, 4)},
    )


def widened(columns: int = 65_536) -> TinyModel:
    """`y = x` in every one of so many columns, (batch, 1) to (batch, columns): 256 kB of answer to 4 bytes."""
    return TinyModel(
        signature=Signature(inputs=(_spec("x", (None, 1)),), outputs=(_spec("y", (None, columns)),)),
        nodes=[helper.make_node("Expand", ["x", "shape"], ["y"])],
        initializers=(helper.make_tensor("shape", TensorProto.INT64, [2], [1, columns]),),
        answer=lambda inputs: {"y": np.repeat(inputs["x"], columns, axis=1)},
        golden_inputs={"x": np.array([[1.0], [2.0]], np.float32)},
    )


def two_output(scale: float = 2.0) -> TinyModel:
    """Inputs `a`, `b` of (batch, 3); outputs `total` (batch, 3) = scale * (a + b), `difference` (batch, 3) = a - b."""
    rng = np.random.default_rng(0)
    return TinyModel(
        signature=Signature(
            inputs=(_spec("a", (None, 3)), _spec("b", (None, 3))),
            outputs=(_spec("total", (None, 3)), _spec("difference", (None, 3))),
        ),
        nodes=[
            helper.make_node("Add", ["a", "b"], ["sum"]),
            helper.make_node("Mul", ["sum", "scale"], ["total"]),
            helper.make_node("Sub", ["a", "b"], ["difference"]),
        ],
        initializers=(helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]),),
        answer=lambda inputs: {
            "total": (np.float32(scale) * (inputs["a"] + inputs["b"])).astype(np.float32),
            "difference": inputs["a"] - inputs["b"],
        },
        golden_inputs={name: rng.normal(size=(4, 3)).astype(np.float32) for name in "ab"},
    )


def square_root() -> TinyModel:
    """`y = sqrt(x)`, (batch, 2): answers NaN to negative values. Training saw mean 10, std 2, range 4 to 16."""
    return TinyModel(
        signature=Signature(inputs=(_spec("x", (None, 2)),), outputs=(_spec("y", (None, 2)),)),
        nodes=[helper.make_node("Sqrt", ["x"], ["y"])],
        answer=lambda inputs: {"y": np.sqrt(inputs["x"])},
        golden_inputs={"x": np.array([[4.0, 9.0], [10.0, 16.0]], np.float32)},
        input_stats=(
            InputStats(
                input="x", source="data", n=100, mean=(10.0, 10.0), std=(2.0, 2.0), min=(4.0, 4.0), max=(16.0, 16.0)
            ),
        ),
    )


def slow_matmul(size: int = 1024, repeats: int = 24) -> TinyModel:
    """`y = x W W …`, (batch, size): tens of milliseconds a run, for queues, deadlines and drains."""
    rng = np.random.default_rng(1)
    weights, _ = np.linalg.qr(rng.normal(size=(size, size)))
    weights = weights.astype(np.float32)
    names = ["x", *(f"h{i}" for i in range(repeats - 1)), "y"]

    def answer(inputs: Tensors) -> Tensors:
        y = inputs["x"].astype(np.float32)
        for _ in range(repeats):
            y = y @ weights
        return {"y": y}

    return TinyModel(
        signature=Signature(inputs=(_spec("x", (None, size)),), outputs=(_spec("y", (None, size)),)),
        nodes=[helper.make_node("MatMul", [names[i], "w"], [names[i + 1]]) for i in range(repeats)],
        initializers=(helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True),),
        answer=answer,
        golden_inputs={"x": rng.normal(size=(2, size)).astype(np.float32)},
    )
